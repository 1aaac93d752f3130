"""Every way to cancel work after a while, as a parameter of a test.

Cancel scopes are level-triggered, ``Task.cancel()`` is edge-triggered, ``asyncio.timeout`` is
an edge-triggered one that is turned into ``TimeoutError``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

Work = Callable[[], Awaitable[Any]]


def now() -> float:
    return asyncio.get_running_loop().time()


async def by_scope(work: Work, after_s: float) -> None:
    with anyio.move_on_after(after_s) as scope:
        await work()
    # Not ``cancelled_caught``: a paid step that ends meanwhile gives its result, and a scope
    # cancels whatever is awaited after it.
    assert scope.cancel_called


async def by_task(work: Work, after_s: float) -> None:
    task = asyncio.ensure_future(work())
    await asyncio.sleep(after_s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_task_again_and_again(work: Work, after_s: float) -> None:
    task = asyncio.ensure_future(work())
    await asyncio.sleep(after_s)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0.3)
    assert task.cancelled()


async def by_timeout(work: Work, after_s: float) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_s):
            await work()


async def by_wait_for(work: Work, after_s: float) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work(), after_s)


async def by_fail_after(work: Work, after_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        with anyio.fail_after(after_s):
            await work()
    assert now() >= after_s


async def by_a_sibling(work: Work, after_s: float) -> None:
    async def fall() -> None:
        await anyio.sleep(after_s)
        raise LookupError("sibling")

    with pytest.RaisesGroup(LookupError):
        async with anyio.create_task_group() as group:
            group.start_soon(fall)
            await work()


async def by_an_asyncio_group(work: Work, after_s: float) -> None:
    async def fall() -> None:
        await asyncio.sleep(after_s)
        raise LookupError("sibling")

    with pytest.RaisesGroup(LookupError):
        async with asyncio.TaskGroup() as group:
            group.create_task(fall())
            await work()


KINDS = [by_scope, by_task, by_task_again_and_again, by_timeout, by_wait_for, by_fail_after]
KINDS += [by_a_sibling, by_an_asyncio_group]
kinds = pytest.mark.parametrize("cancel", KINDS, ids=lambda kind: kind.__name__)
