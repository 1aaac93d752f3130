"""The journal that all workers of an account share, in the database, with a spool on this machine.

What the session asks of a journal is all that it is asked for here as well, so that a worker's
session takes, sends and settles jobs by the very rules of one machine. Two things come to it. A
change holds only if nobody else changed the job meanwhile: of two workers who both take a job for
theirs, one alone can intend its create. And the id of a paid task is on this machine's disk before
it is anywhere else: a database that is away, or a worker that was taken for dead, costs no id.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from seedance_async import wire
from seedance_async.distributed import problems
from seedance_async.distributed.database import (
    OPEN,
    Database,
    facts,
    jobs,
    moves,
    read_fact,
    write_fact,
)
from seedance_async.distributed.sharing import SHARED, together
from seedance_async.errors import JournalError, SeedanceError
from seedance_async.journal import SqliteJournal, rows
from seedance_async.ledger import utc_now
from seedance_async.lifecycle import JobRecord, JobState, Move
from seedance_async.wire import TaskState

_log = logging.getLogger("seedance_async")
_PAGE = 200  # records read at a time
_URL = re.compile(r"\w+://\S*")
_DONE = frozenset({JobState.COMPLETED, JobState.FAILED})


@attrs.frozen(kw_only=True, eq=False)
class Row:
    """A job with what its workers know of it besides.

    Attributes:
        record: The job.
        account: Whose it is.
        is_over: Whether nothing more is done about it by itself.
        problem: The error that it ended with.
        cancelled_at: When somebody cancelled it.
        place: Its number, in the order in which jobs were handed in.
        stamp: What names this version of the row.
    """

    record: JobRecord
    account: str
    is_over: bool
    problem: SeedanceError | None
    cancelled_at: dt.datetime | None
    place: int
    stamp: str = attrs.field(repr=False)


class TakenOver(JournalError):
    """Another worker has the job by now."""


class SharedJournal:
    """The jobs of one account, as one worker or client reads and writes them.

    Args:
        database: Where they are.
        account: Whose jobs are planned here; None reads those of all.
        spool: Where ids are written first; None for a client, which sends nothing.
        on_late: Called with a job that was over, and whose id came after all.
    """

    def __init__(
        self,
        database: Database,
        account: str | None = None,
        *,
        spool: SqliteJournal | None = None,
        on_late: Callable[[Row], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._account = account
        self._spool = spool
        self._on_late = on_late
        self._stamps: dict[str, str] = {}
        self._kept: dict[str, str | None] = {}

    # ---- what a session asks of it

    async def plan(self, record: JobRecord) -> JobRecord:
        """Write a new job down, unless its key is known; give what is known of it.

        Raises:
            JournalError: It could not be written.
        """
        assert self._account is not None  # noqa: S101 -- for the types: readers plan nothing

        row = await self.row(record.key)
        if row is None:
            await self._database.run(lambda connection: add(connection, record, str(self._account)))
            (row,) = await self._rows(jobs.c.key == record.key)
        row = await self.with_spooled_id(row)
        if self._spool is not None and row.is_over:  # somebody cancelled it a moment ago
            raise TakenOver(f"job {record.key} is over")
        self._stamps[record.key] = row.stamp
        return row.record

    async def with_spooled_id(self, row: Row) -> Row:
        """Bring in an id that this machine knows, and the database does not."""
        if self._spool is None or row.record.task_id is not None:
            return row
        spooled = await self._spool.get(row.record.key)
        if spooled is None or not lacks(row.record, spooled):
            return row
        await self.bring(spooled)
        return await self.row(row.record.key) or row

    async def put(self, record: JobRecord) -> None:
        """Write *record* down, unless somebody else has changed its job meanwhile.

        An id is written to the spool first, and to the job as well if that has become unknown.

        Raises:
            TakenOver: Another worker has the job; where *record* has an id, it is in its history.
            JournalError: It could not be written.
        """
        if record.state is JobState.SUBMITTED and record.task_id is not None:
            await self._to_spool(record)
        change = _Change(record, self._stamps.get(record.key), uuid.uuid4().hex)
        late: bool | TakenOver = False
        if not await self._database.single(change.make, record.task_id):
            late = await self._database.run(change.make_late, record.task_id)
        if isinstance(late, TakenOver):
            raise late
        self._stamps[record.key] = change.after
        if record.state in _DONE and record.task_id is not None:
            await self._to_spool(record)
        if late and self._on_late is not None:
            row = await self.row(record.key)
            if row is not None:
                await self._on_late(row)

    async def _to_spool(self, record: JobRecord) -> None:
        if self._spool is None:
            return
        try:
            known = await self._spool.plan(record)
            if known.changed_at != record.changed_at or known.state is not record.state:
                await self._spool.put(record)
        except JournalError as unwritten:
            # The database has it, or will have it in a moment.
            _log.error(
                "the spool lacks that task %s is %s: %s", record.task_id, record.state, unwritten
            )

    async def bring(self, record: JobRecord) -> None:
        """Write down an id from a spool, where the database lacks it; as a late ``put``."""
        await SharedJournal(self._database, self._account, on_late=self._on_late).put(record)

    async def get(self, key: str) -> JobRecord | None:
        """Give the record of *key*, or None."""
        row = await self.row(key)
        return None if row is None else self._known(row)

    async def by_task(self, task_id: str) -> JobRecord | None:
        """Give the record of the job that *task_id* belongs to, or None."""
        found = await self._database.single(
            lambda connection: connection.execute(_OF_TASK, {"its": task_id}).fetchall()
        )
        return self._known(_row(found[-1])) if found else None

    def _known(self, row: Row) -> JobRecord:
        # Of a job that is being worked on, what was read for that decides.
        self._stamps.setdefault(row.record.key, row.stamp)
        return row.record

    async def records(
        self, state: JobState | None = None, *, account: str | None = None
    ) -> AsyncIterator[JobRecord]:
        """Give the records in the order in which they were planned, some at a time."""
        async for row in self.each(state, account=account):
            yield row.record

    async def each(
        self, state: JobState | None = None, *, account: str | None = None
    ) -> AsyncIterator[Row]:
        """Give the rows, likewise."""
        wanted = [] if state is None else [jobs.c.state == state.value]
        if (whose := account or self._account) is not None:
            wanted.append(jobs.c.account == whose)
        page = await self._page(0, wanted)
        while page:
            for _, row in page:
                yield row
            page = await self._page(page[-1][0], wanted)

    async def _page(
        self, after: int, wanted: Sequence[sa.ColumnElement[bool]]
    ) -> list[tuple[int, Row]]:
        return await self._database.single(
            lambda connection: _page(connection, jobs.c.place > after, *wanted)
        )

    async def history(self, key: str) -> Sequence[Move]:
        """Give every change of a job, the earliest first; empty for an unknown key."""
        query = (
            sa.select(*(moves.c[name] for name in rows.MOVE))
            .join(jobs, jobs.c.place == moves.c.place)
            .where(jobs.c.key == key)
            .order_by(moves.c.number)
        )
        found = await self._database.single(lambda connection: connection.execute(query).fetchall())
        return [rows.read_move(tuple(row)) for row in found]

    async def remember(self, name: str, text: str) -> None:
        """Keep what was learned for all workers; anything else on this machine.

        What was published is the latter: its URLs are signed.
        """
        if name not in SHARED:
            await self._own.remember(name, text)
            return
        before = self._kept.get(name)

        def work(connection: sa.Connection) -> None:
            theirs = read_fact(connection, name, lock=True)
            write_fact(connection, name, together(name, theirs, text, before))

        await self._database.run(work)
        self._kept[name] = text

    async def recall(self, name: str) -> str | None:
        """Give what is kept under *name*; None for nothing."""
        if name not in SHARED:
            return await self._own.recall(name)
        kept = self._kept[name] = await self._database.single(
            lambda connection: read_fact(connection, name)
        )
        return kept

    @property
    def _own(self) -> SqliteJournal:
        if self._spool is None:
            raise JournalError("nothing of this machine's own is kept without a spool")
        return self._spool

    # ---- what workers and clients ask besides

    async def row(self, key: str) -> Row | None:
        """Give a job with what its workers know, or None."""
        found = await self._database.single(
            lambda connection: connection.execute(_OF_KEY, {"its_key": key}).first()
        )
        return None if found is None else _row(found)

    async def rows_of(self, keys: Collection[str]) -> Sequence[Row]:
        """Give many jobs; those that are not there are left out."""
        return await self._rows(jobs.c.key.in_(tuple(keys)))

    async def ended(self, keys: Collection[str]) -> Sequence[Row]:
        """Give those of the jobs that nobody has to wait for any longer."""
        is_ended = sa.or_(jobs.c.is_over, jobs.c.state == JobState.UNKNOWN.value)
        return await self._rows(jobs.c.key.in_(tuple(keys)), is_ended)

    async def _rows(self, *wanted: sa.ColumnElement[bool]) -> list[Row]:
        return await self._database.single(lambda connection: _read(connection, *wanted))

    async def open_rows(self, before: dt.datetime) -> Sequence[Row]:
        """Give the jobs about which something is to be done, and nothing has been for long."""
        is_quiet = jobs.c.changed_at < before.timestamp()
        is_ours = jobs.c.account == self._account
        return await self._rows(sa.not_(jobs.c.is_over), is_quiet, is_ours)

    async def close(self, row: Row, problem: SeedanceError | None) -> bool:
        """Note that nothing more is done about a job by itself; False where it has changed since.

        From now on nothing of it is held here.
        """
        spelled = None if problem is None else problems.dump(problem)
        change = {"is_over": True, "problem": spelled}
        is_closed = await self.mark(row, change)
        if is_closed:
            self.let_go(row.record.key)
        return is_closed

    async def cancel(self, row: Row, problem: SeedanceError) -> bool:
        """End a job that was read as planned, and is; whether it was never sent."""
        now = utc_now()
        failed = row.record.moved(JobState.FAILED, now, error=problem.message)
        change = {
            **dict(zip((*rows.CHANGING, "key"), rows.changed(failed), strict=True)),
            "is_over": True,
            "problem": problems.dump(problem),
            "cancelled_at": now.timestamp(),
        }
        return await self.mark(row, change)

    async def care_no_more(self, key: str) -> None:
        """Note that nobody wants a job's video."""
        wanted = sa.and_(jobs.c.key == key, jobs.c.cancelled_at.is_(None))
        change = jobs.update().where(wanted).values(cancelled_at=utc_now().timestamp())
        await self._database.single(lambda connection: connection.execute(change))

    async def mark(self, row: Row, change: dict[str, Any]) -> bool:
        """Change columns of a job that has not changed since it was read; whether that was so."""
        after = uuid.uuid4().hex
        where = (jobs.c.key == row.record.key, jobs.c.stamp.in_((row.stamp, after)))

        def work(connection: sa.Connection) -> bool:
            statement = jobs.update().where(*where).values(**change, stamp=after)
            return connection.execute(statement).rowcount == 1

        is_done = await self._database.single(work)
        if is_done and self._stamps.get(row.record.key) == row.stamp:
            self._stamps[row.record.key] = after
        return is_done

    def hold(self, row: Row) -> None:
        """Have what is written next follow this version of a job, whatever was known here."""
        self._stamps[row.record.key] = row.stamp

    def is_behind(self, row: Row) -> bool:
        """Tell whether somebody else has changed a job since it was read or written here."""
        return self._stamps.get(row.record.key) != row.stamp

    def let_go(self, key: str) -> None:
        """Forget what is known here of a job's version: who is next about it reads it anew."""
        self._stamps.pop(key, None)


def add(connection: sa.Connection, record: JobRecord, account: str) -> int | None:
    """Write a new job down, and give its place; None where its key is another's."""
    known = sa.select(jobs.c.place).where(jobs.c.key == record.key)
    if connection.execute(known).first() is not None:
        return None
    values = dict(zip(rows.COLUMNS, rows.added(_shareable(record)), strict=True))
    values |= {"account": account, "stamp": uuid.uuid4().hex, "is_over": False}
    inserting = _insert(connection, values)
    place: int | None = connection.execute(inserting).scalar()
    return place  # None where somebody else wrote it in the same moment


def _insert(connection: sa.Connection, values: dict[str, Any]) -> sa.Executable:
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert  # noqa: PLC0415 -- one of the two is used
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]  # noqa: PLC0415

    statement = insert(jobs).values(**values).on_conflict_do_nothing(index_elements=["key"])
    return statement.returning(jobs.c.place)


@attrs.frozen(eq=False)
class _Change:
    """A record on its way into its row; may be made again after a connection broke.

    Attributes:
        record: The record.
        before: What names the version of the row that it follows.
        after: What will name the row's version then.
    """

    record: JobRecord
    before: str | None
    after: str

    def make(self, connection: sa.Connection) -> bool:
        """Change the row in one statement, unless somebody else has; whether it is changed."""
        return self._update(connection, self.before)

    def _update(self, connection: sa.Connection, stamp: str | None) -> bool:
        values = dict(zip(_CHANGED, rows.changed(_shareable(self.record)), strict=True))
        values |= {"before": stamp, "after": self.after}
        return connection.execute(_CHANGE, values).rowcount == 1

    def make_late(self, connection: sa.Connection) -> bool | TakenOver:
        """Change the row though somebody else has, if that loses nothing; whether it was over.

        Where the job has another task by then, this one is noted beside it, and the error returned:
        raised, it would take the note back.

        Raises:
            TakenOver: It is another's business now.
        """
        record = self.record
        query = sa.select(*_SELECTED).where(jobs.c.key == record.key).with_for_update()
        found = connection.execute(query).first()
        if found is None:
            raise TakenOver(f"job {record.key} is not in the database any more", record.task_id)
        row = _row(found)
        if row.stamp == self.after:  # it was done before the connection broke
            return False
        its = row.record
        if record.task_id is None or its.task_id == record.task_id:
            raise TakenOver(f"job {record.key} is {its.state} by another's hand", record.task_id)
        if lacks(its, record):
            self._update(connection, row.stamp)
            return row.is_over
        connection.execute(moves.insert().values(**_beside(record, row)))
        message = f"job {record.key} has another task by now; this one may be billed as well"
        return TakenOver(message, record.task_id)


def lacks(kept: JobRecord, known: JobRecord) -> bool:
    """Tell whether what the database keeps of a job lacks an id that is known elsewhere.

    As it does where the id comes late, and where the database is an older copy of itself. Another
    attempt has its own id, and a job that was handed in anew under an old key is another job.
    """
    is_open = kept.task_id is None and kept.state in OPEN and kept.attempts <= known.attempts
    return is_open and known.task_id is not None and kept.planned_at == known.planned_at


def _beside(record: JobRecord, row: Row) -> dict[str, Any]:
    """Spell that a job has more than one task."""
    return {
        "place": row.place,
        "at": record.changed_at.timestamp(),
        "state": record.state.value,
        "task_id": record.task_id,
        "task_status": record.task_status,
        "error": f"accepted as well, beside {row.record.task_id}",
    }


def rename(connection: sa.Connection, key: str, new: str) -> None:
    """Give a job another key, so that its own is free."""
    connection.execute(jobs.update().where(jobs.c.key == key).values(key=new))


def remove_old(connection: sa.Connection, before: float, most: int) -> Sequence[str]:
    """Drop jobs that ended before then, with their histories; give their keys."""
    is_old = sa.and_(
        jobs.c.is_over,
        jobs.c.changed_at < before,
        jobs.c.state.in_((JobState.COMPLETED.value, JobState.FAILED.value)),
    )
    some = sa.select(jobs.c.place).where(is_old).limit(most)
    dropping = jobs.delete().where(jobs.c.place.in_(some), is_old)
    dropped = connection.execute(dropping.returning(jobs.c.place, jobs.c.key)).fetchall()
    places = [place for place, _ in dropped]
    connection.execute(moves.delete().where(moves.c.place.in_(places)))
    return [key for _, key in dropped]


def kept_facts(connection: sa.Connection, prefix: str) -> dict[str, str]:
    """Give all facts whose names begin so, by the rest of their names."""
    query = sa.select(facts.c.name, facts.c.value).where(facts.c.name.startswith(prefix))
    return {name.removeprefix(prefix): value for name, value in connection.execute(query)}


_SELECTED = (
    jobs.c.place,
    jobs.c.account,
    jobs.c.stamp,
    jobs.c.is_over,
    jobs.c.problem,
    jobs.c.cancelled_at,
    *(jobs.c[name] for name in rows.COLUMNS),
)


# Built once: that takes as long as all the rest of having them executed.
_its = jobs.c.key == sa.bindparam("its_key")
_OF_KEY = sa.select(*_SELECTED).where(_its)
_OF_TASK = sa.select(*_SELECTED).where(jobs.c.task_id == sa.bindparam("its")).order_by(jobs.c.place)
_CHANGED = (*(f"new_{name}" for name in rows.CHANGING), "its_key")
# As on one machine: an id that the provider has answered to is for ever.
_confirmed = sa.case((jobs.c.answer.is_not(None), jobs.c.task_id))
_CHANGE = (
    jobs.update()
    .where(_its, jobs.c.stamp == sa.bindparam("before"))
    .values({name: sa.bindparam(f"new_{name}") for name in rows.CHANGING})
    .values(task_id=sa.func.coalesce(sa.bindparam("new_task_id", type_=sa.Text), _confirmed))
    # Whoever writes has not done with it.
    .values(is_over=False, problem=None, stamp=sa.bindparam("after"))
)


def _read(connection: sa.Connection, *wanted: sa.ColumnElement[bool]) -> list[Row]:
    query = sa.select(*_SELECTED).where(*wanted).order_by(jobs.c.place)
    return [_row(found) for found in connection.execute(query)]


def _page(connection: sa.Connection, *wanted: sa.ColumnElement[bool]) -> list[tuple[int, Row]]:
    query = sa.select(*_SELECTED).where(*wanted).order_by(jobs.c.place).limit(_PAGE)
    return [(found[0], _row(found)) for found in connection.execute(query)]


def _row(found: sa.Row[Any]) -> Row:
    place, account, stamp, is_over, problem, cancelled_at, *columns = tuple(found)
    return Row(
        record=rows.read(columns),
        account=account,
        place=place,
        stamp=stamp,
        is_over=bool(is_over),
        problem=None if problem is None else problems.load(problem),
        cancelled_at=None if cancelled_at is None else rows.moment(cancelled_at),
    )


def _shareable(record: JobRecord) -> JobRecord:
    """Take out what is nobody else's business, and what a database's text cannot hold."""
    task = None if record.task is None else _without_urls(record.task)
    return attrs.evolve(
        record,
        task=task,
        name=_plain(record.name),
        error=_plain(record.error),
        path=_plain(record.path),
    )


def _plain(text: str | None) -> str | None:
    return (
        None if text is None else text.encode(errors="backslashreplace").decode().replace("\0", "")
    )


def _without_urls(task: TaskState) -> TaskState:
    """Give what the provider said without its URLs, which are signed."""
    try:
        said = wire.dump(_clean(task.raw))
    except (RecursionError, ValueError):
        return wire.bare(task.id, task.status)
    if b"\\u0000" in said:
        return wire.bare(task.id, task.status)
    read = wire.read_task(said, asked_id=task.id)
    return read if isinstance(read, TaskState) else wire.bare(task.id, task.status)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return None if _URL.fullmatch(value) else _URL.sub("<...>", value)
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value
