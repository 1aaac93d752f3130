"""The same work on many things, some at a time; an error arrives bare, and ends the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

import anyio

from seedance_async.errors import SeedanceError

T = TypeVar("T")
R = TypeVar("R")
_UNDONE: Any = object()


async def together(
    work: Callable[[T], Awaitable[R]], things: Collection[T], at_once: int
) -> list[R]:
    """Do *work* on each of *things*, so many *at_once*, and give what came of it, in order.

    Raises:
        Exception: Whatever *work* raised first.
        SeedanceError: Some of it was cancelled, and not by a cancellation of the caller.
    """
    done: list[R] = [_UNDONE] * len(things)
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
    # A group swallows what only one of its tasks was cancelled by. What is missing must not be
    # taken for done.
    if any(each is _UNDONE for each in done):
        raise SeedanceError("it was cancelled in the middle, by somebody else")
    return done
