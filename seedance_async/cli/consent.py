"""Asking a person before something is gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator

from seedance_async.cli.exits import CannotStart
from seedance_async.cli.terminal import Terminal


def given(terminal: Terminal, question: str, *, yes: bool) -> bool:
    """Ask, and tell whether the answer is yes; an empty one is no.

    Args:
        terminal: Where the question is shown.
        question: What is asked, with its question mark.
        yes: Whether ``--yes`` has answered it already.

    Raises:
        CannotStart: There is nobody to ask.
    """
    if yes:
        return True
    if not terminal.is_attended:
        raise CannotStart(f"{question}\nNobody is here to ask: say --yes")
    try:
        with _interruptible():
            terminal.say(f"{question} [y/N]")
            _wait_for_a_line()
            answer = input()
    except EOFError:
        answer = ""
    if answer.strip().casefold() in ("y", "yes"):
        return True
    terminal.say("nothing was done")
    return False


def _wait_for_a_line() -> None:
    """Wait until there is something to read, or Ctrl-C.

    One that comes just before ``input`` begins to read is only taken note of until the next line;
    here it leaves a byte, which ends the wait however early it came.
    """
    if sys.platform == "win32":  # selects among sockets alone
        return
    woken, wake = socket.socketpair()
    with woken, wake:
        wake.setblocking(False)
        before = signal.set_wakeup_fd(wake.fileno())
        try:
            ready, _, _ = select.select([sys.stdin, woken], [], [])
        finally:
            signal.set_wakeup_fd(before)
        if woken in ready and before != -1:  # another signal, which an event loop waits for
            os.write(before, woken.recv(1024))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the block: an event loop would only take note of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
