"""What the session asks of a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from seedance_async.lifecycle import JobRecord, JobState, Move


class Journal(Protocol):
    """Keeps what is known of jobs; every method may raise ``JournalError``.

    The paid step rests on one promise: when ``plan`` or ``put`` returns, the record is as durable
    as this journal can make it. ``put`` is awaited before a create's first byte leaves, and again
    before its id is given to anybody.
    """

    async def plan(self, record: JobRecord) -> JobRecord:
        """Write a new job down, unless its key is known.

        Returns:
            What is known of the key now: *record*, or an earlier one, unchanged.
        """

    async def put(self, record: JobRecord) -> None:
        """Write *record* down in place of what was known of its job, which was planned before.

        Never loses an id: what could not be written with one is written as soon as it can be.
        """

    async def get(self, key: str) -> JobRecord | None:
        """Give what is known of *key*; None where it was never planned."""

    async def by_task(self, task_id: str) -> JobRecord | None:
        """Give the job that the provider's *task_id* belongs to, if any; the latest one."""

    def records(self, state: JobState | None = None) -> AsyncIterator[JobRecord]:
        """Give all records, or those in *state*, in the order in which they were planned."""

    async def history(self, key: str) -> Sequence[Move]:
        """Give every change of a job, the earliest first; empty where it was never planned."""

    async def remember(self, name: str, text: str) -> None:
        """Keep *text* under *name*, in place of what was kept there: what belongs to no job.

        As durable as ``put``: that an asset is registered once rests on it. A session that
        cannot keep what it has learned of turnarounds goes on without.
        """

    async def recall(self, name: str) -> str | None:
        """Give what is kept under *name*; None for nothing."""
