"""What a single call and a batch have in common: plan, submit, ask, fetch.

Joins the core's decisions with the transport, the journal and the events. Holds no job: whoever
calls keeps the record.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs

from seedance_async import download, wire
from seedance_async.admission import Admission, Lane
from seedance_async.errors import (
    InvalidRequest,
    JournalError,
    RateLimited,
    SeedanceError,
    SubmissionUnknown,
    VideoExpired,
    Violation,
)
from seedance_async.events import (
    Completed,
    Downloaded,
    Failed,
    Planned,
    StateChanged,
    Stream,
    Submitted,
    Throttled,
)
from seedance_async.journal import Journal
from seedance_async.lifecycle import JobRecord, JobState, Phase, phase
from seedance_async.pacing import Pacing
from seedance_async.paid import finish, is_ours
from seedance_async.request import Job, VideoRequest, secrets
from seedance_async.results import Video
from seedance_async.retry import Again, Patience, Retries, judge_create
from seedance_async.transport import Transport
from seedance_async.watch import Watch, failure
from seedance_async.wire import Answer, NoAnswer, TaskState

_log = logging.getLogger("seedance_async")
_KEY_DIGITS = 16  # 64 bits of the digest: enough that no two requests of an account share them


def utc_now() -> dt.datetime:
    """Give the time of the wall clock."""
    return dt.datetime.now(dt.UTC)


@attrs.frozen(kw_only=True, eq=False)
class Accepted:
    """A job that the provider took: its record, its first state, the server's polling hint."""

    record: JobRecord
    task: TaskState
    hint_s: float | None = None


@attrs.define(kw_only=True, eq=False, repr=False)
class Calls:
    """The operations of one session.

    Attributes:
        jitter: Gives random numbers from 0 inclusive to 1 exclusive.
        checks_hosts: Whether ``media.public`` is checked; it rests for a private base URL.
        operation: Runs a block about a task so that closing the session ends it.
        on_the_wire: The tasks that are in the paid step now.
    """

    transport: Transport
    journal: Journal
    admission: Admission
    events: Stream
    pacing: Pacing
    retries: Retries
    jitter: Callable[[], float]
    checks_hosts: bool
    operation: Callable[[str | None], AbstractContextManager[None]]
    on_the_wire: set[asyncio.Task[Any]] = attrs.field(init=False, factory=set)
    _places: Counter[str] = attrs.field(init=False, factory=Counter)
    _keys: set[str] = attrs.field(init=False, factory=set)
    _queues: defaultdict[Lane, anyio.Lock] = attrs.field(
        init=False, factory=lambda: defaultdict(anyio.Lock)
    )
    _accepted_count: int = attrs.field(init=False, default=0)

    async def plan(self, job: Job, index: int | None = None) -> JobRecord:
        """Give *job* its key and write it down; nothing is sent.

        Raises:
            InvalidRequest: It breaks a rule that rests until submission, or its key is taken.
        """
        if self.checks_hosts:
            job.request.check_submission()
        key = job.key or self._place(job.request)
        if key in self._keys:
            raise _key_is_taken()
        if job.key is not None:
            # Before the first await: two calls with one key must not both find it free.
            self._keys.add(key)
        try:
            if await self.journal.get(key) is not None:
                raise _key_is_taken()
            record = JobRecord(key=key, request=job.request, planned_at=utc_now())
            await self._write(record)
        except JournalError:
            self._keys.discard(key)  # nothing is on record, and nothing was sent
            raise
        self.events.emit(Planned(key=key, index=index, name=job.name))
        return record

    async def _write(self, record: JobRecord) -> None:
        """Write *record* down; whatever a journal raises is a ``JournalError`` with the id."""
        try:
            await self.journal.put(record)
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and is_ours(exc):
                raise
            if isinstance(exc, JournalError) and exc.task_id == record.task_id:
                raise
            words = exc.message if isinstance(exc, JournalError) else type(exc).__name__
            message = f"job {record.key} is {record.state}, which cannot be written down: {words}"
            raise JournalError(message, record.task_id) from exc

    def _place(self, request: VideoRequest) -> str:
        digest = request.digest[:_KEY_DIGITS]
        self._places[digest] += 1
        return f"{digest}-{self._places[digest]}"

    async def submit(self, record: JobRecord) -> Accepted:
        """Create the task of a planned job, waiting as long as the provider accepts nothing.

        Cancellation is honoured between two sends, and after one that is under way.

        Raises:
            SubmissionUnknown: A task may exist.
            SeedanceError: Nothing was accepted.
        """
        patience = Patience(self.retries, self.retries.create_patience_s)
        accepted = self._accepted_count
        while True:
            await self._turn_to_create(record)
            # A cancellation that is under way already is honoured here: nothing is paid yet.
            await anyio.lowlevel.checkpoint()
            reply = await finish(self._create(record), self.on_the_wire)
            if isinstance(reply, Accepted):
                if phase(reply.task) in (Phase.COMPLETED, Phase.FAILED):
                    await self._changed(record.key, reply.task)
                return reply
            record, again = reply
            if self._accepted_count != accepted:
                # The provider is merely busy with our own jobs, and this one's turn will come.
                accepted = self._accepted_count
                patience.renew()
            now = anyio.current_time()
            if again.wait_s is not None:
                self.admission.close(now, again.wait_s)
            try:
                wait_s = patience.failed(again, now, self.jitter())
            except SeedanceError as error:
                await self._failed(record, error)
                raise
            self._throttled(record.key, None, again, wait_s)
            await anyio.sleep_until(now + wait_s)

    async def _turn_to_create(self, record: JobRecord) -> None:
        """Wait for a turn; give up unsent behind a gate that opens only after all patience."""
        closed_s = self.admission.creates.open_from - anyio.current_time()
        if closed_s > self.retries.create_patience_s:
            message = (
                f"the provider asked to wait {closed_s:.0f} s more, longer than patience lasts"
            )
            error = RateLimited(message, None, None, closed_s)
            await self._failed(record, error)
            raise error
        await self._turn(self.admission.creates)

    async def _create(self, record: JobRecord) -> Accepted | tuple[JobRecord, Again]:
        """Take the paid step once; to be run by ``finish`` alone."""
        body = wire.dump(record.request.to_wire())
        record = record.moved(JobState.SUBMITTING, utc_now())
        await self._write(record)
        judge = functools.partial(
            judge_create,
            key=record.key,
            request=record.request,
            secrets=self._secrets(record.request),
        )
        try:
            reply = await self.transport.create(body)
        except asyncio.CancelledError:
            lost = judge(NoAnswer(sent=True, reason="abandoned"), utc_now())
            if isinstance(lost, SubmissionUnknown):
                await self._failed(record, lost)
            raise
        now = utc_now()
        try:
            verdict = judge(reply, now)
        except Exception as exc:  # noqa: BLE001 -- what cannot even be judged is unknown
            odd = f"an answer that raised {type(exc).__name__}"
            verdict = judge(NoAnswer(sent=True, reason=odd), now)
        if isinstance(verdict, TaskState):
            record = record.moved(
                JobState.SUBMITTED, now, task_id=verdict.id, task_status=verdict.status
            )
            await self._accepted(record)
            hint_s = wire.retry_after_s(reply.headers, now) if isinstance(reply, Answer) else None
            return Accepted(record=record, task=verdict, hint_s=hint_s)
        if isinstance(verdict, Again):
            record = record.moved(JobState.PLANNED, now)
            await self._write(record)
            return record, verdict
        await self._failed(record, verdict)
        raise verdict

    def _secrets(self, request: VideoRequest | None) -> tuple[str, ...]:
        of_request = () if request is None else secrets(request)
        return (self.transport.api_key, *of_request)

    async def _accepted(self, record: JobRecord) -> None:
        self._accepted_count += 1
        try:
            await self._write(record)
        except JournalError:
            # It is paid for, and whoever was to read the error may be gone.
            _log.error(
                "task %s of job %s is accepted, but not on record", record.task_id, record.key
            )
            raise
        finally:
            self.events.emit(Submitted(key=record.key, task_id=record.task_id))

    async def _failed(self, record: JobRecord, error: SeedanceError) -> None:
        lost = isinstance(error, SubmissionUnknown)
        state = JobState.UNKNOWN if lost else JobState.FAILED
        self.events.emit(Failed(key=record.key, reason=error.message))
        try:
            await self._write(record.moved(state, utc_now(), error=error.message))
        except JournalError as unwritten:
            # What became of the job matters more than that it could not be written down.
            raise error from unwritten

    def watch_accepted(self, accepted: Accepted, timeout_s: float | None) -> Watch:
        """Begin to wait for a task that was just accepted, at most *timeout_s* seconds."""
        task, request = accepted.task, accepted.record.request
        watch = self.watch(task.id, request, timeout_s, task=task, taken_up=False)
        watch.plan(anyio.current_time(), self.jitter(), accepted.hint_s)
        return watch

    def watch(
        self,
        task_id: str,
        request: VideoRequest | None,
        timeout_s: float | None,
        *,
        task: TaskState | None = None,
        taken_up: bool = True,
        retries: Retries | None = None,
    ) -> Watch:
        """Begin to wait for a task that was known before; the first query is due at once."""
        return Watch(
            task_id,
            self.pacing,
            self.retries if retries is None else retries,
            now=anyio.current_time(),
            timeout_s=timeout_s,
            model=request.model if request else None,
            task=task,
            secrets=self._secrets(request),
            taken_up=taken_up,
        )

    def video(self, watch: Watch, request: VideoRequest | None) -> Video:
        """Give the video of a watched task that has ended.

        Raises:
            VideoFailed: It ended without one.
        """
        if watch.task is None:
            raise watch.timeout()
        if phase(watch.task) is not Phase.COMPLETED:
            raise failure(watch.task)
        return Video.of(watch.task, request, self._download)

    async def _download(self, video: Video, path: Path) -> Path:
        with self.operation(video.id):
            return await self.fetch(video, path)

    async def ask(self, watch: Watch, key: str | None) -> bool:
        """Query a watched task once, when its turn comes; whether its status changed.

        Raises:
            WaitTimeout: The watch's deadline passed first.
            SeedanceError: There were too many failures in a row; the task lives on.
        """
        if anyio.current_time() >= watch.deadline:
            raise watch.timeout()
        with anyio.CancelScope(deadline=watch.deadline):
            await self._turn(self.admission.polls)
            reply = await self.transport.query(watch.task_id)
            return await self._take_in(watch, key, reply)
        raise watch.timeout()

    async def _take_in(self, watch: Watch, key: str | None, reply: wire.Reply) -> bool:
        now = anyio.current_time()
        changed = watch.read(reply, now, utc_now(), self.jitter())
        if watch.again is not None:
            if watch.again.wait_s is not None:
                self.admission.close(now, watch.again.wait_s)
            self._throttled(key, watch.task_id, watch.again, watch.due - now)
        if changed and watch.task is not None:
            await self._changed(key, watch.task)
        return changed

    def _throttled(self, key: str | None, task_id: str | None, again: Again, wait_s: float) -> None:
        reason = again.error.message
        self.events.emit(Throttled(key=key, task_id=task_id, wait_s=wait_s, reason=reason))

    async def _changed(self, key: str | None, task: TaskState) -> None:
        state, reason = _STATES[phase(task)], task.error or "no reason given"
        try:
            record = None if key is None else await self.journal.get(key)
            if record is not None and record.state is JobState.SUBMITTED:
                error = reason if state is JobState.FAILED else None
                moved = record.moved(state, utc_now(), task_status=task.status, error=error)
                await self._write(moved)
        # The id is on record, so the job can be taken up; a video must not be lost over it.
        except Exception as unwritten:  # noqa: BLE001
            _log.error("the journal lacks that task %s is %s: %s", task.id, state, unwritten)
        self.events.emit(StateChanged(key=key, task_id=task.id, status=task.status))
        if state is JobState.COMPLETED:
            self.events.emit(Completed(key=key, task_id=task.id))
        elif state is JobState.FAILED:
            self.events.emit(Failed(key=key, task_id=task.id, reason=reason))

    async def _turn(self, lane: Lane) -> None:
        """Wait in the lane until it is free: one at a time, first come, first served.

        Nothing is reserved ahead, so that whoever is cancelled while waiting leaves no gap.
        """
        async with self._queues[lane]:
            while (at := lane.earliest(anyio.current_time())) > anyio.current_time():  # noqa: ASYNC110
                await anyio.sleep_until(at)
            lane.go(anyio.current_time())

    async def fetch(
        self, video: Video, path: Path, key: str | None = None, *, replaces: bool = True
    ) -> Path:
        """Bring a video to disk; a URL that is gone is asked for once more.

        Returns:
            The file's path; another than *path* where nothing is to be replaced.

        Raises:
            DownloadError: See ``Video.download``.
        """
        http, task_id = self.transport.http, video.id
        try:
            fetched = await download.fetch(http, video.url, path, task_id, replaces=replaces)
        except VideoExpired:
            fresh = await self._fresh_url(video)
            if fresh is None:
                raise
            fetched = await download.fetch(http, fresh, path, task_id, replaces=replaces)
        written, size_bytes = fetched
        self.events.emit(Downloaded(key=key, task_id=task_id, size_bytes=size_bytes))
        return written

    async def _fresh_url(self, video: Video) -> str | None:
        reply = await self.transport.query(video.id)
        read = wire.read_task(reply.body, asked_id=video.id) if isinstance(reply, Answer) else None
        url = read.video_url if isinstance(read, TaskState) else None
        return None if url == video.url else url


_STATES = {
    Phase.RUNNING: JobState.SUBMITTED,
    Phase.COMPLETED: JobState.COMPLETED,
    Phase.FAILED: JobState.FAILED,
}


def _key_is_taken() -> InvalidRequest:
    message = "is the key of another job of this session: give each job a key of its own"
    return InvalidRequest([Violation("key.unique", "key", message)])
