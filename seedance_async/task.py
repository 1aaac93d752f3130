"""``VideoTask``: wait for one task, follow it, ask about it.

The waiting itself is decided in ``watch``; what lives here is the loop around it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from seedance_async.calls import Calls, Taken
from seedance_async.estimate import OVER, Estimate, of_task
from seedance_async.ledger import TrackedJob, utc_now
from seedance_async.lifecycle import Phase, phase
from seedance_async.request import VideoRequest
from seedance_async.results import Video
from seedance_async.retry import Retries
from seedance_async.turnaround import Course
from seedance_async.watch import Watch, check_timeout
from seedance_async.wire import TaskState

DEFAULT_WAIT_S = 3600.0  # ten times the longest published estimate and more; our choice
# A refresh is one query: its first failure is its result.
_ONCE = Retries(query_patience_s=0, odd_answers=1)


class VideoTask:
    """A task at the provider: its id is known and written down.

    Made by ``SeedanceSession.submit`` and ``SeedanceSession.task``. May be waited for by any
    number of coroutines, and again after a ``WaitTimeout``.

    Attributes:
        id: The provider's id.
        state: What was last read of it; None before the first answer.

    What the journal knows of a task that was taken up by its id is known from the first wait on.
    """

    def __init__(self, calls: Calls, task_id: str, taken: Taken | None = None) -> None:
        self.id = task_id
        self.state: TaskState | None = None
        self._calls = calls
        self._taken = taken
        self._standing = calls.standing() if taken is None else taken.standing
        self._job: TrackedJob | None = None
        self._is_looked_up = False
        self._accepted = None if taken is None or taken.is_known else taken.at
        self._course: Course | None = None
        if taken is not None:
            self._found(taken.job)

    @property
    def key(self) -> str | None:
        """The job's key; None for a task that the journal does not know."""
        return self._job.key if self._job else None

    @property
    def request(self) -> VideoRequest | None:
        """What was asked for; None likewise."""
        return self._job.record.request if self._job else None

    def _found(self, job: TrackedJob | None) -> None:
        self._is_looked_up, self._job = True, job
        if job is not None:
            self.state = self.state or job.record.task

    def estimate(self) -> Estimate:
        """Estimate how long the task still takes; asks nobody.

        From how long such tasks took so far, given that this one is as old as it is and was seen
        in the states that it was. Until it ends at the provider, that is: a wait notices it
        somewhat later. The age of a task that another session sent is taken from the journal, or
        from what the provider said of it. As long as there is neither, before the first answer,
        the task is taken for a new one, and ``low_s`` is 0: it may have ended long ago.

        Returns:
            Seconds from now, with a range; all 0 for a task that is known to have ended.
        """
        known = (self.state, self._job.record.task if self._job else None)
        if any(task and phase(task) in (Phase.COMPLETED, Phase.FAILED) for task in known):
            return OVER
        course = self._course
        if course is None:
            request = self.request
            kind = (None, None) if request is None else (request.model, request.duration)
            course = self._calls.learned.turnarounds.course(*kind)
        return of_task(course, self._age_s())

    def _age_s(self) -> float | None:
        if self._accepted is None:
            since = self._job.record.submitted_at if self._job else None
            since = since or (self.state.created_at if self.state else None)
            if since is None:
                return None
            # Once, since wall clocks may be set.
            age_s = (utc_now() - since).total_seconds()
            self._accepted = anyio.current_time() - max(age_s, 0.0)
        return max(anyio.current_time() - self._accepted, 0.0)

    def __repr__(self) -> str:
        status = self.state.status if self.state else "not asked yet"
        return f"<VideoTask {self.id}: {status}>"

    async def wait(self, timeout_s: float | None = DEFAULT_WAIT_S) -> Video:
        """Wait until the video is there.

        Args:
            timeout_s: Seconds to wait at the most, from now; 0 or more, None for ever.

        Returns:
            The finished video, still at the provider.

        Raises:
            VideoFailed: The provider ended the task without a video.
            WaitTimeout: The time is over; the task lives on and can be waited for again.
            SeedanceError: Queries failed for too long in a row; the task lives on as well.
        """
        watch = await self._watch(timeout_s)
        # One that is known to have ended takes no place.
        if not watch.ended:
            with self._calls.turns.waiting_for(self.id):
                while not watch.ended:
                    await self._step(watch)
        return self._calls.fetches.video(watch, self._job)

    async def updates(self, timeout_s: float | None = DEFAULT_WAIT_S) -> AsyncIterator[TaskState]:
        """Give the task's state now and at each change of its status, the last one included.

        A failed task is a state like any other here, and nothing is raised for it.

        Args:
            timeout_s: Seconds to go on at the most, from now; None for ever.

        Raises:
            WaitTimeout: The time is over before the task.
            SeedanceError: Queries failed for too long in a row.
        """
        watch = await self._watch(timeout_s)
        if self.state is not None:
            yield self.state
        while not watch.ended:
            # Not around the whole: whoever does not come back for more waits no longer.
            with self._calls.turns.waiting_for(self.id):
                changed = await self._step(watch)
            if changed and self.state is not None:
                yield self.state

    async def refresh(self) -> TaskState:
        """Ask once, now.

        Raises:
            SeedanceError: The query failed; it has the task's id.
        """
        with self._calls.operation(self.id):
            await self._look_up()
            watch = self._calls.watch(self.id, self.request, None, retries=_ONCE)
            await self._calls.ask(watch, self._job, self._standing)
        self.state = watch.task
        assert watch.task is not None  # noqa: S101 -- for the types: a failure has been raised
        return watch.task

    async def _look_up(self) -> None:
        if not self._is_looked_up:
            self._found(await self._calls.ledger.by_task(self.id))

    async def _watch(self, timeout_s: float | None) -> Watch:
        check_timeout(timeout_s)
        with self._calls.operation(self.id):
            await self._look_up()
        # The create's polling hint is for the first wait alone.
        taken, self._taken = self._taken, None
        if taken is not None:
            watch = self._calls.watch_taken(taken, timeout_s)
        else:
            watch = self._calls.watch(self.id, self.request, timeout_s, task=self.state)
        self._course = watch.course
        return watch

    async def _step(self, watch: Watch) -> bool:
        with self._calls.operation(self.id):
            await anyio.sleep_until(watch.due)
            changed = await self._calls.ask(watch, self._job, self._standing)
        self.state = watch.task or self.state
        return changed
