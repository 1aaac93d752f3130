"""``DistributedWorker``: a process that sends, watches and fetches the jobs of accounts.

Joins the engine, which says what is whose turn, with a session for each account, which does it.
What lives here is a worker's own life: its beginning, its sign of life, and its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import itertools
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import aiohttp
import attrs
import sqlalchemy as sa

from seedance_async.account import Account as Target
from seedance_async.distributed import alive, database
from seedance_async.distributed.accounts import Account
from seedance_async.distributed.alive import Gone, SignOfLife, Worker
from seedance_async.distributed.client import RATE, SERVICE, again, in_force, turn_of
from seedance_async.distributed.database import Database, claim_fact
from seedance_async.distributed.shared import Row, SharedJournal, add, lacks
from seedance_async.distributed.sinks import Sink, as_sink
from seedance_async.errors import JournalError, SeedanceError
from seedance_async.events import Subscriber
from seedance_async.journal import SqliteJournal
from seedance_async.journal.lock import is_written
from seedance_async.ledger import utc_now
from seedance_async.lifecycle import KEPT, JobRecord, JobState
from seedance_async.pacing import Pacing
from seedance_async.session import SeedanceSession
from seedance_async.transport import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from seedance_async.distributed.engine import Control, Engine
    from seedance_async.distributed.work import AccountWork

T = TypeVar("T")
_log = logging.getLogger("seedance_async")
# A server that is restarted is back within this; beyond it, jobs wait all the same, see ``work``.
_PATIENCE_S = 30.0
_SWEEP = 12  # beats: a minute; our choice
_AT_ONCE = 200  # records of a spool that are compared together
_MOST_SPOOLS = 64  # workers on one machine; our choice
_LEAST_ASKED_S = 60.0  # a task that can be asked about more seldom is told of; our choice


class WorkerFenced(SeedanceError):
    """This worker was silent for too long: others have its jobs, and it has stopped."""


class DistributedWorker:
    """Does the jobs of accounts; any number of workers on any machines share them.

    ``async with DistributedWorker(...) as worker: await worker.run_forever()``. Leaving the block
    leaves all jobs as they are, behind the creates that are on the wire: other workers go on with
    them at once.

    Args:
        dsn: Where the jobs are: ``postgresql://user:password@host/database``, directly or through
            a pool that keeps sessions; or ``sqlite:///path``, where this is the only worker.
        accounts: The accounts that it works for, with their keys.
        out: Where finished videos are kept: a folder's path, ``s3://bucket/prefix``, or a sink.
        spool: The folder for the ids of paid tasks, on this machine's own disk, and the same each
            time: what a database does not know is found there.
        pacing: When to ask about a task again.
        timeout: The bounds of one call to the provider; see ``SeedanceSession``.
        subscriber: Called with every event of the accounts' sessions; must return quickly.
        attach: Whether the program runs DBOS itself. It is launched inside the event loop before
            the worker begins, *after* ``seedance_async.distributed.engine`` is imported, and
            destroyed right behind the worker: until then it keeps the jobs that it has.
        migrate: Whether to make or update the tables; False where this role may not.
        failover: Whether to take over the jobs of workers that are gone; False where DBOS
            Conductor does.

    Raises:
        ValueError: An argument that cannot be used.
    """

    def __init__(
        self,
        dsn: str,
        *,
        accounts: Sequence[Account],
        out: Sink | str | os.PathLike[str],
        spool: str | os.PathLike[str] = "seedance-spool",
        pacing: Pacing | None = None,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
        subscriber: Subscriber | None = None,
        attach: bool = False,
        migrate: bool = True,
        failover: bool = True,
    ) -> None:
        self._accounts = {account.name: account for account in accounts}
        if not accounts or len(self._accounts) < len(accounts):
            raise ValueError("accounts must be one or more, each with a name of its own")
        self._database = Database(dsn, patience_s=_PATIENCE_S)
        self._out = out
        self._spool = Path(spool).absolute()
        self._pacing, self._timeout, self._subscriber = pacing, timeout, subscriber
        self._attach, self._migrate, self._failover = attach, migrate, failover
        self._stack = contextlib.AsyncExitStack()
        self._work: dict[str, AccountWork] = {}
        self._journals: dict[str, SharedJournal] = {}
        self._life: SignOfLife | None = None
        self._engine: Engine | None = None
        self._control: Control | None = None
        self._told_to_end = asyncio.Event()
        self._threads = ThreadPoolExecutor(2, "seedance worker")
        self._fenced: WorkerFenced | None = None
        self._idle: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        return f"<DistributedWorker for {', '.join(self._accounts)}>"

    async def __aenter__(self) -> Self:
        """Begin: jobs come in from now on.

        Raises:
            JournalError: The database or the spool cannot be used.
            DownloadError: The folder cannot be written.
        """
        # Takes half a second, which nobody should pay who does not need it.
        from seedance_async.distributed.engine import Bounds, Control, Engine  # noqa: PLC0415
        from seedance_async.distributed.engine import migrate as migrate_engine  # noqa: PLC0415

        async with self._stack:
            self._stack.callback(self._database.close)
            self._stack.callback(self._threads.shutdown, wait=False)
            sink = await asyncio.to_thread(as_sink, self._out)
            if self._migrate:
                await self._database.thread(self._database.migrate)
                await asyncio.to_thread(migrate_engine, self._database)
            await self._database.thread(self._database.check_version)
            self._control = control = await asyncio.to_thread(Control, self._database)
            self._stack.push_async_callback(asyncio.to_thread, control.close)
            for name, account in self._accounts.items():
                bounds = Bounds(
                    max_in_flight=account.max_in_flight,
                    creates_per_minute=account.creates_per_minute,
                )
                await self._database.thread(functools.partial(control.make_queues, name, bounds))
                if account.creates_per_minute is not None:
                    rate = functools.partial(
                        claim_fact, name=RATE + name, value=str(account.creates_per_minute)
                    )
                    await self._database.run(rate)
                await self._open(account, sink)
            executor_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            self._engine = Engine(
                self._database,
                self._work,
                executor_id,
                attach=self._attach,
                migrate=False,
            )
            names = sorted(self._accounts)
            self._life = SignOfLife(self._database, self._engine.executor_id, names)
            await self._database.thread(self._life.begin)
            self._stack.push_async_callback(self._say_goodbye)
            self._stack.push_async_callback(self._leave_all)  # what came in meanwhile
            self._stack.push_async_callback(self._engine.end)
            self._stack.push_async_callback(self._leave_all)
            # Before the first job comes in: what was paid for is not to be sent.
            for name in self._accounts:
                await self._reconcile(name)
                await self._sweep(name, 0.0)
            await self._engine.begin()
            await self._follow_limits(is_first=True)
            for care in (self._live, self._care):
                caring = asyncio.create_task(care(), name="seedance worker")
                self._stack.push_async_callback(_cancelled, caring)
            self._stack = self._stack.pop_all()
        return self

    async def _open(self, account: Account, sink: Sink) -> None:
        from seedance_async.distributed.work import AccountWork  # noqa: PLC0415

        target = Target.of(account.api_key, account.base_url)
        await self._database.run(
            lambda connection: _claim(connection, account.name, target.service)
        )
        spool = await self._stack.enter_async_context(self._first_free_spool(account.name))
        await spool.claim(target.service)
        journal = SharedJournal(self._database, account.name, spool=spool, on_late=self._is_late)
        session = SeedanceSession(
            target.api_key,
            base_url=target.base_url,
            limits=account.limits,
            pacing=self._pacing,
            timeout=self._timeout,
            journal=journal,
        )
        await self._stack.enter_async_context(session)
        if self._subscriber is not None:
            self._stack.enter_context(session.subscribe(self._subscriber))
        self._journals[account.name] = journal
        self._work[account.name] = AccountWork(session, journal, sink, account.timeout_s)
        asked_s = account.max_in_flight / (account.polls_per_second or float("inf"))
        if asked_s > _LEAST_ASKED_S:
            _log.warning(
                "account %s: %d jobs at %g queries a second are asked about every %.0f s at best",
                account.name,
                account.max_in_flight,
                account.polls_per_second,
                asked_s,
            )

    @contextlib.asynccontextmanager
    async def _first_free_spool(self, account: str) -> AsyncIterator[SqliteJournal]:
        """Open the first spool that no other worker of this machine has."""
        for number in itertools.count():
            spool = SqliteJournal(self._spool / f"{account}.{number}.db")
            try:
                await spool.open()
            except JournalError:
                if number == _MOST_SPOOLS or not is_written(spool.path):
                    raise
                continue
            try:
                yield spool
            finally:
                await spool.close()
            return

    async def _is_late(self, row: Row) -> None:
        _log.warning("job %s is under way again: its id came after all", row.record.key)
        control = self._control
        assert control is not None  # noqa: S101 -- for the types: it has begun
        await self._database.thread(lambda: again(control, attrs.evolve(row, is_over=True)))

    # ---- what spools know, and the database does not

    async def _reconcile(self, account: str) -> None:
        """Bring in the ids of all spools here that no other worker has open."""
        for path in sorted(self._spool.glob(f"{account}.*.db")):
            own = self._journals[account]._own
            if path == own.path:
                await self._bring_in(account, own)
                continue
            try:
                async with SqliteJournal(path) as spool:
                    await self._bring_in(account, spool)
            except JournalError as exc:
                level = logging.DEBUG if is_written(path) else logging.ERROR
                _log.log(level, "the spool %s is left alone: %s", path.name, exc.message)

    async def _bring_in(self, account: str, spool: SqliteJournal) -> None:
        some: list[JobRecord] = []
        async for record in spool.records():
            if record.task_id is not None:
                some.append(record)
            if len(some) == _AT_ONCE:
                await self._compare(account, spool, some)
                some = []
        await self._compare(account, spool, some)

    async def _compare(self, account: str, spool: SqliteJournal, some: Sequence[JobRecord]) -> None:
        """Hold what a spool knows against the database."""
        journal = self._journals[account]
        kept = {
            row.record.key: row.record
            for row in await journal.rows_of([record.key for record in some])
        }
        for record in some:
            known = kept.get(record.key)
            if known is None:
                await self._restore(account, record)
            elif lacks(known, record):
                await journal.bring(record)
            elif known.task_id == record.task_id and known.state is not record.state:
                await spool.put(known)  # another worker saw its end

    async def _restore(self, account: str, spooled: JobRecord) -> None:
        """Write a job down again that the database has lost, as long as there is a video to get."""
        if spooled.state is not JobState.SUBMITTED:
            return
        if spooled.submitted_at is None or utc_now() - spooled.submitted_at > KEPT:
            return
        control = self._control
        assert control is not None  # noqa: S101 -- for the types: it has begun
        _log.warning("job %s was not in the database any more, and is again", spooled.key)

        def work(connection: sa.Connection) -> None:
            place = add(connection, spooled, account)
            if place is not None:
                control.enqueue(connection, turn_of(spooled.key, account, place))

        await self._database.run(work, spooled.task_id)

    # ---- while it runs

    async def run_forever(self) -> None:
        """Work until ``stop`` is called, or SIGTERM or SIGINT comes; then leave the block.

        Raises:
            WorkerFenced: This worker was silent for too long, and others have its jobs. Start it
                anew: it has stopped, and its spool still knows what was paid for.
        """
        with _told_by_signals(self._told_to_end.set):
            await self._told_to_end.wait()
        if self._fenced is not None:
            raise self._fenced

    def stop(self) -> None:
        """Have ``run_forever`` return; safe to call from the event loop at any time."""
        self._told_to_end.set()

    @property
    def in_flight(self) -> int:
        """How many jobs and downloads this worker has now."""
        return sum(work.in_flight for work in self._work.values())

    async def _live(self) -> None:
        """Give the sign of life, and stop where it was lost."""
        was_reached = True
        while True:
            await asyncio.sleep(alive.beat_s())
            assert self._life is not None  # noqa: S101 -- for the types: it has begun
            try:
                is_reached = await self._apart(self._life.beat)
            except Gone:
                _log.error("this worker was taken for dead, and stops")
                self._fenced = WorkerFenced("silent for too long: others have its jobs")
                await self._leave_all()
                self._told_to_end.set()
                return
            # Whatever it is: without a sign of life others take the jobs over.
            except Exception as exc:  # noqa: BLE001
                _log.debug("no sign of life: %r", exc)
                is_reached = False
            if is_reached is not was_reached:
                what = "is there again" if is_reached else "cannot be reached: jobs wait for it"
                _log.warning("the database %s", what)
            was_reached = is_reached

    async def _care(self) -> None:
        """Look for signs of life of others, for jobs that nobody has, and for changed limits."""
        turns = itertools.count(1)
        while True:
            await asyncio.sleep(alive.beat_s())
            assert self._life is not None  # noqa: S101 -- for the types: it has begun
            try:
                if self._failover:
                    bury = functools.partial(self._life.bury, self._hand_over)
                    for worker in await self._apart(bury):
                        _log.warning("the jobs of worker %s were taken over", worker.executor_id)
                await self._follow_limits()
                for name in self._accounts if next(turns) % _SWEEP == 0 else ():
                    await self._sweep(name, database.SILENCE_S)
            # Whatever it is: it must be looked for again.
            except Exception as exc:  # noqa: BLE001
                _log.debug("others are looked for again in a moment: %r", exc)

    async def _sweep(self, account: str, quiet_s: float) -> None:
        """Find jobs that nobody has, though something is to be done about them.

        As where a program ended between a change of a job and its telling the engine.
        """
        before = utc_now() - dt.timedelta(seconds=quiet_s)
        found = {row.record.key: row for row in await self._journals[account].open_rows(before)}
        tasks = {
            key: row.record.task_id if row.record.state is JobState.COMPLETED else None
            for key, row in found.items()
        }
        control = self._control
        assert control is not None  # noqa: S101 -- for the types: it has begun
        idle = set(await self._database.thread(functools.partial(control.idle, tasks)))
        # One that has just been finished looks like one that nobody has; it does not do so twice.
        suspects = self._idle.get(account, set()) if quiet_s else idle
        self._idle[account] = idle
        for key in sorted(idle & suspects):
            _log.warning("job %s was nobody's, and is taken up", key)
            await self._database.thread(functools.partial(again, control, found[key]))

    async def _apart(self, work: Callable[[], T]) -> T:
        """Do what must not wait behind the jobs' own calls, of which there may be thousands."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _hand_over(self, worker: Worker) -> None:
        assert self._control is not None  # noqa: S101 -- for the types: it has begun
        self._control.hand_over(worker.executor_id)

    async def _follow_limits(self, *, is_first: bool = False) -> None:
        control = self._control
        assert control is not None  # noqa: S101 -- for the types: it has begun
        for name, work in self._work.items():
            bounds = await in_force(self._database, control, name)
            if bounds is None:
                continue
            limits = attrs.evolve(
                work.session.limits,
                max_in_flight=bounds.max_in_flight,
                creates_per_minute=bounds.creates_per_minute,
            )
            if limits != work.session.limits:
                if is_first:
                    _log.warning("account %s: %s are in force, see set-limit", name, limits)
                work.session.limits = limits

    # ---- its end

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _leave_all(self) -> None:
        for work in self._work.values():
            await work.end()

    async def _say_goodbye(self) -> None:
        """Have others go on at once with what is left."""
        life, control, engine = self._life, self._control, self._engine
        assert life and control and engine  # noqa: S101, PT018 -- for the types: it has begun
        if self._attach:
            # The engine goes on, and would have them again: others find out when it has ended.
            await self._database.thread(life.fall_silent)
            return
        try:
            await self._database.thread(functools.partial(control.hand_over, engine.executor_id))
        except JournalError as exc:
            _log.warning("others find the jobs by themselves: %s", exc.message)
            await self._database.thread(life.fall_silent)
        else:
            await self._database.thread(life.end)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _claim(connection: sa.Connection, account: str, service: str) -> None:
    """Note once where an account's tasks are made: ids are of no use at another service."""
    known = claim_fact(connection, SERVICE + account, service)
    if known != service:
        raise JournalError(f"the jobs of account {account} are made at {known}, not at {service}")


@contextlib.contextmanager
def _told_by_signals(tell: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    names = (signal.SIGTERM, signal.SIGINT)
    is_able = sys.platform != "win32"
    if is_able:
        for name in names:
            loop.add_signal_handler(name, tell)
    try:
        yield
    finally:
        if is_able:
            for name in names:
                loop.remove_signal_handler(name)
