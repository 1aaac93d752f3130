"""The one step that costs money: intent written down, create sent, answer written down.

No cancellation of any kind splits it. It bounds its own time through the transport's timeout.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

R = TypeVar("R")
_PAID: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def abandon() -> None:
    """Cut off the creates that are on the wire, in every session: for a person who insists."""
    for task in tuple(_PAID):
        task.cancel()


def under_way() -> int:
    """Count the creates that are on the wire, in every session."""
    return sum(not task.done() for task in tuple(_PAID))


def is_ours(_: asyncio.CancelledError) -> bool:
    """Tell, where one was caught, whether this task was cancelled, or what it awaited was."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _wake(ended: asyncio.Future[None], _: object) -> None:
    if not ended.done():
        ended.set_result(None)


async def finish(work: Coroutine[Any, Any, R], among: set[asyncio.Task[Any]] | None = None) -> R:
    """Await *work* to its end even if cancelled meanwhile, then honour the cancellation.

    For the one step that costs money: *work* sends the create and writes the task's id down,
    and must bound its own time.

    Args:
        work: What must not be cut in two.
        among: Where to list the work's task while it runs, for somebody who has to wait for it
            although its caller is gone.

    Returns:
        What *work* returns, behind a cancelled scope too: a scope cancels at the next await.

    Raises:
        asyncio.CancelledError: The caller's task was cancelled meanwhile; *work* is done all the
            same, and what it raised is dropped, since it wrote that down itself.
    """
    # A cancel scope is level-triggered, and the shield keeps it out; Task.cancel() is
    # edge-triggered and goes straight through a shield, so *work* has a task of its own, which
    # waiting for it does not cancel along with us.
    inner = asyncio.create_task(work)
    # When asyncio.run ends, it cancels every task that it knows of; this one it must wait for,
    # through us. Source: "Extending asyncio" in Python's manual.
    asyncio._unregister_task(inner)
    if among is not None:
        among.add(inner)
        _PAID.add(inner)
        inner.add_done_callback(among.discard)
    interrupted: asyncio.CancelledError | None = None
    while not inner.done():
        ended = asyncio.get_running_loop().create_future()
        wake = functools.partial(_wake, ended)
        inner.add_done_callback(wake)
        try:
            with anyio.CancelScope(shield=True):
                await ended
        except asyncio.CancelledError as exc:
            inner.remove_done_callback(wake)
            interrupted = exc
    if interrupted is None:
        return inner.result()
    if not inner.cancelled():
        inner.exception()  # mark as retrieved: *work* wrote its failure down itself
    raise interrupted
