"""A worker's sign of life, and how others learn that it is gone.

On Postgres that is an advisory lock of a session, and nothing more: it ends with the process, with
the connection of a host that vanished, and with a worker that stands still, since the server ends a
session that is idle for too long. On SQLite, where one worker is all that there may be, it is the
lock of a file.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from seedance_async.distributed import database
from seedance_async.distributed.database import Database, workers
from seedance_async.errors import JournalError
from seedance_async.locking import lock

_CLASS = 0x73656564  # of our advisory locks; "seed" in ASCII
_TRIES, _PAUSE_S = 5, 0.05
_BEATS = 3  # in the time after which a silent one is taken for dead; our choice


@attrs.frozen(kw_only=True)
class Worker:
    """A worker as the others see it.

    Attributes:
        number: What its lock is called.
        executor_id: What the engine calls it.
    """

    number: int
    executor_id: str


class Gone(Exception):
    """The sign of life was lost, and somebody else has taken it for that."""


def beat_s() -> float:
    """Give how often a worker says something, in seconds."""
    return database.SILENCE_S / _BEATS


def living(connection: sa.Connection) -> list[tuple[str, tuple[str, ...]]]:
    """Give the workers whose lock is held now, each with its accounts; blocks."""
    query = sa.select(workers.c.executor_id, workers.c.accounts).order_by(workers.c.number)
    if connection.dialect.name == "sqlite":
        if not _is_held(_file_beside(connection.engine.url)):
            return []
    else:
        held: sa.Select[int] = sa.select(sa.column("objid", sa.BigInteger)).select_from(
            sa.text("pg_catalog.pg_locks")
        )
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ours = sa.text(f"locktype = 'advisory' AND classid = {_CLASS} AND granted AND {here}")
        query = query.where(workers.c.number.in_(held.where(ours)))
    return [(name, tuple(json.loads(accounts))) for name, accounts in connection.execute(query)]


def _file_beside(url: sa.URL) -> Path:
    return Path(f"{url.database}.worker")


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            lock(file)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class SignOfLife:
    """This worker's lock, and the look at those of others; every method blocks.

    Args:
        at: Where the workers meet.
        executor_id: What the engine calls this one.
        accounts: The accounts that it works for.
    """

    def __init__(self, at: Database, executor_id: str, accounts: Sequence[str]) -> None:
        self._database = at
        self._executor_id = executor_id
        self._accounts = json.dumps(list(accounts))
        self._connection: sa.Connection | None = None
        self._file: BinaryIO | None = None
        self._number: int | None = None
        self._lost_at = float("-inf")

    def begin(self) -> None:
        """Take the lock, and be known to others.

        Raises:
            JournalError: On SQLite, another worker has it.
        """
        if self._database.is_sqlite and self._file is None:
            self._lock_file()
        connection = self._connect()
        with connection.begin():
            values = {
                "executor_id": self._executor_id,
                "accounts": self._accounts,
                "started_at": time.time(),
            }
            # Made again where the first answer was lost, of which the row must not stay.
            mine = workers.c.executor_id == self._executor_id
            connection.execute(workers.delete().where(mine))
            inserting = workers.insert().values(**values).returning(workers.c.number)
            number = connection.execute(inserting).scalar_one()
            # Before anybody else can see the row.
            if not self._try(connection, number):
                raise JournalError("the number of this worker is another's")
        self._number = number

    def _lock_file(self) -> None:
        path = _file_beside(self._database.url)
        for _ in range(_TRIES):  # who looks whether there is a worker holds the lock shortly
            if not _is_held(path):
                break
            time.sleep(_PAUSE_S)
        file = path.open("ab+")
        try:
            lock(file)
        except OSError:
            file.close()
            raise JournalError(
                f"another worker has {self._database.url.database}: SQLite takes one process, "
                "Postgres any number"
            ) from None
        self._file = file

    def _connect(self) -> sa.Connection:
        self._connection = connection = self._database.engine.connect()
        if not self._database.is_sqlite:
            with contextlib.suppress(DBAPIError), connection.begin():  # unknown before Postgres 14
                connection.exec_driver_sql(f"SET idle_session_timeout = '{database.SILENCE_S:g}s'")
        return connection

    def _try(self, connection: sa.Connection, number: int) -> bool:
        if self._database.is_sqlite:
            return True
        query = sa.select(sa.func.pg_try_advisory_lock(_CLASS, sa.cast(number, sa.Integer)))
        return bool(connection.execute(query).scalar())

    def _unlock(self, connection: sa.Connection, number: int) -> None:
        if not self._database.is_sqlite:
            query = sa.select(sa.func.pg_advisory_unlock(_CLASS, sa.cast(number, sa.Integer)))
            connection.execute(query)

    def beat(self) -> bool:
        """Say that this worker is there; False where the server cannot be reached.

        Raises:
            Gone: Another worker has taken this one for dead.
        """
        try:
            if self._connection is None or self._connection.invalidated:
                self._drop()
                connection = self._connect()
                assert self._number is not None  # noqa: S101 -- for the types: it has begun
                with connection.begin():
                    if not self._try(connection, self._number):
                        raise Gone
            with self._connection.begin() if self._connection else contextlib.nullcontext():
                assert self._connection is not None  # noqa: S101 -- for the types
                there = sa.select(workers.c.number).where(workers.c.number == self._number)
                if self._connection.execute(there).first() is None:
                    raise Gone
        except SQLAlchemyError:
            self._drop()
            self._lost_at = time.monotonic()
            return False
        return True

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()
                connection.close()

    def bury(self, hand_over: Callable[[Worker], None]) -> list[Worker]:
        """Find the workers that are gone, and hand over the jobs of each, under its lock.

        Raises:
            DBAPIError: The server cannot be reached.
        """
        if time.monotonic() - self._lost_at < database.SILENCE_S:
            return []
        buried = []
        # Not the connection of our own sign of life, which goes on meanwhile.
        with self._database.engine.connect() as connection:
            if not self._is_steady(connection):
                return []
            for worker in self._others(connection):
                with self._locked(connection, worker.number) as is_gone:
                    if is_gone and worker in self._others(connection):
                        hand_over(worker)
                        with connection.begin():
                            gone = workers.c.number == worker.number
                            connection.execute(workers.delete().where(gone))
                        buried.append(worker)
        return buried

    def _is_steady(self, connection: sa.Connection) -> bool:
        """Tell whether everybody has had the time to take their locks again."""
        if self._database.is_sqlite:
            return True
        up_s = sa.func.extract("epoch", sa.func.now() - sa.func.pg_postmaster_start_time())
        with connection.begin():
            return float(connection.execute(sa.select(up_s)).scalar_one()) > database.SILENCE_S

    def _others(self, connection: sa.Connection) -> list[Worker]:
        query = sa.select(workers.c.number, workers.c.executor_id)
        with connection.begin():
            found = connection.execute(query.where(workers.c.number != self._number)).fetchall()
        return [Worker(number=number, executor_id=executor_id) for number, executor_id in found]

    @contextlib.contextmanager
    def _locked(self, connection: sa.Connection, number: int) -> Iterator[bool]:
        with connection.begin():
            is_free = self._try(connection, number)
        try:
            yield is_free
        finally:
            if is_free:
                with connection.begin():
                    self._unlock(connection, number)

    def fall_silent(self) -> None:
        """Go without a word: others take over what the engine has in this worker's name."""
        self._drop()
        if self._file is not None:
            self._file.close()

    def end(self) -> None:
        """Say goodbye: the jobs were handed over, or another will do that."""
        connection = self._connection
        try:
            if connection is not None and self._number is not None:
                with connection.begin():
                    own = workers.c.number == self._number
                    connection.execute(workers.delete().where(own))
                    self._unlock(connection, self._number)
        except DBAPIError:
            pass
        finally:
            self.fall_silent()
