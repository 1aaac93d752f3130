"""An event loop whose clock jumps to the next timer, for tests with real sockets and threads."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Iterator
from typing import Any


class _Jumping(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        # A thread (DNS, file IO, rendering) will wake us through the self-pipe: jumping now
        # would fire a timeout that the thread was about to beat.
        if timeout is None or self.loop.threads:
            return super().select(None)
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Start at 0.0; advance only by jumping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)
        # At epoch scale one float step exceeds the default nanosecond resolution, and a timer
        # would stay "not yet due" for ever (python/cpython#116342).
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        # Joins its threads in a thread of its own, with a time limit since Python 3.12.
        self.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.threads -= 1

    def _thread_done(self, _: object) -> None:
        self.threads -= 1


@contextlib.contextmanager
def standing_still() -> Iterator[None]:
    """Keep the running loop's clock from jumping while a thread that it does not know works."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        yield
        return
    loop.threads += 1
    try:
        yield
    finally:
        loop.threads -= 1
