"""One account's jobs in one worker: send, watch, fetch, by a session as on one machine.

Every step begins with what the database knows of the job, and may be done again at any time, by
this worker or another. What is done, and how often, is the session's business; what belongs here
is when nothing more is to be done, and to leave everything as it is when the worker ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from seedance_async.distributed.engine import Watched
from seedance_async.distributed.shared import Row, SharedJournal, TakenOver
from seedance_async.distributed.sinks import Sink
from seedance_async.errors import (
    AuthenticationError,
    DownloadError,
    JournalError,
    RateLimited,
    SeedanceError,
    ServiceUnavailable,
    SessionClosed,
    SubmissionUnknown,
    VideoExpired,
    VideoFailed,
    WaitTimeout,
)
from seedance_async.ledger import utc_now
from seedance_async.lifecycle import KEPT, JobState
from seedance_async.naming import NameTemplate
from seedance_async.session import SeedanceSession
from seedance_async.task import VideoTask

T = TypeVar("T")
_log = logging.getLogger("seedance_async")
# An unknown job may be in the making: it keeps its place until nearly all of its like have ended.
_NEARLY_ALL = 0.99
_LOOK_S = 2.0  # how often an unknown job is looked at, whether somebody has settled it
_PAUSE_S = 30.0  # of a worker that is not let in; our choice
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0  # between two tries to fetch a video; our choice
# The provider's ids make names unique, whatever becomes of the keys in them.
_NAMES = NameTemplate("{key}-{id}")


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()


class AccountWork:
    """The jobs of one account.

    Args:
        session: What sends and asks.
        journal: What the session writes to.
        sink: Where videos are kept.
        timeout_s: Seconds from a submission to the end.
    """

    def __init__(
        self, session: SeedanceSession, journal: SharedJournal, sink: Sink, timeout_s: float | None
    ) -> None:
        self.session = session
        self._journal = journal
        self._sink = sink
        self._timeout_s = timeout_s
        self._tasks: dict[str, VideoTask] = {}
        self._busy: set[asyncio.Task[Any]] = set()
        self._is_ending = False

    @property
    def in_flight(self) -> int:
        """How many jobs and downloads this worker has."""
        return len(self._busy)

    async def begin(self) -> None:
        """Return at once, or never where nothing is to be begun any more."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- for the types
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        if self._is_ending:
            await _never()

    async def end(self) -> None:
        """Leave everything as it is, behind the creates that are on the wire."""
        self._is_ending = True
        self.session.drain()
        await self.session.close()
        for task in tuple(self._busy):
            task.cancel()
        if self._busy:
            await asyncio.wait(tuple(self._busy), timeout=10)

    async def submit(self, key: str) -> str:
        """Send a job, or take it up; give its state."""
        return await self._left_alone(lambda: self._submit(key), key)

    async def watch(self, key: str) -> Watched:
        """Wait for a job's end, as long as it takes until nothing more is to be done here."""
        return await self._left_alone(lambda: self._watch(key), key)

    async def is_over(self, key: str) -> bool:
        """Tell whether nothing more is to be done about a job."""

        async def look() -> bool:
            row = await self._journal.row(key)
            return row is None or row.is_over

        return await self._left_alone(look, key)

    async def download(self, key: str, task_id: str, deadline: float) -> None:
        """Bring a video to the sink; tried again until *deadline*, in seconds since 1970."""
        await self._left_alone(lambda: self._download(key, task_id, deadline), key)

    async def _left_alone(self, step: Callable[[], Awaitable[T]], key: str) -> T:
        """Do a step; where this worker is not the one to do it any more, wait to be ended.

        What is raised here would be written down as the step's end.
        """
        while True:
            try:
                return await step()
            except SessionClosed:
                await _never()
            except JournalError as exc:
                _log.warning("job %s is looked at anew: %s", key, exc.message)
                # Its id is in the job's history, and the job itself another worker's.
                if isinstance(exc, TakenOver) and exc.task_id is not None:
                    await _never()
                self._journal.let_go(key)
                await asyncio.sleep(_LOOK_S)
            # A bug, ours or in a sink of the user's: even that must not leave a job hanging.
            except Exception as exc:  # noqa: BLE001
                _log.error("job %s: unexpected %s", key, type(exc).__name__)
                await self._give_up(key, SeedanceError(f"unexpected {type(exc).__name__}"))

    async def _give_up(self, key: str, error: SeedanceError) -> None:
        try:
            await self._journal.close(await self._row(key), error)
        except JournalError:
            await asyncio.sleep(_LOOK_S)

    async def _submit(self, key: str) -> str:
        row = await self._journal.row(key)
        if row is None or row.is_over:
            return "over"
        row = await self._journal.with_spooled_id(row)
        record = row.record
        if record.state not in (JobState.PLANNED, JobState.SUBMITTING):
            return str(record.state)
        try:
            self._tasks[key] = await self._take(row)
        except (JournalError, SessionClosed):
            raise
        except SubmissionUnknown:
            return str(JobState.UNKNOWN)
        except AuthenticationError as error:
            await self._not_let_in(key, error)
            return str(JobState.PLANNED)
        except SeedanceError as error:
            await self._refused(key, error)
            return str(JobState.FAILED)
        return str(JobState.SUBMITTED)

    async def _take(self, row: Row) -> VideoTask:
        """Send a job, or take it up, by what the database says and not by what was known here."""
        key = row.record.key
        if self._journal.is_behind(row):
            self._journal.let_go(key)
            self.session._calls.ledger.forget(key)
        return await self.session.submit(row.record.request, key=key)

    async def _not_let_in(self, key: str, error: AuthenticationError) -> None:
        """Leave a job as it was: it is this worker's key that is wrong, for all jobs alike."""
        _log.error("job %s is not sent: %s", key, error.message)
        row = await self._row(key)
        if row.record.state is JobState.FAILED:
            planned = row.record.moved(JobState.PLANNED, utc_now(), error=error.message)
            await self._journal.put(planned)
        await asyncio.sleep(_PAUSE_S)

    async def _refused(self, key: str, error: SeedanceError) -> None:
        """Close a job of which nothing was accepted."""
        row = await self._row(key)
        if row.record.state is JobState.PLANNED:  # a rule that rests until submission
            failed = row.record.moved(JobState.FAILED, utc_now(), error=error.message)
            await self._journal.put(failed)
            row = await self._row(key)
        await self._journal.close(row, error)

    async def _row(self, key: str) -> Row:
        row = await self._journal.row(key)
        if row is None:
            raise TakenOver(f"job {key} is not in the database any more")
        return row

    async def _watch(self, key: str) -> Watched:
        while True:
            row = await self._journal.row(key)
            if row is None or row.is_over:
                return Watched(state="over")
            if row.record.state is not JobState.SUBMITTED:
                self._tasks.pop(key, None)
            if row.record.state in (JobState.PLANNED, JobState.SUBMITTING):
                await asyncio.sleep(_LOOK_S)  # nobody is in a hurry who sends a second time
                return Watched(state="to be sent")
            if row.record.state is JobState.COMPLETED and row.cancelled_at is None:
                return _made(row)
            problem = await self._end_of(row)
            if problem is not None and await self._closed(row, problem):
                return Watched(state="over")

    async def _end_of(self, row: Row) -> SeedanceError | None:
        """Wait for what comes of a job; give what ends it for good without a video."""
        if row.record.state is JobState.SUBMITTED:
            return await self._wait(row)
        if row.record.state is JobState.UNKNOWN:
            return await self._hold(row)
        is_cancelled = row.cancelled_at is not None and row.record.task_id is not None
        return cancelled(row.record.task_id) if is_cancelled else _failure(row)

    async def _closed(self, before: Row, problem: SeedanceError) -> bool:
        """Close a job, unless something came in between, which is to be looked at first."""
        row = await self._row(before.record.key)
        if row.record.state not in (before.record.state, JobState.FAILED):
            return False
        if row.cancelled_at is not None and row.record.task_id is not None:
            problem = cancelled(row.record.task_id)
        return await self._journal.close(row, problem)

    async def _wait(self, row: Row) -> SeedanceError | None:
        """Wait for a task; give what ended the wait for good without a video."""
        key, record = row.record.key, row.record
        task = self._tasks.pop(key, None)
        if task is None:
            task = await self._take(row)  # sends nothing, since there is a task
        left_s = self._timeout_s
        if left_s is not None and record.submitted_at is not None:
            left_s -= (utc_now() - record.submitted_at).total_seconds()
            left_s = max(left_s, 0.0)
        try:
            await task.wait(left_s)
            await self._bring_in(key, task, JobState.COMPLETED)
        except (JournalError, SessionClosed):
            raise
        except VideoFailed as error:
            await self._bring_in(key, task, JobState.FAILED, error.message)
            return error
        except (RateLimited, ServiceUnavailable, AuthenticationError) as exc:
            # There is nobody who would take it up again, and all the time until the deadline.
            _log.warning("task %s is asked about again: %s", task.id, exc.message)
            await asyncio.sleep(_PAUSE_S if isinstance(exc, AuthenticationError) else _LOOK_S)
        except SeedanceError as error:
            return error
        return None

    async def _bring_in(
        self, key: str, task: VideoTask, state: JobState, error: str | None = None
    ) -> None:
        """Write down how a task ended, where the session could not."""
        row = await self._row(key)
        if row.record.state is JobState.SUBMITTED and row.record.task_id == task.id:
            self._journal.hold(row)
            await self._journal.put(
                row.record.moved(state, utc_now(), task=task.state, error=error)
            )

    async def _hold(self, row: Row) -> SeedanceError | None:
        """Keep the place of an unknown job for as long as its video may be in the making."""
        record = row.record
        since = record.intended_at or record.changed_at
        age_s = (utc_now() - since).total_seconds()
        if age_s < self._hold_s(row):
            await asyncio.sleep(_LOOK_S)
            return None
        message = record.error or "the create's answer was lost"
        digest = record.request.digest
        return row.problem or SubmissionUnknown(message, None, None, record.key, digest)

    def _hold_s(self, row: Row) -> float:
        request = row.record.request
        turnarounds = self.session._calls.learned.turnarounds
        return turnarounds.course(request.model, request.duration).remaining_s(0.0, _NEARLY_ALL)

    async def _download(self, key: str, task_id: str, deadline: float) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            row = await self._journal.row(key)
            if row is None or row.is_over or row.record.task_id != task_id:
                return
            problem: SeedanceError | None = None
            try:
                if row.cancelled_at is not None:
                    problem = cancelled(task_id)
                elif row.record.downloaded_at is None:
                    await self._fetch(row)
                    row = await self._row(key)
            except (JournalError, SessionClosed):
                raise
            except (VideoExpired, VideoFailed) as error:
                problem = error
            except SeedanceError as error:
                if time.time() + pause_s < deadline:
                    _log.warning("task %s is fetched again: %s", task_id, error.message)
                    await anyio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                    continue
                problem = error
            if await self._journal.close(row, problem):
                return

    async def _fetch(self, row: Row) -> None:
        """Fetch a video by a fresh URL: none is written down anywhere."""
        record = row.record
        assert record.task_id is not None  # noqa: S101 -- for the types: it was made
        task = self.session.task(record.task_id)
        await task.refresh()
        try:
            video = await task.wait(0.0)
        except WaitTimeout as exc:
            raise DownloadError(
                f"the provider says {exc.last_status} of it by now", task.id
            ) from exc
        name = _NAMES.fill(index=0, key=record.key, task_id=record.task_id, name=record.name)
        path, size_bytes = await self._sink.keep(video, name)
        after = await self._row(record.key)
        if after.record.path != path:
            kept = after.record.moved(
                JobState.COMPLETED,
                utc_now(),
                path=path,
                size_bytes=size_bytes,
                downloaded_at=utc_now(),
            )
            self._journal.hold(after)
            await self._journal.put(kept)


def cancelled(task_id: str | None) -> VideoFailed:
    """Make the error of a job that somebody cancelled."""
    message = "cancelled before it was sent" if task_id is None else "cancelled; it may be billed"
    return VideoFailed(message, task_id, None, "cancelled")


def _made(row: Row) -> Watched:
    record = row.record
    until = ((record.ended_at or utc_now()) + KEPT).timestamp()
    download = f"{record.task_id} {row.stamp}"
    return Watched(state="completed", task_id=record.task_id, deadline=until, download=download)


def _failure(row: Row) -> SeedanceError:
    record = row.record
    status = record.task_status or "failed"
    reason = record.error or "no reason given"
    if row.problem is not None:
        return row.problem
    if record.task_id is None:
        return SeedanceError(reason)
    return VideoFailed(f"the task {status}: {reason}", record.task_id, record.error, status)
