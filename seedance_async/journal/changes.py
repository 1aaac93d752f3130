"""What changes in a journal that another process writes: each move of each job, once.

Looks by itself for nothing: whoever follows asks as often as it likes. Costs next to nothing while
nothing was committed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs

from seedance_async.journal import rows
from seedance_async.journal.sqlite import SqliteJournal
from seedance_async.lifecycle import LEFT, JobState, Move


@attrs.frozen(kw_only=True)
class Change:
    """A move of a job.

    Attributes:
        key: The job's key.
        name: What a person calls it, if anything.
        move: What it went to, and when.
        sent_at: When its create was begun, of a job that was there when the following began.
    """

    key: str
    name: str | None
    move: Move
    sent_at: dt.datetime | None = None


class Changes:
    """The changes of one journal.

    Args:
        journal: Open for reading.
    """

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self._version: int | None = None
        # By place, and not by key or time: neither stays the same for ever.
        self._numbers: dict[int, int] = {}
        self._jobs: dict[int, tuple[str, str | None]] = {}

    async def new(self) -> Sequence[Change]:
        """Give what changed since the last call, each job's changes in their order.

        The first call gives the last change of each job that there is.

        Raises:
            JournalError: The file cannot be read.
        """
        read = self._journal._read
        ((version,),) = await read("PRAGMA data_version")
        if version == self._version:
            return ()
        is_first, self._version = self._version is None, version
        if is_first:
            return [self._begun(*row) for row in await read(rows.READ_STANDS)]
        changes = list[Change]()
        for place, number in await read(rows.COUNT_MOVES):
            if number != self._numbers.get(place, -1):
                changes += await self._since(place)
        return changes

    async def _since(self, place: int) -> list[Change]:
        if place not in self._jobs:
            for key, name in await self._journal._read(rows.READ_NAMES, place):
                self._jobs[place] = (key, name)
        last = self._numbers.get(place, -1)
        moves = await self._journal._read(rows.READ_MOVES_SINCE, place, last)
        if place not in self._jobs or not moves:
            return []
        self._numbers[place] = moves[-1][0]
        key, name = self._jobs[place]
        return [Change(key=key, name=name, move=rows.read_move(row)) for _, *row in moves]

    def _begun(
        self, place: int, number: int, key: str, name: str | None, sent: float | None, *row: object
    ) -> Change:
        self._numbers[place], self._jobs[place] = number, (key, name)
        move = rows.read_move(row)
        if self._journal._is_left and move.state is JobState.SUBMITTING:
            move = attrs.evolve(move, state=JobState.UNKNOWN, error=LEFT)
        return Change(key=key, name=name, move=move, sent_at=rows.moment(sent) if sent else None)
