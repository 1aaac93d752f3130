"""Ctrl-C and SIGTERM: the first one stops cleanly, a second one abandons what still hangs.

The first cancels a scope, and the library finishes creates that are on the wire before it lets
go. The second cuts these off, and they are written down as unknown. No traceback is printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import anyio

from seedance_async.paid import abandon


def stopping(is_sending: bool) -> str:
    """Say what the first signal does."""
    if not is_sending:
        return "stopping"
    return (
        "stopping: creates on the wire are finished first\n"
        "Ctrl-C again gives up on them: they become UNKNOWN"
    )


class Stop:
    """How a command is stopped from outside.

    Attributes:
        signum: The first signal that came; None as long as there was none.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._scope = anyio.CancelScope()
        self.signum: int | None = None
        self._on_first = on_first

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Run the block until a signal comes, which ends it without an exception."""
        self._scope = anyio.CancelScope()
        if self.signum is not None:
            self._scope.cancel()
        try:
            with self._scope:
                yield
        except asyncio.CancelledError:
            # What was abandoned may arrive as a cancellation of its own.
            if self.signum is None:
                raise

    def request(self, signum: int) -> None:
        """Take a signal; to be called in the event loop."""
        if self.signum is None:
            self.signum = signum
            self._scope.cancel()
            self._on_first()
            return
        abandon()


@contextlib.contextmanager
def stoppable(on_first: Callable[[], None]) -> Iterator[Stop]:
    """Take signals for as long as the block lasts, in the main thread's event loop.

    Args:
        on_first: Called in the event loop when the first signal came.
    """
    loop = asyncio.get_running_loop()
    stop = Stop(on_first)

    # Not ``loop.add_signal_handler``, which Windows does not have.
    def take(signum: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.request, signum)

    before = {number: signal.getsignal(number) for number in _signals()}
    for number in before:
        signal.signal(number, take)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # What is stopping is about to exit, and impatient fingers must not cut that short.
            signal.signal(number, handler if stop.signum is None else signal.SIG_IGN)


def _signals() -> Iterator[int]:
    yield signal.SIGINT
    yield signal.SIGTERM
    # Comes when the terminal is closed, in the middle of the night. Windows has none, and what
    # ``nohup`` had ignored stays ignored.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        yield hangup
