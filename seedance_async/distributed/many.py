"""Many jobs handed in and waited for, with outcomes as a batch on one machine gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import attrs
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from seedance_async.calls import key_in_batch
from seedance_async.errors import (
    InvalidRequest,
    JournalError,
    SeedanceError,
    SessionClosed,
    SubmissionUnknown,
    VideoFailed,
    Violation,
    WaitTimeout,
)
from seedance_async.ledger import utc_now
from seedance_async.lifecycle import JobRecord
from seedance_async.request import Job
from seedance_async.results import Outcome, OutcomeStatus
from seedance_async.source import BatchItem, BatchSource, iterate, job_of

if TYPE_CHECKING:
    from seedance_async.distributed.client import DistributedClient

_AT_ONCE = 32  # jobs that are being handed in; our choice


@asynccontextmanager
async def run(
    client: DistributedClient, requests: BatchSource, account: str, timeout_s: float | None
) -> AsyncIterator[AsyncIterator[Outcome]]:
    """Hand jobs in for as long as the block lasts, and give their outcomes as they end.

    What the block raises arrives bare.
    """
    await client._service(account)
    sending, receiving = anyio.create_memory_object_stream[Outcome](float("inf"))
    many = _Many(client, requests, account, timeout_s, sending)

    async def outcomes() -> AsyncIterator[Outcome]:
        async for outcome in receiving:
            yield outcome
        if many.failed is not None:
            raise many.failed

    raised: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(many.feed)
        try:
            yield outcomes()
        except anyio.get_cancelled_exc_class():
            raise
        # Kept out of the group, which would wrap it.
        except BaseException as exc:  # noqa: BLE001
            raised = exc
        group.cancel_scope.cancel()
    receiving.close()
    if raised is not None:
        raise raised


@attrs.define(eq=False)
class _Many:
    client: DistributedClient
    requests: BatchSource
    account: str
    timeout_s: float | None
    outcomes: MemoryObjectSendStream[Outcome]
    failed: Exception | None = None
    _places: Counter[str] = attrs.field(init=False, factory=Counter)
    _keys: set[str] = attrs.field(init=False, factory=set)
    _room: anyio.Semaphore = attrs.field(init=False, factory=lambda: anyio.Semaphore(_AT_ONCE))

    async def feed(self) -> None:
        """Take every item, some at a time, and wait for their ends."""
        index = 0
        async with self.outcomes, anyio.create_task_group() as group:
            try:
                async for item in iterate(self.requests):
                    await self._room.acquire()
                    self._start(group, index, item)
                    index += 1
            # The source is the caller's; what it gave before is waited for.
            except Exception as exc:  # noqa: BLE001
                self.failed = exc

    def _start(self, group: TaskGroup, index: int, item: BatchItem) -> None:
        outcome = Outcome(
            index=index, status=OutcomeStatus.UNKNOWN, started_at=utc_now(), ended_at=utc_now()
        )
        group.start_soon(self._one, outcome, item)

    async def _one(self, outcome: Outcome, item: BatchItem) -> None:
        """Hand a job in and wait for it; its error is in its outcome."""
        record: JobRecord | None = None
        error: SeedanceError | None = None
        is_made = False
        try:
            try:
                job = job_of(item)
                key = self._key(job)
                outcome = attrs.evolve(outcome, key=key, name=job.name, request=job.request)
                is_made = await self._hand_in(job, key)
            finally:
                self._room.release()
            record = await self.client._result(key, self.timeout_s)
        except SeedanceError as exc:
            error = exc
        task_id = record.task_id if record else error.task_id if error else None
        # One in a bucket is no path of this machine's; ``client.status(key).path`` has it.
        where = None if record is None else record.path
        path = None if where is None or "://" in where else Path(where)
        status = _status(error, is_made=is_made)
        ended = attrs.evolve(
            outcome, status=status, error=error, path=path, task_id=task_id, ended_at=utc_now()
        )
        self.outcomes.send_nowait(ended)

    def _key(self, job: Job) -> str:
        key = key_in_batch(job, self._places)
        if key in self._keys:
            message = "is the key of another job of this batch: give each job a key of its own"
            raise InvalidRequest([Violation("key.unique", "key", message)])
        self._keys.add(key)
        return key

    async def _hand_in(self, job: Job, key: str) -> bool:
        """Hand a job in; whether an earlier run has made it."""
        if await self.client._hand_in(job, key, self.account):
            return False
        return (await self.client.status(key)).downloaded_at is not None


def _status(error: SeedanceError | None, *, is_made: bool) -> OutcomeStatus:
    if error is None:
        return OutcomeStatus.SKIPPED if is_made else OutcomeStatus.COMPLETED
    if isinstance(error, InvalidRequest):
        return OutcomeStatus.INVALID
    if isinstance(error, VideoFailed):
        return OutcomeStatus.FAILED
    # It goes on, or may: where nobody waits any longer, or could not hear.
    is_open = isinstance(error, SubmissionUnknown | WaitTimeout | JournalError | SessionClosed)
    paid = is_open or error.task_id is not None
    return OutcomeStatus.UNKNOWN if paid else OutcomeStatus.FAILED
