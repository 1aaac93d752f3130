"""A job's states and legal moves, in one table, and what a task's status means.

A job is ours (it has a key before anything is sent); a task is the provider's (it has an id
once it was accepted). Everything that moves a job goes through ``JobRecord.moved``.
"""

import datetime as dt
from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from typing import Any

import attrs

from seedance_async.request import VideoRequest
from seedance_async.wire import TaskState


class JobState(StrEnum):
    """Where a job stands, as the journal knows it."""

    PLANNED = "planned"  #: known, nothing sent, or what was sent was certainly not accepted
    SUBMITTING = "submitting"  #: the create is on its way
    SUBMITTED = "submitted"  #: accepted: the task has an id and may be billed
    COMPLETED = "completed"  #: the provider made the video
    FAILED = "failed"  #: refused, or ended by the provider without a video
    UNKNOWN = "unknown"  #: sent and unanswered: a task may exist that nobody knows the id of


#: The legal moves. ``unknown`` is left only by a person's word.
MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.PLANNED: frozenset({JobState.SUBMITTING, JobState.FAILED}),
    JobState.SUBMITTING: frozenset(
        {JobState.PLANNED, JobState.SUBMITTED, JobState.FAILED, JobState.UNKNOWN}
    ),
    JobState.SUBMITTED: frozenset({JobState.SUBMITTED, JobState.COMPLETED, JobState.FAILED}),
    JobState.COMPLETED: frozenset({JobState.COMPLETED}),
    JobState.FAILED: frozenset(),
    JobState.UNKNOWN: frozenset({JobState.PLANNED, JobState.SUBMITTED}),
}


class IllegalMove(RuntimeError):
    """A job was moved where the table has no way: a bug of this library."""


@attrs.frozen(kw_only=True)
class JobRecord:
    """What is known of a job, as the journal keeps it.

    Attributes:
        key: The job's key, unique within the journal.
        request: What was asked for.
        state: Where it stands.
        task_id: The provider's id; known from ``submitted`` on, for ever.
        task_status: The provider's last status, in its own words.
        error: What went wrong, in words.
        planned_at: When the job became known, in UTC.
        submitted_at: When its id was known.
        ended_at: When it completed, failed or became unknown.
    """

    key: str
    request: VideoRequest
    state: JobState = JobState.PLANNED
    task_id: str | None = None
    task_status: str | None = None
    error: str | None = None
    planned_at: dt.datetime
    submitted_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None

    def moved(self, state: JobState, at: dt.datetime, **changes: Any) -> "JobRecord":
        """Give the record after a move.

        Raises:
            IllegalMove: Where the table has no such move, or it would lose a task's id.
        """
        forgets = "task_id" in changes and self.task_id not in (None, changes["task_id"])
        if state not in MOVES[self.state] or forgets:
            raise IllegalMove(f"job {self.key} cannot go from {self.state} to {state}")
        if state is JobState.SUBMITTED and self.submitted_at is None:
            changes["submitted_at"] = at
        if state in ENDS:
            changes["ended_at"] = at
        return attrs.evolve(self, state=state, **changes)


#: The states in which a job is done with, as far as the program can tell.
ENDS = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.UNKNOWN})


class Phase(Enum):
    """What a task's status means for somebody who waits for it."""

    RUNNING = auto()
    COMPLETED = auto()
    FAILED = auto()
    ODD = auto()  #: neither success nor progress: believed neither way, and the id is kept


_RUNNING = frozenset({"queued", "processing"})
_FAILED = frozenset({"failed", "cancelled"})


def phase(task: TaskState) -> Phase:
    """Tell what *task*'s status means; ``completed`` without a URL is no success."""
    if task.status in _RUNNING:
        return Phase.RUNNING
    if task.status in _FAILED:
        return Phase.FAILED
    if task.status == "completed" and task.video_url is not None:
        return Phase.COMPLETED
    return Phase.ODD
