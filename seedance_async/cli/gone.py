"""What the provider does not have: tasks it does not know, videos that are gone or never were."""

from __future__ import annotations

from pathlib import Path

from seedance_async.cli import settling
from seedance_async.errors import RequestRefused, SeedanceError, VideoExpired
from seedance_async.lifecycle import JobRecord, JobState

_NOT_FOUND = 404


def anew(how: str) -> str:
    """Say what becomes of what is gone; *how* makes a new job of it."""
    return (
        "Lost at the provider: running again does not bring it back.\n"
        f"To make it anew (a new job, paid for), {how}."
    )


def ended(how: str) -> str:
    """Say what a task that failed means; *how* makes a new job of it."""
    return (
        "Ended by the provider without a video; the billing says whether that cost\n"
        f"anything. To try again (a new job), {how}"
    )


def is_gone(error: SeedanceError | None) -> bool:
    """Tell whether *error* says that the provider does not have a task, or its video."""
    return isinstance(error, VideoExpired) or _is_unheard_of(error)


def is_word(record: JobRecord | None) -> bool:
    """Tell whether a job's task is a person's word alone, which may be wrong."""
    return record is not None and record.state is JobState.SUBMITTED and record.task is None


def told(error: SeedanceError, *, by_hand: bool = False) -> str:
    """Say what is gone.

    Args:
        error: What was found out.
        by_hand: Whether the task's id is a person's word.
    """
    if not _is_unheard_of(error):
        return f"the provider no longer has the video of task {error.task_id}"
    if by_hand:
        return f"the provider does not know task {error.task_id}, which was settled by hand"
    return f"the provider no longer knows task {error.task_id}"


def how_to_mend(key: str, journal: Path) -> str:
    """Spell the command that mends a person's word."""
    command = settling.command(key, journal, "--task-id", "RIGHT_ID")
    return f"if the id is wrong: {command}"


def _is_unheard_of(error: SeedanceError | None) -> bool:
    is_known = isinstance(error, RequestRefused) and error.http_status == _NOT_FOUND
    return is_known and error is not None and error.task_id is not None
