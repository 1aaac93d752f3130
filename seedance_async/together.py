"""The same work on many things, some at a time; an error arrives bare, and ends the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar, cast

import anyio

T = TypeVar("T")
R = TypeVar("R")


async def together(
    work: Callable[[T], Awaitable[R]], things: Collection[T], at_once: int
) -> list[R]:
    """Do *work* on each of *things*, so many *at_once*, and give what came of it, in order.

    Raises:
        Exception: Whatever *work* raised first.
    """
    done: list[R | None] = [None] * len(things)
    errors: list[Exception] = []
    waiting = iter(enumerate(things))

    async def take() -> None:
        try:
            for place, thing in waiting:
                done[place] = await work(thing)
        except Exception as error:  # noqa: BLE001 -- raised bare, and not in a group
            errors.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(min(at_once, len(things))):
            group.start_soon(take)
    if errors:
        raise errors[0]
    return cast(list[R], done)
