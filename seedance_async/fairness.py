"""Whose turn it is: who waits in which order, pure and without a clock.

Strictly by priority, then fair between flows, then first come, first served.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import attrs


@attrs.define(kw_only=True, eq=False)
class Flow:
    """What is served fairly beside others of its kind: a batch, or all single calls together.

    Attributes:
        in_flight: How many of its jobs are at the provider.
        polled: When it was last allowed to ask, as a number that only grows.
    """

    in_flight: int = 0
    polled: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Standing:
    """What decides about a turn.

    Attributes:
        flow: Whom it is counted with.
        priority: Higher goes first.
    """

    flow: Flow
    priority: int = 0


class Waiter(Protocol):
    """Somebody who waits.

    Attributes:
        standing: What decides about their turn.
        place: Their place among those of their flow, lower first, no two alike.
    """

    @property
    def standing(self) -> Standing: ...  # noqa: D102 -- above

    @property
    def place(self) -> int: ...  # noqa: D102


W = TypeVar("W", bound=Waiter)


def _place(waiter: Waiter) -> int:
    return waiter.place


class Line(Generic[W]):
    """Those who wait.

    Args:
        load: What a flow has had of what is waited for; the one that had least is served first.
    """

    def __init__(self, load: Callable[[Flow], int]) -> None:
        self._load = load
        # Sorted lists: most come at the end and go from the front, and who leaves is gone.
        self._waiting: dict[int, dict[Flow, list[W]]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._count

    def add(self, waiter: W) -> None:
        """Let somebody wait, at their own place: who comes again has not lost it."""
        flows = self._waiting.setdefault(waiter.standing.priority, {})
        bisect.insort(flows.setdefault(waiter.standing.flow, []), waiter, key=_place)
        self._count += 1

    def remove(self, waiter: W) -> None:
        """Let somebody go, served or not.

        Raises:
            KeyError: They do not wait.
        """
        priority, flow = waiter.standing.priority, waiter.standing.flow
        line = self._waiting[priority][flow]
        index = bisect.bisect_left(line, waiter.place, key=_place)
        if index == len(line) or line[index] is not waiter:
            raise KeyError(waiter.place)
        del line[index]
        self._count -= 1
        if not line:
            del self._waiting[priority][flow]
            if not self._waiting[priority]:
                del self._waiting[priority]

    def __iter__(self) -> Iterator[W]:
        """Give all who wait, in no order that means anything."""
        for flows in self._waiting.values():
            for line in flows.values():
                yield from line

    def first(self) -> W | None:
        """Tell whose turn is next; None if nobody waits."""
        if not self._count:
            return None
        flows = self._waiting[max(self._waiting)]
        flow = min(flows, key=lambda flow: (self._load(flow), flows[flow][0].place))
        return flows[flow][0]
