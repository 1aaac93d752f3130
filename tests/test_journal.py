"""Journals, by what every journal promises, and by what only one on disk does."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import errno
import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from seedance_async import (
    JobRecord,
    JobState,
    Journal,
    JournalError,
    MemoryJournal,
    SqliteJournal,
    TaskState,
    VideoRequest,
)
from seedance_async.journal import rows, sqlite

NOW = dt.datetime(2026, 3, 30, 12, 0, tzinfo=dt.UTC)
REQUEST = VideoRequest(model="seedance_2_0_pro", prompt="A cat")
DONE = {"id": "v1", "status": "completed", "video_url": "https://v.example/a.mp4?sig=s"}
TASK = TaskState(
    id="v1", status="completed", video_url=DONE["video_url"], body=json.dumps(DONE).encode()
)


def record(key: str, request: VideoRequest = REQUEST) -> JobRecord:
    return JobRecord(key=key, request=request, planned_at=NOW)


def life(key: str, *states: JobState, **changes: Any) -> list[JobRecord]:
    """Give a job's records from planned on."""
    lived = [record(key)]
    for number, state in enumerate(states, 1):
        lived.append(lived[-1].moved(state, NOW + dt.timedelta(seconds=number), **changes))
    return lived


PATH = (JobState.SUBMITTING, JobState.SUBMITTED, JobState.COMPLETED)


async def write(journal: Journal, records: list[JobRecord]) -> JobRecord:
    await journal.plan(records[0])
    for each in records[1:]:
        await journal.put(each)
    return records[-1]


async def keys(journal: Journal, state: JobState | None = None) -> list[str]:
    return [job.key async for job in journal.records(state)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "journal.sqlite"


@pytest.fixture
async def on_disk(path: Path) -> AsyncIterator[SqliteJournal]:
    async with SqliteJournal(path) as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    async with SqliteJournal(path) as opened:
        yield opened


async def test_records_are_found_by_key_and_by_state_in_the_order_of_planning(
    journal: Journal,
) -> None:
    await journal.plan(record("b"))
    await journal.plan(record("a"))
    await journal.put(record("b").moved(JobState.SUBMITTING, NOW))
    assert await keys(journal) == ["b", "a"]
    assert await keys(journal, JobState.PLANNED) == ["a"]
    found = await journal.get("b")
    assert found is not None
    assert found.state is JobState.SUBMITTING
    assert await journal.get("c") is None


async def test_a_record_comes_back_as_it_was(journal: Journal) -> None:
    request = VideoRequest(
        model="seedance_2_0_pro",
        prompt="Ein Kätzchen \N{CAT}",
        duration=7,
        first_image="https://a.example/1.png",
        metadata={"row": 7, "tags": ["a", None]},
        waive=["media.public"],
    )
    planned = attrs.evolve(record("k", request), name="The cat")
    *_, submitted, _ = life("k", *PATH)
    put = planned.moved(JobState.SUBMITTING, NOW)
    put = put.moved(JobState.SUBMITTED, submitted.changed_at, task_id="v1", task=TASK)
    put = put.moved(JobState.COMPLETED, NOW, task=TASK, polls=4, path="/v/1.mp4", size_bytes=9)
    await journal.plan(planned)
    await journal.put(put)
    found = await journal.get("k")
    assert found == put
    assert found is not None
    assert (found.task, found.request.metadata) == (TASK, request.metadata)
    assert found.video_expires_at == NOW + dt.timedelta(hours=24)


async def test_planning_a_known_key_changes_nothing_and_tells_what_is_known(
    journal: Journal,
) -> None:
    last = await write(journal, life("k", JobState.SUBMITTING))
    assert await journal.plan(record("k")) == last
    assert await journal.get("k") == last


async def test_of_many_that_are_planned_together_each_is_told_what_is_known_of_it(
    on_disk: SqliteJournal,
) -> None:
    known = {f"k{n}": await write(on_disk, life(f"k{n}", *PATH, task_id=f"v{n}")) for n in range(3)}
    planned = [record(f"k{number}") for number in range(250)]
    told = await asyncio.gather(*map(on_disk.plan, planned))
    assert told == [known.get(each.key, each) for each in planned]


async def test_a_job_is_found_by_its_task(journal: Journal) -> None:
    lived = life("k", *PATH, task_id="v1")
    await journal.plan(lived[0])
    assert await journal.by_task("v1") is None
    await write(journal, lived)
    found = await journal.by_task("v1")
    assert found is not None
    assert found.key == "k"


async def test_every_change_is_remembered_with_its_time(journal: Journal) -> None:
    lived = life("k", *PATH, task_id="v1")
    await write(journal, lived)
    history = await journal.history("k")
    assert [(move.state, move.at) for move in history] == [
        (each.state, each.changed_at) for each in lived
    ]
    assert [move.task_id for move in history] == [None, "v1", "v1", "v1"]
    assert list(await journal.history("other")) == []


async def test_the_oldest_settled_jobs_are_forgotten_and_no_other() -> None:
    journal = MemoryJournal(kept_settled=2)
    for number in range(4):
        await write(journal, life(f"open {number}", JobState.SUBMITTING))
        await write(journal, life(f"done {number}", *PATH, task_id=f"v{number}"))
        await write(journal, life(f"lost {number}", JobState.SUBMITTING, JobState.UNKNOWN))
    done = [key for key in await keys(journal) if key.startswith("done")]
    assert done == ["done 2", "done 3"]
    assert len(await keys(journal)) == 10
    assert await journal.by_task("v0") is None


async def test_a_file_of_a_job_that_was_forgotten_is_still_noted() -> None:
    journal = MemoryJournal(kept_settled=1)
    late = await write(journal, life("late", *PATH, task_id="v1"))
    await write(journal, life("other", *PATH, task_id="v2"))
    assert await keys(journal) == ["other"]
    await journal.put(late.moved(JobState.COMPLETED, NOW, path="/v/1.mp4"))
    assert await keys(journal) == ["late"]


async def test_a_job_that_failed_unsent_and_was_sent_again_is_not_forgotten() -> None:
    journal = MemoryJournal(kept_settled=1)
    failed = [*life("k", JobState.SUBMITTING, JobState.FAILED)]
    again = failed[-1].moved(JobState.PLANNED, NOW)
    await write(journal, [*failed, again])
    await write(journal, life("other", *PATH, task_id="v1"))
    assert await keys(journal) == ["k", "other"]


# --- on disk


async def test_a_job_that_was_never_planned_cannot_be_written_down(
    on_disk: SqliteJournal,
) -> None:
    with pytest.raises(JournalError, match="never planned"):
        await on_disk.put(life("k", JobState.SUBMITTING)[-1])


async def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, args)]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )


async def reopened(path: Path) -> list[JobRecord]:
    async with SqliteJournal(path) as journal:
        return [job async for job in journal.records()]


async def test_what_was_written_is_there_for_the_next_process(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        last = await write(journal, life("k", *PATH, task_id="v1", task=TASK))
    assert await reopened(path) == [last]
    assert sorted(left.name for left in path.parent.iterdir()) == [path.name]


async def test_what_was_put_is_on_disk_before_put_returns(
    on_disk: SqliteJournal, path: Path, tmp_path: Path
) -> None:
    await write(on_disk, life("k", JobState.SUBMITTING))
    shutil.copytree(path.parent, tmp_path / "copy")
    (left,) = await reopened(tmp_path / "copy" / path.name)
    assert left.state is JobState.UNKNOWN
    assert "the program ended" in str(left.error)


async def test_commits_are_durable_against_a_power_cut(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        assert journal._db is not None
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2)):
            ((found,),) = await journal._db.execute_fetchall(f"PRAGMA {pragma}")
            assert found == value


async def test_many_writers_share_commits(on_disk: SqliteJournal) -> None:
    statements: list[str] = []
    assert on_disk._db is not None
    await on_disk._db.set_trace_callback(statements.append)
    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(write, on_disk, life(f"k{number}", *PATH, task_id=f"v{number}"))
    commits = statements.count("COMMIT")
    assert len(await keys(on_disk, JobState.COMPLETED)) == 200
    assert 4 <= commits <= 40  # of 800 records


async def test_a_record_that_cannot_be_written_hurts_no_other(on_disk: SqliteJournal) -> None:
    ended: dict[str, BaseException | None] = {}

    async def put(key: str) -> None:
        try:
            ended[key] = None
            await on_disk.put(life(key, JobState.SUBMITTING)[-1])
        except JournalError as error:
            ended[key] = error

    for key in "abc":
        await on_disk.plan(record(key))
    async with anyio.create_task_group() as group:
        for key in ("a", "never planned", "b", "c"):
            group.start_soon(put, key)
    assert [key for key, error in ended.items() if error] == ["never planned"]
    assert await keys(on_disk, JobState.SUBMITTING) == ["a", "b", "c"]


async def test_half_a_surrogate_pair_from_the_provider_can_be_written(
    on_disk: SqliteJournal,
) -> None:
    lived = life("k", *PATH[:2], task_id="v1")
    await write(on_disk, [*lived, lived[-1].moved(JobState.FAILED, NOW, error="no \ud800")])
    (found,) = [job async for job in on_disk.records()]
    assert found.error == "no \\ud800"


async def test_a_cancelled_put_is_written_all_the_same(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, life("k"))
        with anyio.move_on_after(0):
            await journal.put(life("k", JobState.SUBMITTING)[-1])
    (left,) = await reopened(path)
    assert left.state is JobState.UNKNOWN  # the intent was written, and the process went away


async def test_an_id_that_a_full_disk_refused_is_written_when_there_is_room(
    path: Path,
) -> None:
    async with SqliteJournal(path) as journal:
        lived = life("k", *PATH, task_id="v1")
        await write(journal, lived[:2])
        assert journal._db is not None
        await journal._db.execute_fetchall("PRAGMA query_only = ON")
        with pytest.raises(JournalError) as caught:
            await journal.put(lived[2])
        assert caught.value.task_id == "v1"
        await journal._db.execute_fetchall("PRAGMA query_only = OFF")
    (left,) = await reopened(path)
    assert (left.state, left.task_id) == (JobState.SUBMITTED, "v1")


async def test_an_id_on_disk_is_never_taken_away(on_disk: SqliteJournal) -> None:
    sent = life("k", JobState.SUBMITTING)
    accepted = sent[-1].moved(JobState.SUBMITTED, NOW, task_id="v1", task=TASK)
    await write(on_disk, [*sent, accepted])
    await on_disk.put(sent[-1].moved(JobState.UNKNOWN, NOW))  # by who does not know of it
    found = await on_disk.get("k")
    assert found is not None
    assert found.task_id == "v1"


async def test_a_second_writer_is_told_who_the_first_is(on_disk: SqliteJournal, path: Path) -> None:
    with pytest.raises(JournalError, match=r"being written by this process on .* since 20"):
        await SqliteJournal(path).open()
    script = (
        "import asyncio, sys; from seedance_async import SqliteJournal\n"
        "asyncio.run(SqliteJournal(sys.argv[1]).open())"
    )
    ran = await run(script, path)
    assert f"being written by process {os.getpid()} on" in ran.stderr


async def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys; from seedance_async import SqliteJournal\n"
        "asyncio.run(SqliteJournal(sys.argv[1]).open()); os.kill(os.getpid(), signal.SIGKILL)"
    )
    await run(script, path)
    assert path.with_name(f"{path.name}.lock").exists()
    async with SqliteJournal(path):
        pass
    assert not path.with_name(f"{path.name}.lock").exists()


async def test_readers_look_beside_the_writer(on_disk: SqliteJournal, path: Path) -> None:
    async with SqliteJournal(path, read_only=True) as reader:
        await write(on_disk, life("k", JobState.SUBMITTING))
        assert await keys(reader, JobState.SUBMITTING) == ["k"]
        with pytest.raises(JournalError, match="not open for writing"):
            await reader.plan(record("other"))


async def test_a_reader_sees_as_unknown_what_a_dead_writer_left(path: Path, tmp_path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, life("k", JobState.SUBMITTING))
        await write(journal, life("other"))
        shutil.copytree(path.parent, tmp_path / "copy")
    async with SqliteJournal(tmp_path / "copy" / path.name, read_only=True) as reader:
        assert await keys(reader, JobState.UNKNOWN) == ["k"]
        assert await keys(reader, JobState.SUBMITTING) == []
        assert await keys(reader, JobState.PLANNED) == ["other"]
        assert [job.state async for job in reader.records()] == ["unknown", "planned"]


async def test_more_records_than_a_page_come_in_order(on_disk: SqliteJournal) -> None:
    async with anyio.create_task_group() as group:
        for number in range(1234):
            group.start_soon(on_disk.plan, record(f"k{number}"))
    found = await keys(on_disk)
    assert sorted(found) == sorted(f"k{number}" for number in range(1234))
    assert found == [f"k{number}" for number in range(1234)]


def _foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE jobs (mine TEXT)")


def _newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(f"PRAGMA application_id = {rows.OURS}; PRAGMA user_version = 99;")


async def test_a_reader_leaves_no_files_behind(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, life("k"))
    async with SqliteJournal(path, read_only=True) as reader:
        assert await keys(reader) == ["k"]
    assert sorted(left.name for left in path.parent.iterdir()) == [path.name]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_foreign, "something else, not a journal"),
        (_newer, r"newer version \(99\): bring seedance_async up to date"),
        (lambda path: path.write_bytes(b"no database " * 999), "cannot read .*not a database"),
        (lambda path: path.mkdir(), "cannot open"),
    ],
)
async def test_a_file_that_is_no_journal_is_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "file"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError, match=words):
        await SqliteJournal(path).open()
    assert before is None or path.read_bytes() == before
    assert sorted(left.name for left in tmp_path.iterdir()) == ["file"]


async def test_a_journal_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        await SqliteJournal(tmp_path / "none", read_only=True).open()
    assert list(tmp_path.iterdir()) == []


async def test_a_journal_that_is_just_being_made_has_no_jobs_yet(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    with pytest.raises(JournalError, match="has no jobs yet"):
        await SqliteJournal(tmp_path / "new", read_only=True).open()


async def test_an_older_journal_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, life("k"))
    more = "ALTER TABLE jobs ADD COLUMN more TEXT;"
    monkeypatch.setattr(rows, "MIGRATIONS", (*rows.MIGRATIONS, more))
    version = len(rows.MIGRATIONS) - 1
    with pytest.raises(JournalError, match=rf"older version \({version}\)"):
        await SqliteJournal(path, read_only=True).open()
    async with SqliteJournal(path) as journal:
        assert await keys(journal) == ["k"]
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT more FROM jobs").fetchall() == [(None,)]


async def test_a_journal_of_before_polls_were_counted_keeps_its_jobs(path: Path) -> None:
    path.parent.mkdir()
    request = json.dumps({"body": REQUEST.to_wire(), "waive": [], "metadata": None})
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(rows.MIGRATIONS[0])
        db.execute(
            "INSERT INTO jobs (key, digest, request, state, attempts, task_id, planned_at,"
            " changed_at) VALUES ('old', '', ?, 'submitted', 1, 'v1', 1.5, 1.5)",
            (request,),
        )
        db.commit()
        db.executescript(f"PRAGMA application_id = {rows.OURS}; PRAGMA user_version = 1;")
    async with SqliteJournal(path) as journal:
        old = await journal.get("old")
        assert old is not None
        assert (old.request, old.task_id, old.polls) == (REQUEST, "v1", 0)
        await journal.put(old.moved(JobState.COMPLETED, NOW, polls=3))
        assert [move.state for move in await journal.history("old")] == ["submitted", "completed"]
    (old,) = await reopened(path)
    assert old.polls == 3


async def test_lives_come_with_their_histories_page_by_page(on_disk: SqliteJournal) -> None:
    async with anyio.create_task_group() as group:
        for number in range(234):
            moves = PATH[: number % 4]
            group.start_soon(write, on_disk, life(f"k{number}", *moves, task_id="v1", polls=number))
    await on_disk.forget(["k7", "k100"])
    found = [(record, moves) async for record, moves in on_disk.lives()]
    assert [record.key for record, _ in found] == await keys(on_disk)
    for record, moves in found:
        assert list(moves) == await on_disk.history(record.key)
        assert moves[-1].state is record.state


async def test_a_job_that_a_later_rule_would_refuse_is_still_read(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, life("k"))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(
            """UPDATE jobs SET request = replace(request, '"duration": 5', '"duration": 99')"""
        )
        db.commit()
    (found,) = await reopened(path)
    assert found.request.duration == 99


async def test_a_closed_journal_says_so(path: Path) -> None:
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match="is not open"):
        await journal.get("k")
    async with journal:
        with pytest.raises(JournalError, match="open already"):
            await journal.open()
    await journal.close()
    with pytest.raises(JournalError, match="not open for writing"):
        await journal.plan(record("k"))


async def test_a_busy_journal_is_waited_for(on_disk: SqliteJournal, path: Path) -> None:
    """A backup or a person's own query may hold the file for a moment."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(on_disk.plan, record("k"))
            await asyncio.to_thread(lambda: multiprocessing.Event().wait(0.2))
            other.execute("ROLLBACK")
    assert await keys(on_disk) == ["k"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's RLIMIT_FSIZE")
async def test_a_journal_that_cannot_grow_says_so_and_sends_nothing(path: Path) -> None:
    script = """
import asyncio, resource, signal, sys
from seedance_async import JournalError, SeedanceSession, VideoRequest
async def main():
    url = "http://127.0.0.1:1"
    async with SeedanceSession("key", base_url=url, journal=sys.argv[1]) as session:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            await session.submit(VideoRequest(model="seedance_2_0_pro", prompt="x" * 90000))
        except JournalError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
asyncio.run(main())
"""
    ran = await run(script, path)
    assert "cannot write the journal" in ran.stdout, ran.stderr
    assert await reopened(path) == []


@pytest.mark.parametrize(
    "script",
    [
        "journal = SqliteJournal(sys.argv[1]); await journal.open(); sys.exit(3)",
        "session = SeedanceSession('k', journal=sys.argv[1]); await session.__aenter__(); 1 / 0",
    ],
)
async def test_a_program_that_closes_nothing_ends(path: Path, script: str) -> None:
    program = f"""
import asyncio, sys
from seedance_async import SeedanceSession, SqliteJournal
kept = []
async def main():
    global journal, session
    {script}
asyncio.run(main())
"""
    ran = await asyncio.wait_for(run(program, path), 60)
    assert ran.returncode in (1, 3)


async def test_a_file_that_stays_busy_fails_those_who_wait_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_S", 0.3)
    async with SqliteJournal(path) as journal:
        statements: list[str] = []
        assert journal._db is not None
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await journal._db.set_trace_callback(statements.append)
            planned = [journal.plan(record(f"k{number}")) for number in range(20)]
            ended = await asyncio.gather(*planned, return_exceptions=True)
            other.execute("ROLLBACK")
        assert all(isinstance(end, JournalError) for end in ended)
        assert statements.count("BEGIN IMMEDIATE") <= 2
        await journal.plan(record("later"))
        assert await keys(journal) == ["later"]


async def test_a_file_system_without_locks_is_told_as_what_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(JournalError, match=r"cannot write the journal .*: No locks available"):
        await SqliteJournal(path).open()


async def test_a_row_that_cannot_be_read_hurts_no_other_job(on_disk: SqliteJournal) -> None:
    for key in "ab":
        await on_disk.plan(record(key))
    assert on_disk._db is not None
    await on_disk._db.execute_fetchall("UPDATE jobs SET request = '{}' WHERE key = 'a'")
    await on_disk._db.commit()
    planned = [on_disk.plan(record(key)) for key in "abc"]
    ended = await asyncio.gather(*planned, return_exceptions=True)
    assert [isinstance(end, JournalError) for end in ended] == [True, False, False]


async def test_an_answer_that_cannot_be_spelled_keeps_its_id_and_status(
    on_disk: SqliteJournal,
) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = b'{"id": "v1", "status": "queued", "odd": %s}' % deep
    odd = TaskState(id="v1", status="queued", body=body)
    await write(on_disk, life("k", *PATH[:2], task_id="v1", task=odd))
    found = await on_disk.get("k")
    assert found is not None
    assert (found.task_id, found.task_status) == ("v1", "queued")


async def test_a_reader_leaves_alone_what_is_no_journal(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "theirs", isolation_level=None)) as theirs:
        theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE jobs (mine TEXT)")
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with pytest.raises(JournalError, match="something else"):
            await SqliteJournal(tmp_path / "theirs", read_only=True).open()
        after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert {name: after[name] for name in ("theirs", "theirs-wal")} == {
        name: before[name] for name in ("theirs", "theirs-wal")
    }
    assert set(after) == set(before)


async def test_a_service_is_claimed_between_commits(on_disk: SqliteJournal) -> None:
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(write, on_disk, life(f"k{number}", *PATH, task_id=f"v{number}"))
            group.start_soon(on_disk.claim, "api.example.com")
    assert len(await keys(on_disk, JobState.COMPLETED)) == 50
    with pytest.raises(JournalError, match="not at another"):
        await on_disk.claim("another")
