"""Failed jobs set aside, so that their keys are free for new ones; nothing known of them is lost.

A job that was set aside is known by a mark of its own: another may be called ``KEY~1`` as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import aiosqlite

from seedance_async.errors import JournalError
from seedance_async.journal import rows
from seedance_async.journal.sqlite import SqliteJournal
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.paid import finish


async def set_aside(journal: SqliteJournal, keys: Iterable[str]) -> Mapping[str, str]:
    """Rename failed jobs to ``KEY~1``, or the next number that is free: all of them, or none.

    Whoever plans a job of the same key then makes a new one, and pays for it.

    Args:
        journal: Open for writing.
        keys: The jobs' keys.

    Returns:
        The new key of each, by its old one.

    Raises:
        JournalError: One of them is not there, has not failed, never became a task or was set
            aside before; or the file cannot be written.
    """
    return await finish(_set_aside(journal, tuple(dict.fromkeys(keys))))


async def aside(journal: SqliteJournal) -> Mapping[str, str]:
    """Give the keys of the jobs that were set aside, each with the key that it had before.

    Raises:
        JournalError: The file cannot be read.
    """
    return dict(await journal._read(rows.READ_ASIDE))


def why_not(record: JobRecord | None, *, is_aside: bool) -> str | None:
    """Say why a job cannot be set aside; None where it can."""
    if record is None:
        return "is not in the journal"
    if is_aside:
        return "was set aside before"
    if record.state is not JobState.FAILED:
        return f"is {record.state}, not failed"
    if record.task_id is None:
        return "was refused and made no task: the next run sends it again as it is"
    return None


async def _set_aside(journal: SqliteJournal, keys: tuple[str, ...]) -> Mapping[str, str]:
    async with journal._commits.sole_writer():
        known = await aside(journal)
        for key in keys:
            reason = why_not(await journal.get(key), is_aside=key in known)
            if reason is not None:
                raise JournalError(f"job {key} {reason}")
        async with journal._transaction() as db:
            return {key: await _renamed(db, key) for key in keys}


async def _renamed(db: aiosqlite.Connection, key: str) -> str:
    new, numbers = f"{key}~1", itertools.count(2)
    while list(await db.execute_fetchall(rows.READ_KEY, (new,))):
        new = f"{key}~{next(numbers)}"
    await db.execute_fetchall(rows.RENAME, (new, key))
    # The trigger took it for a move of the job.
    await db.execute_fetchall(rows.FORGET_LAST_MOVE, (new,))
    await db.execute_fetchall(rows.ADD_ASIDE, (new, key))
    return new
