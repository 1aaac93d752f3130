"""Cuts calls off that take too long, with one timer for all of them.

A timer for each call costs a tenth of the call. All here may take equally long, so that the one
that began first is the one to look at.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Cutoff:
    """The bound of calls of one kind: ``with cutoff.call(): ...`` around each.

    Args:
        longest_s: How long a call may take, in seconds; above 0.
    """

    def __init__(self, longest_s: float) -> None:
        self.longest_s: float = longest_s
        self._calls: dict[Call, None] = {}  # in the order in which they began
        self._timer: asyncio.TimerHandle | None = None

    def call(self) -> Call:
        """Bound the block; it raises ``TimeoutError`` when it takes too long."""
        return Call(self)

    def begin(self, call: Call) -> None:
        """Watch *call*."""
        self._calls[call] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(call.ends_at, self._look)

    def end(self, call: Call) -> None:
        """Watch it no more."""
        self._calls.pop(call, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        # As the loop does: a timer may come a tick of its clock early.
        now = loop.time() + 1e-3
        for call in tuple(self._calls):
            if call.ends_at > now:
                self._timer = loop.call_at(call.ends_at, self._look)
                return
            del self._calls[call]
            call.cut()


class Call:
    """One call; works as ``asyncio.timeout`` does."""

    __slots__ = ("_cutoff", "_is_cut", "_task", "_was_cancelling", "ends_at")

    def __init__(self, cutoff: Cutoff) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- for the types: only coroutines make calls
        self._cutoff, self._task = cutoff, task
        self._was_cancelling = task.cancelling()
        self._is_cut = False
        self.ends_at: float = asyncio.get_running_loop().time() + cutoff.longest_s

    def cut(self) -> None:
        """End it."""
        self._is_cut = True
        self._task.cancel()

    def __enter__(self) -> None:
        self._cutoff.begin(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_cut:
            self._cutoff.end(self)
        # Somebody else may have cancelled the task as well, and means it.
        elif self._task.uncancel() <= self._was_cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc
