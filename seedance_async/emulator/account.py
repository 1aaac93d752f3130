"""An account at the provider: how many tasks run at once, how fast they may come, how they end.

When a task starts and ends is computed when it is created, so that there are no timers and its
state is a pure function of *now*: seconds on the emulator's own clock, never going back. Knows
no HTTP and no spelling of the wire, never sleeps, and draws only from the ``random`` it is given.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from random import Random

    from seedance_async.emulator.order import Order

#: A share of the tasks, 0.0 to 1.0 inclusive, or what makes a failure's message from the body
#: of a create request, None for a task that is to succeed.
Failures = float | Callable[[Mapping[str, Any]], str | None]

#: From create to end for a task that waits for no other. Source: the contract's estimates.
STANDARD_S = (120.0, 300.0)
FAST_S = (60.0, 180.0)
#: How long a task is ``queued`` even where a slot is free; part of the above. Our choice.
QUEUED_S = (2.0, 6.0)
RATE_WINDOW_S = 60.0
#: For how long an expired video is still known to have been one. Our choice.
KNOWN_AFTER_EXPIRY_S = 86_400.0
MAX_ENDED = 20_000
MAX_ACCEPTED_IDS = 200_000

FAILURE_MESSAGES = (
    "The prompt was rejected by content moderation: it may describe violence.",
    "The prompt was rejected by content moderation: it may describe a real person.",
    "The prompt was rejected by content moderation: it may infringe a copyright.",
    "The generated video was rejected by content moderation.",
    "The generated audio was rejected by content moderation.",
    "Internal error of the backend model, please try again.",
)

# Our choice: what a longest video with four or more media adds to the time, and what chance
# does.
_LOAD_WEIGHT, _CHANCE_WEIGHT = 0.5, 0.5
_LOAD_BY_DURATION, _LOAD_BY_MEDIA = 0.6, 0.4
_SHORTEST_S, _LONGEST_S, _MANY_MEDIA = 4, 15, 4
_LIKELIEST = 0.2


class Status(StrEnum):
    """A task's status. Source: the contract, ``GET /v1/result/{id}``."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class TooMany(Exception):
    """The account takes no create now; nothing was accepted.

    Attributes:
        what: What there is too much of.
        wait_s: Seconds on the emulator's clock until the next one may come; more than 0.
    """

    what: str = "creates or tasks"

    def __init__(self, wait_s: float) -> None:
        """Say how long to wait."""
        super().__init__(f"too many {self.what}: wait {wait_s:.3f} s")
        self.wait_s = wait_s


class TooManyCreates(TooMany):
    """The account's rate of creates is used up."""

    what: str = "creates"


class TooManyTasks(TooMany):
    """As many tasks as the account may have are under way or queued."""

    what: str = "tasks under way"


@attrs.frozen(kw_only=True)
class Task:
    """One accepted task. All times are seconds on the emulator's clock."""

    id: str
    order: Order
    created_s: float
    starts_s: float
    ends_s: float
    failure: str | None

    def status(self, now: float) -> Status:
        """Tell the task's status at *now*."""
        if now < self.starts_s:
            return Status.QUEUED
        if now < self.ends_s:
            return Status.PROCESSING
        return Status.COMPLETED if self.failure is None else Status.FAILED


class Account:
    """All tasks of one account, and their counts.

    Memory is bounded: the latest 20,000 ended tasks are known, and none for longer than a day
    after its video expired; what is forgotten is unknown (404). Tasks in flight are never
    forgotten. The latest 200,000 accepted ids are kept.

    Attributes:
        accepted: Tasks accepted so far.
        completed: Of these, how many ended with a video, as of the last ``settle``.
        failed: Of these, how many ended without one, as of the last ``settle``.
        peak_in_flight: The most tasks that were accepted and not ended at the same time.
        accepted_ids: The ids of accepted tasks in the order of acceptance, the latest 200,000.
    """

    def __init__(
        self,
        random: Random,
        *,
        new_id: Callable[[], str],
        concurrency: int | None = None,
        max_queued: int | None = None,
        creates_per_minute: int | None = None,
        failures: Failures = 0.0,
        video_ttl_s: float = 86_400.0,
        max_ended: int = MAX_ENDED,
    ) -> None:
        """Open an account.

        Args:
            random: Where all chance comes from; as much is drawn for each task, whatever
                becomes of it.
            new_id: Makes a task's id, a different one each time.
            concurrency: How many tasks are processed at once; more wait in ``queued``. None
                for any number.
            max_queued: How many more than *concurrency* may be in flight. None for any number.
            creates_per_minute: How many creates are accepted within any 60 s. None for any
                number.
            failures: Which tasks fail.
            video_ttl_s: For how long after its end a video can be fetched.
            max_ended: How many ended tasks are known.
        """
        self._random = random
        self._new_id = new_id
        self._failures = failures
        self._known_s = video_ttl_s + KNOWN_AFTER_EXPIRY_S
        self._max_ended = max_ended
        self._concurrency = concurrency
        self._max_queued = max_queued
        self._slots: list[float] = []  # a heap: when each slot in use becomes free
        self._creates_per_minute = creates_per_minute
        self._recent: deque[float] = deque(maxlen=creates_per_minute or 0)
        self._tasks: dict[str, Task] = {}
        self._in_flight: list[tuple[float, int, Task]] = []  # a heap, by the time of the end
        self._ended: deque[Task] = deque()
        self._numbers = itertools.count()
        self.accepted: int = 0
        self.completed: int = 0
        self.failed: int = 0
        self.peak_in_flight: int = 0
        self.accepted_ids: deque[str] = deque(maxlen=MAX_ACCEPTED_IDS)

    @property
    def in_flight(self) -> int:
        """Tasks accepted and not ended, as of the last ``settle``."""
        return len(self._in_flight)

    def __len__(self) -> int:
        """Count the tasks that are known."""
        return len(self._tasks)

    def create(
        self, order: Order, now: float, *, body: Mapping[str, Any], failure: str | None = None
    ) -> Task:
        """Accept a task.

        Args:
            order: What is to be made.
            now: The time.
            body: The request as it was sent, for a callable ``failures``.
            failure: How it fails in any case; None for one that need not.

        Raises:
            TooManyCreates: Where the rate allows none now.
            TooManyTasks: Where as many are in flight as may be.
        """
        self.settle(now)
        self._check_rate(now)
        self._check_room(now)
        # Called before anything changes: it is the user's own code and may raise.
        chosen = self._failures(body) if callable(self._failures) else None
        queued_s, total_s, drawn = self._draw(order)
        starts_s = max(now + queued_s, self._free_slot_s())
        task = Task(
            id=self._new_id(),
            order=order,
            created_s=now,
            starts_s=starts_s,
            ends_s=starts_s + total_s - queued_s,
            failure=failure or (chosen if callable(self._failures) else drawn),
        )
        self._accept(task)
        return task

    def find(self, task_id: str, now: float) -> Task | None:
        """Look a task up; None for one that never was, or was forgotten."""
        self.settle(now)
        return self._tasks.get(task_id)

    def nth_id(self, number: int) -> str | None:
        """Give the id of the task that was accepted as the so-manieth, from 1; None before it."""
        place = number - 1 - (self.accepted - len(self.accepted_ids))
        return self.accepted_ids[place] if 0 <= place < len(self.accepted_ids) else None

    def settle(self, now: float) -> None:
        """Count the tasks that ended by *now*, and forget those that are known long enough."""
        while self._in_flight and self._in_flight[0][0] <= now:
            _, _, task = heapq.heappop(self._in_flight)
            self._ended.append(task)
            if task.failure is None:
                self.completed += 1
            else:
                self.failed += 1
        while self._ended and (
            len(self._ended) > self._max_ended or self._ended[0].ends_s + self._known_s <= now
        ):
            del self._tasks[self._ended.popleft().id]

    def _check_rate(self, now: float) -> None:
        if self._creates_per_minute is None or len(self._recent) < self._creates_per_minute:
            return
        wait_s = self._recent[0] + RATE_WINDOW_S - now
        if wait_s > 0:
            raise TooManyCreates(wait_s)

    def _check_room(self, now: float) -> None:
        if self._concurrency is None or self._max_queued is None:
            return
        if len(self._in_flight) >= self._concurrency + self._max_queued:
            raise TooManyTasks(self._in_flight[0][0] - now)

    def _draw(self, order: Order) -> tuple[float, float, str | None]:
        """Draw how long a task is queued, how long it takes in all, and how it fails if it does."""
        shortest_s, longest_s = FAST_S if order.fast else STANDARD_S
        chance = self._random.triangular(0, 1, _LIKELIEST)
        share = _LOAD_WEIGHT * _load(order) + _CHANCE_WEIGHT * chance
        queued_s = self._random.uniform(*QUEUED_S)
        luck = self._random.random()
        failure = None
        if not callable(self._failures) and luck < self._failures:
            # What is below the share is itself evenly spread, and chooses the message as well.
            failure = FAILURE_MESSAGES[int(luck / self._failures * len(FAILURE_MESSAGES))]
        return queued_s, shortest_s + (longest_s - shortest_s) * share, failure

    def _free_slot_s(self) -> float:
        """Take the slot that becomes free first, and tell when that is."""
        if self._concurrency is None or len(self._slots) < self._concurrency:
            return 0.0
        return heapq.heappop(self._slots)

    def _accept(self, task: Task) -> None:
        if self._concurrency is not None:
            heapq.heappush(self._slots, task.ends_s)
        if self._creates_per_minute is not None:
            self._recent.append(task.created_s)
        self._tasks[task.id] = task
        heapq.heappush(self._in_flight, (task.ends_s, next(self._numbers), task))
        self.accepted += 1
        self.accepted_ids.append(task.id)
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)


def _load(order: Order) -> float:
    """Rate how much work *order* is, from 0.0 to 1.0."""
    long = min(max(order.duration_s - _SHORTEST_S, 0) / (_LONGEST_S - _SHORTEST_S), 1.0)
    much = min((order.frames + order.references) / _MANY_MEDIA, 1.0)
    return _LOAD_BY_DURATION * long + _LOAD_BY_MEDIA * much
