"""Jobs as ``seedance jobs`` lists them, or one of them with its history."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import attrs

from seedance_async.cli import dsn, exits, jobrows
from seedance_async.cli.jobrows import Tally
from seedance_async.cli.records import Records
from seedance_async.cli.settle import close_keys
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import JournalError
from seedance_async.journal import Journal
from seedance_async.lifecycle import JobRecord, JobState

_MAX_FITTING = 5


@attrs.frozen
class Listing:
    """What one command shows of jobs.

    Attributes:
        records: Where the jobs are.
        states: The states that are wanted; empty for all.
        as_json: Whether a program reads it.
    """

    records: Records
    states: frozenset[JobState]
    as_json: bool
    terminal: Terminal

    async def all(self, keys: Sequence[str]) -> int:
        """Show all jobs, or all about those of *keys*, and give the exit code."""
        try:
            async with self.records.opened() as journal:
                if not keys:
                    return await self._list(journal)
                return max([await self._one(journal, key) for key in keys])
        except JournalError as error:
            raise exits.CannotStart(dsn.spelled(error)) from error

    async def _list(self, journal: Journal) -> int:
        tally, shown = Tally(), list[JobRecord]()
        async for record in journal.records():
            tally.add(record)
            if self.states and record.state not in self.states:
                continue
            if self.as_json:
                self.terminal.give(json.dumps(jobrows.spelled(record)))
            else:
                shown.append(record)
        for line in jobrows.aligned(await self._rows(shown), self.terminal.width):
            self.terminal.give(line)
        if self.states and not shown and not self.as_json:
            self.terminal.say("none in this state")
        self.terminal.say(f"{tally.told()} in {self.records.where}")
        if tally.unknown and (not self.states or JobState.UNKNOWN in self.states):
            self._say_how_to_settle(tally.unknown)
        return exits.OK

    async def _rows(self, records: Sequence[JobRecord]) -> list[jobrows.Row]:
        missing = await asyncio.to_thread(self._missing, records)
        marked = zip(map(jobrows.row, records), missing, strict=True)
        return [(*row[:4], f"{row[4]} (missing)") if gone else row for row, gone in marked]

    def _missing(self, records: Sequence[JobRecord]) -> list[bool]:
        return [self.records.is_missing(record) for record in records]

    def _say_how_to_settle(self, unknown: Sequence[str]) -> None:
        self.terminal.say("Unknown jobs may have been paid for.", style="bold red")
        for line in self.records.how(unknown):
            self.terminal.say(line)

    async def _one(self, journal: Journal, key: str) -> int:
        found = await _found(journal, key)
        if len(found) > 1:
            keys = ", ".join(one.key for one in found[:_MAX_FITTING])
            more = ", ..." if len(found) > _MAX_FITTING else ""
            self.terminal.say(f"{len(found)} jobs begin with {key}: {keys}{more}", style="red")
            return exits.SOME_FAILED
        if not found:
            close = await close_keys(journal, key)
            self.terminal.say(f"there is no job {key} in {self.records.where}{close}", style="red")
            return exits.SOME_FAILED
        (record,) = found
        if self.states and record.state not in self.states:
            return exits.OK
        history = await journal.history(record.key)
        if self.as_json:
            self.terminal.give(json.dumps(jobrows.spelled(record, history)))
            return exits.OK
        (missing,) = await asyncio.to_thread(self._missing, [record])
        for line in jobrows.whole(record, history, missing=missing):
            self.terminal.give(line)
        if record.state is JobState.UNKNOWN:
            self._say_how_to_settle([record.key])
        return exits.OK


async def _found(journal: Journal, key: str) -> list[JobRecord]:
    """Give the job of a key or of a task's id, or all jobs whose key or id begins so."""
    record = await journal.get(key) or await journal.by_task(key)
    if record is not None:
        return [record]
    named = [record async for record in journal.records() if _begins(record, key)]
    return named if key else []


def _begins(record: JobRecord, words: str) -> bool:
    return record.key.startswith(words) or (record.task_id or "").startswith(words)
