"""Ctrl-C and SIGTERM, by degrees: drain, stop, abandon. No traceback is printed.

A first Ctrl-C drains what can be drained: nothing more is sent, and what is in flight is brought
to its end. The next one, or a first SIGTERM, stops: it cancels a scope, and the library finishes
creates that are on the wire before it lets go. One more cuts these off, and they are written down
as unknown.
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
    """Say what the signal does that stops."""
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
        drain: What a first Ctrl-C calls; tells whether there is anything to wait for.
    """

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._scope = anyio.CancelScope()
        self.signum: int | None = None
        self.drain: Callable[[], bool] = lambda: False
        self._is_cut = False
        self._on_stop = on_stop

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Run the block until a signal comes, which ends it without an exception."""
        self._scope = anyio.CancelScope()
        if self._is_cut:
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
        is_first, self.signum = self.signum is None, self.signum or signum
        if is_first and signum == signal.SIGINT and self.drain():
            return
        if self._is_cut:
            abandon()
            return
        self._is_cut = True
        self._scope.cancel()
        self._on_stop()


@contextlib.contextmanager
def stoppable(on_stop: Callable[[], None]) -> Iterator[Stop]:
    """Take signals for as long as the block lasts, in the main thread's event loop.

    Args:
        on_stop: Called in the event loop when a signal stops the work.
    """
    loop = asyncio.get_running_loop()
    stop = Stop(on_stop)

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
