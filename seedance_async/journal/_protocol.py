"""What the session asks of a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from seedance_async.lifecycle import JobRecord, JobState


class Journal(Protocol):
    """Keeps what is known of jobs.

    The paid step rests on one promise: when ``put`` returns, the record is as durable as this
    journal can make it. It is awaited before a create's first byte leaves, and again before its
    id is given to anybody.
    """

    async def put(self, record: JobRecord) -> None:
        """Write *record* down in place of what was known of its key.

        Raises:
            JournalError: It could not be written.
        """

    async def get(self, key: str) -> JobRecord | None:
        """Give what is known of *key*; None where it was never planned."""

    def records(self, state: JobState | None = None) -> AsyncIterator[JobRecord]:
        """Give all records, or those in *state*, in the order in which they were planned."""
