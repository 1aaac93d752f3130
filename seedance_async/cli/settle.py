"""``seedance jobs settle``: a person's word on what became of an unknown job. Sends nothing."""

from __future__ import annotations

import asyncio
import difflib
import re

from seedance_async.cli import exits, ids, journals, trouble
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import JournalError
from seedance_async.journal import Journal, SqliteJournal
from seedance_async.ledger import Ledger
from seedance_async.lifecycle import JobRecord, JobState

_ASSET = "asset:"


def settled(
    key: str, *, task_id: str | None, asset_id: str | None, not_created: bool, journal: str | None
) -> int:
    """Write a person's word down, and give the exit code.

    Raises:
        CannotStart: There is no such word, or no journal to write it to.
    """
    option, its_id = "--task-id", task_id
    if key.startswith(_ASSET):
        option, its_id = "--asset-id", asset_id
    wrong = asset_id if option == "--task-id" else task_id
    if wrong is not None or (its_id is not None) == not_created:
        raise exits.CannotStart(f"say one of the two: {option} ID, or --not-created")
    opened = SqliteJournal(journals.find(journal))
    if key.startswith(_ASSET):
        return asyncio.run(_settle_asset(opened, key, its_id, Terminal()))
    checked = None if its_id is None else checked_task_id(its_id)
    return asyncio.run(_settle(opened, key, checked, Terminal()))


async def _settle_asset(
    journal: SqliteJournal, key: str, asset_id: str | None, terminal: Terminal
) -> int:
    from seedance_async import assets  # noqa: PLC0415 -- brings in aiohttp

    try:
        await journal.open()
    except JournalError as error:
        raise exits.CannotStart(trouble.of_journal(error, journal.path)) from error
    try:
        await assets.settle(journal, key, asset_id)
    except (JournalError, ValueError) as error:
        terminal.say(str(error), style="red")
        return exits.SOME_FAILED
    finally:
        await journal.close()
    what = "will be registered again by the next run" if asset_id is None else f"is {asset_id} now"
    terminal.say(f"{key} {what}")
    return exits.OK


def checked_task_id(task_id: str) -> str:
    """Check an id that a person gives.

    Raises:
        CannotStart: It can be no task's.
    """
    from seedance_async.session import checked_id  # noqa: PLC0415 -- brings in aiohttp

    # Every real one has a digit; what is copied from a help or an example has none.
    if not re.search("[0-9]", task_id):
        what = f"{task_id!r} cannot be a task's id: it looks like video_<uuid>"
        raise exits.CannotStart(what)
    try:
        return checked_id(task_id)
    except ValueError as error:
        raise exits.CannotStart(str(error)) from error


async def _settle(journal: SqliteJournal, key: str, task_id: str | None, terminal: Terminal) -> int:
    try:
        await journal.open()
    except JournalError as error:
        raise exits.CannotStart(trouble.of_journal(error, journal.path)) from error
    try:
        if await journal.get(key) is None:
            close = await close_keys(journal, key)
            where = journals.near(journal.path)
            terminal.say(f"there is no job {key} in {where}{close}", style="red")
            return exits.SOME_FAILED
        other = None if task_id is None else await journal.by_task(task_id)
        if other is not None and other.key != key:
            terminal.say(f"task {task_id} belongs to job {other.key}", style="red")
            return exits.SOME_FAILED
        record = await Ledger(journal).settle(key, task_id)
    except JournalError as error:
        terminal.say(str(error), style="red")
        return exits.SOME_FAILED
    finally:
        await journal.close()
    terminal.say(_told(record))
    return exits.OK


def _told(record: JobRecord) -> str:
    if record.state is JobState.PLANNED or record.task_id is None:
        return f"{record.key} will be sent again by the next run (and paid for)"
    return (
        f"{record.key} is task {record.task_id} now: the next run waits for its video and "
        f"brings it to disk; or: {ids.how(record.task_id)}"
    )


_MAX_CLOSE = 3
_MAX_COMPARED = 10_000  # keys that a mistyped one is compared to: a moment's work


async def close_keys(journal: Journal, key: str) -> str:
    """Suggest what *key* may have been meant for; empty where nothing is like it.

    Raises:
        JournalError: The journal cannot be read.
    """
    known = list[str]()
    async for record in journal.records():
        known.append(record.key)
        if len(known) == _MAX_COMPARED:
            break
    begun = [each for each in known if each.startswith(key)][:_MAX_CLOSE]
    close = begun or difflib.get_close_matches(key, known, n=_MAX_CLOSE)
    return f"; did you mean {' or '.join(close)}?" if close else ""
