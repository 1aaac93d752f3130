"""One task's waiting, as decisions: when to ask next, and what the answer changes.

Used by a single wait and by a batch alike, which do the asking and the sleeping.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import attrs

from seedance_async import wire
from seedance_async.admission import LONGEST_POLL_PAUSE_S
from seedance_async.errors import VideoFailed, WaitTimeout
from seedance_async.lifecycle import Phase, phase
from seedance_async.pacing import Pacing, Waiting
from seedance_async.retry import Again, Patience, Retries, judge_query
from seedance_async.turnaround import Course, Seen
from seedance_async.wire import Answer, Reply, TaskState

_HTTP_OK = 200


class Watch:
    """Waits for one task, in steps that somebody else takes.

    Attributes:
        task_id: The task.
        task: What was last read of it; None before the first answer.
        course: What was seen of the task, in the record of how long tasks take.
        due: When to ask next, in seconds on the caller's steady clock, never past the deadline.
        again: The failure that the last reply was; None after an answer about the task.
        ended: Whether the task has ended, well or not.
    """

    # A batch has one for each job that waits.
    __slots__ = (
        "_accepted",
        "_deadline",
        "_is_age_known",
        "_pacing",
        "_patience",
        "_polls",
        "_secrets",
        "_timeout_s",
        "again",
        "course",
        "due",
        "ended",
        "task",
        "task_id",
    )

    def __init__(
        self,
        task_id: str,
        pacing: Pacing,
        retries: Retries,
        *,
        now: float,
        timeout_s: float | None,
        course: Course,
        accepted: float | None = None,
        task: TaskState | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.task_id: str = task_id
        self.task: TaskState | None = task
        self.ended: bool = _has_ended(task)
        self.due: float = now
        self.again: Again | None = None
        self._pacing = pacing
        self._patience = Patience(retries, retries.query_patience_s)
        self._secrets = secrets
        self.course: Course = course
        self._accepted = now if accepted is None else accepted
        self._is_age_known = accepted is not None
        self._timeout_s = timeout_s
        self._deadline = float("inf") if timeout_s is None else now + timeout_s
        self._polls = 0

    @property
    def deadline(self) -> float:
        """When the wait ends at the latest, on the caller's clock; infinity for never."""
        return self._deadline

    def age_s(self, now: float) -> float:
        """Give the seconds since the task was accepted, or at least known of."""
        return max(now - self._accepted, 0.0)

    def plan(self, now: float, jitter: float, hint_s: float | None = None) -> None:
        """Plan the next query after an answer (or, at the start, after the create's)."""
        waiting = Waiting(
            model=self.course.model,
            duration=self.course.duration,
            age_s=self.age_s(now),
            polls=self._polls,
            hint_s=hint_s,
            jitter=jitter,
            course=self.course,
        )
        delay_s = self._pacing.delay_s(waiting)
        if math.isnan(delay_s):  # which is neither before nor behind a deadline
            raise ValueError("the pacing gave a delay that is not a number")
        self.due = min(now + max(delay_s, 0.0), self._deadline)

    def read(self, reply: Reply, now: float, wall: dt.datetime, jitter: float) -> bool:
        """Take in the reply to a query.

        Args:
            reply: What came back.
            now: The time on the caller's steady clock.
            wall: The same moment as a date.
            jitter: A random number from 0 inclusive to 1 exclusive.

        Returns:
            Whether the task's status changed; ``task`` then has it.

        Raises:
            SeedanceError: When there were too many failures in a row; it has the task's id, and
                the task lives on.
        """
        self._polls += 1
        verdict = self._same_as_before(reply) or judge_query(
            reply, wall, task_id=self.task_id, secrets=self._secrets
        )
        if isinstance(verdict, Again):
            # A long pause is about creates: nobody should miss a video that is ready.
            told_s = verdict.wait_s and min(verdict.wait_s, LONGEST_POLL_PAUSE_S)
            verdict = self.again = attrs.evolve(verdict, wait_s=told_s)
            pause_s = self._patience.failed(verdict, now, jitter)
            self.due = min(now + pause_s, self._deadline)
            return False
        self._patience.reset()
        self.again = None
        changed = self.task is None or self.task.status != verdict.status
        self.task, self.ended = verdict, _has_ended(verdict)
        self._learn(verdict, now, wall)
        if not self.ended:
            hint_s = wire.retry_after_s(reply.headers, wall) if isinstance(reply, Answer) else None
            self.plan(now, jitter, hint_s)
        return changed

    def _same_as_before(self, reply: Reply) -> TaskState | None:
        """Most answers are the one before once more, and reading costs the most."""
        task = self.task
        if task is None or not isinstance(reply, Answer) or reply.status != _HTTP_OK:
            return None
        return task if reply.body == task.body and phase(task) is Phase.RUNNING else None

    def _learn(self, task: TaskState, now: float, wall: dt.datetime) -> None:
        """Tell the record what was seen; nothing of a task of which nobody knows how old it is."""
        if not self._is_age_known and task.created_at is not None:
            age_s = (wall - task.created_at).total_seconds()
            # Once, since clocks may be set. A provider's clock that is ahead of ours is no help.
            if age_s > 0:
                self._accepted, self._is_age_known = now - age_s, True
        if self._is_age_known:
            self.course.saw(Seen.ENDED if self.ended else _SEEN[task.status], self.age_s(now))

    def timeout(self) -> WaitTimeout:
        """Make the error for a wait that is over before the task is."""
        status = None if self.task is None else self.task.status
        waited = f"no end after {self._timeout_s:g} s" if self._timeout_s is not None else "no end"
        seen = f"last seen {status}" if status else "no answer yet"
        why = f"; the last query failed: {self.again.error.message}" if self.again else ""
        end = "; the task lives on" if status else ""
        return WaitTimeout(f"{waited} of waiting, {seen}{why}{end}", self.task_id, status)


def _has_ended(task: TaskState | None) -> bool:
    return task is not None and phase(task) in (Phase.COMPLETED, Phase.FAILED)


_SEEN = {"queued": Seen.QUEUED, "processing": Seen.RUNNING}


def failure(task: TaskState) -> VideoFailed:
    """Make the error for a task that the provider ended without a video."""
    reason = task.error or "no reason given"
    return VideoFailed(f"the task {task.status}: {reason}", task.id, task.error, task.status)


def check_timeout(timeout_s: float | None) -> float | None:
    """Check a wait's bound before anything is paid for.

    Raises:
        ValueError: It is no number of seconds from 0.
    """
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if timeout_s is not None and not (is_number and timeout_s >= 0):
        raise ValueError(f"timeout_s must be 0 or more seconds, or None, not {timeout_s!r}")
    return timeout_s
