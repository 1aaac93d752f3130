"""Things by due time, taken by a pool of workers as they fall due.

One heap, and one timer for its head, however many things wait: a task or a timer for each would
cost ten to thirty times the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

# However much is due, the loop gets its turn after so many: what is taken may end at once.
_IN_A_ROW = 16


class Agenda(Generic[T]):
    """An asyncio-side priority queue over time; of equal times, first in, first out."""

    def __init__(self) -> None:
        # The count breaks ties, so that things need not be comparable.
        self._heap: list[tuple[float, int, T]] = []
        self._count = itertools.count()
        self._idle: deque[asyncio.Future[tuple[float, int, T]]] = deque()
        self._in_a_row = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many things wait."""
        return len(self._heap)

    def put(self, due: float, thing: T) -> None:
        """Let *thing* fall due at *due*, in seconds on the event loop's clock."""
        entry = (due, next(self._count), thing)
        heapq.heappush(self._heap, entry)
        if self._idle and (self._timer is None or due < self._timer.when()):
            self._hand_out()

    async def take(self) -> T:
        """Wait until a thing is due and take it; safe to cancel, nothing gets lost."""
        loop = asyncio.get_running_loop()
        self._in_a_row += 1
        if self._in_a_row > _IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)
        if self._heap and self._heap[0][0] <= loop.time():
            return heapq.heappop(self._heap)[2]
        self._in_a_row = 0
        waiter = loop.create_future()
        self._idle.append(waiter)
        self._hand_out()
        try:
            return (await waiter)[2]  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):
                    self._idle.remove(waiter)
            else:  # it was handed out in the same moment
                heapq.heappush(self._heap, waiter.result())
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        """Give what is due to whoever waits, all at once, and set the timer for what comes next."""
        loop = asyncio.get_running_loop()
        # Nothing early: what ends a wait at its deadline must not come before it, again and again.
        now = loop.time()
        while self._idle and self._heap and self._heap[0][0] <= now:
            waiter = self._idle.popleft()
            if not waiter.cancelled():
                waiter.set_result(heapq.heappop(self._heap))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._idle and self._heap:
            self._timer = loop.call_at(self._heap[0][0], self._hand_out)
