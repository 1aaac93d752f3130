"""``seedance jobs forget``: records dropped, but for those of what was paid for and is not here."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import attrs

from seedance_async.cli import exits, jobrows, journals, writing
from seedance_async.cli.consent import given
from seedance_async.cli.settle import close_keys
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.journal import SqliteJournal
from seedance_async.lifecycle import JobRecord, JobState

_MAX_LISTED = 20
_UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_ENDED = frozenset({JobState.COMPLETED, JobState.FAILED})


@attrs.frozen(kw_only=True)
class Which:
    """Which jobs are meant.

    Attributes:
        keys: By their keys or their tasks' ids; empty for all that the others let through.
        states: By their states; empty for any.
        before: Those that have not changed since; None for any.
    """

    keys: Sequence[str]
    states: Collection[JobState]
    before: dt.datetime | None

    def takes(self, record: JobRecord) -> bool:
        """Tell whether *record* is meant, whatever its key."""
        is_old = self.before is None or record.changed_at < self.before
        # Old alone means what is over: a job that waits to be sent is not done with.
        states = self.states or (_ENDED if not self.keys else frozenset(JobState))
        return is_old and record.state in states


def age(text: str | None) -> dt.timedelta | None:
    """Read the option ``--older-than``: ``30d``, ``12h``, ``90m``, ``2w``.

    Raises:
        CannotStart: It is none.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if found is None:
        raise exits.CannotStart(f"--older-than takes 30d, 12h, 90m or 2w, not {text!r}")
    return dt.timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])


async def forget(which: Which, *, journal: str | None, yes: bool) -> int:
    """Drop the records of the jobs that are meant, and give the exit code.

    Raises:
        CannotStart: It is not said which, there is nobody to ask, or the journal cannot be
            written.
    """
    if not which.keys and not which.states and which.before is None:
        raise exits.CannotStart("say which: KEY..., --state STATE or --older-than 30d")
    terminal = Terminal()
    async with writing.opened(journal) as opened:
        found, wrong = await _found(opened, which)
        for line in wrong:
            terminal.say(line, style="red")
        kept = await asyncio.to_thread(_kept, found, opened.path.parent)
        _tell_kept(terminal, kept)
        if which.keys and (wrong or kept):
            terminal.say("nothing was done")
            return exits.SOME_FAILED
        keys = [record.key for record in found if record.key not in kept]
        if not keys:
            terminal.say("no job is to be forgotten")
            return exits.SOME_FAILED if kept else exits.OK
        where = journals.near(opened.path)
        question = (
            f"Forget {count(len(keys), 'job')} in {where}? The files stay; but a run of the same "
            "jobs makes them anew, AND PAYS FOR THEM."
        )
        if not given(terminal, question, yes=yes):
            return exits.SOME_FAILED
        await opened.forget(keys)
        terminal.say(f"{count(len(keys), 'job')} forgotten in {where}")
    return exits.SOME_FAILED if kept else exits.OK


def _tell_kept(terminal: Terminal, kept: dict[str, str]) -> None:
    for key, reason in list(kept.items())[:_MAX_LISTED]:
        terminal.say(one_line(f"kept: {key} {reason}"), style="yellow")
    if (more := len(kept) - _MAX_LISTED) > 0:
        terminal.say(f"... and {more:,} more")


async def _found(journal: SqliteJournal, which: Which) -> tuple[list[JobRecord], list[str]]:
    if not which.keys:
        return [record async for record in journal.records() if which.takes(record)], []
    found, wrong = dict[str, JobRecord](), list[str]()
    for key in which.keys:
        record = await journal.get(key) or await journal.by_task(key)
        if record is None:
            close = await close_keys(journal, key)
            wrong.append(one_line(f"there is no job {key} in {journals.near(journal.path)}{close}"))
        elif which.takes(record):
            found[record.key] = record
    return list(found.values()), wrong


def _kept(records: Sequence[JobRecord], folder: Path) -> dict[str, str]:
    """Give the keys of the jobs that must not be forgotten, each with the reason. Blocks."""
    reasons = ((record.key, _why_kept(record, folder)) for record in records)
    return {key: reason for key, reason in reasons if reason is not None}


def _why_kept(record: JobRecord, folder: Path) -> str | None:
    if record.state in (JobState.UNKNOWN, JobState.SUBMITTING):
        return "is unknown, and may have been paid for: settle it first"
    if record.state is JobState.SUBMITTED:
        return f"is at the provider (task {record.task_id}): run the batch again, or wait for it"
    if record.state is not JobState.COMPLETED:
        return None
    expires_at = record.video_expires_at
    is_gone = expires_at is not None and expires_at <= dt.datetime.now(dt.UTC)
    is_here = record.path is not None and not jobrows.is_missing(record, folder)
    if is_here or is_gone:
        return None
    return f"is made and not on disk (task {record.task_id}): run the batch again, which fetches it"
