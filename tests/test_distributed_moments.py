"""Many machines in bad moments: between two reads, two writes, or a change and its telling."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import postgres
import pytest
import sqlalchemy as sa
from conftest import ScriptedApi, task_json
from dbos import DBOS
from test_distributed_jobs import (
    KEY,
    SPEED,
    Place,
    anyio_backend,
    both,
    comes_true,
    emulator,
    failing,
    film,
    no_task_left_behind,
    place,
    quick,
    state,
)

from seedance_async import (
    Fixed,
    JobState,
    JournalError,
    OutcomeStatus,
    SubmissionUnknown,
    VideoFailed,
)
from seedance_async.distributed import Account, DistributedWorker, LocalFolder, engine, work, worker
from seedance_async.distributed.database import Database
from seedance_async.distributed.shared import SharedJournal
from seedance_async.emulator import Emulator, Fault
from seedance_async.errors import SeedanceError
from seedance_async.ledger import utc_now

__all__ = ["anyio_backend", "emulator", "failing", "no_task_left_behind", "place", "quick"]


def set_engine(place: Place, status: str) -> None:
    with sqlite3.connect(place.folder / "jobs.db") as database:
        database.execute("UPDATE workflow_status SET status = ?", (status,))


async def test_a_job_that_was_cancelled_is_not_paid_for(
    place: Place, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = SharedJournal.plan
    told: list[JobState] = []

    async with both(place, emulator) as client:

        async def plan(self: SharedJournal, record: Any) -> Any:
            if not told:  # between the worker's two reads of the row
                told.append((await client.cancel(record.key)).state)
            return await usual(self, record)

        monkeypatch.setattr(SharedJournal, "plan", plan)
        await client.submit(film(), key="a")
        await comes_true(lambda: asyncio.sleep(0, bool(told)))
        await anyio.sleep(1.5)
    assert told == [JobState.FAILED]  # "where it was never sent"
    assert emulator.stats.accepted == 0


async def test_a_job_that_failed_in_its_creates_answer_goes_again(
    place: Place, api: ScriptedApi
) -> None:
    def answer(status: str) -> Any:
        return {**task_json(status), "id": f"video_{uuid.uuid4()}"}

    api.creates = [answer("failed"), answer("queued")]
    async with both(place, api.base_url, account={"max_in_flight": 1}) as client:
        job = await client.submit(film(), key="a")
        with pytest.raises(VideoFailed):
            await job.result(10)
        await client.resubmit("a", reason="the provider was down")
        await anyio.sleep(4)
        assert api.count("POST") == 2, (await client.status("a")).state


async def test_an_earlier_attempts_id_is_not_taken_for_a_later_ones(
    place: Place, emulator: Emulator, failing: list[str]
) -> None:
    failing.append("film 1")
    async with both(place, emulator) as client:
        with pytest.raises(VideoFailed):
            await (await client.submit(film(), key="a")).result(10)
        first = (await client.status("a")).task_id
    async with place.client() as client:
        await client.resubmit("a", reason="the provider was down")
        # A worker dies while the create of the second attempt is on the wire.
        journal = SharedJournal(client._database, "main")
        record = await journal.get("a")
        assert record is not None
        await journal.put(record.moved(JobState.SUBMITTING, utc_now()))
    async with both(place, emulator) as client:
        await state(client, "a", JobState.UNKNOWN, JobState.FAILED, JobState.COMPLETED)
        record = await client.status("a")
    assert record.task_id != first
    assert record.state is JobState.UNKNOWN


async def test_a_resubmit_that_was_cut_may_be_said_again(
    place: Place, emulator: Emulator, failing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing.append("film 1")
    async with both(place, emulator) as client:
        job = await client.submit(film(), key="a")
        with pytest.raises(VideoFailed):
            await job.result(10)
        failing.clear()

        def away(*_: Any, **__: Any) -> None:
            raise sa.exc.OperationalError("", {}, Exception("the server is gone"))

        with monkeypatch.context() as patch:
            patch.setattr(engine.Control, "again", away)
            with pytest.raises(JournalError):
                await client.resubmit("a", reason="the provider was down")
        assert (await client.submit(film(), key="a")).key == "a"
        await client.resubmit("a", reason="the provider was down")
        await job.result(5)


@pytest.mark.parametrize("status", ["ERROR", "SUCCESS", "CANCELLED"])
async def test_a_paid_job_that_ended_in_the_engine_alone_is_taken_up(
    place: Place, status: str
) -> None:
    slow = Emulator(speed=60, api_key=KEY)
    async with slow:
        async with both(place, slow) as client:
            await client.submit(film(), key="a")
            await state(client, "a", JobState.SUBMITTED)
        set_engine(place, status)
        async with both(place, slow) as client:
            assert (await client.job("a").result(8)).state is JobState.COMPLETED


async def test_a_forced_cancel_ends_a_job_whatever_comes_in_between(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Emulator(speed=60, api_key=KEY, latency_s=0.5)
    async with slow, both(place, slow) as client:
        await client.submit(film(), key="a")
        await state(client, "a", JobState.SUBMITTING)
        usual = client._journal.close

        async def close(row: Any, problem: Any) -> bool:
            await state(client, "a", JobState.SUBMITTED)  # the answer came meanwhile
            return await usual(row, problem)

        monkeypatch.setattr(client._journal, "close", close)
        await client.cancel("a", force=True)
        with pytest.raises(VideoFailed):
            await client.job("a").result(8)


async def test_a_forced_cancel_while_the_create_is_on_the_wire(place: Place) -> None:
    slow = Emulator(speed=100, api_key=KEY, latency_s=0.7)
    async with slow, both(place, slow) as client:
        await client.submit(film(), key="a")
        await state(client, "a", JobState.SUBMITTING)
        await client.cancel("a", force=True)
        await state(client, "a", JobState.SUBMITTED)
        await state(client, "a", JobState.COMPLETED)

        async def over() -> bool:
            row = await client._journal.row("a")
            return row is not None and row.is_over

        async def has_ended() -> bool:
            with sqlite3.connect(place.folder / "jobs.db") as database:
                query = "SELECT status FROM workflow_status WHERE workflow_uuid = 'a'"
                return database.execute(query).fetchall() == [("SUCCESS",)]

        await comes_true(over)
        await comes_true(has_ended)
    assert slow.stats.accepted == 1


async def test_a_worker_with_a_wrong_key_drops_no_paid_job(place: Place) -> None:
    slow = Emulator(speed=10, api_key=KEY)
    async with slow:
        async with both(place, slow, account={"max_in_flight": 1}) as client:
            await client.submit(film(1), key="paid")
            await client.submit(film(2), key="waits")
            await state(client, "paid", JobState.SUBMITTED)
        wrong = DistributedWorker(
            place.dsn,
            accounts=[Account("main", api_key="wrong-key", base_url=slow.base_url)],
            out=LocalFolder(place.folder / "videos"),
            spool=place.folder / "spool",
            pacing=Fixed(0.05),
        )
        async with wrong, place.client() as client:
            await client.set_limit("main", max_in_flight=5)
            await anyio.sleep(7)
            rows = [row async for row in client._journal.each()]
            assert [(row.record.key, row.record.state.value, row.is_over) for row in rows] == [
                ("paid", "submitted", False),
                ("waits", "planned", False),
            ], [row.problem for row in rows]


async def test_accounts_have_queues_of_their_own(place: Place, emulator: Emulator) -> None:
    def account(name: str) -> Account:
        return Account(name, api_key=KEY, base_url=emulator.base_url, max_in_flight=1)

    both_of_them = DistributedWorker(
        place.dsn,
        accounts=[account("main"), account("main-downloads")],
        out=LocalFolder(place.folder / "videos"),
        spool=place.folder / "spool",
    )
    async with both_of_them, place.client() as client:
        assert (await client.set_limit("main-downloads")).max_in_flight == 1


async def test_a_batch_calls_nothing_failed_that_will_be_paid_for(place: Place) -> None:
    slow = Emulator(speed=60, api_key=KEY)
    async with slow, both(place, slow, account={"max_in_flight": 1}) as client:
        async with client.batch([film(1), film(2), film(3)], timeout_s=0.5) as outcomes:
            told = [outcome.status async for outcome in outcomes]
        assert OutcomeStatus.FAILED not in told


async def test_a_batch_survives_a_database_that_is_away_for_a_moment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Emulator(speed=60, api_key=KEY)
    async with slow, both(place, slow) as client:
        usual, times = SharedJournal.ended, [0]

        async def ended(self: SharedJournal, keys: Any) -> Any:
            times[0] += 1
            if times[0] == 3:
                raise JournalError("the database: server closed the connection unexpectedly")
            return await usual(self, keys)

        monkeypatch.setattr(SharedJournal, "ended", ended)
        async with client.batch([film(1), film(2)]) as outcomes:
            told = [outcome.status async for outcome in outcomes]
        assert told == [OutcomeStatus.COMPLETED] * 2


async def test_a_batch_for_no_account_says_so_plainly(place: Place, emulator: Emulator) -> None:
    async with both(place, emulator) as client:
        with pytest.raises(ValueError, match="no worker was ever started"):
            async with client.batch([film(1)], account="nope") as outcomes:
                [outcome async for outcome in outcomes]


async def test_a_spool_is_of_one_database(place: Place) -> None:
    slow, other = Emulator(speed=10, api_key=KEY), Place(place.folder / "other")
    other.folder.mkdir()
    async with slow:
        async with both(place, slow) as client:
            await client.submit(film(1), key="a")
            await state(client, "a", JobState.SUBMITTED)
            task_id = (await client.status("a")).task_id
        async with both(other, slow):
            pass
        async with other.client() as client:
            await client.submit(film(2), key="a")
            journal = SharedJournal(client._database, "main")
            record = await journal.get("a")
            assert record is not None
            await journal.put(record.moved(JobState.SUBMITTING, utc_now()))
        (place.folder / "spool").rename(place.folder / "kept")
        for path in (other.folder / "spool").glob("*"):
            path.unlink()
        for path in (place.folder / "kept").glob("*"):
            path.rename(other.folder / "spool" / path.name)
        async with both(other, slow) as client:
            await state(client, "a", JobState.UNKNOWN, JobState.SUBMITTED)
            assert (await client.status("a")).task_id != task_id  # it is of film 1


async def test_a_worker_without_a_sign_of_life_does_not_go_on(
    place: Place, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> bool:
        raise sa.exc.PendingRollbackError("Can't reconnect until the transaction is rolled back")

    monkeypatch.setattr(worker.alive, "beat_s", lambda: 0.1)
    monkeypatch.setattr(worker, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(worker.SignOfLife, "beat", broken)
    async with place.worker(emulator):
        await anyio.sleep(1)
        assert "_live" in {task.get_coro().__name__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]


async def test_who_waits_when_a_client_closes_is_not_cancelled(
    place: Place, emulator: Emulator
) -> None:
    slow = Emulator(speed=60, api_key=KEY)
    async with slow, place.worker(slow):
        async with place.client() as client:
            job = await client.submit(film(), key="a")
            waiting = asyncio.create_task(job.result())
            await anyio.sleep(0.3)
        (error,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(error, SeedanceError), repr(error)


async def test_a_client_that_was_closed_says_so(place: Place, emulator: Emulator) -> None:
    async with both(place, emulator) as client:
        pass
    with pytest.raises(SeedanceError):
        await client.status("a")


async def test_a_row_that_cannot_be_read_hurts_no_other_job(
    place: Place, emulator: Emulator
) -> None:
    async with both(place, emulator) as client:
        await (await client.submit(film(1), key="odd")).result(10)
        with sqlite3.connect(place.folder / "jobs.db") as database:
            database.execute("UPDATE seedance_jobs SET problem = '{}' WHERE key = 'odd'")
        odd = asyncio.create_task(client.job("odd").result(5))
        good = await client.submit(film(2), key="good")
        try:
            assert (await good.result(5)).state is JobState.COMPLETED
        finally:
            await asyncio.gather(odd, return_exceptions=True)


async def test_a_cancelled_unknown_job_is_not_said_to_be_unsent(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work.AccountWork, "_hold_s", lambda *_: 0.5)
    faults = [Fault("create.reset_after_accept")]
    async with Emulator(speed=SPEED, api_key=KEY, faults=faults) as emulator:  # noqa: SIM117
        async with both(place, emulator) as client:
            await client.submit(film(), key="a")
            await state(client, "a", JobState.UNKNOWN)
            await client.cancel("a")
            await anyio.sleep(1.5)
            with pytest.raises(SeedanceError) as caught:
                await client.job("a").result(5)
    assert emulator.stats.accepted == 1
    assert "before it was sent" not in caught.value.message
    assert isinstance(caught.value, SubmissionUnknown)


async def test_a_limit_is_what_was_set(place: Place, emulator: Emulator) -> None:
    async with both(place, emulator, account={"creates_per_minute": 7}) as client:
        told = [await client.set_limit("main")]
        told += [await client.set_limit("main", max_in_flight=5) for _ in range(2)]
    assert [limits.creates_per_minute for limits in told] == [7, 7, 7]


async def test_a_program_that_runs_the_engine_leaves_its_jobs_to_its_like(place: Place) -> None:
    @contextlib.asynccontextmanager
    async def program(executor_id: str) -> AsyncIterator[None]:
        told: Any = {"name": "an-app", "log_level": "ERROR", "application_version": "app-1"}
        DBOS(config={**told, "system_database_url": place.dsn, "executor_id": executor_id})
        DBOS.launch()
        try:
            yield
        finally:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
            await asyncio.to_thread(DBOS.destroy)

    slow = Emulator(speed=60, api_key=KEY)
    async with slow:
        async with program("local"):
            with pytest.raises(JournalError, match="executor_id"):
                await place.worker(slow, attach=True).__aenter__()
        async with program("app-1"), both(place, slow, attach=True) as client:
            await client.submit(film(), key="a")
            await state(client, "a", JobState.SUBMITTED)
        async with program("app-2"), both(place, slow, attach=True) as client:
            assert (await client.job("a").result(20)).state is JobState.COMPLETED
    assert slow.stats.accepted == 1


async def test_a_result_that_is_there_is_given_at_once(place: Place, emulator: Emulator) -> None:
    async with both(place, emulator) as client:
        job = await client.submit(film(), key="a")
        await job.result(10)
        assert (await job.result(0)).state is JobState.COMPLETED


async def test_the_first_workers_may_start_at_once(server: postgres.Server) -> None:
    dsn = server.new_database()
    databases = [Database(dsn) for _ in range(4)]
    try:
        await asyncio.gather(*(each.thread(each.migrate) for each in databases))
        for name in map(str, range(20)):
            claim = functools.partial(worker._claim, account=name, service="api.example.com")
            await asyncio.gather(*(each.run(claim) for each in databases))
    finally:
        for each in databases:
            each.close()
