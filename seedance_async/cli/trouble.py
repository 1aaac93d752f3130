"""The one trouble behind many jobs: a disk that is full or gone, told once and not for each."""

from __future__ import annotations

from seedance_async.errors import DownloadError, JournalError, SeedanceError


def shared(error: SeedanceError | None) -> str | None:
    """Name the trouble that every other job would meet as well; None for what is one job's own."""
    cause = None if error is None else error.__cause__
    if isinstance(error, DownloadError):
        # One that was not even tried has the one that failed as its cause.
        return _of_disk(cause if isinstance(cause, DownloadError) else error)
    if isinstance(error, JournalError) and error.task_id is None:
        return cause.message if isinstance(cause, JournalError) else error.message
    return None


def _of_disk(error: DownloadError) -> str | None:
    from seedance_async.download import is_disk_trouble  # noqa: PLC0415 -- brings in aiohttp

    cause = error.__cause__
    # Several downloads run at once, and each meets it at a file of its own.
    return cause.strerror if isinstance(cause, OSError) and is_disk_trouble(error) else None
