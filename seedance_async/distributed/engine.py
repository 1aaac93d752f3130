"""All that is asked of DBOS, the engine: queues with their limits, workflows, who has which.

Nothing outside this module knows that it is DBOS, and nothing here knows what a video is. Only what
is public of DBOS is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import attrs
import sqlalchemy as sa
from dbos import (
    DBOS,
    DBOSClient,
    DBOSPortableJSONSerializer,
    EnqueueOptions,
    SetWorkflowID,
    WorkflowStatus,
    error,
)

from seedance_async.distributed import database
from seedance_async.distributed.database import Database
from seedance_async.errors import JournalError

#: Goes up when the steps change, so that nobody goes on with what an older worker began.
APPLICATION_VERSION = "1"
_NAME = "seedance"
_VIDEO, _DOWNLOAD = "seedance.video", "seedance.download"
_POLL_S = 0.5  # how often a worker looks for jobs; our choice
# At once in a worker, which takes no more than these from its queue at each look.
_DOWNLOADS = 32
# Four fifths, since jobs are counted when they start, and their creates leave somewhat later.
_PERIOD_S, _SHARE = 60.0, 0.8
_ACTIVE = frozenset({"ENQUEUED", "PENDING", "DELAYED"})
_ROWS = 1000  # listed at a time
_CONNECTIONS = 12  # of a worker, besides our own; our choice
_TRIES, _PAUSE_S = 40, 0.25  # for a workflow that is just about to end


@attrs.frozen(kw_only=True)
class Watched:
    """How a watch has ended.

    Attributes:
        state: How the job stands, for people.
        task_id: The task whose video is to be fetched; None for nothing.
        deadline: Until when, in seconds since 1970.
        download: What the engine is to call that, another name each time.
    """

    state: str
    task_id: str | None = None
    deadline: float | None = None
    download: str = ""


class Work(Protocol):
    """What a worker does with the jobs of one account; every step may be done again."""

    async def begin(self) -> None:
        """Return at once, or never where nothing is to be begun any more."""

    async def submit(self, key: str) -> str:
        """Send a job, or take it up; give its state."""

    async def watch(self, key: str) -> Watched:
        """Wait for a job's end, or until it is to be sent anew."""

    async def is_over(self, key: str) -> bool:
        """Tell whether nothing more is to be done about a job."""

    async def download(self, key: str, task_id: str, deadline: float) -> None:
        """Bring a video where it is to be kept."""


@attrs.frozen(kw_only=True)
class Bounds:
    """What the queue of an account lets through, over all workers.

    Attributes:
        max_in_flight: How many jobs at once.
        creates_per_minute: How many creates a minute the account has; None for any number.
    """

    max_in_flight: int
    creates_per_minute: float | None

    def as_said(self, creates_per_minute: float) -> Bounds:
        """Give the same with the rate as it was set, if that is what it came from."""
        if _limiter(creates_per_minute) != _limiter(self.creates_per_minute):
            return self
        return attrs.evolve(self, creates_per_minute=creates_per_minute)


@attrs.frozen(kw_only=True)
class Turn:
    """A job as the engine knows it.

    Attributes:
        key: Its key.
        account: Whose it is.
        place: When its turn comes: the lowest first. What a worker had when it died comes before
            all that was never begun, so that its place in flight is nobody else's meanwhile.
    """

    key: str
    account: str
    place: int

    @property
    def options(self) -> EnqueueOptions:
        """The same, as the engine takes it."""
        return {
            "workflow_name": _VIDEO,
            "queue_name": _queue(self.account),
            "workflow_id": self.key,
            "priority": self.place,
        }


def _limiter(creates_per_minute: float | None) -> Any:
    if creates_per_minute is None:
        return None
    return {"limit": max(1, int(creates_per_minute * _SHARE)), "period": _PERIOD_S}


def _queue(account: str) -> str:
    return f"seedance.video.{account}"


def _downloads(account: str) -> str:
    return f"seedance.download.{account}"  # downloads hold no paid place


# Its list of migrations is nobody's business; who wants more sets the level before.
if logging.getLogger("dbos").level == logging.NOTSET:
    logging.getLogger("dbos").setLevel(logging.ERROR)
# The engine is one for a process, and what it runs are plain functions.
_working: dict[str, Work] = {}


# A step costs as much as all the rest of a workflow: it is one only where something is to be found
# when a job is taken up again, or to be ended by ``Control.cancel``. The rest begins with what our
# own tables say of the job, and finds what was done there.
@DBOS.step(name="seedance.watch", preemptible=True)
async def _watch(key: str, account: str) -> dict[str, Any]:
    return attrs.asdict(await _working[account].watch(key))


@DBOS.workflow(name=_VIDEO, max_recovery_attempts=None)
async def _video(key: str, account: str) -> dict[str, Any]:
    work = await _begun(account)
    while True:
        await work.submit(key)
        watched = await _watch(key, account)
        task_id, deadline = watched["task_id"], watched["deadline"]
        if task_id is not None:
            with SetWorkflowID(watched["download"]):
                await DBOS.enqueue_workflow_async(
                    _downloads(account), _download, key, account, task_id, deadline
                )
            return watched
        if await work.is_over(key):
            return watched


@DBOS.workflow(name=_DOWNLOAD, max_recovery_attempts=None)
async def _download(key: str, account: str, task_id: str, deadline: float) -> dict[str, Any]:
    work = await _begun(account)
    await work.download(key, task_id, deadline)
    return {"task_id": task_id}


async def _begun(account: str) -> Work:
    """Begin a workflow; one that comes when its worker has ended is left to the next.

    What is raised would be its end for good.
    """
    work = _working.get(account)
    if work is None:
        await asyncio.get_running_loop().create_future()
    assert work is not None  # noqa: S101 -- for the types
    await work.begin()
    return work


class Engine:
    """The engine of one worker.

    Args:
        at: Where it keeps what it knows.
        work: What to do with the jobs of each account.
        executor_id: What this worker is called, unlike any before it.
        attach: Whether the program runs the engine itself; it is then neither started nor ended.
        migrate: Whether to make or update the engine's tables.
    """

    def __init__(
        self,
        at: Database,
        work: Mapping[str, Work],
        executor_id: str,
        *,
        attach: bool = False,
        migrate: bool = True,
    ) -> None:
        self._database = at
        self._work = work
        self._executor_id = executor_id
        self._attach = attach
        self._migrate = migrate
        self._began = False

    @property
    def executor_id(self) -> str:
        """What the engine calls this worker."""
        return DBOS.executor_id if self._attach else self._executor_id

    async def begin(self) -> None:
        """Start: from now on jobs come in; inside the event loop in which they are to run.

        Raises:
            JournalError: The program runs the engine already, and did not say so.
        """
        if _working.keys() & self._work.keys():
            raise JournalError("this process has a worker for the account already")
        if not self._attach:
            self._make()
        elif self.executor_id == "local":
            raise JournalError("give DBOS an executor_id that no other process has, ever")
        _working.update(self._work)
        self._began = True
        if not self._attach:
            # Connects and migrates, which may take a second.
            DBOS.launch()

    def _make(self) -> None:
        DBOS(
            config={
                "name": _NAME,
                "system_database_url": self._database.engines_url,
                "application_version": APPLICATION_VERSION,
                "executor_id": self._executor_id,
                "serializer": DBOSPortableJSONSerializer(),
                "run_migrations": self._migrate,
                "sys_db_pool_size": _CONNECTIONS,
                "sys_db_idle_transaction_timeout_sec": database.SILENCE_S,
                "db_engine_kwargs": {"hide_parameters": True},
                "log_level": "ERROR",
                # Only SQLite is asked for news, which we need none of; so long the end takes.
                "notification_listener_polling_interval_sec": 0.2,
            }
        )
        DBOS.listen_queues([queue(name) for name in self._work for queue in (_queue, _downloads)])

    async def end(self) -> None:
        """Stop: nothing more comes in, and what runs is nobody's."""
        if not self._began:
            return
        if not self._attach:
            loop = asyncio.get_running_loop()
            # It has put its own in the place of the loop's, and shuts it down.
            loop.set_default_executor(ThreadPoolExecutor())
            await loop.run_in_executor(None, DBOS.destroy)
        for account in self._work:
            _working.pop(account, None)


def migrate(at: Database, role: str | None = None) -> None:
    """Make or update the engine's tables; blocks.

    Args:
        at: Where.
        role: The role that workers and clients connect as, which is granted what they need.
    """
    DBOS.migrate(at.engines_url, application_role=role)


class Control:
    """What clients, and workers about each other, ask of the engine; every method blocks.

    Args:
        at: Where the engine keeps what it knows.
    """

    def __init__(self, at: Database) -> None:
        self._client = DBOSClient(
            system_database_url=at.engines_url,
            serializer=DBOSPortableJSONSerializer(),
            lazy=True,
            retry_connection_errors=False,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()

    def enqueue(self, connection: sa.Connection, turn: Turn) -> None:
        """Have a job done by whoever is next, once the transaction is committed."""
        with _told():
            self._client.enqueue_in_transaction(connection, turn.options, turn.key, turn.account)

    def again(self, turn: Turn, *, was_over: bool) -> None:
        """Have a job looked at again.

        Args:
            turn: The job.
            was_over: Whether it was over: who has said so may be about to end.
        """
        with _told():
            for _ in range(_TRIES):
                status = self._status(turn.key)
                if status is None:
                    self._client.enqueue(turn.options, turn.key, turn.account)
                    return
                if status not in _ACTIVE:
                    with contextlib.suppress(error.DBOSException):  # somebody else did it just now
                        self._client.rewind_workflow(turn.key, queue_name=_queue(turn.account))
                    return
                if status == "ENQUEUED" or not was_over:
                    return  # it is looked at when its turn comes, or is being looked at
                time.sleep(_PAUSE_S)

    def idle(self, keys: Mapping[str, str | None]) -> Sequence[str]:
        """Tell which jobs nobody has, and nobody will have.

        Args:
            keys: The jobs' keys, each with the id of its task if its video was made.
        """
        listed, busy = list(keys), set[str]()
        with _told():
            for first in range(0, len(listed), _ROWS):
                some = listed[first : first + _ROWS]
                busy |= self._active(workflow_ids=some)
                made = [f"{keys[key]} " for key in some if keys[key] is not None]
                if made:
                    busy |= {name.split(" ")[0] for name in self._active(workflow_id_prefix=made)}
        return [key for key in listed if not {key, keys[key]} & busy]

    def _active(self, **which: Any) -> set[str]:
        found = self._client.list_workflows(
            status=sorted(_ACTIVE), load_input=False, load_output=False, **which
        )
        return {workflow.workflow_id for workflow in found}

    def _status(self, key: str) -> str | None:
        found = self._client.list_workflows(workflow_ids=[key], load_input=False, load_output=False)
        return found[0].status if found else None

    def cancel(self, key: str) -> None:
        """Take a job off its queue, or end what is done about it."""
        with _told():
            self._client.cancel_workflow(key)

    def delete(self, keys: Sequence[str]) -> None:
        """Forget jobs that are over, and their downloads."""
        with _told():
            self._client.delete_workflows(list(keys), delete_children=True)

    def hand_over(self, executor_id: str) -> int:
        """Give back to their queues the jobs of a worker that is gone; how many they were."""
        by_queue: dict[str | None, list[str]] = {}
        with _told():
            for job in self._pending(executor_id):
                by_queue.setdefault(job.queue_name, []).append(job.workflow_id)
            for queue, keys in by_queue.items():
                # Without its queue a job would run beside all limits.
                self._client.resume_workflows(keys, queue_name=queue)
        return sum(map(len, by_queue.values()))

    def _pending(self, executor_id: str) -> Iterator[WorkflowStatus]:
        offset = 0
        while page := self._client.list_workflows(
            status="PENDING",
            executor_id=executor_id,
            name=[_VIDEO, _DOWNLOAD],
            load_input=False,
            load_output=False,
            limit=_ROWS,
            offset=offset,
        ):
            yield from page
            offset += len(page)

    def make_queues(self, account: str, bounds: Bounds) -> None:
        """Make an account's queues, unless they are there.

        What was set while workers ran holds for those that come, see ``set_bounds``.
        """
        with _told():
            self._client.register_queue(
                _queue(account),
                global_concurrency=bounds.max_in_flight,
                limiter=_limiter(bounds.creates_per_minute),
                polling_interval_sec=_POLL_S,
                on_conflict="never_update",
            )
            self._client.register_queue(
                _downloads(account),
                worker_concurrency=_DOWNLOADS,
                polling_interval_sec=_POLL_S,
                on_conflict="never_update",
            )

    def bounds(self, account: str) -> Bounds | None:
        """Give what is in force for an account; None where no worker was started for it."""
        with _told():
            queue = self._client.retrieve_queue(_queue(account))
            if queue is None or (most := queue.global_concurrency) is None:
                return None
            limiter = queue.limiter
        rate = None if limiter is None else limiter["limit"] / _SHARE
        return Bounds(max_in_flight=most, creates_per_minute=rate)

    def set_bounds(
        self, account: str, max_in_flight: int | None, creates_per_minute: float | None
    ) -> None:
        """Change what is in force for an account, while workers run; None leaves it as it is."""
        with _told():
            queue = self._client.retrieve_queue(_queue(account))
            if queue is None:
                raise JournalError(f"no worker was ever started for the account {account!r}")
            if max_in_flight is not None:
                queue.set_global_concurrency(max_in_flight)
            if creates_per_minute is not None:
                queue.set_limiter(_limiter(creates_per_minute))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the engine says is wrong into an error of ours; the server's go on as they are."""
    try:
        yield
    except error.DBOSException as exc:
        raise JournalError(f"the engine does not take it: {exc}") from exc
