"""What the provider says of tasks now, told in the order in which they were named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from seedance_async.cli import debugging, exits
from seedance_async.cli.inorder import InOrder
from seedance_async.cli.interrupt import stoppable
from seedance_async.cli.service import Service
from seedance_async.cli.takeup import LIMITS, NOTHING_OPEN, taken_up
from seedance_async.cli.terminal import Terminal
from seedance_async.cli.told import Told
from seedance_async.errors import SeedanceError
from seedance_async.results import OutcomeStatus

if TYPE_CHECKING:
    from seedance_async import VideoTask


async def ask_all(chosen: Sequence[str], as_json: bool, terminal: Terminal) -> int:
    """Ask once for each task, tell of it, and give the exit code."""
    if not chosen:
        terminal.say(NOTHING_OPEN)
        return exits.OK
    told: dict[int, Told] = {}
    in_order = InOrder(terminal.give)

    async def ask(index: int, task: VideoTask) -> None:
        told[index] = await _asked(task)
        in_order.put(index, told[index].spelled(as_json))

    with stoppable(lambda: None) as stop:
        async with Service().session(limits=LIMITS) as session:
            tasks = taken_up(session, chosen)
            with stop.work():
                async with anyio.create_task_group() as group:
                    for index, task in enumerate(tasks):
                        group.start_soon(ask, index, task)
            in_order.flush()
    if stop.signum is not None:
        return exits.interrupted(stop.signum)
    all_made = all(one.status == OutcomeStatus.COMPLETED for one in told.values())
    return exits.OK if all_made else exits.SOME_FAILED


async def _asked(task: VideoTask) -> Told:
    try:
        return Told.of_state(await task.refresh())
    except SeedanceError as error:
        debugging.note(error)
        return Told.of_error(task.id, error)
