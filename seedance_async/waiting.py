"""A line of coroutines that wait for their turn, and one timer for whoever is first.

Whose turn it is and when, others decide. Everything but the waiting is synchronous, so that no
cancellation splits it: who is cancelled leaves neither a gap nor a permission unused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import attrs

from seedance_async.fairness import Flow, Line, Standing

_NEVER = float("inf")
P = TypeVar("P")


@attrs.define(kw_only=True, eq=False)
class _Waiter(Generic[P]):
    """One coroutine in a line.

    Attributes:
        called: Done when there is something to do: take the permit, leave, or look after others.
        in_vain: Tells why it should wait no longer, if so.
        error: Why it was turned away; it is in the line no longer.
        errand: What it does meanwhile, to be cut short by the permit.
    """

    standing: Standing
    place: int
    called: asyncio.Future[None]
    in_vain: Callable[[], Exception | None]
    permit: P | None = None
    error: Exception | None = None
    errand: anyio.CancelScope | None = None

    def call(self) -> None:
        if not self.called.done():
            self.called.set_result(None)

    @property
    def waits(self) -> bool:
        return self.permit is None and self.error is None

    def serve(self, permit: P) -> None:
        self.permit = permit
        self._stop_waiting()

    def turn_away(self, error: Exception) -> None:
        self.error = error
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self.errand is not None:
            self.errand.cancel()
        self.call()


class Queue(Generic[P]):
    """A line, and the one timer for whoever is first in it.

    Args:
        load: As for ``Line``.
        earliest: When the next one may go; infinity where something else must happen first.
        permit: Makes the permission, and counts it.
        undo: Takes a permission back that was never used.
        stuck: Called whenever those who wait were looked through.
    """

    def __init__(
        self,
        *,
        load: Callable[[Flow], int],
        earliest: Callable[[float], float],
        permit: Callable[[Standing, float], P],
        undo: Callable[[P], None],
        stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._stuck = stuck
        self.line: Line[_Waiter[P]] = Line(load)
        self._earliest, self._permit, self._undo = earliest, permit, undo
        self._timer: asyncio.TimerHandle | None = None

    def at_once(self, standing: Standing) -> P | None:
        """Give the permission if nobody waits and nothing is in the way."""
        now = asyncio.get_running_loop().time()
        if self.line or self._earliest(now) > now:
            return None
        return self._permit(standing, now)

    async def wait(
        self,
        standing: Standing,
        place: int,
        errand: Callable[[], Awaitable[None]] | None = None,
        in_vain: Callable[[], Exception | None] = lambda: None,
    ) -> P:
        """Wait for a turn; whoever is cancelled leaves neither a gap nor a place taken.

        Args:
            standing: What decides about it.
            place: The place among those of the same flow.
            errand: What to do meanwhile when called without a permission.
            in_vain: Gives the error to end with when it should wait no longer; asked by ``review``.
        """
        called = asyncio.get_running_loop().create_future()
        waiter = _Waiter[P](standing=standing, place=place, called=called, in_vain=in_vain)
        self.line.add(waiter)
        self.serve()
        try:
            while waiter.waits:
                await waiter.called
                if errand is not None and waiter.waits:
                    await self._run(errand, waiter)
        except BaseException:
            if waiter.permit is not None:
                self._undo(waiter.permit)
            elif waiter.error is None:
                self.line.remove(waiter)
            self.serve()
            raise
        if waiter.permit is None:
            assert waiter.error is not None  # noqa: S101 -- for the types
            raise waiter.error
        return waiter.permit

    @staticmethod
    async def _run(errand: Callable[[], Awaitable[None]], waiter: _Waiter[P]) -> None:
        try:
            with anyio.CancelScope() as waiter.errand:
                await errand()
        finally:
            waiter.errand = None
        if waiter.waits:
            waiter.called = asyncio.get_running_loop().create_future()

    def review(self) -> None:
        """Turn away all who wait in vain."""
        for waiter in tuple(self.line):
            error = waiter.in_vain()
            if error is not None:
                self.line.remove(waiter)
                waiter.turn_away(error)

    def serve(self) -> None:
        """Let all go whose turn it is, and set the timer for the next one."""
        if not self.line and self._timer is None:
            return
        at = _NEVER
        while (first := self.line.first()) is not None:
            now = asyncio.get_running_loop().time()
            at = self._earliest(now)
            if at > now:
                break
            self.line.remove(first)
            first.serve(self._permit(first.standing, now))
        self._set_timer(_NEVER if first is None else at)
        self._stuck()

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() == at:
                return
            self._timer.cancel()
            self._timer = None
        if at < _NEVER:
            self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.serve()
