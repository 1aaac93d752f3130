"""The journal of a session that was given none: lives as long as the process does."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import attrs

from seedance_async.lifecycle import JobRecord, JobState, Move

# A program that runs for weeks must not grow: its oldest settled jobs are forgotten. Our choice.
_KEPT_SETTLED = 10_000
_change = operator.attrgetter("changed_at", "state", "task_id", "task_status", "error", "path")
_SETTLED = frozenset({JobState.COMPLETED, JobState.FAILED})


class MemoryJournal:
    """Keeps records in a dictionary; forgets them with the process.

    Args:
        kept_settled: How many jobs that completed or failed are remembered, the latest ones.
            Jobs that are planned, on their way, submitted or unknown are never forgotten.
    """

    def __init__(self, kept_settled: int = _KEPT_SETTLED) -> None:
        self._records: dict[str, JobRecord] = {}
        # What makes a ``Move``: few histories are ever looked at.
        self._moves: dict[str, list[tuple[Any, ...]]] = {}
        self._keys: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._kept_settled = kept_settled
        self._settled: deque[str] = deque()

    async def plan(self, record: JobRecord) -> JobRecord:
        """Keep *record*, unless its key is known; give what is known of it."""
        if record.key not in self._records:
            self._records[record.key] = record
            self._moves[record.key] = [_change(record)]
        return self._records[record.key]

    async def put(self, record: JobRecord) -> None:
        """Keep *record* in place of what was known of its job."""
        before = self._records.get(record.key)  # None where it was settled long ago
        self._records[record.key] = record
        self._moves.setdefault(record.key, []).append(_change(record))
        if record.task_id is not None:
            self._keys[record.task_id] = record.key
        if record.state in _SETTLED and (before is None or before.state not in _SETTLED):
            self._settled.append(record.key)
            if len(self._settled) > self._kept_settled:
                self._forget(self._settled.popleft())

    def _forget(self, key: str) -> None:
        # A job that failed unsent may have been sent again since, and is not settled any more.
        if key in self._records and self._records[key].state in _SETTLED:
            self._keys.pop(self._records.pop(key).task_id or "", None)
            del self._moves[key]

    async def get(self, key: str) -> JobRecord | None:
        """Give the record of *key*, or None."""
        return self._records.get(key)

    async def by_task(self, task_id: str) -> JobRecord | None:
        """Give the record of the job that *task_id* belongs to, or None."""
        return self._records.get(self._keys.get(task_id, ""))

    async def records(self, state: JobState | None = None) -> AsyncIterator[JobRecord]:
        """Give the records as they stand now, in the order in which they were planned."""
        for record in tuple(self._records.values()):
            if state is None or record.state is state:
                yield record

    async def history(self, key: str) -> Sequence[Move]:
        """Give every change of a job, the earliest first."""
        names = [field.name for field in attrs.fields(Move)]
        changes: list[tuple[Any, ...]] = self._moves.get(key, [])
        return tuple(Move(**dict(zip(names, change, strict=True))) for change in changes)

    async def remember(self, name: str, text: str) -> None:
        """Keep *text* under *name*, in place of what was kept there."""
        self._texts[name] = text

    async def recall(self, name: str) -> str | None:
        """Give what is kept under *name*, or None."""
        return self._texts.get(name)
