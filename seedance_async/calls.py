"""What a single call and a batch have in common: take a job up or submit it, and ask about it.

Joins the core's decisions with the transport, the ledger and the events. Holds no job: whoever
calls does.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import anyio
import anyio.lowlevel
import attrs

from seedance_async import wire
from seedance_async.admission import Passage
from seedance_async.agenda import Agenda
from seedance_async.errors import (
    BudgetExceeded,
    InvalidRequest,
    JournalError,
    PublishError,
    SeedanceError,
    SessionClosed,
    SubmissionUnknown,
)
from seedance_async.events import (
    Completed,
    Failed,
    Held,
    OverBudget,
    Planned,
    Resumed,
    StateChanged,
    Stream,
    Submitted,
    Throttled,
)
from seedance_async.fairness import Standing
from seedance_async.fetches import Fetches
from seedance_async.learned import Learned
from seedance_async.ledger import Ledger, TrackedJob, key_in, utc_now
from seedance_async.lifecycle import LEFT, JobRecord, JobState, Phase, phase
from seedance_async.pacing import Pacing
from seedance_async.paid import finish, is_ours
from seedance_async.places import Place
from seedance_async.purse import Purse
from seedance_async.request import Job, VideoRequest, secrets
from seedance_async.retry import Again, Patience, Retries, judge_create
from seedance_async.transport import Transport
from seedance_async.turns import Turns, drained
from seedance_async.watch import Watch
from seedance_async.wire import Answer, NoAnswer, TaskState

_log = logging.getLogger("seedance_async")
_MAX_STALE = 3  # times that what was published was over before the turn came; our choice
_KEY_DIGITS = 16  # 64 bits of the digest: enough that no two requests of an account share them


OnUnknown = Literal["leave", "resubmit"]


def check_on_unknown(on_unknown: str) -> None:
    """Check what is to be done with jobs of which nobody knows whether they were accepted.

    Raises:
        ValueError: It is neither.
    """
    if on_unknown not in get_args(OnUnknown):
        raise ValueError(f"on_unknown must be 'leave' or 'resubmit', not {on_unknown!r}")


def key_of(digest: str, place: object) -> str:
    """Make the key of a job that was given none, from its place among equal requests."""
    return f"{digest[:_KEY_DIGITS]}-{place}"


def key_in_batch(job: Job, places: Counter[str]) -> str:
    """Give a job's own key, or make one; *places* counts equal requests by their digests."""
    if job.key is not None:
        return job.key
    digest = job.request.digest
    places[digest] += 1
    return key_of(digest, places[digest])


@attrs.frozen(kw_only=True, eq=False)
class Taken:
    """A job that has a task.

    Attributes:
        job: The job.
        standing: What decides about its turns.
        is_known: Whether it was sent before this call.
        hint_s: When to ask first, in seconds, if the create's answer said.
        at: When that was, on the event loop's clock; of no meaning for one that is known.
    """

    job: TrackedJob
    standing: Standing
    is_known: bool = False
    hint_s: float | None = None
    at: float = 0.0


@attrs.frozen(kw_only=True)
class Sendable:
    """A request as it is sent: with local files made public.

    Attributes:
        request: The request.
        until: When its media have to be made public anew; None for never.
    """

    request: VideoRequest
    until: dt.datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether that time has come."""
        return self.until is not None and utc_now() > self.until


@attrs.define(kw_only=True, eq=False, repr=False)
class Calls:
    """The operations of one session.

    Attributes:
        learned: What is known of how long tasks take, kept in the journal.
        turns: Who may create or ask now, and what is at the provider.
        jitter: Gives random numbers from 0 inclusive to 1 exclusive.
        clock: Gives the event loop's time, in seconds.
        checks_hosts: Whether ``media.public`` is checked; it rests for a private base URL.
        fetches: What becomes of a task that has ended.
        purse: The session's budget; None where there is none.
        make_public: Puts what they are published as in the place of a request's local files.
            None where there is nobody who would.
        operation: Runs a block about a task so that closing the session ends it.
        on_the_wire: The tasks that are in the paid step now.
    """

    transport: Transport
    ledger: Ledger
    turns: Turns
    events: Stream
    pacing: Pacing
    retries: Retries
    learned: Learned
    jitter: Callable[[], float]
    clock: Callable[[], float]
    checks_hosts: bool
    fetches: Fetches
    purse: Purse | None
    make_public: Callable[[VideoRequest], Awaitable[Sendable]] | None
    operation: Callable[[str | None], AbstractContextManager[None]]
    on_the_wire: set[asyncio.Task[Any]] = attrs.field(init=False, factory=set)

    def standing(self, priority: int = 0) -> Standing:
        """Give what decides about the turns of a single call."""
        return Standing(flow=self.turns.singles, priority=priority)

    async def take(
        self,
        job: Job,
        key: str,
        standing: Standing,
        *,
        index: int | None = None,
        on_unknown: OnUnknown = "leave",
        check: Callable[[VideoRequest], Awaitable[None]] | None = None,
    ) -> Taken:
        """Take up the job of *key* where it stands, and submit it if it has to be.

        A job that was refused before it had a task is submitted again. Of several calls with one
        key at once, one sends and the others get what it got.

        Raises:
            InvalidRequest: It breaks a rule that rests until submission, or the key is that of
                another request.
            SubmissionUnknown: A task may exist; also where an earlier run left it so.
            SeedanceError: Nothing was accepted.
        """
        if self.checks_hosts:
            job.request.check_submission(takes_files=True)
        async with self.ledger.alone(key) as had_to_wait:
            tracked = await self.ledger.plan(key, job.request, job.name)
            self.events.emit(Planned(key=key, index=index, name=job.name))
            if tracked.record.state is JobState.SUBMITTING:
                # Whoever sent it is gone, or could not write down what became of it.
                await self.ledger.move(tracked, JobState.UNKNOWN, error=LEFT)
            record = tracked.record
            self.count(record, adopts=True)
            # What became unknown a moment ago was not meant by who said so before.
            if record.state is JobState.UNKNOWN and (on_unknown == "leave" or had_to_wait):
                raise _left_unknown(record)
            if _may_go_again(record):
                await self.ledger.move(tracked, JobState.PLANNED)
            if tracked.record.state in (JobState.PLANNED, JobState.UNKNOWN):
                hint_s = await self._checked_and_submitted(tracked, standing, check)
                return Taken(job=tracked, standing=standing, hint_s=hint_s, at=self.clock())
            if record.state is JobState.SUBMITTED and record.task_id is not None:
                self.turns.adopt(tracked, record.task_id, standing)
        self.events.emit(Resumed(key=key, task_id=record.task_id, status=record.task_status))
        return Taken(job=tracked, standing=standing, is_known=True)

    async def _checked_and_submitted(
        self,
        job: TrackedJob,
        standing: Standing,
        check: Callable[[VideoRequest], Awaitable[None]] | None,
    ) -> float | None:
        request = job.record.request
        try:
            if self.make_public is None:
                request.check_submission(hosts=False)
            if check is not None:
                await check(request)
            await self._afford(job)
            try:
                return await self._submit(job, standing)
            finally:
                self.count(job.record)
        except InvalidRequest as invalid:
            if job.record.state is JobState.UNKNOWN:  # which matters more
                raise _left_unknown(job.record) from invalid
            raise

    async def _afford(self, job: TrackedJob) -> None:
        """Wait until the job is within the budget, and look after others' tasks meanwhile."""
        if self.purse is None:
            return
        request = job.record.request
        try:
            why = self.purse.reserve(job.key, request)
            if why is None:
                return
            with self.purse.waiting(request) as waiting:
                self.events.emit(Held(key=job.key, reason=why))
                while why is not None:
                    if self.turns.is_draining:
                        raise drained()
                    async with anyio.create_task_group() as group:
                        group.start_soon(self.turns.stand_by, self._look_after)
                        await waiting.called.wait()
                        group.cancel_scope.cancel()
                    waiting.called = anyio.Event()
                    why = self.purse.reserve(job.key, request)
            self.purse.wake()
        except BudgetExceeded as over:
            self.events.emit(OverBudget(key=job.key, reason=over.message))
            raise

    def count(self, record: JobRecord, *, adopts: bool = False) -> None:
        """Have the budget follow a job; *adopts* where it was sent before."""
        if self.purse is not None:
            self.purse.note(record, adopts=adopts)

    def count_past(self, record: JobRecord, timeout_s: float | None) -> None:
        """Have the budget count a job of an earlier run, and its task be looked after.

        Who waits for what it costs may do so before anybody waits for the task itself.

        Args:
            record: How it stood in the journal; what is counted already is newer.
            timeout_s: After how many seconds it is looked after no more; None for never.
        """
        if self.purse is None or self.purse.counts(record.key):
            return
        self.count(record, adopts=True)
        if record.state is JobState.SUBMITTED and record.task_id is not None:
            job = self.ledger.known(record)
            self.turns.adopt(job, record.task_id, self.standing(), timeout_s=timeout_s)

    async def _submit(self, job: TrackedJob, standing: Standing) -> float | None:
        """Create the task of a planned job, waiting as long as the provider accepts nothing.

        Cancellation is honoured between two sends, and after one that is under way.

        Returns:
            The provider's hint when to ask, in seconds.
        """
        patience = Patience(self.retries, self.retries.create_patience_s)
        number, began, stale = self.turns.number(), self.clock(), 0
        while True:
            if self.turns.is_draining:  # before its files are published for nothing
                raise drained()
            sendable = await self._sendable(job)
            place = await self._turn_to_create(job, standing, number, began)
            try:
                if sendable.is_over:  # nobody is to wait behind what is published anew
                    stale += 1
                    await self._check_stale(job, stale)
                    continue
                # A cancellation that is under way already is honoured here: nothing is paid yet.
                await honour_cancellation()
                again = await finish(self._create(job, place, sendable.request), self.on_the_wire)
            finally:
                self.turns.settle(place)
            if not isinstance(again, Again):
                return again
            now = self.clock()
            # As long as others are accepted, the provider is merely busy with our own jobs.
            refused_since = self.turns.refused_since
            since = now if refused_since is None else max(began, refused_since)
            try:
                patience.failed(again, now, self.jitter(), since=since)
            except SeedanceError as error:
                await self._failed(job, error)
                raise
            self._throttled(job.key, None, again, self.turns.creates_open_in_s(now))

    async def _sendable(self, job: TrackedJob) -> Sendable:
        """Make the local files of a job's request public; one that cannot be has failed."""
        request = job.record.request
        if self.make_public is None or not request.local_media():
            return Sendable(request=request)
        try:
            sendable = await self.make_public(request)
        except InvalidRequest:
            raise
        except SeedanceError as error:
            await self._failed(job, error)
            raise
        sendable.request.check_submission(hosts=self.checks_hosts)
        return sendable

    async def _check_stale(self, job: TrackedJob, times: int) -> None:
        if times >= _MAX_STALE:
            error = PublishError("its files are not public for long enough to be sent")
            await self._failed(job, error)
            raise error

    async def _turn_to_create(
        self, job: TrackedJob, standing: Standing, number: int, began: float
    ) -> Place:
        """Wait for a turn; a job that gives up unsent has failed, and may be sent again."""
        try:
            return await self.turns.to_create(standing, number, self._look_after, began=began)
        except SessionClosed:  # it was merely too late
            raise
        except SeedanceError as error:
            await self._failed(job, error)
            raise

    async def _look_after(self) -> None:
        """Ask about tasks that nobody waits for, when they are due, until cancelled.

        Their ends make room for those who wait for it.
        """
        agenda, noted = Agenda[Place](), set[Place]()

        def note(place: Place) -> None:
            if place not in noted:
                noted.add(place)
                # There may be thousands that are not planned: each has a turn of its own for it.
                agenda.put(0.0 if place.watch is None else place.watch.due, place)

        with self.turns.telling_of_neglect(note):
            while True:
                place = await agenda.take()
                if place in self.turns.neglected:
                    await self._look_at(place)
                noted.remove(place)
                if place in self.turns.neglected:
                    note(place)

    async def _look_at(self, place: Place) -> None:
        """Plan when to ask about a task, or ask."""
        try:
            if place.watch is None:
                place.watch = self._watch_over(place)
                return
            await self.ask(place.watch, place.job, place.standing)
            _check_due(place.watch)
        # Also a bug, ours or in a pacing of the user's: whoever is waiting here has another job.
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_ours(error):
                raise
            _log.warning("task %s is not looked after any more: %r", place.task_id, error)
            if place in self.turns.neglected:
                self.turns.given_up(place.task_id)

    def _watch_over(self, place: Place) -> Watch:
        assert place.job is not None and place.task_id is not None  # noqa: S101, PT018
        record, is_known = place.job.record, place.was_known
        accepted = None if is_known else place.since
        watch = self.watch(
            place.task_id, record.request, place.timeout_s, task=record.task, accepted=accepted
        )
        at_once = watch.due
        if not is_known:
            try:
                watch.plan(place.since, self.jitter(), place.hint_s)
                _check_due(watch)
            except Exception:  # noqa: BLE001 -- as above
                watch.due = at_once
                _log.warning("task %s is asked about at once", place.task_id)
        return watch

    async def _create(
        self, job: TrackedJob, place: Place, sent: VideoRequest
    ) -> float | Again | None:
        """Take the paid step once; to be run by ``finish`` alone.

        Args:
            job: Whose task it makes.
            place: The job's place in flight.
            sent: Its request, as it is sent.

        Returns:
            The provider's hint when to ask, in seconds; or that it may be sent again.
        """
        before, request = job.record, job.record.request
        body = wire.dump(sent.to_wire())
        await self._intend(job)
        judge = functools.partial(
            judge_create, key=job.key, request=request, secrets=self._secrets(sent)
        )
        self.turns.sending(place)
        try:
            reply = await self.transport.create(body)
        except asyncio.CancelledError:
            lost = judge(NoAnswer(sent=True, reason="abandoned"), utc_now())
            if isinstance(lost, SubmissionUnknown):
                await self._failed(job, lost)
            raise
        now = utc_now()
        try:
            verdict = judge(reply, now)
        except Exception as exc:  # noqa: BLE001 -- what cannot even be judged is unknown
            odd = f"an answer that raised {type(exc).__name__}"
            verdict = judge(NoAnswer(sent=True, reason=odd), now)
        if isinstance(verdict, TaskState):
            hint_s = wire.retry_after_s(reply.headers, now) if isinstance(reply, Answer) else None
            try:
                await self._accepted(job, verdict)
            # Behind the record: whoever hears that limits changed may end the program.
            finally:
                self.turns.accepted(place, job, verdict.id, hint_s=hint_s)
                if phase(verdict) in (Phase.COMPLETED, Phase.FAILED):
                    self.turns.gone(verdict.id)
            return hint_s
        if isinstance(verdict, Again):
            try:
                await self.ledger.move(job, before.state, error=verdict.error.message)
            finally:
                self.turns.refused(place, verdict)
            return verdict
        await self._failed(job, verdict, was_unknown=before.state is JobState.UNKNOWN)
        raise verdict

    async def _intend(self, job: TrackedJob) -> None:
        before = job.record
        try:
            await self.ledger.move(job, JobState.SUBMITTING)
        except asyncio.CancelledError:
            await self.ledger.move(job, before.state, error=before.error)  # nothing was sent
            raise
        except BaseException:
            job.record = before
            raise

    def _secrets(self, request: VideoRequest | None) -> tuple[str, ...]:
        of_request = () if request is None else secrets(request)
        return (self.transport.api_key, *of_request)

    def _kept(self, job: TrackedJob, task: TaskState) -> TaskState:
        """Give what is written down of an answer: the key is nobody's business."""
        key = self.transport.api_key
        try:
            if not wire.quotes(task, key):
                return task
            return wire.without(task, key, secrets(job.record.request))
        except (RecursionError, ValueError):  # nested too deep to be spelled again
            return wire.bare(task.id, task.status)

    async def _accepted(self, job: TrackedJob, task: TaskState) -> None:
        try:
            kept = self._kept(job, task)
            await self.ledger.move(job, JobState.SUBMITTED, task_id=task.id, task=kept)
        except JournalError:
            # It is paid for, and whoever was to read the error may be gone.
            _log.error("task %s of job %s is accepted, but not on record", task.id, job.key)
            raise
        finally:
            self.events.emit(Submitted(key=job.key, task_id=task.id))
        if phase(task) in (Phase.COMPLETED, Phase.FAILED):
            await self._changed(job, task)

    async def _failed(
        self, job: TrackedJob, error: SeedanceError, *, was_unknown: bool = False
    ) -> None:
        lost = isinstance(error, SubmissionUnknown)
        # That it is refused now says nothing of the create whose answer was lost before.
        state = JobState.UNKNOWN if lost or was_unknown else JobState.FAILED
        self.events.emit(Failed(key=job.key, reason=error.message))
        try:
            if job.record.state is not JobState.UNKNOWN:
                await self.ledger.move(job, state, error=error.message)
        except JournalError as unwritten:
            # What became of the job matters more than that it could not be written down.
            raise error from unwritten
        if job.record.state is JobState.UNKNOWN and not lost:
            raise _left_unknown(job.record) from error

    def watch_taken(self, taken: Taken, timeout_s: float | None) -> Watch:
        """Begin to wait for a job's task, at most *timeout_s* seconds from now."""
        record = taken.job.record
        assert record.task_id is not None  # noqa: S101 -- for the types: it was taken
        watch = self.watch(
            record.task_id,
            record.request,
            timeout_s,
            task=record.task,
            accepted=None if taken.is_known else taken.at,
        )
        if not taken.is_known:
            watch.plan(self.clock(), self.jitter(), taken.hint_s)
        return watch

    def watch(
        self,
        task_id: str,
        request: VideoRequest | None,
        timeout_s: float | None,
        *,
        task: TaskState | None = None,
        accepted: float | None = None,
        retries: Retries | None = None,
    ) -> Watch:
        """Begin to wait for a task; the first query is due at once.

        Where nobody knows when it was *accepted*, on the event loop's clock, it is taken up.
        """
        model, duration = (request.model, request.duration) if request else (None, None)
        return Watch(
            task_id,
            self.pacing,
            self.retries if retries is None else retries,
            now=self.clock(),
            timeout_s=timeout_s,
            course=self.learned.turnarounds.course(model, duration, taken_up=accepted is None),
            accepted=accepted,
            task=task,
            secrets=self._secrets(request),
        )

    async def ask(self, watch: Watch, job: TrackedJob | None, standing: Standing) -> bool:
        """Query a watched task once, when its turn comes; whether its status changed.

        Raises:
            WaitTimeout: The watch's deadline passed first.
            SeedanceError: There were too many failures in a row; the task lives on.
        """
        now = self.clock()
        if now >= watch.deadline:
            raise watch.timeout()
        # Far from the deadline the call's own timeout is bound enough, and a scope costs.
        is_near = watch.deadline - now <= self.transport.longest_s
        passage = None if is_near else self.turns.to_ask_at_once(standing)
        if passage is not None:
            return await self._query(watch, job, passage)
        with anyio.CancelScope(deadline=watch.deadline):
            return await self._query(watch, job, await self.turns.to_ask(standing))
        raise watch.timeout()

    async def _query(self, watch: Watch, job: TrackedJob | None, passage: Passage) -> bool:
        try:
            reply = await self.transport.query(watch.task_id)
            try:
                return await self._take_in(watch, job, reply)
            finally:
                self.turns.answered(passage, watch.again)
        finally:
            self.turns.asked(passage)
            if watch.ended:
                self.turns.gone(watch.task_id)

    async def _take_in(self, watch: Watch, job: TrackedJob | None, reply: wire.Reply) -> bool:
        if job is not None:
            job.asked += 1
        now = self.clock()
        changed = watch.read(reply, now, utc_now(), self.jitter())
        if watch.again is not None:
            self._throttled(key_in(job), watch.task_id, watch.again, watch.due - now)
        if changed and watch.task is not None:
            # What was read in time counts, also where a deadline passes while it is written down.
            with anyio.CancelScope(shield=True):
                await self._changed(job, watch.task)
        if watch.ended:
            await self.learned.task_ended()
        return changed

    def _throttled(self, key: str | None, task_id: str | None, again: Again, wait_s: float) -> None:
        reason = again.error.message
        self.events.emit(Throttled(key=key, task_id=task_id, wait_s=wait_s, reason=reason))

    async def _changed(self, job: TrackedJob | None, task: TaskState) -> None:
        key, state, reason = key_in(job), _STATES[phase(task)], task.error or "no reason given"
        try:
            # A person may have given the job another id meanwhile.
            if job is not None and job.waits_for(task.id):
                error = reason if state is JobState.FAILED else None
                try:
                    await self.ledger.move(job, state, task=self._kept(job, task), error=error)
                finally:  # also of what cannot be written down: others may wait for its money
                    self._learn_tokens(job.record)
        # The id is on record, so the job can be taken up; a video must not be lost over it.
        except JournalError as unwritten:
            _log.error("the journal lacks that task %s is %s: %s", task.id, state, unwritten)
        self.events.emit(StateChanged(key=key, task_id=task.id, status=task.status))
        if state is JobState.COMPLETED:
            self.events.emit(Completed(key=key, task_id=task.id))
        elif state is JobState.FAILED:
            self.events.emit(Failed(key=key, task_id=task.id, reason=reason))

    def _learn_tokens(self, record: JobRecord) -> None:
        tokens = None if record.task is None else record.task.total_tokens
        if record.state is JobState.COMPLETED and tokens is not None:
            is_news = self.learned.rates.note(record.request, tokens)
            if is_news and self.purse is not None:
                self.purse.learned()
        self.count(record)


def _check_due(watch: Watch) -> None:
    if not math.isfinite(watch.due):
        raise ValueError(f"the pacing plans the next query for {watch.due}")


async def honour_cancellation() -> None:
    """Let a cancellation that is under way come now, before anything is sent."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        await asyncio.sleep(0)  # a plain cancellation comes with the loop's next turn
    await anyio.lowlevel.checkpoint_if_cancelled()


_STATES = {
    Phase.RUNNING: JobState.SUBMITTED,
    Phase.COMPLETED: JobState.COMPLETED,
    Phase.FAILED: JobState.FAILED,
}


def _may_go_again(record: JobRecord) -> bool:
    """Tell whether a job failed without ever becoming a task: nothing was paid for it."""
    return record.state is JobState.FAILED and record.task_id is None


def _left_unknown(record: JobRecord) -> SubmissionUnknown:
    since = f"{record.ended_at:%Y-%m-%d %H:%M:%S} UTC" if record.ended_at else "before"
    message = (
        f"job {record.key} is unknown since {since} and is not sent again: {record.error}; "
        "look in the provider's billing and settle it, or resubmit it, which may pay twice"
    )
    return SubmissionUnknown(message, None, None, record.key, record.request.digest)
