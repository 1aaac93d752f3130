"""Things by due time, taken by a pool of workers as they fall due.

One heap, and one timer for its head, however many things wait: a task or a timer for each would
cost ten to thirty times the memory.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Agenda(Generic[T]):
    """An asyncio-side priority queue over time; of equal times, first in, first out."""

    def __init__(self) -> None:
        # The count breaks ties, so that things need not be comparable.
        self._heap: list[tuple[float, int, T]] = []
        self._count = itertools.count()
        self._watching = anyio.Lock()
        self._sooner = anyio.Event()

    def __len__(self) -> int:
        """How many things wait."""
        return len(self._heap)

    def put(self, due: float, thing: T) -> None:
        """Let *thing* fall due at *due*, in seconds on the event loop's clock."""
        entry = (due, next(self._count), thing)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._sooner.set()

    async def take(self) -> T:
        """Wait until a thing is due and take it; safe to cancel, nothing gets lost."""
        # Whoever holds the lock watches the clock for all the others.
        async with self._watching:
            while not self._heap or self._heap[0][0] > anyio.current_time():
                self._sooner = anyio.Event()
                due = self._heap[0][0] if self._heap else float("inf")
                with anyio.CancelScope(deadline=due):
                    await self._sooner.wait()
            return heapq.heappop(self._heap)[2]
