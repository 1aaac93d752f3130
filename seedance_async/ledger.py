"""The jobs of a session: one record for each key, in step with the journal.

Whoever works on a job holds the same ``TrackedJob``, so that nobody writes an older state over a
newer one. What is legal is the business of ``lifecycle``; when something is sent, of ``calls``.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import weakref
from collections.abc import Iterator
from typing import Any

import anyio
import attrs

from seedance_async.errors import InvalidRequest, JournalError, Violation
from seedance_async.journal import Journal
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.paid import is_ours
from seedance_async.request import VideoRequest, differences


def utc_now() -> dt.datetime:
    """Give the time of the wall clock."""
    return dt.datetime.now(dt.UTC)


@attrs.define(eq=False, repr=False)
class TrackedJob:
    """A job as this session knows it; everything that works on it holds this very object.

    Attributes:
        record: The job, as it is written down.
        asked: How many queries about its task are not in the record yet: they go along with the
            next write, since none is worth one of its own.
    """

    record: JobRecord
    asked: int = 0

    @property
    def key(self) -> str:
        """The job's key."""
        return self.record.key

    def waits_for(self, task_id: str) -> bool:
        """Tell whether this is its task, and not ended; a person may give it another id."""
        return self.record.state is JobState.SUBMITTED and self.record.task_id == task_id


def key_in(job: TrackedJob | None) -> str | None:
    """Give the key of a job; None for a task that belongs to none."""
    return None if job is None else job.key


class Alone:
    """Keeps everybody else out who is about the same *key*; they wait."""

    # Written out: a generator's context manager costs four times as much.
    def __init__(self, busy: dict[str, anyio.Event | None], key: str) -> None:
        self._busy = busy
        self._key = key

    async def __aenter__(self) -> bool:
        had_to_wait = False
        while self._key in self._busy:
            had_to_wait = True
            ended = self._busy[self._key] = self._busy[self._key] or anyio.Event()
            await ended.wait()
        self._busy[self._key] = None
        return had_to_wait

    async def __aexit__(self, *_: object) -> None:
        ended = self._busy.pop(self._key)
        if ended is not None:
            ended.set()


class Ledger:
    """Keeps the session's view of jobs and the journal's in step.

    Args:
        journal: Where they are written down.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._tracked: weakref.WeakValueDictionary[str, TrackedJob] = weakref.WeakValueDictionary()
        self._busy: dict[str, anyio.Event | None] = {}

    def alone(self, key: str) -> Alone:
        """Keep everybody else out who is about to plan, send or settle the job of *key*.

        ``async with`` gives whether somebody else was about it before.
        """
        return Alone(self._busy, key)

    async def plan(self, key: str, request: VideoRequest, name: str | None = None) -> TrackedJob:
        """Take up the job of *key*: a new one, which is written down, or the one that is known.

        Raises:
            InvalidRequest: The key is that of another request.
            JournalError: It cannot be written down.
        """
        job = self._tracked.get(key)
        if job is None:
            record = JobRecord(key=key, request=request, name=name, planned_at=utc_now())
            try:
                job = self._track(await self.journal.plan(record))
            except (Exception, asyncio.CancelledError) as exc:
                _explain(record, exc)
                raise
        check_same(job.record, request)
        if job.record.request is not request:
            # The caller's own metadata may be new; what is sent is the same.
            job.record = attrs.evolve(job.record, request=request)
        return job

    async def by_task(self, task_id: str) -> TrackedJob | None:
        """Find the job that *task_id* belongs to.

        Raises:
            JournalError: The journal cannot be read.
        """
        record = await self.journal.by_task(task_id)
        return None if record is None else self.known(record)

    def known(self, record: JobRecord) -> TrackedJob:
        """Take up a job that is in the journal, unless this session has it already."""
        return self._tracked.get(record.key) or self._track(record)

    async def move(self, job: TrackedJob, state: JobState, **changes: Any) -> None:
        """Move *job* on and write it down; its record is the new one even where that fails.

        Raises:
            JournalError: It cannot be written down; it has the task's id, where there is one.
        """
        polls = job.record.polls + job.asked
        record = job.record = job.record.moved(state, utc_now(), polls=polls, **changes)
        job.asked = 0
        try:
            await self.journal.put(record)
        except (Exception, asyncio.CancelledError) as exc:
            _explain(record, exc)
            raise

    async def settle(self, key: str, task_id: str | None) -> JobRecord:
        """Take a person's word on an unknown job: the id of its task, or None for there is none.

        The word may be taken back until the provider has answered to the id, or the job is sent.

        Raises:
            JournalError: There is no such job, it is not unknown, or the id is another job's.
        """
        async with self.alone(key):
            job = self._tracked.get(key)
            if job is None:
                record = await self.journal.get(key)
                if record is None:
                    raise JournalError(f"there is no job {key} in the journal")
                job = self._track(record)
            _check_open(job.record)
            if task_id is not None:
                other = await self.journal.by_task(task_id)
                if other is not None and other.key != key:
                    raise JournalError(f"that task belongs to job {other.key}", task_id)
            if job.record.state is not JobState.UNKNOWN:
                await self.move(job, JobState.UNKNOWN, task_id=None, error="settled anew")
            if task_id is None:
                await self.move(job, JobState.PLANNED)
            else:
                await self.move(job, JobState.SUBMITTED, task_id=task_id)
            return job.record

    def forget(self, key: str) -> None:
        """Have the journal asked anew for a job that was changed elsewhere."""
        self._tracked.pop(key, None)

    def _track(self, record: JobRecord) -> TrackedJob:
        return self._tracked.setdefault(record.key, TrackedJob(record))


@contextlib.contextmanager
def telling(name: str) -> Iterator[None]:
    """Make a ``JournalError`` of whatever a user's journal raises about what it keeps."""
    try:
        yield
    except JournalError:
        raise
    except (Exception, asyncio.CancelledError) as exc:
        if isinstance(exc, asyncio.CancelledError) and is_ours(exc):
            raise
        message = f"the journal does not keep {name}: {type(exc).__name__}"
        raise JournalError(message) from exc


def _explain(record: JobRecord, exc: BaseException) -> None:
    """Raise a ``JournalError`` with the task's id for whatever a journal raised, unless it is one.

    A cancellation of ours is left alone.
    """
    if isinstance(exc, asyncio.CancelledError) and is_ours(exc):
        return
    if isinstance(exc, JournalError) and exc.task_id == record.task_id:
        return
    words = exc.message if isinstance(exc, JournalError) else type(exc).__name__
    message = f"job {record.key} is {record.state}, which cannot be written down: {words}"
    raise JournalError(message, record.task_id) from exc


def _check_open(record: JobRecord) -> None:
    is_unconfirmed = record.state is JobState.SUBMITTED and record.task is None
    was_tried = record.state is JobState.PLANNED and record.attempts > 0
    if not (record.state is JobState.UNKNOWN or is_unconfirmed or was_tried):
        raise JournalError(f"job {record.key} is {record.state}: only unknown jobs are settled")


def check_same(known: JobRecord, request: VideoRequest) -> None:
    """Check that *request* is sent as the one that its key stands for in the journal.

    Raises:
        InvalidRequest: The key is that of another request.
    """
    changes = differences(known.request, request)
    if not changes:
        return
    since = known.planned_at.isoformat(sep=" ", timespec="seconds")
    told = "; ".join(changes)
    message = (
        f"{known.key!r} is the key of another request, planned at {since} ({told}): "
        "give this one a key of its own"
    )
    raise InvalidRequest([Violation("key.request", "key", message)])
