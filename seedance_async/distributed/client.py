"""``DistributedClient``: what a bot or a web process does with the jobs; it has no API key."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

import anyio
import attrs
import sqlalchemy as sa

from seedance_async.account import address
from seedance_async.admission import Limits
from seedance_async.calls import key_of
from seedance_async.distributed import many
from seedance_async.distributed.alive import living
from seedance_async.distributed.database import Database, jobs, read_fact, write_fact
from seedance_async.distributed.shared import (
    Row,
    SharedJournal,
    add,
    kept_facts,
    remove_old,
    rename,
)
from seedance_async.errors import (
    InvalidRequest,
    JournalError,
    SessionClosed,
    SubmissionUnknown,
    VideoFailed,
    Violation,
    WaitTimeout,
)
from seedance_async.ledger import Ledger, check_same, utc_now
from seedance_async.lifecycle import JobRecord, JobState, Move, named_state
from seedance_async.request import Job, VideoRequest
from seedance_async.results import Outcome
from seedance_async.source import BatchSource
from seedance_async.watch import check_timeout

if TYPE_CHECKING:
    from seedance_async.distributed.engine import Bounds, Control, Turn

T = TypeVar("T")
RATE = "creates per minute "  # the fact of that name says what was set, before any rounding
SERVICE = "service "  # the fact of that name says where an account's tasks are made
DEFAULT_ACCOUNT = "main"
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.25, 2.0  # between two looks at jobs that are waited for
_KEYS = 1000  # that are asked for together
_PATIENCE_S = 60.0  # with a database that is away, of those who wait for jobs; our choice
# What a URL's query says that is signed. Source: the documentation of Amazon S3, Google Cloud
# Storage, Azure Blob Storage and CloudFront on presigned URLs.
_SIGNED = frozenset({"x-amz-signature", "x-goog-signature", "signature", "sig", "token"})


@attrs.frozen(eq=False, repr=False)
class DistributedJob:
    """A job that was handed in.

    Attributes:
        key: Its key: ``client.job(key)`` gives it again, in any process.
    """

    key: str
    _client: DistributedClient

    def __repr__(self) -> str:
        return f"<DistributedJob {self.key}>"

    async def status(self) -> JobRecord:
        """Give how it stands now.

        Raises:
            JournalError: It is not there any more, or the database cannot be reached.
        """
        return await self._client.status(self.key)

    async def result(self, timeout_s: float | None = None) -> JobRecord:
        """Wait until its video is where the workers keep videos.

        Args:
            timeout_s: Seconds to wait at the most, 0 or more; None for ever.

        Returns:
            The job, with ``path`` and ``size_bytes``.

        Raises:
            WaitTimeout: The time is over, here or at the worker; the task lives on.
            VideoFailed: The provider ended the task without a video, or somebody cancelled it.
            SubmissionUnknown: The create's answer was lost: ``adopt`` or ``resubmit`` it.
            DownloadError: The video was made, and could not be kept.
            SeedanceError: It was refused, or ended otherwise; as on one machine.
        """
        return await self._client._result(self.key, check_timeout(timeout_s))


class DistributedClient:
    """Hands in jobs, waits for them and settles them; use it with ``async with``.

    Args:
        dsn: Where the jobs are: ``postgresql://user:password@host/database``, or
            ``sqlite:///path`` where there is one worker.

    Raises:
        ValueError: It is no such address.
    """

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn)
        self._journal = SharedJournal(self._database)
        self._opened: Control | None = None
        self._services: Mapping[str, str] = {}
        self._waiting: dict[str, set[asyncio.Future[Row]]] = {}
        self._looking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<DistributedClient of {self._database!r}>"

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            JournalError: The database cannot be reached, or has no tables of ours.
        """
        await self._database.thread(self._database.check_version)
        self._opened = await asyncio.to_thread(self._control_of)
        return self

    def _control_of(self) -> Control:
        # Takes half a second, which nobody should pay who does not need it.
        from seedance_async.distributed.engine import Control  # noqa: PLC0415

        return Control(self._database)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        self._tell_all(SessionClosed("the client was closed meanwhile"))
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)
            self._opened = None
        self._database.close()

    @property
    def _control(self) -> Control:
        if self._opened is None:
            raise JournalError("the client is not open: use async with DistributedClient(...)")
        return self._opened

    async def _ask(self, work: Callable[[], T]) -> T:
        return await self._database.thread(work)

    # ---- handing in

    async def submit(
        self,
        request: VideoRequest,
        *,
        account: str = DEFAULT_ACCOUNT,
        key: str | None = None,
        name: str | None = None,
    ) -> DistributedJob:
        """Hand in a job; returns once it is written down. A worker sends it, once.

        The same *key* again, from any process and at any time, is the job that is there already.

        Args:
            request: What to make. Its media are URLs that hold, or assets: no local files, and
                none that are signed, since they are written down and may be over by its turn.
            account: Whose job it is.
            key: The caller's own id for it, such as a chat message's; None makes a new job.
            name: What a person calls it.

        Raises:
            InvalidRequest: A rule is broken, or the key is that of another request.
            ValueError: No worker was ever started for the account.
            JournalError: The database cannot be reached; hand it in again, with its key.
        """
        if not isinstance(request, VideoRequest):
            raise TypeError(f"request must be a VideoRequest, not {type(request).__name__}")
        job = Job(request=request, key=key, name=name)
        its_key = job.key or key_of(request.digest, uuid.uuid4().hex[:12])
        await self._hand_in(job, its_key, account)
        return DistributedJob(its_key, self)

    async def _service(self, account: str) -> str:
        """Tell where an account's tasks are made.

        Raises:
            ValueError: No worker was ever started for it.
        """
        if account not in self._services:
            self._services = await self._database.run(
                lambda connection: kept_facts(connection, SERVICE)
            )
        service = self._services.get(account)
        if service is None:
            known = ", ".join(sorted(self._services)) or "none yet"
            raise ValueError(f"no worker was ever started for the account {account!r}: {known}")
        return service

    async def _check(self, request: VideoRequest, account: str) -> None:
        service = await self._service(account)
        is_public = address(f"https://{service}")[1] if "." in service else False
        request.check_submission(hosts=is_public)
        signed = [place for place, reference in request.media() if _is_signed(reference)]
        if signed:
            message = "is a signed URL, which would be written down and may be over by its turn"
            raise InvalidRequest(
                Violation("media.reference", place, f"{message}: give one that holds, or an asset")
                for place in signed
            )

    async def _hand_in(self, job: Job, key: str, account: str) -> bool:
        """Write a job down, unless it is there; whether it was new."""
        await self._check(job.request, account)
        record = JobRecord(key=key, request=job.request, name=job.name, planned_at=utc_now())
        control = self._control

        def work(connection: sa.Connection) -> bool:
            # The job and its place in the queue, or neither.
            place = add(connection, record, account)
            if place is not None:
                control.enqueue(connection, turn_of(key, account, place))
            return place is not None

        is_new = await self._database.run(work)
        if not is_new:
            row = await self._row(key)
            check_same(row.record, job.request)
            if row.account != account:
                message = f"is the key of a job of the account {row.account}"
                raise InvalidRequest([Violation("key.request", "key", message)])
        return is_new

    def job(self, key: str) -> DistributedJob:
        """Take up a job by its key; asks nobody."""
        return DistributedJob(key, self)

    def batch(
        self,
        requests: BatchSource,
        *,
        account: str = DEFAULT_ACCOUNT,
        timeout_s: float | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Outcome]]:
        """Hand in many jobs, and give their outcomes as they end; as ``SeedanceSession.batch``.

        ``async with client.batch(requests) as outcomes``, then ``async for outcome in outcomes``.
        Nothing is raised for a single job. A video in a bucket has no ``path`` in its outcome, but
        in ``status(outcome.key)``. Leaving the block early ends no job: the same batch
        again waits for what is under way, and has what is made at once.

        Args:
            requests: As ``SeedanceSession.batch`` takes them; read as fast as they can be written
                down, since it is the workers who decide when each is sent.
            account: Whose jobs they are.
            timeout_s: Seconds to wait for each at the most; None for ever.
        """
        return many.run(self, requests, account, check_timeout(timeout_s))

    # ---- waiting

    async def _result(self, key: str, timeout_s: float | None) -> JobRecord:
        if self._opened is None:
            raise JournalError("the client is not open: use async with DistributedClient(...)")
        with contextlib.suppress(JournalError):  # those who wait are patient with a database
            for there in await self._journal.ended((key,)):
                return _outcome(there)
        future = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(key, set())
        waiting.add(future)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="seedance look")
        try:
            with anyio.fail_after(timeout_s):
                row: Row = await future
        except TimeoutError:
            record = await self.status(key)
            message = f"job {key} is {record.state} after {timeout_s:g} s of waiting"
            raise WaitTimeout(message, record.task_id, record.task_status) from None
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]
        return _outcome(row)

    async def _look(self) -> None:
        """Look at all jobs that are waited for, together."""
        pause_s, heard_at = _FIRST_LOOK_S, anyio.current_time()
        while self._waiting:
            told, keys = 0, tuple(self._waiting)
            try:
                for first in range(0, len(keys), _KEYS):
                    told += await self._look_at(keys[first : first + _KEYS])
                heard_at = anyio.current_time()
            # A server that is started anew is no reason to give up on jobs that go on.
            except Exception as exc:  # noqa: BLE001 -- whoever waits hears of it
                if anyio.current_time() - heard_at > _PATIENCE_S:
                    self._tell_all(exc)
                    return
            pause_s = _FIRST_LOOK_S if told else min(pause_s * 1.3, _LONGEST_LOOK_S)
            await asyncio.sleep(pause_s)

    async def _look_at(self, keys: tuple[str, ...]) -> int:
        """Tell of those that have ended; how many they were."""
        ended = await self._journal.ended(keys)
        for row in ended:
            self._tell(row.record.key, row)
        lost = set() if ended else await self._gone(keys)
        for key in lost:
            self._tell(key, JournalError(f"there is no job {key} in the database"))
        return len(ended) + len(lost)

    async def _gone(self, keys: tuple[str, ...]) -> set[str]:
        query = sa.select(jobs.c.key).where(jobs.c.key.in_(keys))
        found = await self._database.run(
            lambda connection: connection.execute(query).scalars().all()
        )
        return set(keys) - set(found)

    def _tell(self, key: str, news: Row | Exception) -> None:
        for future in self._waiting.pop(key, ()):
            if future.done():
                continue
            if isinstance(news, Exception):
                future.set_exception(news)
            else:
                future.set_result(news)

    def _tell_all(self, error: Exception) -> None:
        for key in tuple(self._waiting):
            self._tell(key, error)

    # ---- looking

    async def status(self, key: str) -> JobRecord:
        """Give how a job stands now.

        Raises:
            JournalError: There is none of that key, or the database cannot be reached.
        """
        return (await self._row(key)).record

    async def _row(self, key: str) -> Row:
        row = await self._journal.row(key)
        if row is None:
            raise JournalError(f"there is no job {key} in the database")
        return row

    async def jobs(
        self, state: JobState | str | None = None, *, account: str | None = None
    ) -> AsyncIterator[JobRecord]:
        """Give jobs, in the order in which they were handed in.

        Args:
            state: Only those in this state; None gives all.
            account: Only those of this account.

        Raises:
            ValueError: There is no such state.
        """
        async for record in self._journal.records(named_state(state), account=account):
            yield record

    async def history(self, key: str) -> tuple[Move, ...]:
        """Give every change of a job, the earliest first; empty for none such."""
        return tuple(await self._journal.history(key))

    async def counts(self) -> Mapping[str, Mapping[JobState, int]]:
        """Count jobs by account and state; an account without jobs is there as well."""
        query = sa.select(jobs.c.account, jobs.c.state, sa.func.count())

        def work(connection: sa.Connection) -> dict[str, Counter[JobState]]:
            counted = {name: Counter[JobState]() for name in kept_facts(connection, SERVICE)}
            for account, state, count in connection.execute(
                query.group_by(jobs.c.account, jobs.c.state)
            ):
                counted.setdefault(account, Counter())[JobState(state)] = count
            return counted

        return await self._database.run(work)

    async def workers(self) -> Mapping[str, tuple[str, ...]]:
        """Give the workers that give a sign of life now, each with its accounts."""
        return dict(await self._database.run(living))

    # ---- settling

    async def adopt(self, key: str, task_id: str) -> JobRecord:
        """Say which task an unknown job has, as found in the provider's billing; sends nothing.

        A worker asks about it from then on. With the id that it has already, a job whose wait was
        over before its task is waited for again, and a video that could not be kept is fetched
        again.

        Raises:
            JournalError: There is no such job, it is not unknown, or the id is another job's.
            ValueError: It cannot be an id.
        """
        from seedance_async.session import checked_id  # noqa: PLC0415 -- brings aiohttp

        row = await self._row(key)
        if row.record.task_id == checked_id(task_id) and _has_more(row.record):
            await self._journal.mark(row, {"is_over": False, "problem": None, "cancelled_at": None})
        else:
            # By the rules, and the words, of one machine.
            await Ledger(SharedJournal(self._database, row.account)).settle(key, task_id)
            await self._care_again(key)
        await self._ask(lambda: again(self._control, row))
        return await self.status(key)

    async def resubmit(self, key: str, *, reason: str) -> JobRecord:
        """Make an explicit new attempt at a job that failed or is unknown, which may pay twice.

        What an attempt that had a task came to is kept as the job ``KEY~1``, or the next number.

        Args:
            key: The job's key.
            reason: Why it is known that nothing was made, or why it may be paid for again; it
                stands in the job's history.

        Raises:
            ValueError: No reason was given.
            JournalError: There is no such job, or it is neither failed nor unknown.
        """
        if not reason.strip():
            raise ValueError("say why: reason='not in the billing'")
        row = await self._row(key)
        record, why = row.record, f"resubmitted: {reason}"
        is_open = record.state in (JobState.UNKNOWN, JobState.FAILED)
        if record.state is JobState.PLANNED:  # said before, and perhaps not heard by the engine
            await self._journal.mark(row, {"is_over": False, "problem": None})
        elif is_open and record.task_id is None:
            planned = record.moved(JobState.PLANNED, utc_now(), error=why)
            journal = SharedJournal(self._database, row.account)
            if await journal.get(key) != record:
                raise JournalError(f"job {key} has changed meanwhile")
            await journal.put(planned)
            await self._care_again(key)
        elif record.state is JobState.FAILED:
            await self._anew(row, why)
        else:
            raise JournalError(
                f"job {key} is {record.state}: only failed and unknown ones go again"
            )
        await self._ask(lambda: again(self._control, row))
        return await self.status(key)

    async def _care_again(self, key: str) -> None:
        await self._journal.mark(await self._row(key), {"cancelled_at": None})

    async def _anew(self, row: Row, why: str) -> None:
        key, record = row.record.key, row.record

        def work(connection: sa.Connection) -> None:
            number = 1
            while connection.execute(
                sa.select(jobs.c.place).where(jobs.c.key == f"{key}~{number}")
            ).first():
                number += 1
            locked = sa.select(jobs.c.stamp).where(jobs.c.key == key).with_for_update()
            if connection.execute(locked).scalar() != row.stamp:
                raise JournalError(f"job {key} has changed meanwhile")
            rename(connection, key, f"{key}~{number}")
            new = JobRecord(
                key=key, request=record.request, name=record.name, planned_at=utc_now(), error=why
            )
            add(connection, new, row.account)

        await self._database.run(work)

    async def cancel(self, key: str, *, force: bool = False) -> JobRecord:
        """Have no more done about a job than has to be.

        One that was not sent is not sent. One that was goes on at the provider and is billed: its
        worker keeps its place until its end is seen, and does not fetch the video.

        Args:
            key: The job's key.
            force: Whether to free the place of one that was sent at once, though the provider
                still counts it.

        Returns:
            The job as it stands then: ``failed`` where it was never sent.

        Raises:
            JournalError: There is no such job.
        """
        row = await self._row(key)
        if row.record.state is JobState.PLANNED and not row.is_over:
            message = "cancelled before it was sent"
            error = VideoFailed(message, None, None, "cancelled")
            if await self._journal.cancel(row, error):
                await self._ask(lambda: self._control.cancel(key))
                return await self.status(key)
        await self._journal.care_no_more(key)
        if force:
            await self._ask(lambda: self._control.cancel(key))
            message = "cancelled; it goes on at the provider and is billed"
            is_closed = False
            while not is_closed:  # its worker may be writing down what it has just heard
                row = await self._row(key)
                gone = VideoFailed(message, row.record.task_id, None, "cancelled")
                is_closed = row.is_over or await self._journal.close(row, gone)
        return await self.status(key)

    async def prune(self, older_than_days: float) -> int:
        """Forget jobs that ended long ago; unknown ones and those under way never.

        Args:
            older_than_days: Days since a job's last change, above 0.

        Returns:
            How many were forgotten. Their keys are free: handed in again, they are made again.
        """
        if not older_than_days > 0:
            raise ValueError(f"older_than_days must be above 0, not {older_than_days!r}")
        before = (utc_now() - dt.timedelta(days=older_than_days)).timestamp()
        count = 0
        while keys := await self._database.run(
            lambda connection: remove_old(connection, before, _KEYS)
        ):
            await self._ask(functools.partial(self._control.delete, keys))
            count += len(keys)
        return count

    async def set_limit(
        self,
        account: str,
        *,
        max_in_flight: int | None = None,
        creates_per_minute: float | None = None,
    ) -> Limits:
        """Change what an account may do over all its workers, while they run.

        Args:
            account: The account.
            max_in_flight: How many jobs may be at the provider at once; None leaves it as it is.
            creates_per_minute: How many creates the provider takes a minute; None likewise.

        Returns:
            What is in force now.

        Raises:
            JournalError: No worker was ever started for it.
            ValueError: A limit that can be none.
        """
        Limits(max_in_flight=max_in_flight, creates_per_minute=creates_per_minute)
        await self._ask(
            lambda: self._control.set_bounds(account, max_in_flight, creates_per_minute)
        )
        if creates_per_minute is not None:
            rate = str(creates_per_minute)
            await self._database.run(
                lambda connection: write_fact(connection, RATE + account, rate)
            )
        now = await in_force(self._database, self._control, account)
        if now is None:
            raise JournalError(f"no worker was ever started for the account {account!r}")
        return Limits(max_in_flight=now.max_in_flight, creates_per_minute=now.creates_per_minute)


def _outcome(row: Row) -> JobRecord:
    """Give what has become of a job, or raise it."""
    if row.problem is not None:
        raise row.problem
    record = row.record
    if record.state is JobState.UNKNOWN:
        message = f"job {record.key} is unknown: {record.error}; adopt or resubmit it"
        raise SubmissionUnknown(message, None, None, record.key, record.request.digest)
    return record


def _has_more(record: JobRecord) -> bool:
    """Tell whether there is something to be had from a task that is known."""
    is_made = record.state is JobState.COMPLETED and record.downloaded_at is None
    return is_made or record.state is JobState.SUBMITTED


async def in_force(database: Database, control: Control, account: str) -> Bounds | None:
    """Give what an account may do now; None where no worker was ever started for it."""
    now = await database.thread(lambda: control.bounds(account))
    said = await database.single(lambda connection: read_fact(connection, RATE + account))
    return now if now is None or said is None else now.as_said(float(said))


def turn_of(key: str, account: str, place: int) -> Turn:
    """Make what the engine knows of a job."""
    from seedance_async.distributed.engine import Turn  # noqa: PLC0415 -- takes half a second

    return Turn(key=key, account=account, place=place)


def again(control: Control, row: Row) -> None:
    """Have a job looked at that was over, or is not known to the engine; blocks."""
    turn = turn_of(row.record.key, row.account, row.place)
    control.again(turn, was_over=row.is_over)


def _is_signed(reference: str) -> bool:
    try:
        names = {name.lower() for name, _ in parse_qsl(urlsplit(reference).query)}
    except ValueError:
        return False
    return bool(names & _SIGNED)
