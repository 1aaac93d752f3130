"""Writers who come together share a commit: what gathers while one is under way goes into the next.

Knows nothing of SQLite but which of its errors come to every record.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import anyio
import attrs

from seedance_async.errors import JournalError
from seedance_async.lifecycle import JobRecord
from seedance_async.paid import finish


@attrs.define(eq=False)
class Waiting:
    """A record that waits for the next commit; without an error, it is written.

    Attributes:
        record: The record.
        is_new: Whether it is to be added, unless its key is known.
        known: What is known of its key, then.
        error: Why it is not written.
        is_tried: Whether its commit is over.
    """

    record: JobRecord
    is_new: bool = False
    known: JobRecord | None = None
    error: JournalError | None = attrs.field(
        factory=lambda: JournalError("the journal was closed before this was written")
    )
    is_tried: bool = False


class Commits:
    """The writes of one journal.

    Args:
        write: Writes records in one transaction; raises ``JournalError``, and then none of them
            is written.
    """

    def __init__(self, write: Callable[[Sequence[Waiting]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[Waiting] = []
        self._committing: anyio.Event | None = None

    async def add(self, waiting: Waiting) -> Waiting:
        """Write a record with whatever else is to be written; a cancellation takes nothing back.

        Raises:
            JournalError: It could not be written.
        """
        self._waiting.append(waiting)
        while not waiting.is_tried:
            await self._commit()
        if waiting.error is not None:
            raise waiting.error
        return waiting

    async def flush(self) -> None:
        """Write what is waiting, as far as it can be written."""
        await self._pause()
        if self._waiting:
            await self._commit()

    @contextlib.asynccontextmanager
    async def sole_writer(self) -> AsyncIterator[None]:
        """Let no commit begin for as long as the block lasts."""
        await self._pause()
        done = self._committing = anyio.Event()
        try:
            yield
        finally:
            self._committing = None
            done.set()

    async def _pause(self) -> None:
        # All are woken at once: a lock would be handed on, one turn of the loop for each.
        while self._committing is not None:
            await self._committing.wait()

    async def _commit(self) -> None:
        """Write all that has gathered; or, while that is being done, wait for its end."""
        if self._committing is not None:
            await self._committing.wait()
            return
        async with self.sole_writer():
            await finish(self._write_gathered())

    async def _write_gathered(self) -> None:
        gathered, self._waiting = self._waiting, []
        try:
            await self._attempt(gathered)
        finally:
            for waiting in gathered:
                waiting.is_tried = True
            self._waiting[:0] = self._unwritten_ids(gathered)

    def _unwritten_ids(self, gathered: Sequence[Waiting]) -> list[Waiting]:
        """Give what is to be tried again: a full disk may have room by then.

        An id must not be forgotten; but nothing older is written over what came later.
        """
        latest = {each.record.key: each.record for each in (*gathered, *self._waiting)}
        return [
            Waiting(each.record)
            for each in gathered
            if each.error and each.record.task_id and latest[each.record.key] is each.record
        ]

    async def _attempt(self, group: Sequence[Waiting]) -> None:
        try:
            await self._write(group)
        except JournalError as error:
            if len(group) > 1 and not _is_of_the_file(error.__cause__):
                for waiting in group:  # what is wrong with one record must not hurt the others
                    await self._attempt([waiting])
                return
            for waiting in group:
                waiting.error = JournalError(error.message, waiting.record.task_id)
                waiting.error.__cause__ = error.__cause__
        else:
            for waiting in group:
                waiting.error = None


def _is_of_the_file(cause: BaseException | None) -> bool:
    """Tell whether an error would come to every record: the file is full, busy or broken."""
    import sqlite3  # noqa: PLC0415 -- nobody without a journal on disk should pay for it

    of_a_record = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, of_a_record)
