"""The tables that are ours, beside the engine's: jobs, their moves, facts, and workers.

One file for both kinds of database. Every call runs in a thread of its own pool, in a transaction
of its own, and is made again as long as the server is away, for as long as its caller can wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from seedance_async.errors import JournalError, SessionClosed
from seedance_async.journal import rows
from seedance_async.lifecycle import JobState

T = TypeVar("T")
_VERSION = 1
_SCHEMA = "seedance"
# Who is silent for longer is taken for dead. Our choice: much more than a slow answer takes.
SILENCE_S = 15.0
_THREADS = 8  # and as many connections; our choice
_LONGEST_PAUSE_S = 2.0

_metadata = sa.MetaData()
_texts = {"key", "digest", "request", "state"}
_integers = {"attempts", "polls", "size_bytes"}


def _column(name: str) -> sa.Column[object]:
    if name in _integers:
        return sa.Column(name, sa.BigInteger, nullable=name == "size_bytes")
    if name in rows.TIMES:  # seconds since 1970
        return sa.Column(name, sa.Double, nullable=name not in ("planned_at", "changed_at"))
    return sa.Column(name, sa.Text, nullable=name not in _texts, unique=name == "key")


_place = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers INTEGER alone
#: A job; most columns are those of the journal on one machine, see ``journal.rows``.
jobs: sa.Table = sa.Table(
    "seedance_jobs",
    _metadata,
    sa.Column("place", _place, primary_key=True, autoincrement=True),
    *map(_column, rows.COLUMNS),
    sa.Column("account", sa.Text, nullable=False),
    # Another with each change: who writes names the one that was read.
    sa.Column("stamp", sa.Text, nullable=False),
    # Nothing more is done about it by itself.
    sa.Column("is_over", sa.Boolean, nullable=False, default=False),
    sa.Column("problem", sa.Text),  # JSON: the error that it ended with
    sa.Column("cancelled_at", sa.Double),
)
sa.Index("seedance_jobs_by_state", jobs.c.state, jobs.c.place)
_has_task = jobs.c.task_id.is_not(None)
sa.Index(
    "seedance_jobs_by_task",
    jobs.c.task_id,
    postgresql_where=_has_task,
    sqlite_where=_has_task,
)
moves: sa.Table = sa.Table(
    "seedance_moves",
    _metadata,
    sa.Column("number", _place, primary_key=True, autoincrement=True),
    sa.Column("place", sa.BigInteger, nullable=False, index=True),
    sa.Column("at", sa.Double, nullable=False),
    *(sa.Column(name, sa.Text, nullable=name != "state") for name in rows.MOVE[1:]),
)
# Every change of a job goes into its history, in the same transaction and the same round trip.
_MOVED = ", ".join(["changed_at", *rows.MOVE[1:]])
_NEW = ", ".join(f"new.{name}" for name in _MOVED.split(", "))
_NOTE = f"""
    INSERT INTO %s (place, at, {", ".join(rows.MOVE[1:])}) VALUES (new.place, {_NEW});
"""  # noqa: S608 -- names of ours
_TRIGGERS = {
    "sqlite": [
        f"""
        CREATE TRIGGER IF NOT EXISTS seedance_{name} AFTER {event} ON seedance_jobs {when} BEGIN
            {_NOTE % "seedance_moves"}
        END
        """
        for name, event, when in (
            ("planned", "INSERT", ""),
            ("moved", "UPDATE", "WHEN old.changed_at IS NOT new.changed_at"),
        )
    ],
    "postgresql": [
        f"""
        CREATE OR REPLACE FUNCTION {_SCHEMA}.seedance_note() RETURNS trigger AS $$ BEGIN
            {_NOTE % f"{_SCHEMA}.seedance_moves"}
            RETURN NULL;
        END $$ LANGUAGE plpgsql
        """,
        *(
            f"""
            CREATE OR REPLACE TRIGGER seedance_{name} AFTER {event} ON {_SCHEMA}.seedance_jobs
            FOR EACH ROW {when} EXECUTE FUNCTION {_SCHEMA}.seedance_note()
            """
            for name, event, when in (
                ("planned", "INSERT", ""),
                ("moved", "UPDATE", "WHEN (old.changed_at IS DISTINCT FROM new.changed_at)"),
            )
        ),
    ],
}
facts: sa.Table = sa.Table(
    "seedance_facts",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
#: The workers that were started and have not said goodbye; see ``alive``.
workers: sa.Table = sa.Table(
    "seedance_workers",
    _metadata,
    sa.Column("number", _place, primary_key=True, autoincrement=True),
    sa.Column("executor_id", sa.Text, nullable=False),
    sa.Column("accounts", sa.Text, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
)


class Database:
    """One database, by its address.

    Args:
        dsn: ``postgresql://user@host/name``, or ``sqlite:///path`` for one machine.
        patience_s: For how long a call is made again while the server is away; 0 for not at all.

    Raises:
        ValueError: It is no such address.
    """

    def __init__(self, dsn: str, *, patience_s: float = 0.0) -> None:
        self.url: sa.URL = _url(dsn)
        self.is_sqlite: bool = self.url.get_backend_name() == "sqlite"
        # Prompts are among the parameters, and have no business in an error.
        engine = sa.create_engine(
            self.url,
            hide_parameters=True,
            pool_size=_THREADS,
            max_overflow=2,
            connect_args={"timeout": 15.0} if self.is_sqlite else _KEEPALIVES,
        )
        self.engine: sa.Engine = engine
        if not self.is_sqlite:
            sa.event.listen(engine, "connect", _let_go_in_time)
            self.engine = engine.execution_options(schema_translate_map={None: _SCHEMA})
        self._plain = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._patience_s = patience_s
        self._is_closed = False
        self._threads = ThreadPoolExecutor(_THREADS, "seedance database")

    def __repr__(self) -> str:
        return f"<Database {self.url.render_as_string(hide_password=True)}>"

    @property
    def engines_url(self) -> str:
        """The address as the engine takes it."""
        return self.url.render_as_string(hide_password=False)

    async def run(self, work: Callable[[sa.Connection], T], task_id: str | None = None) -> T:
        """Do *work* in a transaction; it may be done again, and has to mean the same then.

        Raises:
            JournalError: The database cannot be reached, or does not take it.
        """
        return await self.thread(lambda: self._in_transaction(work), task_id)

    async def single(self, work: Callable[[sa.Connection], T], task_id: str | None = None) -> T:
        """Do *work* of one statement, which is a transaction by itself; likewise.

        In a third of the round trips.
        """
        return await self.thread(lambda: self._alone(work), task_id)

    async def thread(self, work: Callable[[], T], task_id: str | None = None) -> T:
        """Do *work*, which opens its own connection, in a thread; likewise."""
        if self._is_closed:
            raise SessionClosed("it was closed")
        deadline, pause_s = anyio.current_time() + self._patience_s, 0.1
        was_stale = False
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
            except SQLAlchemyError as exc:
                if _is_stale(exc) and not was_stale:  # a server that was restarted is there again
                    was_stale = True
                    continue
                if not _is_away(exc) or anyio.current_time() + pause_s > deadline:
                    raise JournalError(f"{self._where}: {_words(exc)}", task_id) from exc
            await anyio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    @property
    def _where(self) -> str:
        return f"the database {self.url.render_as_string(hide_password=True)}"

    def _in_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    def _alone(self, work: Callable[[sa.Connection], T]) -> T:
        with self._plain.connect() as connection:
            return work(connection)

    def migrate(self) -> None:
        """Make our tables; blocks.

        Raises:
            JournalError: They are of a newer version.
        """
        with self.engine.begin() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1936024932)")
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
            _metadata.create_all(connection)
            for statement in _TRIGGERS[connection.dialect.name]:
                connection.exec_driver_sql(statement)
            claim_fact(connection, "version", str(_VERSION))
        self.check_version()

    def check_version(self) -> None:
        """Check that our tables are there, and of this version; blocks.

        Raises:
            JournalError: They are not.
        """
        message = f"{self._where} has no tables of ours yet: run 'seedance worker migrate' once"
        try:
            with self.engine.begin() as connection:
                version = read_fact(connection, "version")
        except DBAPIError as exc:
            if _is_away(exc) and "no such table" not in str(exc):
                raise
            raise JournalError(f"{message} ({_words(exc)})") from exc
        if version is None:
            raise JournalError(message)
        if int(version) > _VERSION:
            raise JournalError(
                f"{self._where} is of a newer version: bring seedance_async up to date"
            )

    def close(self) -> None:
        """Give the connections back."""
        self._is_closed = True
        self.engine.dispose()
        self._threads.shutdown(wait=False)


def _let_go_in_time(connection: Any, _: object) -> None:
    """Have the server end the transactions of a worker that stands still, and free their locks."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{SILENCE_S:g}s'")
    connection.commit()


def grant(connection: sa.Connection, role: str) -> None:
    """Let *role* use our tables, those of later versions too, and no more.

    Raises:
        JournalError: The database has no roles.
        SQLAlchemyError: There is no such role, or who connects may not grant.
    """
    if connection.dialect.name == "sqlite":
        raise JournalError("SQLite has no roles: leave --role away")
    whom = connection.dialect.identifier_preparer.quote_identifier(role)
    statements = [f"GRANT USAGE ON SCHEMA {_SCHEMA} TO {whom}"]
    for what, rights in _RIGHTS.items():
        later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {_SCHEMA}"
        statements.append(f"GRANT {rights} ON ALL {what} IN SCHEMA {_SCHEMA} TO {whom}")
        statements.append(f"{later} GRANT {rights} ON {what} TO {whom}")
    for statement in statements:
        connection.execute(sa.DDL(statement))  # type: ignore[no-untyped-call]


_RIGHTS = {"TABLES": "SELECT, INSERT, UPDATE, DELETE", "SEQUENCES": "USAGE"}
# A host that vanished would otherwise be waited for for hours.
_KEEPALIVES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "seedance",
}


def read_fact(connection: sa.Connection, name: str, *, lock: bool = False) -> str | None:
    """Give what is kept under *name*."""
    query = sa.select(facts.c.value).where(facts.c.name == name)
    return connection.execute(query.with_for_update() if lock else query).scalar()


def claim_fact(connection: sa.Connection, name: str, value: str) -> str:
    """Keep *value* under *name*, unless something is kept there; give what is, then."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert  # noqa: PLC0415 -- one of the two is used
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]  # noqa: PLC0415

    inserting = insert(facts).values(name=name, value=value)
    connection.execute(inserting.on_conflict_do_nothing(index_elements=["name"]))
    return read_fact(connection, name) or value


def write_fact(connection: sa.Connection, name: str, value: str) -> None:
    """Keep *value* under *name*, in place of what was kept there."""
    claim_fact(connection, name, value)
    connection.execute(facts.update().where(facts.c.name == name).values(value=value))


def _url(dsn: str) -> sa.URL:
    wrong = "a dsn is postgresql://user:password@host/database, or sqlite:///path for one machine"
    try:
        url = sa.make_url(dsn)
        backend = url.get_backend_name()
    except (SQLAlchemyError, ValueError, TypeError):
        raise ValueError(wrong) from None
    if backend in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not url.database or url.database == ":memory:":
        raise ValueError(wrong)
    return url.set(drivername="sqlite")


def _is_stale(exc: SQLAlchemyError) -> bool:
    """Tell whether a connection was lost; the pool then lets go of all."""
    return isinstance(exc, DBAPIError) and exc.connection_invalidated


def _is_away(exc: SQLAlchemyError) -> bool:
    """Tell whether it is the way to the server that failed, or a lock that passes."""
    return _is_stale(exc) or isinstance(
        exc, OperationalError | InterfaceError | sa.exc.TimeoutError
    )


def _words(exc: SQLAlchemyError) -> str:
    cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
    return str(cause).strip().partition("\n")[0] or type(cause).__name__


#: The states in which there may be a task that nobody here knows of.
OPEN = (JobState.PLANNED, JobState.SUBMITTING, JobState.UNKNOWN)
