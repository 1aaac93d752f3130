"""The journal of a session that was given none: lives as long as the process does."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from seedance_async.lifecycle import JobRecord, JobState

# A program that runs for weeks must not grow: its oldest settled jobs are forgotten. Our choice.
_KEPT_SETTLED = 10_000
_SETTLED = frozenset({JobState.COMPLETED, JobState.FAILED})


class MemoryJournal:
    """Keeps records in a dictionary; forgets them with the process.

    Args:
        kept_settled: How many jobs that completed or failed are remembered, the latest ones.
            Jobs that are planned, on their way, submitted or unknown are never forgotten.
    """

    def __init__(self, kept_settled: int = _KEPT_SETTLED) -> None:
        self._records: dict[str, JobRecord] = {}
        self._kept_settled = kept_settled
        self._settled: deque[str] = deque()

    async def put(self, record: JobRecord) -> None:
        """Keep *record*."""
        before = self._records.get(record.key)
        self._records[record.key] = record
        if record.state in _SETTLED and (before is None or before.state not in _SETTLED):
            self._settled.append(record.key)
            if len(self._settled) > self._kept_settled:
                del self._records[self._settled.popleft()]

    async def get(self, key: str) -> JobRecord | None:
        """Give the record of *key*, or None."""
        return self._records.get(key)

    async def records(self, state: JobState | None = None) -> AsyncIterator[JobRecord]:
        """Give the records as they stand now, in the order in which they were planned."""
        for record in tuple(self._records.values()):
            if state is None or record.state is state:
                yield record
