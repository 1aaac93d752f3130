"""Taking turns: coroutines wait here until they may create or ask, and say how it went.

When, and who first, is decided in ``admission``, ``adaptation`` and ``fairness``; what lives here
joins them: the two lines of those who wait (``waiting``), and what is at the provider (``places``).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Awaitable, Callable, Iterator
from collections.abc import Set as AbstractSet

import anyio
import attrs

from seedance_async.adaptation import Adaptation
from seedance_async.admission import (
    DEFAULT_IN_FLIGHT,
    LONGEST_POLL_PAUSE_S,
    SECONDS_A_MINUTE,
    Gate,
    Lane,
    Limits,
    Passage,
)
from seedance_async.errors import (
    RateLimited,
    SeedanceError,
    ServiceUnavailable,
    SessionClosed,
)
from seedance_async.events import LimitsAdapted, Stream
from seedance_async.fairness import Flow, Standing
from seedance_async.ledger import TrackedJob
from seedance_async.places import Place, Places
from seedance_async.retry import Again, Retries
from seedance_async.waiting import Queue

_NEVER = float("inf")


@attrs.define(kw_only=True, eq=False)
class BatchFlow(Flow):
    """The jobs of one batch.

    Attributes:
        asked: How many of them may be in flight, if the caller said so.
        wake: To be called when the session's limits change.
    """

    asked: int | None
    wake: Callable[[], None]


class Turns:
    """The turns of one session.

    Attributes:
        singles: The flow of all single calls together.
        max_in_flight: How many jobs the user lets be in flight over the whole session.
        is_draining: Whether nothing is sent any more.

    Args:
        limits: What the user allows.
        retries: How long to go on.
        events: Where changed limits are told.
        jitter: Gives random numbers from 0 inclusive to 1 exclusive.
        on_given_up: Called with the key of a job about whose task nobody asks any more.
    """

    max_in_flight: int

    def __init__(
        self,
        limits: Limits,
        retries: Retries,
        *,
        events: Stream,
        jitter: Callable[[], float],
        on_given_up: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.singles: Flow = Flow()
        self.is_draining: bool = False
        self._on_given_up = on_given_up
        self._looked_after_no_more = anyio.Event()
        self._standing_by = anyio.Lock()
        self._limits = limits
        self._patience_s = retries.create_patience_s
        self._last_refusal: Again | None = None
        self._events, self._jitter = events, jitter
        self._learned = Adaptation()
        self._creates = Lane(Gate(retries.first_s, retries.cap_s, _NEVER))
        self._polls = Lane(Gate(retries.first_s, retries.cap_s, LONGEST_POLL_PAUSE_S))
        self._to_create = Queue[Place](
            load=lambda flow: flow.in_flight,
            earliest=self._earliest_create,
            permit=self._take_place,
            undo=self._undo_create,
            stuck=self._call_somebody,
        )
        self._to_ask = Queue[Passage](
            load=lambda flow: flow.polled,
            earliest=self._polls.earliest,
            permit=self._go_and_ask,
            undo=self._polls.undo,
        )
        self._numbers = itertools.count()
        self._polled = itertools.count(1)
        self._batches: set[BatchFlow] = set()
        self._places = Places()
        self._is_looked_after = False
        self._work_out()

    # ---- limits

    @property
    def limits(self) -> Limits:
        """What the user allows; a new value holds at once, for those who wait as well."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._limits_changed()

    def _work_out(self) -> None:
        """Work out what holds now of what the user allows and what was learned."""
        most, learned = self._limits.max_in_flight, self._learned
        if most is None:
            most = max(DEFAULT_IN_FLIGHT, sum(flow.asked or 0 for flow in self._batches))
        self.max_in_flight = most
        self._room = int(min(most, learned.jobs.limit))
        self._rate = min(self._limits.creates_per_minute or _NEVER, learned.rate.limit)
        self._creates.gap_s = SECONDS_A_MINUTE / self._rate
        per_second = self._limits.polls_per_second
        self._polls.gap_s = 1 / per_second if per_second else 0.0

    def _limits_changed(self) -> None:
        self._work_out()
        for flow in tuple(self._batches):
            flow.wake()
        self._to_create.serve()
        self._to_ask.serve()

    @contextlib.contextmanager
    def batch(self, asked: int | None, wake: Callable[[], None]) -> Iterator[BatchFlow]:
        """Count a batch by itself inside the block.

        Args:
            asked: How many jobs it may have in flight, if its caller said so.
            wake: Called when the session's limits change.
        """
        flow = BatchFlow(asked=asked, wake=wake)
        self._batches.add(flow)
        self._places.attended.add(flow)
        self._limits_changed()
        try:
            yield flow
        finally:
            self._batches.remove(flow)
            self._places.leave(flow)
            self._limits_changed()

    def _learn(self, lesson: Callable[[], str | None]) -> None:
        """Take a lesson in, and say what it changed."""
        reason = lesson()
        if reason is None:
            return
        before = (self._room, self._rate)
        self._work_out()
        if before != (self._room, self._rate):
            rate = None if self._rate == _NEVER else self._rate
            event = LimitsAdapted(max_in_flight=self._room, creates_per_minute=rate, reason=reason)
            self._events.emit(event)

    # ---- creating

    def room_of(self, flow: Flow) -> int:
        """Tell how many jobs of *flow* may be in flight, as long as the others have what they have.

        By what the user allows and the provider takes; at least 1.
        """
        return max(self._room - (self._places.taken - flow.in_flight), 1)

    @property
    def create_gap_s(self) -> float:
        """The least time between two creates, in seconds."""
        return self._creates.gap_s

    def number(self) -> int:
        """Give a place in the line to create, behind all that were given before."""
        return next(self._numbers)

    async def to_create(
        self,
        standing: Standing,
        number: int,
        look_after: Callable[[], Awaitable[None]],
        *,
        began: float,
    ) -> Place:
        """Wait for a place in flight and for the turn to create; to be followed by ``settle``.

        Args:
            standing: What decides about the turn.
            number: What ``number`` gave; the same again for a job that was refused.
            look_after: Asks about the tasks of which ``neglected`` tells: run by one of those
                who wait while no place is free, until its turn comes.
            began: Since when the job is to be sent.

        Raises:
            RateLimited: It was not sent, since nothing is accepted for longer than patience lasts.
            ServiceUnavailable: Likewise, by what the last refusal was.
        """
        error = self._in_vain(began)
        if error is not None:
            raise error
        place = self._to_create.at_once(standing)
        if place is not None:
            return place

        in_vain = functools.partial(self._in_vain, began)
        errand = functools.partial(self._alone, look_after)
        return await self._to_create.wait(standing, number, errand, in_vain)

    async def _alone(self, look_after: Callable[[], Awaitable[None]]) -> None:
        """Look after the tasks of others, unless somebody does."""
        if self._is_looked_after:
            return
        self._is_looked_after = True
        try:
            await look_after()
        finally:
            self._is_looked_after = False
            # Somebody else may have to go on with it, once this one is out of the way.
            asyncio.get_running_loop().call_soon(self._call_somebody)
            self._looked_after_no_more.set()
            self._looked_after_no_more = anyio.Event()

    async def stand_by(self, look_after: Callable[[], Awaitable[None]]) -> None:
        """Look after the tasks of others whenever nobody else does, until cancelled."""
        async with self._standing_by:  # one is enough, and wakes for it
            while True:
                await self._alone(look_after)
                await self._looked_after_no_more.wait()

    def drain(self) -> None:
        """Send nothing more: whoever waits for a turn to create is turned away, and who comes."""
        self.is_draining = True
        self._to_create.review()
        for flow in tuple(self._batches):
            flow.wake()

    def _in_vain(self, began: float) -> SeedanceError | None:
        """Give the error of a job that would wait behind the gate for longer than patience lasts.

        The same rule as for those who were refused themselves, see ``Patience``. Who waits for
        nothing but a free place has no patience to lose.
        """
        if self.is_draining:
            return drained()
        last, now = self._last_refusal, asyncio.get_running_loop().time()
        if last is None:
            return None
        refused_since = None if self._places.taken >= self._room else self.refused_since
        since = now if refused_since is None else max(began, refused_since)
        left_s, told_s = since + self._patience_s - now, self.creates_told_s(now)
        if told_s > max(left_s, 0):
            why = f"the provider asked to wait {told_s:.0f} s more, longer than patience lasts"
        elif left_s < 0:
            why = f"nothing was accepted for {now - since:.0f} s, longer than patience lasts"
        else:
            return None
        return _unsent(why, last, told_s if told_s > 0 else None)

    def creates_open_in_s(self, now: float) -> float:
        """Tell for how long no creates are sent since one was refused; 0 or less if they are."""
        return self._creates.gate.open_from - now

    def creates_told_s(self, now: float) -> float:
        """Tell for how long the provider itself asked for no creates; 0 or less if it does not."""
        return self._creates.gate.told_until - now

    @property
    def refused_since(self) -> float | None:
        """Since when every create was refused and no job ended; None if that is not so."""
        return self._creates.gate.refused_since

    def sending(self, place: Place) -> None:
        """Note that the create is about to leave."""
        place.was_sent = True

    def accepted(
        self, place: Place, job: TrackedJob, task_id: str, *, hint_s: float | None = None
    ) -> None:
        """Note that the create was accepted: its place stays taken until the task's end is seen."""
        now = asyncio.get_running_loop().time()
        place.job, place.since, place.hint_s = job, now, hint_s
        self._places.enter(place, task_id)
        passage, learned = place.passage, self._learned
        if passage is None:
            return
        self._creates.gate.let_through(passage.epoch)
        users_rate = self._limits.creates_per_minute or _NEVER
        lesson = functools.partial(
            learned.accepted,
            now,
            self._places.accepted,
            jobs_at_limit=place.was_last and learned.jobs.limit < self.max_in_flight,
            rate_at_limit=passage.was_pressed and learned.rate.limit < users_rate,
        )
        self._learn(lesson)
        self._to_create.serve()

    def refused(self, place: Place, again: Again) -> None:
        """Note that the provider, or the way to it, took nothing: creates pause for everybody."""
        passage = place.passage
        if passage is None:
            return
        place.was_refused, self._last_refusal = True, again
        now, gate = asyncio.get_running_loop().time(), self._creates.gate
        is_news = gate.refuse(passage.epoch, now, again.wait_s, self._jitter())
        # Any other status tells of the provider's own state, and not of the account's limits.
        if is_news and isinstance(again.error, RateLimited):
            in_flight, told_s = self._places.accepted, again.wait_s or 0.0
            self._learn(functools.partial(self._learned.refused, now, in_flight, told_s))

    def settle(self, place: Place) -> None:
        """Note that the create is over, or was never made; its place is free unless accepted."""
        if place.passage is not None:
            if place.was_sent:
                self._creates.gate.come_back(place.passage.epoch)
            else:
                self._creates.undo(place.passage)
            place.passage = None
        if place.task_id is None:
            self._places.free(place)
        # Not before its own place is free: without one, those who wait would have to.
        if place.was_refused:
            place.was_refused = False
            self._to_create.review()
        self._to_create.serve()

    def _earliest_create(self, now: float) -> float:
        return _NEVER if self._places.taken >= self._room else self._creates.earliest(now)

    def _take_place(self, standing: Standing, now: float) -> Place:
        place = self._places.take(standing, self._creates.go(now))
        place.was_last = self._places.taken >= self._room
        return place

    def _undo_create(self, place: Place) -> None:
        if place.passage is not None:
            self._creates.undo(place.passage)
        self._places.free(place)

    # ---- what is at the provider

    def adopt(
        self,
        job: TrackedJob,
        task_id: str,
        standing: Standing,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Count a task that was at the provider before; it waits for no place.

        Where nobody waits for it, it is looked after for *timeout_s* seconds at most.
        """
        self._places.adopt(job, task_id, standing, timeout_s)
        self._to_create.serve()

    def gone(self, task_id: str | None) -> None:
        """Free the place of a task: its end was seen."""
        place = None if task_id is None else self._places.of(task_id)
        if place is not None:
            self._places.free(place)
            self._has_moved()
        elif task_id is not None:
            self._places.forget(task_id)

    def given_up(self, task_id: str | None) -> None:
        """Note that a batch, or who looks after others' tasks, goes on no longer with a task.

        Its place is free unless somebody else waits for the task.
        """
        place = None if task_id is None else self._places.of(task_id)
        if place is None:
            return
        if place.waiting:
            self._places.move(place, Standing(flow=self.singles))
        else:
            self._places.give_up(place)
            self._has_moved()
            if place.job is not None:
                self._on_given_up(place.job.key)

    def _has_moved(self) -> None:
        """Note that a place is free: the provider is merely busy with our own jobs."""
        self._creates.gate.refused_since = None
        self._to_create.serve()

    @contextlib.contextmanager
    def waiting_for(self, task_id: str) -> Iterator[None]:
        """Note that the block waits for a task, so that nobody else has to ask about it.

        Ended by a ``SeedanceError`` it gives up: the task's place is free, unless somebody else
        waits, until somebody waits again.
        """
        place = self._places.of(task_id) or self._places.again(task_id)
        if place is None:
            yield
            return
        self._places.wait(place, 1)
        gave_up = False
        try:
            yield
        except SeedanceError:
            gave_up = True
            raise
        finally:
            self._places.wait(place, -1)
            if gave_up and place in self._places.neglected:
                self.given_up(task_id)
            self._call_somebody()

    @property
    def neglected(self) -> AbstractSet[Place]:
        """The places of tasks for whose ends nobody waits, as they are now and later."""
        return self._places.neglected

    @contextlib.contextmanager
    def telling_of_neglect(self, tell: Callable[[Place], None]) -> Iterator[None]:
        """Call *tell* with each place that is neglected, or becomes so inside the block."""
        for place in self._places.neglected:
            tell(place)
        self._places.tell = tell
        try:
            yield
        finally:
            self._places.tell = None

    def _call_somebody(self) -> None:
        """Have one of those who wait for a place look after tasks that nobody waits for."""
        if self._is_looked_after or self._places.taken < self._room:
            return
        if not self._places.neglected:
            return
        first = self._to_create.line.first()
        if first is not None:
            first.call()

    # ---- asking

    def to_ask_at_once(self, standing: Standing) -> Passage | None:
        """Take the turn to ask about a task, if nobody waits for it; as ``to_ask``."""
        return self._to_ask.at_once(standing)

    async def to_ask(self, standing: Standing) -> Passage:
        """Wait for the turn to ask about a task; to be followed by ``asked``."""
        passage = self._to_ask.at_once(standing)
        return passage or await self._to_ask.wait(standing, self.number())

    def answered(self, passage: Passage, again: Again | None) -> None:
        """Note what a query brought: an answer, or that it may be made again."""
        if again is None:
            self._polls.gate.let_through(passage.epoch)
        elif again.is_refusal:
            now = asyncio.get_running_loop().time()
            self._polls.gate.refuse(passage.epoch, now, again.wait_s, self._jitter())

    def asked(self, passage: Passage) -> None:
        """Note that the query is over, however it ended."""
        self._polls.gate.come_back(passage.epoch)
        self._to_ask.serve()

    def _go_and_ask(self, standing: Standing, now: float) -> Passage:
        standing.flow.polled = next(self._polled)
        return self._polls.go(now)


def drained() -> SessionClosed:
    """Make the error of a job that came too late to be sent."""
    return SessionClosed("not sent: the session is draining")


def _unsent(why: str, last: Again, told_s: float | None) -> SeedanceError:
    """Make the error of a job that was not sent, after the refusal of another.

    Of that refusal's words none but our own: the provider's may speak of the other job.
    """
    kind = RateLimited if isinstance(last.error, RateLimited) else ServiceUnavailable
    is_ours = getattr(last.error, "http_status", None) is None
    words = f" ({last.error.message})" if is_ours else ""
    return kind(f"not sent: {why}{words}", None, None, told_s)
