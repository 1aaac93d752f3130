"""Lines that come in any order, given in theirs."""

from __future__ import annotations

from collections.abc import Callable


class InOrder:
    """Gives each line as soon as all before it are there.

    Args:
        give: Takes a line.
    """

    def __init__(self, give: Callable[[str], None]) -> None:
        self._give = give
        self._next = 0
        self._early: dict[int, str | None] = {}

    def put(self, index: int, line: str | None) -> None:
        """Take a line's place from 0, and the line; None is a place without one."""
        self._early[index] = line
        while self._next in self._early:
            self._give_one(self._next)
            self._next += 1

    def flush(self) -> None:
        """Give what is there although something before it is missing."""
        for index in sorted(self._early):
            self._give_one(index)

    def _give_one(self, index: int) -> None:
        line = self._early.pop(index)
        if line is not None:
            self._give(line)
