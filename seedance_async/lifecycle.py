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


def named_state(state: JobState | str | None) -> JobState | None:
    """Read a state that a caller named; None stands for any.

    Raises:
        ValueError: There is no such state.
    """
    try:
        return None if state is None else JobState(state)
    except ValueError:
        raise ValueError(f"{state!r} is no state: choose one of {', '.join(JobState)}") from None


#: The legal moves. ``unknown`` is left only by a person's word, which may be taken back.
MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.PLANNED: frozenset({JobState.SUBMITTING, JobState.FAILED, JobState.UNKNOWN}),
    JobState.SUBMITTING: frozenset(
        {JobState.PLANNED, JobState.SUBMITTED, JobState.FAILED, JobState.UNKNOWN}
    ),
    JobState.SUBMITTED: frozenset(
        {JobState.SUBMITTED, JobState.COMPLETED, JobState.FAILED, JobState.UNKNOWN}
    ),
    JobState.COMPLETED: frozenset({JobState.COMPLETED}),
    # Only what never became a task: refused, it cost nothing, and may be tried another day.
    JobState.FAILED: frozenset({JobState.PLANNED}),
    JobState.UNKNOWN: frozenset({JobState.PLANNED, JobState.SUBMITTED, JobState.SUBMITTING}),
}

#: What is wrong with a job that is found ``submitting`` when nobody can be sending it.
LEFT = "the program ended while the create was on its way, so its answer is not known"
#: How long the provider keeps a video. Source: the provider's page on results.
KEPT = dt.timedelta(hours=24)


class IllegalMove(RuntimeError):
    """A job was moved where the table has no way: a bug of this library."""


@attrs.frozen(kw_only=True)
class Move:
    """One change in the life of a job, as a journal remembers it.

    Attributes:
        at: When, in UTC.
        state: The state that the job went to, or changed within.
        task_id: The provider's id, if it was known by then.
        task_status: The provider's status then.
        error: What was wrong then.
        path: The file, if it was downloaded by then.
    """

    at: dt.datetime
    state: JobState
    task_id: str | None = None
    task_status: str | None = None
    error: str | None = None
    path: str | None = None


@attrs.frozen(kw_only=True)
class JobRecord:
    """What is known of a job, as the journal keeps it.

    Attributes:
        key: The job's key, unique within the journal.
        request: What was asked for.
        name: What a person calls it.
        state: Where it stands.
        attempts: How many creates were begun for it. More than one only where those before were
            certainly not accepted, or where a person took it upon them.
        task_id: The provider's id; known from ``submitted`` on, for ever.
        task: What the provider said of the task last; None where it never did.
        polls: How often the provider was asked about the task, as far as this record goes: the
            queries since it last changed are counted when it changes next.
        error: What went wrong, in words.
        path: The file, once it was downloaded.
        size_bytes: That file's size.
        planned_at: When the job became known, in UTC, as all times here.
        changed_at: When this record last changed.
        intended_at: When its last create was begun.
        submitted_at: When its id was known.
        ended_at: When it completed, failed or became unknown.
        downloaded_at: When the file was whole and in its place.
    """

    key: str
    request: VideoRequest
    name: str | None = None
    state: JobState = JobState.PLANNED
    attempts: int = 0
    task_id: str | None = None
    task: TaskState | None = attrs.field(default=None, repr=False)
    polls: int = 0
    error: str | None = None
    path: str | None = None
    size_bytes: int | None = None
    planned_at: dt.datetime
    changed_at: dt.datetime = attrs.field()
    intended_at: dt.datetime | None = None
    submitted_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    downloaded_at: dt.datetime | None = None

    @changed_at.default
    def _planned_then(self) -> dt.datetime:
        return self.planned_at

    @property
    def task_status(self) -> str | None:
        """The provider's last status, in its own words."""
        return None if self.task is None else self.task.status

    @property
    def video_url(self) -> str | None:
        """Where the MP4 is; needs no authorization, so treat it as a secret."""
        return None if self.task is None else self.task.video_url

    @property
    def video_expires_at(self) -> dt.datetime | None:
        """When the provider drops the video, at the latest; None until it is made."""
        is_made = self.state is JobState.COMPLETED and self.ended_at is not None
        return self.ended_at + KEPT if is_made and self.ended_at else None

    def moved(self, state: JobState, at: dt.datetime, **changes: Any) -> "JobRecord":
        """Give the record after a move.

        Raises:
            IllegalMove: Where the table has no such move, it would lose a task's id, or send a
                job again that has one.
        """
        forgets = "task_id" in changes and self.task_id not in (None, changes["task_id"])
        # An id that the provider has never answered to is a person's word, and may be taken back.
        is_word = state is JobState.UNKNOWN and self.task is None
        pays_again = state is JobState.PLANNED and self.task_id is not None
        if state not in MOVES[self.state] or (forgets and not is_word) or pays_again:
            raise IllegalMove(f"job {self.key} cannot go from {self.state} to {state}")
        if state is JobState.SUBMITTING:
            changes |= {"attempts": self.attempts + 1, "intended_at": at}
        if state is JobState.SUBMITTED and self.submitted_at is None:
            changes["submitted_at"] = at
        if state is not self.state:
            changes["ended_at"] = at if state in ENDS else None
        return _evolved(self, {"error": None, **changes, "state": state, "changed_at": at})


def _evolved(record: JobRecord, changes: Mapping[str, Any]) -> JobRecord:
    """Do as ``attrs.evolve`` in half the time: there are four moves in a job's life."""
    evolved = object.__new__(JobRecord)
    for name, slot in _SLOTS:
        slot.__set__(evolved, changes[name] if name in changes else slot.__get__(record))
    return evolved


_SLOTS = tuple((field.name, vars(JobRecord)[field.name]) for field in attrs.fields(JobRecord))

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
