"""``SeedanceSession``: submit, reattach, run batches; open and close.

The public face. What it does is in ``calls`` and ``batch``; what lives here is the session's own
life: configuration, the aiohttp session, and ending everything when it closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import uuid
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import anyio

from seedance_async import batch as scheduler
from seedance_async import wire
from seedance_async.account import Account
from seedance_async.admission import Limits
from seedance_async.assets import Assets
from seedance_async.batch import Outcomes
from seedance_async.budget import Budget, Expense, PriceTable, total
from seedance_async.calls import Calls, OnUnknown, Sendable, check_on_unknown, key_of
from seedance_async.errors import InvalidRequest, SessionClosed
from seedance_async.events import Stream, Subscriber
from seedance_async.expenses import Expenses, expected
from seedance_async.fetches import Fetches
from seedance_async.files import Files
from seedance_async.journal import Journal, MemoryJournal, SqliteJournal
from seedance_async.learned import Learned
from seedance_async.ledger import Ledger
from seedance_async.lifecycle import JobRecord, JobState, Move, named_state
from seedance_async.mediainfo import MediaInfo
from seedance_async.naming import DEFAULT_NAMES, NameTemplate
from seedance_async.pacing import Adaptive, Pacing
from seedance_async.paid import finish
from seedance_async.preflight import Preflight, Preflights
from seedance_async.publication import Publisher
from seedance_async.publishers import AssetPublisher, Publish, as_publisher
from seedance_async.purse import Purse
from seedance_async.request import Job, VideoRequest
from seedance_async.results import BatchReport, Outcome, Video
from seedance_async.retry import Retries
from seedance_async.source import BatchSource
from seedance_async.task import DEFAULT_WAIT_S, VideoTask
from seedance_async.transport import DEFAULT_TIMEOUT, Transport
from seedance_async.turns import Turns
from seedance_async.watch import check_timeout

_MAX_CONNECTIONS = 100  # aiohttp's own default, stated because batches rest on it
# What a closing session waits for: a create under way may take the whole of its timeout, and its
# record the whole of what a journal waits for a file that somebody else holds.
_RECORDING_S = 30.0
_CLOSING_MARGIN_S = 5.0
_KEY_DIGITS = 12  # of a job that nobody will look for by its key


class SeedanceSession:
    """A client of the API; use it as ``async with SeedanceSession() as session``.

    Safe to use from many tasks of one event loop at once. Closing it with work under way ends
    that work: a create on the wire is finished first, so that its id is known; everything else
    raises ``SessionClosed`` where it waits.

    Args:
        api_key: The account's key; None takes ``SEEDANCE_API_KEY`` from the environment.
        base_url: Where the API is: all of the address that stands before ``/v1``; None takes
            ``SEEDANCE_BASE_URL``, or the provider's own address.
        limits: How much at once, and how fast.
        pacing: When to ask about a task again.
        retries: How long to go on where going on is safe.
        journal: Where jobs are written down: the path of a SQLite file, which is made if it is
            missing, or a ``Journal``, which is neither opened nor closed here. None keeps them in
            memory. With a journal, running the same batch again resumes it; see ``batch``.
        budget: The most that the session's jobs may come to; what goes beyond raises
            ``BudgetExceeded``, or is an outcome with that error, and nothing is sent. None counts
            nothing; ``Budget()`` counts, and bounds nothing.
        prices: What the models cost, for ``max_cost``, ``spent`` and ``forecast``.
        publisher: Makes local files public, so that they may stand in a request: a ``Publisher``,
            an ``AssetPublisher``, or a function that takes a ``Path`` and gives the URL. Each
            content is published once, remembered in the journal, and published again when its
            lifetime is nearly over. None allows no local files.
        media_root: Where relative paths of local files start; None for the current folder.
        timeout: The bounds of one call, by aiohttp's own type. ``total`` is needed, since it
            bounds the paid step; keep ``connect`` below it.
        http: An ``aiohttp.ClientSession`` to use, with its proxies, TLS settings and pool; it
            is not closed. None makes one with a pool of 100 connections.

    Raises:
        AuthenticationError: No key, or one that cannot stand in a header.
        ValueError: A base URL or a timeout that cannot be used.
        TypeError: An argument of the wrong kind.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        limits: Limits | None = None,
        pacing: Pacing | None = None,
        retries: Retries | None = None,
        journal: Journal | str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        prices: PriceTable | None = None,
        publisher: Publisher | AssetPublisher | Publish | None = None,
        media_root: str | os.PathLike[str] | None = None,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
        http: aiohttp.ClientSession | None = None,
    ) -> None:
        self._account = Account.of(api_key, base_url)
        _check_type("timeout", timeout, aiohttp.ClientTimeout)
        for name, value, kind in (
            ("limits", limits, Limits),
            ("retries", retries, Retries),
            ("budget", budget, Budget),
            ("prices", prices, PriceTable),
            ("http", http, aiohttp.ClientSession),
        ):
            if value is not None:
                _check_type(name, value, kind)
        if not timeout.total or timeout.total <= 0:
            raise ValueError("timeout.total must be above 0 seconds: it bounds the paid step")
        self._timeout = timeout
        self._given_http = http
        if publisher is not None and not isinstance(publisher, AssetPublisher):
            publisher = as_publisher(publisher)
        self._publisher: Publisher | AssetPublisher | None = publisher
        self._media_root = None if media_root is None else Path(media_root)
        self._events = Stream()
        # ``is None`` throughout: a journal that has a length is false while it is empty.
        self._file: SqliteJournal | None = None
        if isinstance(journal, str | os.PathLike):
            journal = self._file = SqliteJournal(journal)
        self._journal: Journal = MemoryJournal() if journal is None else journal
        self._is_lasting = journal is not None
        self._places: Counter[str] = Counter()
        self._ledger = Ledger(self._journal)
        self._pacing = Adaptive() if pacing is None else pacing
        self._retries = Retries() if retries is None else retries
        self._learned = Learned(self._journal)
        self._prices = prices
        self._purse: Purse | None = None
        if budget is not None:
            self._purse = Purse(Expenses(budget, prices, lambda: self._learned.rates))
        self._turns = Turns(
            Limits() if limits is None else limits,
            self._retries,
            events=self._events,
            jitter=random.random,
            on_given_up=self._given_up,
        )
        self._http: aiohttp.ClientSession | None = None
        self._opened: Calls | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._under_way: dict[anyio.CancelScope, asyncio.Task[object] | None] = {}
        self._closers: set[asyncio.Task[object] | None] = set()
        self._one_ended = anyio.Event()

    def __repr__(self) -> str:
        return f"<SeedanceSession at {self._account.base_url}>"

    async def __aenter__(self) -> Self:
        if self._opened is not None or self._closing:
            raise SessionClosed("a session is entered once; make a new one")
        self._loop = asyncio.get_running_loop()
        await self._open_journal()
        if self._given_http is None:
            connector = aiohttp.TCPConnector(limit=_MAX_CONNECTIONS)
            self._http = aiohttp.ClientSession(connector=connector)
        http = self._http if self._given_http is None else self._given_http
        assert http is not None  # noqa: S101 -- for the types
        transport = Transport(http, self._account, self._timeout)
        self._opened = Calls(
            transport=transport,
            ledger=self._ledger,
            turns=self._turns,
            events=self._events,
            pacing=self._pacing,
            retries=self._retries,
            learned=self._learned,
            jitter=random.random,
            clock=self._loop.time,
            checks_hosts=self._account.is_public,
            purse=self._purse,
            make_public=None if self._publisher is None else self._make_public,
            fetches=Fetches(
                transport=transport,
                ledger=self._ledger,
                events=self._events,
                operation=self._operation,
                turns=self._turns,
            ),
            operation=self._operation,
        )
        return self

    async def _open_journal(self) -> None:
        if self._file is not None:
            await self._file.open()
        try:
            if isinstance(self._journal, SqliteJournal):
                await self._journal.claim(self._account.service)
            await self._learned.read()
        except BaseException:
            if self._file is not None:
                await self._file.close()
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is under way, and close the connections; may be called again.

        Waits for creates that are on the wire, as long as their timeout lets them take.
        """
        self._closing = True
        for scope in tuple(self._under_way):
            scope.cancel()
        self._closers.add(asyncio.current_task())
        # To its end, whatever cancels the caller: connections are closed behind the creates.
        await finish(self._wind_up())

    async def _wind_up(self) -> None:
        with anyio.move_on_after((self._timeout.total or 0) + _RECORDING_S):
            while self._opened is not None and self._opened.on_the_wire:
                await asyncio.wait(self._opened.on_the_wire)
        with anyio.move_on_after(_CLOSING_MARGIN_S):
            # An operation of a closing task is around its call, and cannot end before it.
            while any(self._is_at_work(task) for task in self._under_way.values()):
                await self._one_ended.wait()
        await self._learned.write()
        if "_preflights" in vars(self):
            await self._preflights.close()
        if self._http is not None:
            await self._http.close()
        if self._file is not None:
            await self._file.close()

    def _is_at_work(self, task: asyncio.Task[object] | None) -> bool:
        return task is not None and task not in self._closers and not task.done()

    @property
    def _calls(self) -> Calls:
        if self._opened is None:
            raise SessionClosed("the session is not open: use async with SeedanceSession() as ...")
        return self._opened

    @functools.cached_property
    def _preflights(self) -> Preflights:
        calls = self._calls
        return Preflights(
            self.assets.get,
            calls.clock,
            to_private=not calls.checks_hosts,
            root=self._media_root,
        )

    @functools.cached_property
    def _files(self) -> Files:
        assert self._publisher is not None  # noqa: S101 -- for the types
        return Files(
            self._publisher,
            assets=self.assets,
            journal=self._journal,
            clock=self._calls.clock,
            checks_hosts=self._calls.checks_hosts,
            root=self._media_root,
        )

    async def _make_public(self, request: VideoRequest) -> Sendable:
        return await self._files.make_public(request)

    def _check_of(self, preflight: bool | None) -> Callable[[VideoRequest], Awaitable[None]] | None:
        """Give what looks at a request before it is sent."""
        if preflight is None:
            return self._check_local
        return self._preflights.check if preflight else None

    async def _check_local(self, request: VideoRequest) -> None:
        if request.local_media():
            await self._preflights.check(request, local_only=True)

    @contextlib.contextmanager
    def _operation(self, task_id: str | None = None) -> Iterator[None]:
        """Run the block so that closing the session ends it."""
        if self._closing:
            raise SessionClosed("the session is closed", task_id)
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("the session belongs to another event loop: open one in each loop")
        with anyio.CancelScope() as scope:
            self._under_way[scope] = asyncio.current_task()
            try:
                yield
            finally:
                del self._under_way[scope]
                self._one_ended.set()
                self._one_ended = anyio.Event()
        if scope.cancelled_caught:
            raise SessionClosed("the session was closed meanwhile", task_id)

    @property
    def limits(self) -> Limits:
        """How much at once, and how fast; a new value holds at once, for those who wait as well.

        Fewer ``max_in_flight`` than there are end nothing: no more are sent until there is room.
        """
        return self._turns.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        _check_type("limits", limits, Limits)
        self._turns.limits = limits

    @property
    def spent(self) -> Expense | None:
        """What the session's jobs come to so far, those in flight as expected.

        As the budget counts them: what earlier runs have made of the same jobs included, failed
        and unknown ones too. None without a budget.
        """
        return None if self._purse is None else self._purse.spent

    def forecast(self, requests: Iterable[VideoRequest]) -> Expense:
        """Estimate what requests would come to; sends nothing.

        Tokens are reckoned from what the journal knows such videos were billed, and money from
        that and the session's prices.
        """
        rates, prices = self._learned.rates, self._prices
        return total(expected(request, rates, prices) for request in requests)

    def drain(self) -> None:
        """Send nothing more; what was accepted goes on, and may be waited for to its end.

        For a program that is told to end: jobs that wait for their turn, and new ones, raise
        ``SessionClosed`` or are outcomes with that error, stay ``planned``, and are sent by the
        next run. A batch reads no more of its source. There is no way back.
        """
        self._turns.drain()
        if self._purse is not None:
            self._purse.wake_all()

    def _given_up(self, key: str) -> None:
        if self._purse is not None:
            self._purse.give_up(key)

    async def submit(
        self,
        request: VideoRequest,
        *,
        key: str | None = None,
        priority: int = 0,
        on_unknown: OnUnknown = "leave",
        preflight: bool | None = None,
    ) -> VideoTask:
        """Create the task and return once its id is written down. This costs money.

        The create is sent at most once, unless the answer proves that nothing was accepted;
        then it is offered again, as ``Retries`` says. A cancellation while it is on the wire is
        honoured after its answer, and the id is then in ``jobs()``.

        The same *key* again, also in another process with the same journal, gives the task that
        is there already and sends nothing.

        A job takes one of the session's places in flight (``Limits.max_in_flight``) until its
        end was seen, or its wait was given up for an error. Whoever waits for a place asks about
        the tasks that nobody else waits for.

        Args:
            request: What to make.
            key: The caller's own id for the job; None makes a new job each time.
            priority: Whose turn comes first, to create and to ask: higher goes before all that
                is lower, as for somebody who waits beside an overnight batch.
            on_unknown: What to do with a job that an earlier call left ``unknown``: ``leave``
                raises ``SubmissionUnknown``, ``resubmit`` sends it again *and may pay twice*.
            preflight: Whether to look at the request's media first, as ``preflight`` does: True
                for all of them, which needs the extra ``media``; None for local files, if the
                extra is there; False for none.

        Raises:
            InvalidRequest: A rule is broken that rests until submission, or one about the media
                that were looked at; or a local file cannot be read; or the key is that of another
                request.
            PublishError, AssetFailed: A local file could not be made public; nothing was paid.
            SubmissionUnknown: The answer was lost; a task may exist.
            AuthenticationError, InsufficientBalance, RequestRefused: Refused, nothing was paid.
            RateLimited, ServiceUnavailable: Nothing was accepted for longer than
                ``Retries.create_patience_s``.
            BudgetExceeded: It is not within the session's budget; nothing was sent.
            JournalError: It could not be written down. With a ``task_id``, it was accepted.
        """
        _check_type("request", request, VideoRequest)
        _check_priority(priority)
        check_on_unknown(on_unknown)
        calls, job = self._calls, Job(request=request, key=key)
        with self._operation():
            its_key = job.key or key_of(request.digest, uuid.uuid4().hex[:_KEY_DIGITS])
            standing = calls.standing(priority)
            check = self._check_of(preflight)
            taken = await calls.take(job, its_key, standing, on_unknown=on_unknown, check=check)
        task_id = taken.job.record.task_id
        assert task_id is not None  # noqa: S101 -- for the types: it was taken
        return VideoTask(calls, task_id, taken)

    async def generate(
        self,
        request: VideoRequest,
        *,
        key: str | None = None,
        timeout_s: float | None = DEFAULT_WAIT_S,
        priority: int = 0,
        on_unknown: OnUnknown = "leave",
        preflight: bool | None = None,
    ) -> Video:
        """Submit, wait, and give the finished video.

        Args:
            request: What to make.
            key: The caller's own id for the job, as in ``submit``.
            timeout_s: Seconds to wait after the submission; None for ever.
            priority: As in ``submit``.
            on_unknown: As in ``submit``.
            preflight: As in ``submit``.

        Raises:
            SeedanceError: All that ``submit`` and ``VideoTask.wait`` raise.
        """
        check_timeout(timeout_s)
        task = await self.submit(
            request, key=key, priority=priority, on_unknown=on_unknown, preflight=preflight
        )
        return await task.wait(timeout_s)

    async def preflight(self, request: VideoRequest) -> Mapping[str, MediaInfo]:
        """Look at a request's media without sending anything, and check the rules about them.

        Of what is behind a URL no more is fetched than it takes to tell what it is, less than
        2 MB; content decides, and not the name. Assets are asked for at the provider. What was
        looked at is remembered for ten minutes. Needs the extra ``media``.

        Returns:
            What stands at each place, such as ``first_image`` or ``reference_videos[1]``.

        Raises:
            InvalidRequest: Rules are broken, all of them in ``violations``: those about media,
                ``media.readable`` for what cannot be fetched or read, ``asset.active`` for an
                asset that may not be used.
            MediaError: The extra is not installed.
        """
        (looked,) = await self.preflight_all([request])
        if looked.violations:
            raise InvalidRequest(looked.violations)
        return looked.media

    async def preflight_all(
        self, requests: Iterable[VideoRequest], *, local_only: bool = False
    ) -> Sequence[Preflight]:
        """Look at the media of many requests, each distinct one once, some at a time.

        Args:
            requests: The requests.
            local_only: Whether to look at local files alone, as ``submit`` does by itself: without
                the extra no more than that they are there.

        Returns:
            What was found of each request, in order; nothing is raised for a broken rule.

        Raises:
            MediaError: The extra ``media`` is not installed.
        """
        listed = tuple(requests)
        for request in listed:
            _check_type("request", request, VideoRequest)
        with self._operation():
            return await self._preflights.look_at_all(listed, local_only=local_only)

    def task(self, task_id: str) -> VideoTask:
        """Take up a task by its id, in this process or another; sends nothing.

        Raises:
            ValueError: It cannot be an id.
        """
        return VideoTask(self._calls, checked_id(task_id))

    @property
    def assets(self) -> Assets:
        """The provider's asset library: what is registered there may stand in a request."""
        return Assets(self._calls)

    async def settle(
        self, key: str, *, task_id: str | None = None, not_created: bool = False
    ) -> JobRecord:
        """Say what became of an ``unknown`` job, as found in the provider's billing; sends nothing.

        Args:
            key: The job's key.
            task_id: The id of its task. The job is then ``submitted``, and polled by the next
                batch or ``submit`` with its key. May be mended until the provider confirmed it.
            not_created: That there is no task. The job is then ``planned``, and sent again.

        Returns:
            The job as it stands then.

        Raises:
            ValueError: Neither or both were said, or it cannot be an id.
            JournalError: There is no such job, it is not unknown, or the id is another job's.
        """
        if (task_id is not None) == not_created:
            raise ValueError("say one of the two: task_id=..., or not_created=True")
        with self._operation():
            its_id = None if task_id is None else checked_id(task_id)
            record = await self._ledger.settle(key, its_id)
            if self._purse is not None:
                self._purse.note(record)
                self._purse.give_up(key)  # nobody asks about it before it is taken up
            return record

    def batch(
        self,
        requests: BatchSource,
        *,
        max_in_flight: int | None = None,
        timeout_s: float | None = DEFAULT_WAIT_S,
        out_dir: str | os.PathLike[str] | None = None,
        priority: int = 0,
        file_names: str = DEFAULT_NAMES,
        on_unknown: OnUnknown = "leave",
        preflight: bool | None = None,
    ) -> AbstractAsyncContextManager[Outcomes]:
        """Run many jobs, so many at a time, and give their outcomes as they end.

        ``async with session.batch(requests) as outcomes``, then ``async for outcome in
        outcomes``. Nothing is raised for a single job. Leaving the block early ends the
        workers; what was submitted by then is in ``jobs()``.

        With a journal, the same batch again resumes: each job is known by its key, or by its
        request and its place among equal ones. Made jobs are ``skipped``, and downloaded if they
        are not on disk; running ones are polled on; those that were never accepted are sent;
        those that the provider failed stay failed; ``unknown`` ones are left alone.

        Args:
            requests: Requests, ``Job`` values or mappings of fields; a list, a generator or an
                async iterable of any length, read lazily, one item for each free slot.
            max_in_flight: How many may be at the provider at once, at least 1; None takes the
                session's ``Limits``, which bound the batch in any case.
            timeout_s: Seconds from a job's submission to its end; None for ever.
            out_dir: Where to download to; None downloads nothing. A file of another job that is
                there already is never replaced.
            priority: Whose turn comes first, as in ``submit``. Of equal priority, batches and
                single calls share fairly.
            file_names: How files are named, from ``{index}`` (the job's place, from 1), ``{key}``,
                ``{id}`` (the task's) and ``{name}``.
            on_unknown: What to do with jobs that an earlier run left ``unknown``: ``leave`` gives
                an outcome that says so, ``resubmit`` sends them again *and may pay twice*.
            preflight: Which of a request's media to look at before it is sent, as in ``submit``;
                what breaks a rule is ``invalid``.

        Raises:
            TypeError, ValueError: Arguments that cannot be used.
            DownloadError: The folder cannot be written; nothing was sent.
        """
        check_on_unknown(on_unknown)
        _check_priority(priority)
        return self._run(
            scheduler.run(
                self._calls,
                requests,
                scheduler.Plan(
                    max_in_flight=Limits(max_in_flight=max_in_flight).max_in_flight,
                    priority=priority,
                    timeout_s=check_timeout(timeout_s),
                    out_dir=None if out_dir is None else Path(out_dir),
                    names=NameTemplate(file_names),
                    on_unknown=on_unknown,
                    # Without a journal nothing is resumed: the same request is another job.
                    places=Counter() if self._is_lasting else self._places,
                    check=self._check_of(preflight),
                ),
            )
        )

    @contextlib.asynccontextmanager
    async def _run(self, running: AbstractAsyncContextManager[Outcomes]) -> AsyncIterator[Outcomes]:
        with self._operation():
            async with running as outcomes:
                yield outcomes

    async def run_batch(
        self,
        requests: BatchSource,
        *,
        max_in_flight: int | None = None,
        timeout_s: float | None = DEFAULT_WAIT_S,
        out_dir: str | os.PathLike[str] | None = None,
        priority: int = 0,
        file_names: str = DEFAULT_NAMES,
        on_unknown: OnUnknown = "leave",
        preflight: bool | None = None,
    ) -> BatchReport:
        """Run many jobs to their ends and report on all of them, in input order.

        Takes what ``batch`` takes. Keeps every outcome in memory.
        """
        started = anyio.current_time()
        ended: list[Outcome] = []
        async with self.batch(
            requests,
            max_in_flight=max_in_flight,
            timeout_s=timeout_s,
            out_dir=out_dir,
            priority=priority,
            file_names=file_names,
            on_unknown=on_unknown,
            preflight=preflight,
        ) as outcomes:
            async for outcome in outcomes:
                ended.append(outcome)  # noqa: PERF401 -- what came counts, whatever comes then
        ended.sort(key=lambda outcome: outcome.index)
        return BatchReport(outcomes=tuple(ended), wall_s=anyio.current_time() - started)

    def jobs(self, state: JobState | str | None = None) -> AsyncIterator[JobRecord]:
        """Give what the journal knows of jobs, in the order in which they were planned.

        Args:
            state: Only the jobs in this state; None gives all.

        Raises:
            ValueError: There is no such state.
        """
        return self._journal.records(named_state(state))

    async def history(self, key: str) -> Sequence[Move]:
        """Give every change of the job of *key*, the earliest first; empty for none such."""
        return await self._journal.history(key)

    def subscribe(self, subscriber: Subscriber) -> AbstractContextManager[None]:
        """Call *subscriber* with every event of the session inside a ``with`` block.

        It must return quickly; what it raises is logged and goes no further.
        """
        return self._events.subscribe(subscriber)


def checked_id(task_id: str) -> str:
    """Check that *task_id* can stand in the API's addresses.

    Raises:
        ValueError: It cannot be an id.
    """
    _check_type("task_id", task_id, str)
    if not wire.is_id(task_id):
        raise ValueError(f"{task_id!r} cannot be a task's id: it looks like video_<uuid>")
    return task_id


def _check_priority(priority: object) -> None:
    if type(priority) is not int:
        raise TypeError(f"priority must be an int, not {type(priority).__name__}")


def _check_type(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {type(value).__name__}")
