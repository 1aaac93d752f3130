"""Tasks of another run, taken up by their ids: waited for at once, told of in the order given.

What ``wait`` and ``download`` have in common. Nothing is created here, so nothing is paid.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import attrs

from seedance_async.admission import Limits
from seedance_async.cli import debugging, exits, folder, gone, trouble
from seedance_async.cli.board import ASKING
from seedance_async.cli.inorder import InOrder
from seedance_async.cli.interrupt import Stop, stoppable
from seedance_async.cli.progress import BatchProgress
from seedance_async.cli.service import Service
from seedance_async.cli.summary import counted
from seedance_async.cli.target import Target
from seedance_async.cli.terminal import Terminal, clock, count
from seedance_async.errors import SeedanceError, VideoFailed
from seedance_async.estimate import OVER, Estimate
from seedance_async.events import Event, Planned, StateChanged
from seedance_async.results import BatchReport, Outcome, OutcomeStatus, Video

if TYPE_CHECKING:
    from seedance_async import SeedanceSession, VideoTask

# Waits are cheap, and all of them begin at once; what is bounded is how often they ask and how
# many fetch, here as in a batch. Our choice.
LIMITS = Limits(polls_per_second=20)
_MAX_DOWNLOADS = 4
NOTHING_OPEN = "nothing to do: no task there may have a video that is not on disk"


@attrs.define(kw_only=True)
class TakeUp:
    """One run of ``wait`` or ``download``; ``ended`` grows as it goes on.

    Attributes:
        ids: The tasks, in the order in which they are told of.
        target: Where the videos go; None fetches none.
        timeout_s: How long to wait at the most, in seconds from the beginning.
        spell: Gives what stdout gets of an outcome; None for nothing.
    """

    ids: Sequence[str]
    target: Target | None
    timeout_s: float
    spell: Callable[[Outcome], str | None]
    terminal: Terminal = attrs.field(factory=Terminal)
    ended: dict[int, Outcome] = attrs.field(init=False, factory=dict)
    _fetching: anyio.CapacityLimiter = attrs.field(init=False)

    def run(self) -> int:
        """Take all of them up, and give the exit code."""
        if not self.ids:
            self.terminal.say(NOTHING_OPEN)
            return exits.OK
        return asyncio.run(self._to_its_end())

    async def _to_its_end(self) -> int:
        self._fetching = anyio.CapacityLimiter(_MAX_DOWNLOADS)
        started = time.monotonic()
        with self._stoppable() as stop, trouble.told_once(self.terminal):
            async with Service().session(limits=LIMITS) as session:
                tasks = taken_up(session, self.ids)
                if self.target is not None:
                    folder.prepare(self.target.folder)
                try:
                    with stop.work():
                        await self._all(session, tasks)
                finally:
                    self._summarize(time.monotonic() - started)
        if stop.signum is not None:
            return exits.interrupted(stop.signum)
        return exits.OK if all(one.ok for one in self.ended.values()) else exits.SOME_FAILED

    def _stoppable(self) -> AbstractContextManager[Stop]:
        return stoppable(lambda: self.terminal.say("stopping", style="yellow"))

    async def _all(self, session: SeedanceSession, tasks: Sequence[VideoTask]) -> None:
        progress = BatchProgress(self.terminal, self.ids, self.ids)
        # What is printed into a terminal that is being redrawn would be drawn over.
        shown_at_once = not self.terminal.shows_results
        in_order = InOrder(self.terminal.give)

        def note(event: Event) -> None:
            # A task that was taken up has no key: here its id is as good.
            progress.note(attrs.evolve(event, key=event.task_id))

        async def one(index: int, task: VideoTask) -> None:
            note(StateChanged(key=None, task_id=task.id, status=ASKING))
            self.ended[index] = outcome = await self._one(index, task)
            progress.end(outcome, is_known=self.target is None)
            if shown_at_once:
                in_order.put(index, self.spell(outcome))

        try:
            progress.follow(lambda: self._estimate(tasks))
            with session.subscribe(note), progress.shown():
                for index, task in enumerate(tasks):
                    progress.note(Planned(key=task.id, index=index))
                async with anyio.create_task_group() as group:
                    for index, task in enumerate(tasks):
                        group.start_soon(one, index, task)
        finally:
            for index, outcome in self.ended.items() if not shown_at_once else ():
                in_order.put(index, self.spell(outcome))
            in_order.flush()

    def _estimate(self, tasks: Sequence[VideoTask]) -> Estimate:
        """Estimate when the slowest task ends."""
        return max(
            (task.estimate() for index, task in enumerate(tasks) if index not in self.ended),
            key=lambda estimate: estimate.remaining_s,
            default=OVER,
        )

    async def _one(self, index: int, task: VideoTask) -> Outcome:
        started_at = dt.datetime.now(dt.UTC)
        video, path, error = None, None, None
        try:
            path = self._there_already(task.id)
            if path is None:
                video = await task.wait(self.timeout_s)
                path = await self._fetched(video)
        except SeedanceError as exc:
            debugging.note(exc)
            error = exc
        return Outcome(
            index=index,
            key=task.id,
            status=_status(error, is_made=video is not None or path is not None),
            video=video,
            error=error,
            path=path,
            task_id=task.id,
            started_at=started_at,
            ended_at=dt.datetime.now(dt.UTC),
        )

    def _there_already(self, task_id: str) -> Path | None:
        if self.target is None or not self.target.has(task_id):
            return None
        return self.target.path(task_id)

    async def _fetched(self, video: Video) -> Path | None:
        if self.target is None:
            return None
        async with self._fetching:
            return await video.download(self.target.path(video.id))

    def _summarize(self, wall_s: float) -> None:
        left = [task_id for index, task_id in enumerate(self.ids) if index not in self.ended]
        report = BatchReport(outcomes=tuple(self.ended.values()), wall_s=wall_s)
        counts = counted(report)
        if left:
            counts.append(f"{len(left)} not ended")
        total = count(len(self.ids), "task")
        self.terminal.say(f"{total} in {clock(wall_s)}: {', '.join(counts)}", style="bold")
        if left or any(_may_end(outcome) for outcome in report.outcomes):
            self.terminal.say("the same command takes up again what has not ended")


def taken_up(session: SeedanceSession, ids: Sequence[str]) -> list[VideoTask]:
    """Take up the tasks; sends nothing.

    Raises:
        CannotStart: What was given cannot be an id.
    """
    try:
        return [session.task(task_id) for task_id in ids]
    except ValueError as error:
        raise exits.CannotStart(str(error)) from error


def _may_end(outcome: Outcome) -> bool:
    return outcome.status is OutcomeStatus.UNKNOWN and not gone.is_gone(outcome.error)


def _status(error: SeedanceError | None, *, is_made: bool) -> OutcomeStatus:
    if is_made:
        return OutcomeStatus.COMPLETED
    return OutcomeStatus.FAILED if isinstance(error, VideoFailed) else OutcomeStatus.UNKNOWN
