"""The journal of a session that was given none: lives as long as the process does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from seedance_async.lifecycle import JobRecord, JobState


class MemoryJournal:
    """Keeps records in a dictionary; forgets them with the process."""

    def __init__(self) -> None:
        self._records: dict[str, JobRecord] = {}

    async def put(self, record: JobRecord) -> None:
        """Keep *record*."""
        self._records[record.key] = record

    async def get(self, key: str) -> JobRecord | None:
        """Give the record of *key*, or None."""
        return self._records.get(key)

    async def records(self, state: JobState | None = None) -> AsyncIterator[JobRecord]:
        """Give the records as they stand now, in the order in which they were planned."""
        for record in tuple(self._records.values()):
            if state is None or record.state is state:
                yield record
