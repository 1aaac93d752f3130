"""The journal that workers share: who may write, and what becomes of ids that come late.

On SQLite, and on a real Postgres where there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import sqlalchemy as sa

from seedance_async import JobRecord, JobState, JournalError, SqliteJournal, VideoRequest
from seedance_async.distributed.database import Database, facts
from seedance_async.distributed.shared import Row, SharedJournal, TakenOver
from seedance_async.ledger import utc_now
from seedance_async.wire import TaskState, read_task

REQUEST = VideoRequest(model="seedance_2_0_fast_pro", prompt="A cat")
ID, OTHER = (
    "video_00000000-0000-4000-8000-000000000001",
    "video_00000000-0000-4000-8000-000000000002",
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "postgres":
        dsn = request.getfixturevalue("server").new_database()
    else:
        dsn = f"sqlite:///{tmp_path / 'jobs.db'}"
    opened = Database(dsn)
    await opened.thread(opened.migrate)
    await opened.thread(opened.migrate)  # does no harm
    yield opened
    opened.close()


def planned(key: str = "a") -> JobRecord:
    return JobRecord(key=key, request=REQUEST, planned_at=utc_now())


def task(status: str, task_id: str = ID, **more: object) -> TaskState:
    import json

    body = {"id": task_id, "status": status, "created": 1774836724, "model": "m", **more}
    read = read_task(json.dumps(body).encode(), asked_id=task_id)
    assert isinstance(read, TaskState)
    return read


def sent(record: JobRecord) -> JobRecord:
    return record.moved(JobState.SUBMITTING, utc_now())


def accepted(record: JobRecord, task_id: str = ID) -> JobRecord:
    return record.moved(
        JobState.SUBMITTED, utc_now(), task_id=task_id, task=task("queued", task_id)
    )


async def test_of_two_workers_one_alone_intends_a_create(database: Database) -> None:
    workers = [SharedJournal(database, "main") for _ in range(8)]
    records = await asyncio.gather(*(worker.plan(planned()) for worker in workers))
    assert len({record.planned_at for record in records}) == 1
    outcomes = await asyncio.gather(
        *(worker.put(sent(record)) for worker, record in zip(workers, records, strict=True)),
        return_exceptions=True,
    )
    assert (
        sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType"] + ["TakenOver"] * 7
    )
    history = await workers[0].history("a")
    assert [move.state for move in history] == [JobState.PLANNED, JobState.SUBMITTING]


async def test_an_id_that_comes_late_is_the_jobs_all_the_same(database: Database) -> None:
    again: list[Row] = []

    async def on_late(row: Row) -> None:
        again.append(row)

    slow, next_one = (
        SharedJournal(database, "main", on_late=on_late),
        SharedJournal(database, "main"),
    )
    record = sent(await slow.plan(planned()))
    await slow.put(record)
    found = await next_one.plan(planned())
    lost = found.moved(JobState.UNKNOWN, utc_now(), error="who knows")
    await next_one.put(lost)
    row = await next_one.row("a")
    assert row is not None
    assert await next_one.close(row, None)
    await slow.put(accepted(record))
    row = await next_one.row("a")
    assert row is not None
    assert (row.record.state, row.record.task_id, row.is_over) == (JobState.SUBMITTED, ID, False)
    assert [each.record.key for each in again] == ["a"]
    assert await next_one.by_task(ID) == row.record


async def test_an_id_beside_another_is_not_lost(database: Database) -> None:
    slow, next_one = SharedJournal(database, "main"), SharedJournal(database, "main")
    record = sent(await slow.plan(planned()))
    await slow.put(record)
    found = await next_one.plan(planned())
    for each in (found.moved(JobState.UNKNOWN, utc_now()),):
        await next_one.put(each)
        resent = sent(each)
        await next_one.put(resent)
        await next_one.put(accepted(resent, OTHER))
    with pytest.raises(TakenOver, match="may be billed as well") as caught:
        await slow.put(accepted(record))
    assert caught.value.task_id == ID
    row = await next_one.row("a")
    assert row is not None
    assert row.record.task_id == OTHER
    moves = await next_one.history("a")
    assert (moves[-1].task_id, moves[-1].error) == (ID, f"accepted as well, beside {OTHER}")


async def test_who_is_behind_changes_nothing(database: Database) -> None:
    one, other = SharedJournal(database, "main"), SharedJournal(database, "main")
    record = await one.plan(planned())
    row = await one.row("a")
    assert row is not None
    await other.plan(planned())
    await other.put(sent(record))
    with pytest.raises(TakenOver, match="by another's hand"):
        await one.put(record.moved(JobState.FAILED, utc_now(), error="no"))
    assert not await one.close(row, None)
    one.let_go("a")
    assert (await one.plan(planned())).state is JobState.SUBMITTING
    with pytest.raises(TakenOver, match="not in the database"):
        await one.put(planned("b"))


async def test_the_spool_knows_an_id_before_anybody(database: Database, tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "spool.db") as spool:
        journal = SharedJournal(database, "main", spool=spool)
        record = sent(await journal.plan(planned()))
        await journal.put(record)
        database.engine.dispose()
        with contextlib.ExitStack() as away:
            patch = away.enter_context(pytest.MonkeyPatch.context())

            def gone(*_: object) -> object:
                raise sa.exc.OperationalError("", {}, Exception("the server is gone"))

            for name in ("_in_transaction", "_alone"):
                patch.setattr(database, name, gone)
            with pytest.raises(JournalError, match="the server is gone") as caught:
                await journal.put(accepted(record))
            assert caught.value.task_id == ID
        spooled = await spool.get("a")
        assert spooled is not None
        assert spooled.task_id == ID
        # And so the next who looks on this machine finds it.
        found = await SharedJournal(database, "main", spool=spool).plan(planned())
        assert (found.state, found.task_id) == (JobState.SUBMITTED, ID)


async def test_no_url_that_the_provider_gave_is_kept(database: Database) -> None:
    journal = SharedJournal(database, "main")
    record = sent(await journal.plan(planned()))
    await journal.put(record)
    record = accepted(record)
    await journal.put(record)
    urls = {
        "video_url": "https://v.example/a.mp4?signature=s",
        "data": [{"url": "https://v/b?sig=t"}],
    }
    said = task("completed", totalTokens=7, note="see https://v/c?sig=u now\0", **urls)
    await journal.put(record.moved(JobState.COMPLETED, utc_now(), task=said))
    row = await journal.row("a")
    assert row is not None
    assert row.record.task is not None
    assert row.record.task.total_tokens in (7, None)
    assert row.record.task_status == "completed"

    def dump(connection: sa.Connection) -> str:
        return str(connection.execute(sa.text("SELECT * FROM seedance_jobs")).fetchall())

    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SET search_path TO seedance")
        assert "sig" not in dump(connection)


async def test_what_is_of_a_newer_version_is_left_alone(database: Database) -> None:
    def age(connection: sa.Connection) -> None:
        connection.execute(facts.update().where(facts.c.name == "version").values(value="2"))

    await database.run(age)
    with pytest.raises(JournalError, match="of a newer version"):
        await database.thread(database.check_version)


async def test_text_that_no_database_holds(database: Database) -> None:
    journal = SharedJournal(database, "main")
    record = await journal.plan(planned())
    await journal.put(record.moved(JobState.FAILED, utc_now(), error="half \ud800 and \0 nothing"))
    row = await journal.row("a")
    assert row is not None
    assert row.record.error == "half \\ud800 and  nothing"


async def test_many_are_read_some_at_a_time(database: Database) -> None:
    journal = SharedJournal(database, "main")
    async with anyio.create_task_group() as group:
        for number in range(450):
            group.start_soon(journal.plan, planned(f"job {number}"))
    assert len({record.key async for record in journal.records()}) == 450
    assert [record async for record in journal.records(JobState.UNKNOWN)] == []
    assert [record async for record in journal.records(account="other")] == []


async def test_a_database_that_is_away_is_told_of(tmp_path: Path) -> None:
    away = Database("postgresql://someone:a-secret@127.0.0.1:1/name")
    with pytest.raises(JournalError, match=r"someone:\*\*\*@127\.0\.0\.1:1/name") as caught:
        await away.run(lambda connection: None)
    assert "a-secret" not in str(caught.value) + repr(away)
    away.close()
