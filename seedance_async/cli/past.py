"""What the journal knew of a manifest's jobs when the run began."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

import attrs

from seedance_async.cli import clash
from seedance_async.cli.manifest import Line, Manifest
from seedance_async.errors import InvalidRequest
from seedance_async.journal import SqliteJournal
from seedance_async.journal.aside import aside
from seedance_async.ledger import check_same
from seedance_async.lifecycle import JobRecord, JobState


class Stand(Enum):
    """How a job stood, in the words of the run's first line."""

    DONE = "done before"
    UNFETCHED = "made but not on disk"
    RUNNING = "at the provider"
    FAILED = "failed before"
    UNKNOWN = "unknown"
    UNSENT = "to send"
    INVALID = "invalid"


@attrs.frozen(kw_only=True)
class Past:
    """What was known before.

    Attributes:
        keys: The key of each job, by its place; None for an invalid one.
        known: The records of those that the journal had.
        on_disk: The keys of those whose whole file was there.
        aside: Those that failed before and were set aside, so that they are made anew.
    """

    keys: tuple[str | None, ...]
    known: Mapping[str, JobRecord] = attrs.field(factory=dict)
    on_disk: frozenset[str] = frozenset()
    aside: Sequence[JobRecord] = ()

    @property
    def counts(self) -> Counter[Stand]:
        """How many jobs stood in which way."""
        return Counter(self.stand(key) for key in self.keys)

    def stand(self, key: str | None) -> Stand:
        """Tell how the job of *key* stood."""
        record = None if key is None else self.known.get(key)
        if key is None:
            return Stand.INVALID
        if record is None:
            return Stand.UNSENT
        if record.state is JobState.COMPLETED:
            return Stand.DONE if key in self.on_disk else Stand.UNFETCHED
        if record.state is JobState.FAILED and record.task_id is None:
            return Stand.UNSENT  # it cost nothing, and is tried again
        return _STANDS.get(record.state, Stand.UNSENT)

    def work_from(self) -> Sequence[int]:
        """Tell how many jobs, from each place on and from behind the last, still take time."""
        working = (self.stand(key) in _WORKING for key in reversed(self.keys))
        return tuple(itertools.accumulate(working, initial=0))[::-1]

    def was_made(self, key: str | None) -> bool:
        """Tell whether the job of *key* was completed, on disk or not."""
        return self.stand(key) in (Stand.DONE, Stand.UNFETCHED)

    def told(self) -> str:
        """Spell the counts for the run's first line; empty where nothing was known."""
        counts = self.counts
        if not self.known or not counts.total() - counts[Stand.UNSENT] - counts[Stand.INVALID]:
            return ""
        order = (stand for stand in Stand if counts[stand])
        return ", ".join(f"{counts[stand]:,} {stand.value}" for stand in order)


# The others are over, or soon; an unknown one is sent only where that was asked for.
_WORKING = frozenset({Stand.UNSENT, Stand.RUNNING})
_STANDS = {
    JobState.SUBMITTING: Stand.UNKNOWN,
    JobState.SUBMITTED: Stand.RUNNING,
    JobState.FAILED: Stand.FAILED,
    JobState.UNKNOWN: Stand.UNKNOWN,
}


async def look_back(journal: SqliteJournal, manifest: Manifest, out: Path) -> Past:
    """See what the journal knows of a manifest's jobs.

    Raises:
        JournalError: It cannot be read.
    """
    keys = tuple(_keys(manifest.lines))
    wanted = frozenset(key for key in keys if key is not None)
    before, known, failed = await aside(journal), dict[str, JobRecord](), list[JobRecord]()
    async for record in journal.records():
        if record.key in wanted:
            known[record.key] = record
        elif before.get(record.key) in wanted:
            failed.append(record)
    there = await asyncio.to_thread(whole_on_disk, known.values(), out)
    return Past(keys=keys, known=known, on_disk=there, aside=failed)


def nothing(manifest: Manifest) -> Past:
    """Give what is known of a manifest's jobs without a journal."""
    return Past(keys=tuple(_keys(manifest.lines)))


def whole_on_disk(records: Iterable[JobRecord], out: Path) -> frozenset[str]:
    """Give the keys of the jobs that were downloaded and whose file is still there. Blocks."""
    from seedance_async.batch import on_disk  # noqa: PLC0415 -- brings in aiohttp

    return frozenset(record.key for record in records if on_disk(record, out) is not None)


async def forget_emulated(journal: SqliteJournal, out: Path) -> None:
    """Let the jobs of an earlier emulator start anew, which took them with it, but for the done.

    Raises:
        JournalError: It cannot be read or written.
    """
    records = [record async for record in journal.records()]
    made = [record for record in records if record.state is JobState.COMPLETED]
    done = await asyncio.to_thread(whole_on_disk, made, out)
    if gone := [record.key for record in records if record.key not in done]:
        await journal.forget(gone)


def checked(manifest: Manifest, past: Past) -> Manifest:
    """Fault every line whose key stands for another request in the journal."""
    return attrs.evolve(manifest, lines=tuple(_checked(manifest.lines, past)))


def _checked(lines: Iterable[Line], past: Past) -> Iterator[Line]:
    for line, key in zip(lines, past.keys, strict=True):
        record = None if key is None else past.known.get(key)
        try:
            if record is not None and line.job is not None:
                check_same(record, line.job.request)
            yield line
        except InvalidRequest as invalid:
            told = tuple(clash.lines(record, line.job.request)) if record and line.job else ()
            yield attrs.evolve(line, job=None, faults=invalid.violations, clash=told)


def _keys(lines: Iterable[Line]) -> Iterator[str | None]:
    """Give each job's key, made up as the batch makes it up."""
    from seedance_async.calls import key_in_batch  # noqa: PLC0415 -- brings in aiohttp

    places: Counter[str] = Counter()
    for line in lines:
        yield None if line.job is None else key_in_batch(line.job, places)
