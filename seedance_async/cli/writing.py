"""A journal opened to change what is in it, by a command that sends nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from seedance_async.cli import journals, trouble
from seedance_async.cli.exits import CannotStart
from seedance_async.errors import JournalError
from seedance_async.journal import SqliteJournal


@contextlib.asynccontextmanager
async def opened(named: str | None) -> AsyncIterator[SqliteJournal]:
    """Open the journal that ``--journal`` names, or the one here, and close it behind the block.

    Raises:
        CannotStart: There is none, another process is writing it, or it cannot be written.
    """
    journal = SqliteJournal(journals.find(named))
    try:
        await journal.open()
    except JournalError as error:
        raise CannotStart(trouble.of_journal(error, journal.path)) from error
    try:
        yield journal
    except JournalError as error:
        raise CannotStart(error.message) from error
    finally:
        await journal.close()
