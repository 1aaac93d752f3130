"""The journal on disk: SQLite, with everything that is committed safe from a power cut.

One process writes, any number may read. Writers who come together share a commit (``commits``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio

from seedance_async.errors import JournalError
from seedance_async.journal import rows
from seedance_async.journal.commits import Commits, Waiting
from seedance_async.journal.lock import WriterLock, is_written
from seedance_async.lifecycle import LEFT, JobRecord, JobState, Move
from seedance_async.paid import finish

if TYPE_CHECKING:
    import aiosqlite

_PAGE = 100  # records read at a time: some milliseconds of the event loop's time
_BUSY_S = 10.0  # a backup or a person's query holds the file shortly; our choice
# A process that is just ending, or one that looks whether there is a writer, holds the lock.
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.1


class SqliteJournal:
    """Keeps records in a SQLite file, beyond the end of the process.

    Holds requests with their prompts and metadata, ids, result URLs and errors; never an API key.
    An asynchronous context manager; a session that is given a path opens one itself. Belongs to
    the event loop that opened it.

    What an earlier process left ``submitting`` when it died becomes ``unknown`` on opening.

    Args:
        path: The file; made if it is missing, with its folders. Keep it on a local disk: network
            folders do not hold what they promise to SQLite.
        read_only: Look, beside the process that writes.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        # Resolved: a link must not lead to a lock of its own, nor another current folder.
        self.path: Path = Path(os.path.realpath(path))
        self._read_only = read_only
        self._lock: WriterLock | None = None
        self._db: aiosqlite.Connection | None = None
        self._is_left = False
        self._file_id: tuple[int, int] | None = None
        self._commits = Commits(self._write)

    def __repr__(self) -> str:
        return f"<SqliteJournal {self.path}>"

    async def open(self) -> None:
        """Open the file, and bring an older one up to date.

        Raises:
            JournalError: Another process writes it (which one, is said), it is no journal or one
                of a newer version, or it cannot be read or written.
        """
        if self._db is not None:
            raise JournalError(f"the journal {self.path} is open already")
        if self._read_only:
            self._is_left = not is_written(self.path)
        else:
            self._lock = await self._locked()
        try:
            await self._connect()
            await self._migrate()
            if not self._read_only:
                await self._settle_what_was_left()
        except BaseException:
            await finish(self._close())
            raise

    async def claim(self, service: str) -> None:
        """Note once at which service the jobs are made; ids and videos are of no use at another.

        Raises:
            JournalError: They were made at another service, or it cannot be written.
        """
        await finish(self._claim(service))

    async def _claim(self, service: str) -> None:
        async with self._commits.sole_writer(), self._transaction() as db:
            known = [name for (name,) in await self._read(rows.READ_SERVICE)]
            if known and known[0] != service:
                message = f"the journal {self.path} has jobs made at {known[0]}, not at {service}"
                raise JournalError(f"{message}: keep a journal for each")
            if not known:
                await db.execute_fetchall(rows.ADD_SERVICE, (service,))

    async def close(self) -> None:
        """Write what is waiting and close the file; may be called again."""
        was_read = self._read_only and self._db is not None
        await finish(self._close())
        if was_read:
            await finish(self._tidy_up())

    async def _close(self) -> None:
        db = self._db
        try:
            await self._commits.flush()
        finally:
            self._db = None
            try:
                if db is not None:
                    await db.close()
            finally:
                if self._lock is not None:
                    self._lock.release()

    async def _tidy_up(self) -> None:
        """Remove the files that SQLite makes for a reader, and leaves behind if it is the last."""
        if self.path.with_name(f"{self.path.name}-wal").exists() and not is_written(self.path):
            with contextlib.suppress(JournalError):
                async with SqliteJournal(self.path):
                    pass

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _locked(self) -> WriterLock:
        for _ in range(_LOCK_TRIES - 1):
            with contextlib.suppress(JournalError):
                return WriterLock(self.path)
            await anyio.sleep(_LOCK_PAUSE_S)
        return WriterLock(self.path)

    async def _connect(self) -> None:
        # Nobody without a journal on disk should pay for the imports.
        import sqlite3  # noqa: PLC0415

        import aiosqlite  # noqa: PLC0415

        if self._read_only and not self.path.exists():
            raise JournalError(f"there is no journal {self.path}")
        # As a URI, since only there SQLite can be told not to make or write a file.
        uri = f"{self.path.absolute().as_uri()}?mode={'ro' if self._read_only else 'rwc'}"
        with self._explaining("open"):
            # IMMEDIATE: a transaction begins with the first change, and has the file at once.
            opening = aiosqlite.connect(uri, uri=True, isolation_level="IMMEDIATE", timeout=_BUSY_S)
            # A program that ends without closing its session must end. What was put is safe.
            thread: Any = getattr(opening, "_thread", opening)
            thread.daemon = True
            self._db = await opening
            # Prints nothing of what it holds: asyncio's debug mode logs what callbacks are given.
            self._db.row_factory = sqlite3.Row
        self._file_id = _file_id(self.path)

    async def _migrate(self) -> None:
        version = await self._version()
        if self._read_only:
            return
        with self._explaining("write"):
            await self._opened.execute_fetchall("PRAGMA journal_mode = WAL")
            # In WAL mode FULL alone syncs each commit; NORMAL may lose the last to a power cut.
            await self._opened.execute_fetchall("PRAGMA synchronous = FULL")
            for number, script in enumerate(rows.MIGRATIONS[version:], version + 1):
                marks = f"PRAGMA user_version = {number}; PRAGMA application_id = {rows.OURS};"
                await self._opened.executescript(f"BEGIN IMMEDIATE; {script} {marks} COMMIT;")

    async def _version(self) -> int:
        """Give the schema's version, 0 for an empty file.

        Raises:
            JournalError: The file is something else, or its version is not for us.
        """
        ((application,),) = await self._read("PRAGMA application_id")
        ((version,),) = await self._read("PRAGMA user_version")
        is_empty = not await self._read("SELECT 1 FROM sqlite_master LIMIT 1")
        if application != rows.OURS and not is_empty:
            raise JournalError(f"{self.path} is a database of something else, not a journal")
        if version > len(rows.MIGRATIONS):
            what = f"the journal {self.path} is of a newer version ({version})"
            raise JournalError(f"{what}: bring seedance_async up to date")
        if self._read_only and is_empty:
            raise JournalError(f"the journal {self.path} has no jobs yet")
        if self._read_only and version < len(rows.MIGRATIONS):
            what = f"the journal {self.path} is of an older version ({version})"
            raise JournalError(f"{what}: run something with it once")
        return int(version)

    async def _settle_what_was_left(self) -> None:
        # Nobody else writes: whoever sent these creates is gone, and their answers with him.
        async for record in self.records(JobState.SUBMITTING):
            now = dt.datetime.now(dt.UTC)
            await self.put(record.moved(JobState.UNKNOWN, now, error=LEFT))

    @property
    def _opened(self) -> aiosqlite.Connection:
        if self._db is None:
            raise JournalError(f"the journal {self.path} is not open")
        return self._db

    @contextlib.contextmanager
    def _explaining(self, verb: str) -> Iterator[None]:
        """Turn what SQLite may raise in the block into a ``JournalError``."""
        try:
            yield
        except JournalError:
            raise
        # SQLite's own errors, and whatever a record, or a row, may hold that cannot be spelled.
        except Exception as exc:
            raise JournalError(f"cannot {verb} the journal {self.path}: {exc}") from exc

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Commit what the block wrote; none of it where something is wrong."""
        db = self._opened
        with self._explaining("write"):
            try:
                yield db
                await db.commit()
            except BaseException:
                await db.rollback()
                raise

    async def plan(self, record: JobRecord) -> JobRecord:
        """Write a new job down, unless its key is known; give what is known of it.

        Raises:
            JournalError: It could not be written.
        """
        return (await self._written(Waiting(record, is_new=True))).known or record

    async def put(self, record: JobRecord) -> None:
        """Write *record* down; when this returns, it survives a power cut.

        A cancellation does not take the record back.

        Raises:
            JournalError: It could not be written.
        """
        await self._written(Waiting(record))

    async def _written(self, waiting: Waiting) -> Waiting:
        self._check_writable(waiting.record.task_id)
        return await self._commits.add(waiting)

    def _check_writable(self, task_id: str | None = None) -> None:
        if self._db is None or self._read_only:
            raise JournalError(f"the journal {self.path} is not open for writing", task_id)

    async def _write(self, group: Sequence[Waiting]) -> None:
        news = [waiting for waiting in group if waiting.is_new]
        old = [waiting.record for waiting in group if not waiting.is_new]
        intents = [record for record in old if record.state is JobState.SUBMITTING]
        if intents and _file_id(self.path) != self._file_id:
            raise JournalError(f"the journal {self.path} was removed or replaced while in use")
        changes = [record for record in old if record.state is not JobState.SUBMITTING]
        async with self._transaction() as db:
            # Changes before what is looked up, which must be as new as they are.
            for statement, values in (
                (rows.INTEND, rows.Rows(map(rows.intended, intents))),
                (rows.CHANGE, rows.Rows(map(rows.changed, changes))),
            ):
                if values:
                    cursor = await db.executemany(statement, values)
                    _check_changed(statement, cursor.rowcount == len(values))
            if news:
                added = rows.Rows(rows.added(waiting.record) for waiting in news)
                cursor = await db.executemany(rows.ADD, added)
                if cursor.rowcount < len(added):
                    await self._look_up(news)

    async def _look_up(self, plans: Sequence[Waiting]) -> None:
        # Many at a time: each query is a turn of the event loop, and all who write wait for them.
        for start in range(0, len(plans), _PAGE):
            page = plans[start : start + _PAGE]
            keys = [waiting.record.key for waiting in page]
            query = f"{rows.READ} WHERE key IN ({', '.join('?' * len(keys))})"
            known = {record.key: record for record in await self._jobs(query, *keys)}
            for waiting in page:
                waiting.known = known[waiting.record.key]

    async def forget(self, keys: Iterable[str]) -> None:
        """Remove the jobs of *keys* and their histories, as if they had never been planned.

        For jobs that cost nothing: one that was paid for would be paid for again.

        Raises:
            JournalError: The file cannot be written.
        """
        async with self._commits.sole_writer():
            await finish(self._forget(rows.Rows((key,) for key in keys)))

    async def _forget(self, keys: rows.Rows) -> None:
        async with self._transaction() as db:
            for statement in rows.FORGET:
                await db.executemany(statement, keys)

    async def get(self, key: str) -> JobRecord | None:
        """Give the record of *key*, or None.

        Raises:
            JournalError: The file cannot be read.
        """
        return next(iter(await self._jobs(rows.READ_KEY, key)), None)

    async def by_task(self, task_id: str) -> JobRecord | None:
        """Give the record of the job that *task_id* belongs to, or None.

        Raises:
            JournalError: The file cannot be read.
        """
        query = f"{rows.READ} WHERE task_id = ? ORDER BY place DESC LIMIT 1"
        return next(iter(await self._jobs(query, task_id)), None)

    async def records(self, state: JobState | None = None) -> AsyncIterator[JobRecord]:
        """Give the records in the order in which they were planned, some at a time.

        Raises:
            JournalError: The file cannot be read.
        """
        place, wanted = 0, "1" if state is None else self._stored(state)
        query = f"{rows.READ} WHERE place > ? AND ({wanted}) ORDER BY place LIMIT {_PAGE}"
        while page := await self._read(query, place):
            for _, *row in page:
                yield self._job(row)
            place = page[-1][0]

    async def history(self, key: str) -> Sequence[Move]:
        """Give every change of a job, the earliest first; empty for an unknown key.

        Raises:
            JournalError: The file cannot be read.
        """
        return [rows.read_move(row) for row in await self._read(rows.READ_MOVES, key)]

    async def lives(self) -> AsyncIterator[tuple[JobRecord, Sequence[Move]]]:
        """Give every job with its history, in the order in which they were planned.

        Some at a time; a history is read after its record, and may have a change more.

        Raises:
            JournalError: The file cannot be read.
        """
        place = 0
        while page := await self._read(rows.READ_PAGE, place, _PAGE):
            moves: dict[int, list[Move]] = {}
            for of, *row in await self._read(rows.READ_PAGE_OF_MOVES, page[0][0], page[-1][0]):
                moves.setdefault(of, []).append(rows.read_move(row))
            for place, *row in page:
                yield self._job(row), moves.get(place, ())

    async def remember(self, name: str, text: str) -> None:
        """Keep *text* under *name*, in place of what was kept there.

        Raises:
            JournalError: It could not be written.
        """
        self._check_writable()
        await finish(self._remember(name, text))

    async def _remember(self, name: str, text: str) -> None:
        async with self._commits.sole_writer(), self._transaction() as db:
            # It may be a URL that is signed, and the driver writes to its log at DEBUG.
            await db.executemany(rows.REMEMBER, rows.Rows([(name, text)]))

    async def recall(self, name: str) -> str | None:
        """Give what is kept under *name*; None for nothing.

        Raises:
            JournalError: The file cannot be read.
        """
        kept = [text for (text,) in await self._read(rows.RECALL, name)]
        return kept[0] if kept else None

    async def _jobs(self, query: str, *values: str) -> list[JobRecord]:
        return [self._job(row) for _, *row in await self._read(query, *values)]

    def _job(self, row: Sequence[Any]) -> JobRecord:
        with self._explaining("read"):
            record = rows.read(row)
        if self._is_left and record.state is JobState.SUBMITTING:
            return record.moved(JobState.UNKNOWN, record.changed_at, error=LEFT)
        return record

    def _stored(self, state: JobState) -> str:
        """Say which rows are in *state* for who reads them."""
        if not self._is_left or state not in (JobState.UNKNOWN, JobState.SUBMITTING):
            return f"state = '{state}'"
        return "state IN ('unknown', 'submitting')" if state is JobState.UNKNOWN else "0"

    async def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._explaining("read"):
            return [tuple(row) for row in await self._opened.execute_fetchall(query, values)]


def _check_changed(statement: str, is_changed: bool) -> None:
    if is_changed:
        return
    if statement == rows.INTEND:
        raise JournalError("the job was never planned, or another program is sending it as well")
    raise JournalError("a job that was never planned cannot be written down")


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
