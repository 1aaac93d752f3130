"""What is at the provider: the places in flight that a session's jobs take, and who waits for them.

Bookkeeping alone; ``turns`` decides what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

import attrs

from seedance_async.admission import Passage
from seedance_async.fairness import Flow, Standing
from seedance_async.ledger import TrackedJob
from seedance_async.watch import Watch


@attrs.define(kw_only=True, eq=False)
class Place:
    """A place in flight: a job's from its turn to create until its end was seen.

    Attributes:
        standing: What decided about the turn.
        job: The job; None until it is accepted.
        task_id: Its task, likewise.
        since: When it was accepted, on the loop's clock.
        hint_s: When to ask first, in seconds, if the create's answer said.
        was_known: Whether it was at the provider before this session.
        passage: How it went through the lane; None for one that was at the provider already.
        was_last: Whether it was the last place that was free.
        was_sent: Whether its create left.
        was_refused: Whether its create came back with nothing accepted.
        is_taken: Whether it counts.
        waiting: How many coroutines wait for its end.
        watch: The wait of whoever asks for want of a free place.
        timeout_s: How long that one waits, in seconds; None for ever.
    """

    standing: Standing
    job: TrackedJob | None = None
    task_id: str | None = None
    since: float = 0.0
    hint_s: float | None = None
    was_known: bool = False
    passage: Passage | None = None
    was_last: bool = False
    was_sent: bool = False
    was_refused: bool = False
    is_taken: bool = True
    waiting: int = 0
    watch: Watch | None = None
    timeout_s: float | None = None


class Places:
    """The places of one session.

    Attributes:
        taken: How many are taken, by creates on their way as well.
        accepted: How many are taken by tasks that the provider has.
        attended: The flows whose tasks are all waited for.
        tell: Called with each place of whose task nobody waits any more.
    """

    def __init__(self) -> None:
        self.taken: int = 0
        self.accepted: int = 0
        self.attended: set[Flow] = set()
        self.tell: Callable[[Place], None] | None = None
        self._by_task: dict[str, Place] = {}
        self._given_up: dict[str, Place] = {}
        self._neglected: set[Place] = set()

    def take(self, standing: Standing, passage: Passage | None) -> Place:
        """Take a place."""
        place = Place(standing=standing, passage=passage)
        self._count(place, 1)
        return place

    def enter(self, place: Place, task_id: str) -> None:
        """Note that the provider has a task for the place."""
        # The answers are not to be trusted: an id may come twice.
        if (former := self._by_task.get(task_id)) is not None:
            self.free(former)
        self._given_up.pop(task_id, None)
        self._by_task[task_id] = place
        place.task_id = task_id
        self.accepted += 1
        self._look_at(place)

    def adopt(
        self, job: TrackedJob, task_id: str, standing: Standing, timeout_s: float | None = None
    ) -> None:
        """Take a place for a task that was at the provider before, or give it to another flow."""
        place = self._by_task.get(task_id)
        if place is None:
            place = self.take(standing, None)
            place.job, place.was_known, place.timeout_s = job, True, timeout_s
            self.enter(place, task_id)
        elif standing.flow in self.attended:
            self.move(place, standing)

    def move(self, place: Place, standing: Standing) -> None:
        """Give a place to another flow."""
        self._count(place, -1)
        place.standing = standing
        self._count(place, 1)
        self._look_at(place)

    def give_up(self, place: Place) -> None:
        """Free the place of a task that goes on; whoever waits for it again takes it ``again``."""
        self.free(place)
        if place.task_id is not None:
            self._given_up[place.task_id] = place

    def again(self, task_id: str) -> Place | None:
        """Take the place of a task again that was given up; None if none was, or it has ended."""
        place = self._given_up.pop(task_id, None)
        if place is not None:
            place.is_taken, place.watch = True, None
            self._count(place, 1)
            self.enter(place, task_id)
        return place

    def forget(self, task_id: str) -> None:
        """Note that a task has ended: nobody takes a place for it again."""
        self._given_up.pop(task_id, None)

    def free(self, place: Place) -> None:
        """Free a place; may be told again."""
        if not place.is_taken:
            return
        place.is_taken = False
        self._count(place, -1)
        if place.task_id is not None:
            del self._by_task[place.task_id]
            self.accepted -= 1
        self._neglected.discard(place)

    def of(self, task_id: str) -> Place | None:
        """Give the place of a task; None if it has none, or no longer."""
        return self._by_task.get(task_id)

    def wait(self, place: Place, by: int) -> None:
        """Note that somebody begins (1) or ends (-1) to wait for a place's task."""
        place.waiting += by
        self._look_at(place)

    def leave(self, flow: Flow) -> None:
        """Note that a flow's tasks are not waited for any more; they live on."""
        self.attended.discard(flow)
        for place in self._by_task.values():
            if place.standing.flow is flow:
                self._look_at(place)

    @property
    def neglected(self) -> AbstractSet[Place]:
        """The places of tasks for whose ends nobody waits, as they are now and later."""
        return self._neglected

    def _look_at(self, place: Place) -> None:
        is_waited_for = place.waiting > 0 or place.standing.flow in self.attended
        if is_waited_for or not place.is_taken:
            self._neglected.discard(place)
        elif place not in self._neglected:
            self._neglected.add(place)
            if self.tell is not None:
                self.tell(place)

    def _count(self, place: Place, by: int) -> None:
        self.taken += by
        place.standing.flow.in_flight += by
