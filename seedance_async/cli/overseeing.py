"""What a person does about the jobs of many machines: limits, words on jobs, tables, counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seedance_async.admission import Limits
from seedance_async.cli import debugging, dsn, exits, forgetting
from seedance_async.cli import metrics as exposition
from seedance_async.cli.consent import given
from seedance_async.cli.options import check_max_in_flight, check_rate
from seedance_async.cli.settle import checked_task_id
from seedance_async.cli.settling import sent
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.errors import JournalError
from seedance_async.lifecycle import JobRecord, JobState

if TYPE_CHECKING:
    from seedance_async.distributed import DistributedClient

_MAX_LISTED = 20
_AGAIN = (JobState.FAILED, JobState.UNKNOWN)


async def migrate(where: str | None, role: str | None) -> int:
    """Make the tables, and grant *role* what it needs.

    Raises:
        CannotStart: The database cannot be reached, or does not take it.
    """
    from seedance_async.distributed import engine  # noqa: PLC0415 -- takes half a second
    from seedance_async.distributed.database import grant  # noqa: PLC0415 -- an extra

    address = dsn.chosen(where)
    database = dsn.database(address)
    try:
        with dsn.told():
            await database.thread(database.migrate)
            if role is not None:
                await database.run(lambda connection: grant(connection, role))
            await asyncio.to_thread(engine.migrate, database, role)
    finally:
        database.close()
    granted = "" if role is None else f"; role {role} may use them"
    Terminal().say(one_line(f"the tables are in {dsn.shown(address)}{granted}"))
    return exits.OK


async def set_limit(
    account: str, max_in_flight: int | None, creates_per_minute: float | None, where: str | None
) -> int:
    """Change the limits of an account, or show them, and give the exit code.

    Raises:
        CannotStart: A limit can be none, or the database cannot be reached.
    """
    check_max_in_flight(max_in_flight)
    check_rate(creates_per_minute)
    async with dsn.client(dsn.chosen(where)) as client:
        try:
            now = await client.set_limit(
                account, max_in_flight=max_in_flight, creates_per_minute=creates_per_minute
            )
        except JournalError as error:
            return _failed(error)
    Terminal().give(one_line(f"{account}: {spelled(now)}"))
    return exits.OK


def spelled(limits: Limits) -> str:
    """Spell what an account may do over all its workers."""
    rate = limits.creates_per_minute
    creates = "any number of creates" if rate is None else f"{rate:g} creates"
    return f"at most {limits.max_in_flight} in flight, {creates} a minute"


async def adopt(key: str, task_id: str, where: str | None) -> int:
    """Take a person's word on an unknown job's task, and give the exit code.

    Raises:
        CannotStart: It can be no id, or the database cannot be reached.
    """
    checked = checked_task_id(task_id)
    async with dsn.client(dsn.chosen(where)) as client:
        try:
            record = await client.adopt(key, checked)
        except JournalError as error:
            return _failed(error)
    Terminal().say(one_line(f"{record.key} is task {record.task_id} now: a worker waits for it"))
    return exits.OK


async def resubmit(keys: Sequence[str], reason: str, *, yes: bool, where: str | None) -> int:
    """Have jobs made anew, if a person is sure, and give the exit code.

    Raises:
        CannotStart: It is not said which or why, there is nobody to ask, or the database cannot
            be reached.
    """
    if not keys:
        raise exits.CannotStart("say which: KEY...")
    if not reason.strip():
        raise exits.CannotStart("say why: --reason 'not in the billing'")
    terminal, chosen = Terminal(), list(dict.fromkeys(keys))
    async with dsn.client(dsn.chosen(where)) as client:
        if not await _may_go_again(client, chosen, terminal):
            return exits.SOME_FAILED
        them = "It" if len(chosen) == 1 else "They"
        question = f"Make {count(len(chosen), 'job')} anew? {them} MAY BE PAID FOR TWICE."
        if not given(terminal, question, yes=yes):
            return exits.SOME_FAILED
        try:
            for key in chosen:
                await client.resubmit(key, reason=reason)
                terminal.say(one_line(f"{key} is in line again"))
        except JournalError as error:
            return _failed(error)
    return exits.OK


async def _may_go_again(client: DistributedClient, keys: Sequence[str], terminal: Terminal) -> bool:
    """Show the jobs, and tell whether all of them are failed or unknown."""
    wrong = list[str]()
    for key in keys:
        try:
            record = await client.status(key)
        except JournalError as error:
            wrong.append(error.message)
            continue
        if record.state not in _AGAIN:
            wrong.append(f"{key} is {record.state}: only failed and unknown jobs go again")
        elif len(keys) <= _MAX_LISTED:
            terminal.say(one_line(f"  {key}: {record.state}, {_sent(record)}"))
    for line in wrong:
        terminal.say(one_line(line), style="red")
    if wrong:
        terminal.say("nothing was done")
    return not wrong


def _sent(record: JobRecord) -> str:
    task = f", task {record.task_id}" if record.task_id else ""
    return f"{sent(record)}{task}" if record.intended_at else "never sent"


async def cancel(key: str, *, force: bool, where: str | None) -> int:
    """Have no more done about a job, and give the exit code.

    Raises:
        CannotStart: The database cannot be reached.
    """
    async with dsn.client(dsn.chosen(where)) as client:
        try:
            before = await client.status(key)
            after = await client.cancel(key, force=force)
        except JournalError as error:
            return _failed(error)
    Terminal().say(one_line(f"{key} {_cancelled(before, after, force=force)}"))
    return exits.OK


def _cancelled(before: JobRecord, after: JobRecord, *, force: bool) -> str:
    if before.state is JobState.PLANNED and after.state is JobState.FAILED:
        return "is cancelled: it was not sent, and will not be"
    if before.state is JobState.FAILED:
        return "had failed already"
    if after.path is not None:
        return f"is made already: {after.path}"
    if after.state is JobState.COMPLETED:
        return "is made, and billed; its video is not brought in"
    place = "its place is free, though the provider counts it" if force else "it keeps its place"
    return f"may go on at the provider, and is billed then: {place}; its video is not brought in"


async def prune(older_than: str, where: str | None) -> int:
    """Forget jobs that ended long ago, and give the exit code.

    Raises:
        CannotStart: It is no time span, or the database cannot be reached.
    """
    age = forgetting.age(older_than)
    if not age:
        raise exits.CannotStart("--older-than must be above 0")
    async with dsn.client(dsn.chosen(where)) as client:
        try:
            number = await client.prune(age.total_seconds() / 86400)
        except JournalError as error:
            return _failed(error)
    Terminal().say(f"{count(number, 'job')} forgotten")
    return exits.OK


async def metrics(where: str | None) -> int:
    """Print how many jobs and workers there are.

    Raises:
        CannotStart: The database cannot be reached.
    """
    async with dsn.client(dsn.chosen(where)) as client:
        try:
            counts, workers = await client.counts(), await client.workers()
        except JournalError as error:
            return _failed(error)
    for line in exposition.of(counts, workers.values(), JobState):
        Terminal().give(line)
    return exits.OK


def _failed(error: JournalError) -> int:
    debugging.note(error)
    Terminal().say(one_line(dsn.spelled(error)), style="red")
    return exits.SOME_FAILED
