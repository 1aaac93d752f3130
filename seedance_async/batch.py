"""The scheduler of many jobs: bounded, and every one of them to an end that is written down.

A few coroutines create, a few more ask, a few download; jobs that wait are entries of one heap,
not tasks. One job's failure ends that job alone. No slot outlives its job.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
from collections import Counter, deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from pathlib import Path

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskGroup

from seedance_async.agenda import Agenda
from seedance_async.calls import Calls, OnUnknown, Taken, key_in_batch
from seedance_async.download import is_disk_trouble, is_there, prepare_folder
from seedance_async.errors import (
    BudgetExceeded,
    DownloadError,
    InvalidRequest,
    SeedanceError,
    SubmissionUnknown,
    VideoFailed,
    Violation,
)
from seedance_async.estimate import Ahead, Estimate, later, of_task, stride
from seedance_async.fairness import Standing
from seedance_async.journal import SqliteJournal
from seedance_async.ledger import utc_now
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.naming import NameTemplate
from seedance_async.paid import is_ours
from seedance_async.request import Job, VideoRequest
from seedance_async.results import Outcome, OutcomeStatus, Video
from seedance_async.source import BatchItem, BatchSource, iterate, job_of, length
from seedance_async.turnaround import Course
from seedance_async.watch import Watch

# Pools, not limits on jobs: a call takes about a second, a wait minutes. As few as will do, since
# all whose answers have arrived have their turn at once, and nobody else meanwhile. Our choice.
_MAX_CREATORS = 16
_MIN_ASKERS, _MAX_ASKERS, _JOBS_PER_ASKER = 32, 80, 64
_MAX_DOWNLOADERS = 4
_AT_ONCE = 16  # items read without letting the loop have its turn; our choice
# For estimates, our choice: how long a download takes as long as none was seen, and how many of
# the last ones make a mean.
_USUAL_FETCH_S = 3.0
_LAST_FEW = 16


@attrs.frozen(kw_only=True)
class Plan:
    """How a batch is to be run.

    Attributes:
        max_in_flight: How many jobs may be at the provider at once; None for as many as the
            session lets be.
        priority: Whose turn it is first; higher goes first.
        timeout_s: Seconds from a job's submission to its end; None for ever.
        out_dir: Where to download to; None downloads nothing.
        names: How the files are named.
        on_unknown: What to do with jobs that an earlier run left unknown.
        places: Counts equal requests, for the keys of jobs that were given none.
        check: Looks at the request of a job that is about to be sent, and raises.
    """

    max_in_flight: int | None
    priority: int
    timeout_s: float | None
    out_dir: Path | None
    names: NameTemplate
    on_unknown: OnUnknown
    places: Counter[str]
    check: Callable[[VideoRequest], Awaitable[None]] | None


@contextlib.asynccontextmanager
async def run(
    calls: Calls,
    source: BatchSource,
    plan: Plan,
) -> AsyncIterator[Outcomes]:
    """Run a batch for as long as the block lasts; leaving it ends the workers.

    What the block raises arrives bare. A create that is under way when the block is left is
    finished first, so that its id is known.
    """
    scheduler = _Scheduler(calls, source, plan)
    if plan.out_dir is not None:  # before anything is paid for
        await asyncio.to_thread(prepare_folder, plan.out_dir)
    await scheduler.count_what_is_there(source)
    raised: BaseException | None = None
    is_cut = False
    counted = calls.turns.batch(plan.max_in_flight, scheduler.limits_changed)
    with counted as flow:
        async with anyio.create_task_group() as group:
            scheduler.start(group, Standing(flow=flow, priority=plan.priority))
            try:
                yield Outcomes(scheduler)
            except anyio.get_cancelled_exc_class():
                is_cut = True
                raise
            # Kept out of the group, which would wrap it.
            except BaseException as exc:  # noqa: BLE001
                raised = exc
            finally:
                scheduler.close()
            group.cancel_scope.cancel()
    if raised is not None:
        raise raised
    if is_cut:
        # A cancellation of ours has gone on outwards; this one came from a worker that somebody
        # cancelled, and the group has swallowed it.
        raise SeedanceError("the batch was cut short: its workers were cancelled; see jobs()")


class Outcomes:
    """The outcomes of a batch as they end: iterate over it with ``async for``, once.

    A reader who is slow slows the batch down: as many outcomes wait as jobs may be in flight.
    """

    def __init__(self, scheduler: _Scheduler) -> None:
        self._scheduler = scheduler

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        """Wait for the next outcome.

        Raises:
            StopAsyncIteration: Every job has ended.
            Exception: What the source of requests raised, after every job taken from it ended.
        """
        return await self._scheduler.next_outcome()

    def estimate(self, to_come: int | None = None) -> Estimate | None:
        """Estimate how long it takes until every job has ended; asks nobody, takes milliseconds.

        From the ages of the jobs in flight, the jobs that wait, the slots, and how long such tasks
        took so far. It assumes that all slots stay in use and nothing else uses the session, that
        jobs to come are like those in flight, that the service goes on as it did, and that every
        outcome is read at once. Pauses that the provider asks for are not foreseen.

        Args:
            to_come: How many jobs there are besides those that were taken from the source. None
                takes the length of the source, where it has one and that costs nothing: a
                list, a tuple, a set.

        Returns:
            The seconds from now to the last end, download included; None where nobody knows how
            many jobs there are. ``Estimate`` says what its range means.
        """
        return self._scheduler.estimate(to_come)

    def estimates(self, keys: Collection[str]) -> Mapping[str, Estimate]:
        """Estimate how long jobs in flight still take, by their keys; as ``VideoTask.estimate``.

        Of those that the provider has not accepted, and of any that has ended, there is none.
        """
        return self._scheduler.estimates(keys)


@attrs.define(kw_only=True, eq=False, repr=False)
class _Entry:
    """A job on its way; more comes to it as it moves on."""

    index: int
    item: BatchItem
    started_at: dt.datetime
    job: Job | None = None
    key: str | None = None
    taken: Taken | None = None
    watch: Watch | None = None
    video: Video | None = None
    was_made: bool = False
    is_fetching: bool = False

    @property
    def task_id(self) -> str | None:
        return self.taken.job.record.task_id if self.taken else None


class _Scheduler:
    def __init__(self, calls: Calls, source: BatchSource, plan: Plan) -> None:
        self._calls = calls
        self._items = iterate(source)
        self._total = length(source)
        self._flying: dict[_Entry, None] = {}
        self._late_s: float | None = None
        self._fetch_s: float | None = None
        self._plan = plan
        self._standing: Standing | None = None
        self._group: TaskGroup | None = None
        self._workers: Counter[str] = Counter()
        self._out_dir = plan.out_dir
        self._keys: set[str] = set()
        self._disk_trouble: DownloadError | None = None
        self._agenda: Agenda[_Entry] = Agenda()
        self._downloads: Agenda[_Entry] = Agenda()
        self._creates: Agenda[_Entry] = Agenda()
        self._outcomes: deque[Outcome] = deque()
        self._changed: anyio.Event | None = None
        self._taken = 0
        self._in_flight = 0
        self._downloading = 0
        self._exhausted = False
        self._closed = False
        self._source_error: Exception | None = None
        self._is_spent = False

    @property
    def _max_in_flight(self) -> int:
        asked, allowed = self._plan.max_in_flight, self._calls.turns.max_in_flight
        return allowed if asked is None else asked

    def start(self, group: TaskGroup, standing: Standing) -> None:
        self._group, self._standing = group, standing
        group.start_soon(self._feed, name="seedance feed")
        self._man(group)

    def limits_changed(self) -> None:
        """Go by the session's new limits."""
        if self._group is not None and not self._closed:
            self._man(self._group)
        self._notify()

    def _man(self, group: TaskGroup) -> None:
        """Have as many workers as there can be work for."""
        askers = min(max(_MIN_ASKERS, self._max_in_flight // _JOBS_PER_ASKER), _MAX_ASKERS)
        pools = [("create", self._create_all, _MAX_CREATORS), ("ask", self._ask_all, askers)]
        if self._out_dir is not None:
            pools.append(("download", self._download_all, _MAX_DOWNLOADERS))
        for name, work, most in pools:
            while self._workers[name] < min(self._max_in_flight, most):
                self._workers[name] += 1
                group.start_soon(work, name=f"seedance {name}")

    async def next_outcome(self) -> Outcome:
        while self._closed or not self._outcomes:
            if self._closed:
                raise StopAsyncIteration
            if self._exhausted and not self._in_flight and not self._downloading:
                if self._source_error is not None:
                    raise self._source_error
                raise StopAsyncIteration
            await self._change()
        outcome = self._outcomes.popleft()
        self._notify()
        return outcome

    def close(self) -> None:
        """Give no more outcomes: the block was left."""
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def _has_room(self) -> bool:
        backlog = self._downloading + len(self._outcomes)
        return self._in_flight < self._max_in_flight and backlog < self._max_in_flight

    async def _feed(self) -> None:
        """Read an item for each free place, until there are no more."""
        try:
            while not self._is_over:
                if not self._has_room():
                    await self._change()
                    continue
                item = await anext(self._items)
                entry = _Entry(index=self._taken, item=item, started_at=utc_now())
                self._taken += 1
                self._in_flight += 1
                self._flying[entry] = None
                self._creates.put(self._calls.clock(), entry)
                if self._taken % _AT_ONCE == 0:
                    await anyio.lowlevel.checkpoint()
            self._exhaust()
        except StopAsyncIteration:
            self._exhaust()
        # The source is the caller's: its failure stops the feeding, and jobs that were paid for
        # are brought to their end before the reader learns of it.
        except Exception as exc:  # noqa: BLE001
            self._exhaust(exc)
        except asyncio.CancelledError as exc:
            if is_ours(exc):
                raise
            # Nobody cancelled us: the source let a cancellation of its own escape.
            stopped = SeedanceError("the source of requests was cancelled")
            stopped.__cause__ = exc
            self._exhaust(stopped)

    @property
    def _is_over(self) -> bool:
        """Whether no more is to be read: of a source without an end, neither for its budget."""
        is_spent = self._is_spent and self._total is None
        return self._calls.turns.is_draining or is_spent

    async def count_what_is_there(self, source: BatchSource) -> None:
        """Have the budget count what earlier runs made of these jobs, before any is sent."""
        if self._calls.purse is None or self._total is None or isinstance(source, AsyncIterable):
            return
        keys = frozenset(keys_of(source, self._plan.places))
        journal = self._calls.ledger.journal
        # What failed and was set aside may have been paid for as well as what is made in its place.
        before: Mapping[str, str] = {}
        if isinstance(journal, SqliteJournal):
            from seedance_async.journal.aside import aside  # noqa: PLC0415 -- brings in SQLite

            before = await aside(journal)
        async for record in journal.records():
            if before.get(record.key, record.key) in keys:
                self._calls.count_past(record, self._plan.timeout_s)

    def _exhaust(self, error: Exception | None = None) -> None:
        self._exhausted, self._source_error = True, error
        self._notify()

    async def _create_all(self) -> None:
        while True:
            entry = await self._creates.take()
            try:
                entry.job = job_of(entry.item)
                if entry.job.request.local_media() and self._group is not None:
                    # Its files may take minutes, in which the few who create are wanted by others.
                    self._group.start_soon(self._create_apart, entry, name="seedance create")
                    continue
                await self._create(entry, entry.job)
            except BaseException as exc:  # noqa: BLE001 -- sorted there
                self._end_by(entry, exc)

    async def _create_apart(self, entry: _Entry) -> None:
        assert entry.job is not None  # noqa: S101 -- for the types
        try:
            await self._create(entry, entry.job)
        except BaseException as exc:  # noqa: BLE001 -- sorted there
            self._end_by(entry, exc)

    async def _create(self, entry: _Entry, job: Job) -> None:
        entry.key = self._claim(job)
        assert self._standing is not None  # noqa: S101 -- for the types: it was started
        entry.taken = await self._calls.take(
            job,
            entry.key,
            self._standing,
            index=entry.index,
            on_unknown=self._plan.on_unknown,
            check=self._plan.check,
        )
        entry.was_made = entry.taken.job.record.state is JobState.COMPLETED and entry.taken.is_known
        entry.watch = self._calls.watch_taken(entry.taken, self._plan.timeout_s)
        self._agenda.put(entry.watch.due, entry)

    def _claim(self, job: Job) -> str:
        if job.key in self._keys:
            message = "is the key of another job of this batch: give each job a key of its own"
            raise InvalidRequest([Violation("key.unique", "key", message)])
        if job.key is not None:
            self._keys.add(job.key)
        return key_in_batch(job, self._plan.places)

    async def _ask_all(self) -> None:
        while True:
            entry = await self._agenda.take()
            try:
                await self._ask(entry)
            except BaseException as exc:  # noqa: BLE001 -- sorted there
                self._end_by(entry, exc)

    async def _ask(self, entry: _Entry) -> None:
        watch, taken = entry.watch, entry.taken
        assert watch is not None and taken is not None  # noqa: S101, PT018 -- for the types
        if not watch.ended:
            await self._calls.ask(watch, taken.job, taken.standing)
        if not watch.ended:
            self._agenda.put(watch.due, entry)
            return
        if watch.course.gap_s:  # it ended somewhere between the last two queries
            self._late_s = _evened(self._late_s, watch.course.gap_s / 2)
        entry.video = self._calls.fetches.video(watch, taken.job)
        if self._out_dir is None:
            self._end(entry)
            return
        entry.is_fetching = True
        del self._flying[entry]
        self._in_flight -= 1
        self._downloading += 1
        self._downloads.put(self._calls.clock(), entry)
        self._notify()

    async def _download_all(self) -> None:
        while True:
            entry = await self._downloads.take()
            try:
                await self._download(entry)
            except BaseException as exc:  # noqa: BLE001 -- sorted there
                self._end_by(entry, exc)

    async def _download(self, entry: _Entry) -> None:
        taken, video, job = entry.taken, entry.video, entry.job
        assert taken and video and job and self._out_dir is not None  # noqa: S101, PT018
        there = await asyncio.to_thread(on_disk, taken.job.record, self._out_dir)
        if there is not None:
            self._end(entry, path=there)
            return
        entry.was_made = False
        if self._disk_trouble is not None:
            message = f"downloads were stopped: {self._disk_trouble.message}"
            raise DownloadError(message, video.id) from self._disk_trouble
        name = self._plan.names.fill(
            index=entry.index, key=taken.job.key, task_id=video.id, name=job.name
        )
        began = anyio.current_time()
        try:
            written = await self._calls.fetches.fetch(
                video,
                self._out_dir / name,
                taken.job,
                replaces=False,
                is_again=taken.is_known,
            )
        except DownloadError as error:
            if is_disk_trouble(error):
                self._disk_trouble = error
            raise
        self._fetch_s = _evened(self._fetch_s, anyio.current_time() - began)
        self._end(entry, path=written)

    def estimate(self, to_come: int | None) -> Estimate | None:
        waiting = self._waiting(to_come)
        if waiting is None:
            return None
        assert self._standing is not None  # noqa: S101 -- for the types: it was started
        jobs, now = self._in_flight + waiting, anyio.current_time()
        slots = min(self._max_in_flight, self._calls.turns.room_of(self._standing.flow))
        step = stride(min(max(slots, self._in_flight), jobs))
        sample = list(itertools.islice(self._flying, 0, None, step))
        fresh = [self._fresh_course(entry) for entry in sample]
        running = [(entry.watch.course, entry.watch.age_s(now)) for entry in sample if entry.watch]
        ahead = Ahead(
            running=running,
            fresh=fresh or [self._calls.learned.turnarounds.course(None)],
            # Those that the provider has not accepted yet may have to wait for their turn.
            waiting=waiting + (len(sample) - len(running)) * step,
            slots=slots,
            stride=step,
            gap_s=self._calls.turns.create_gap_s,
            late_s=self._late_s,
        )
        fetch_s = 0.0 if self._out_dir is None else self._fetch_s or _USUAL_FETCH_S
        fetches_s = (jobs + self._downloading) * fetch_s / _MAX_DOWNLOADERS
        last_s = fetch_s if jobs or self._downloading else 0.0
        return later(ahead.estimate(), last_s, at_least_s=fetches_s)

    def estimates(self, keys: Collection[str]) -> Mapping[str, Estimate]:
        now, wanted = self._calls.clock(), frozenset(keys)
        flying = [entry for entry in self._flying if entry.key in wanted]
        return {
            str(entry.key): of_task(entry.watch.course, entry.watch.age_s(now))
            for entry in flying
            if entry.watch is not None
        }

    def _waiting(self, to_come: int | None) -> int | None:
        """Tell how many jobs wait for a slot; None where nobody knows."""
        if self._exhausted or self._closed:
            return 0
        if to_come is not None or self._total is None:
            return to_come
        return max(self._total - self._taken, 0)

    def _fresh_course(self, entry: _Entry) -> Course:
        request = entry.job.request if entry.job else None
        kind = (None, None) if request is None else (request.model, request.duration)
        return self._calls.learned.turnarounds.course(*kind)

    def _end_by(self, entry: _Entry, exc: BaseException) -> None:
        """End the job, and only the job, with what it failed on."""
        if isinstance(exc, SeedanceError):
            self._end(entry, error=exc)
            return
        if not isinstance(exc, Exception | asyncio.CancelledError):
            raise exc
        if isinstance(exc, asyncio.CancelledError) and is_ours(exc):
            raise exc
        # A bug, ours or in a pacing of the user's: even that must not cost the others their end.
        error = SeedanceError(f"unexpected {type(exc).__name__}", entry.task_id)
        error.__cause__ = exc
        self._end(entry, error=error)

    def _end(
        self, entry: _Entry, *, error: SeedanceError | None = None, path: Path | None = None
    ) -> None:
        if entry.is_fetching:
            self._downloading -= 1
        else:
            del self._flying[entry]
            self._in_flight -= 1
            # The batch asks about it no more, however it stands.
            self._calls.turns.given_up(entry.task_id or (error.task_id if error else None))
        self._is_spent = self._is_spent or isinstance(error, BudgetExceeded)
        job = entry.job
        self._outcomes.append(
            Outcome(
                index=entry.index,
                key=entry.key or (job.key if job else None),
                name=job.name if job else None,
                request=job.request if job else None,
                status=_status(entry, error),
                video=entry.video,
                error=error,
                path=path,
                task_id=entry.task_id or (error.task_id if error else None),
                started_at=entry.started_at,
                ended_at=utc_now(),
            )
        )
        self._notify()


def keys_of(source: Iterable[BatchItem], places: Mapping[str, int]) -> Iterator[str]:
    """Give the keys that a batch's jobs will have, invalid ones left out.

    Args:
        source: The batch's items.
        places: How many equal requests, by their digests, came before them.
    """
    counted = Counter(places)
    for item in source:
        with contextlib.suppress(InvalidRequest):
            yield key_in_batch(job_of(item), counted)


def _status(entry: _Entry, error: SeedanceError | None) -> OutcomeStatus:
    """Tell how a job ended; one with an id or a lost answer, and no end, is unknown."""
    if entry.video is not None:
        return OutcomeStatus.SKIPPED if entry.was_made and not error else OutcomeStatus.COMPLETED
    if isinstance(error, InvalidRequest):
        return OutcomeStatus.INVALID
    if isinstance(error, VideoFailed) or error is None:
        return OutcomeStatus.FAILED
    paid = isinstance(error, SubmissionUnknown) or error.task_id is not None
    return OutcomeStatus.UNKNOWN if paid else OutcomeStatus.FAILED


def _evened(mean: float | None, new: float) -> float:
    """Give a mean to which the last few count most."""
    return new if mean is None else mean + (new - mean) / _LAST_FEW


def on_disk(record: JobRecord, folder: Path) -> Path | None:
    """Find the whole file of a job that was downloaded before, where it was or in *folder*."""
    if record.path is None or record.size_bytes is None:
        return None
    before = Path(record.path)
    places = (folder / before.name, before)  # the folder may have been moved since
    return next((path for path in places if is_there(path, record.size_bytes)), None)
