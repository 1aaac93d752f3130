"""``seedance jobs retry``, ``forget``, ``export`` and ``--follow``: what is done with a journal."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import datetime as dt
import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import FAST, account, emulating, records, rest, run, started, wait_for, write_jobs
from hypothesis import given, settings
from hypothesis import strategies as st

from seedance_async import JobRecord, JobState, JournalError, VideoRequest
from seedance_async.cli.app import run as command
from seedance_async.cli.exporting import COLUMNS, _cell
from seedance_async.journal import SqliteJournal
from seedance_async.journal.aside import aside, set_aside
from seedance_async.journal.changes import Changes
from seedance_async.journal.lock import WriterLock
from seedance_async.wire import TaskState

NOW = dt.datetime.now(dt.UTC)
LONG_AGO = NOW - dt.timedelta(days=40)
REQUEST = VideoRequest(
    model="seedance_2_0_pro", prompt='=HYPERLINK("x")', metadata={"shot": 1}, waive=["media.public"]
)
URL = "https://v.example.com/a.mp4?sig=secret"
PLANNED, SUBMITTING, SUBMITTED, COMPLETED, FAILED, UNKNOWN = JobState
Told = tuple[int, str, str]


def lived(key: str, *states: JobState, at: dt.datetime = NOW, **last: Any) -> list[JobRecord]:
    """Give a job's records from planned on; *last* belongs to the last of them."""
    lives = [JobRecord(key=key, request=REQUEST, planned_at=at)]
    for state in states:
        has_task = state in (SUBMITTED, COMPLETED) or (state is FAILED and SUBMITTED in states)
        changes = {"task_id": f"video_{key}"} if has_task else {}
        if state is COMPLETED:
            answer = {"id": f"video_{key}", "status": "completed", "video_url": URL}
            body = json.dumps(answer).encode()
            changes["task"] = TaskState(
                id=f"video_{key}", status="completed", video_url=URL, body=body
            )
        if state is states[-1]:
            changes |= last
        lives.append(lives[-1].moved(state, at, **changes))
    return lives


async def write(path: Path, *lives: list[JobRecord]) -> None:
    async with SqliteJournal(path) as journal:
        for planned, *moved in lives:
            await journal.plan(planned)
            for record in moved:
                await journal.put(record)


def keys(path: Path) -> list[str]:
    async def read() -> list[str]:
        async with SqliteJournal(path, read_only=True) as journal:
            return [record.key async for record in journal.records()]

    return asyncio.run(read())


SENT = (SUBMITTING, SUBMITTED)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.mp4").touch()
    path = Path("seedance.sqlite")
    lives = [
        lived("lost", SUBMITTING, UNKNOWN, error="its answer is lost"),
        lived("running", *SENT),
        lived("made", *SENT, COMPLETED),
        lived("gone", *SENT, COMPLETED, at=LONG_AGO),
        lived("here", *SENT, COMPLETED, path=str(tmp_path / "here.mp4")),
        lived("moved", *SENT, COMPLETED, path="/nowhere/m.mp4"),
        lived("bad", *SENT, FAILED, error="rejected\x1b"),
        lived("old", *SENT, FAILED, at=LONG_AGO, error="rejected"),
        lived("refused", SUBMITTING, FAILED, error="no such model"),
        lived("new"),
    ]
    asyncio.run(write(path, *lives))
    return path


@pytest.fixture
def jobs(journal: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def told(*words: str) -> Told:
        code = command(["jobs", *words])
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return told


def test_what_failed_is_made_anew_by_the_next_run_and_stays_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jobs(tmp_path, {**FAST, "key": "cat"}, {**FAST, "key": "dog", "prompt": "a dog"})
    batch = ["batch", "jobs.jsonl", "--out", "videos"]
    fails = [True]
    with emulating(speed=1000, failures=lambda _: "rejected" if fails[0] else None) as emulator:
        for name, value in account(emulator).items():
            monkeypatch.setenv(name, value)
        assert command(batch) == 1
        assert command(["jobs", "retry", "--failed"]) == 0
        told = capsys.readouterr().err
        assert "2 failed jobs set aside in videos/seedance.sqlite" in told
        assert "AND PAYS FOR THEM" in told
        fails[0] = False
        assert command(batch) == 0
        assert len(emulator.accepted_ids) == 4
    capsys.readouterr()
    command(["jobs", "--json"])
    by_key = {job["key"]: job for job in map(json.loads, capsys.readouterr().out.splitlines())}
    states = [by_key[key]["state"] for key in ("cat~1", "dog~1", "cat", "dog")]
    assert states == ["failed", "failed", "completed", "completed"]
    assert by_key["cat~1"]["task_id"] in {one["task_id"] for one in records(Path("videos"))[:2]}
    # The history is as it was: setting aside is no move.
    command(["jobs", "cat~1", "--json"])
    (whole,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert [move["state"] for move in whole["history"]][-2:] == ["submitted", "failed"]
    assert command(["jobs", "retry", "--failed"]) == 0
    assert "no failed job" in capsys.readouterr().err


def test_retrying_in_a_loop_stays_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What failed may have been paid for, under whatever key it is on record now."""
    monkeypatch.chdir(tmp_path)
    write_jobs(tmp_path, {**FAST, "key": "cat"}, {**FAST, "key": "dog", "prompt": "a dog"})
    batch = ["batch", "jobs.jsonl", "--out", "videos", "--max-videos", "3"]
    with emulating(speed=1000, failures=lambda _: "rejected") as emulator:
        for name, value in account(emulator).items():
            monkeypatch.setenv(name, value)
        for _ in range(3):
            command(batch)
            command(["jobs", "retry", "--failed"])
        assert len(emulator.accepted_ids) == 3
        capsys.readouterr()
        command([*batch, "--dry-run"])
    assert "2 not sent: over the budget of 3 videos" in capsys.readouterr().out


def test_only_what_failed_is_retried_and_all_of_it_or_nothing(
    jobs: Callable[..., Told], journal: Path
) -> None:
    before = keys(journal)
    code, _, told = jobs("retry", "bad", "lost", "running", "made", "new", "refused", "bda")
    assert code == 1
    assert told.splitlines() == [
        "lost is unknown, not failed: say first what became of it: seedance jobs settle lost",
        "running is submitted, not failed: the next run waits for it",
        "made is completed, not failed: its video is made; to make another, use another key",
        "new is planned, not failed: the next run sends it anyway",
        "refused was refused and made no task: the next run sends it again as it is",
        "there is no job bda in seedance.sqlite; did you mean bad?",
        "nothing was done",
    ]
    assert keys(journal) == before
    assert jobs("retry")[0] == jobs("retry", "bad", "--failed")[0] == 2
    code, _, told = jobs("retry", "--failed")
    assert (code, "1 job was refused without a task" in told) == (0, True)
    assert [key for key in keys(journal) if "~" in key] == ["bad~1", "old~1"]
    code, _, told = jobs("retry", "bad~1")
    assert (code, "bad~1 was set aside before" in told) == (1, True)


async def test_setting_aside_is_atomic_and_counts_on(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    await write(path, lived("a", *SENT, FAILED), lived("a~1"), lived("b", *SENT))
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalError, match="job b is submitted, not failed"):
            await set_aside(journal, ["a", "b"])
        assert await journal.get("a") is not None
        assert await set_aside(journal, ["a"]) == {"a": "a~2"}
        found = await journal.by_task("video_a")
        assert found is not None
        assert (found.key, found.state) == ("a~2", FAILED)
        assert await aside(journal) == {"a~2": "a"}
        for planned, *moved in [lived("a", *SENT, FAILED)]:
            assert await journal.plan(planned) == planned
            for record in moved:
                await journal.put(record)
        assert await set_aside(journal, ["a"]) == {"a": "a~3"}
        await journal.forget(["a~2"])
        assert await aside(journal) == {"a~3": "a"}


def test_nothing_that_may_be_paid_for_and_is_not_here_is_forgotten(
    jobs: Callable[..., Told], journal: Path
) -> None:
    for key in ("lost", "running", "made", "moved"):
        code, _, told = jobs("forget", key, "here", "--yes")
        assert (code, f"kept: {key} is " in told, "nothing was done" in told) == (1, True, True)
    every = [word for state in JobState for word in ("--state", state.value)]
    code, _, told = jobs("forget", *every, "--yes")
    assert (code, "6 jobs forgotten" in told) == (1, True), told
    assert keys(journal) == ["lost", "running", "made", "moved"]


def test_forgetting_asks_and_goes_by_age(jobs: Callable[..., Told], journal: Path) -> None:
    code, _, told = jobs("forget", "--older-than", "30d")
    assert (code, "say --yes" in told) == (2, True)
    assert "Forget 2 jobs in seedance.sqlite? The files stay; but" in told
    code, _, told = jobs("forget", "--older-than", "30d", "--yes")
    assert (code, {"old", "gone"} & {*keys(journal)}) == (0, set())
    assert jobs("forget", "--older-than", "30d", "--yes")[2] == "no job is to be forgotten\n"
    assert jobs("forget", "bad", "--older-than", "1w", "--yes")[0] == 0
    assert "bad" in keys(journal)
    for words in ((), ("--older-than", "soon"), ("--older-than", "-1d")):
        assert jobs("forget", *words)[0] == 2
    assert jobs("forget", "nobody", "--yes")[0] == 1


def test_a_person_is_asked_before_anything_is_forgotten(journal: Path) -> None:
    for answer, code, left in (("n\n", 1, True), ("\x03", 130, True), ("y\n", 0, False)):
        child, terminal = pty_fork("jobs", "forget", "bad")
        told = ""
        while "[y/N]" not in told:
            told += os.read(terminal, 4096).decode()
        os.write(terminal, answer.encode())
        told += read_all(terminal)
        assert "Forget 1 job in seedance.sqlite?" in told
        assert "Traceback" not in told
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
        assert ("bad" in keys(journal)) is left


def pty_fork(*words: str) -> tuple[int, int]:
    import pty

    child, terminal = pty.fork()
    if not child:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-m", "seedance_async", *words])
    return child, terminal


def read_all(terminal: int) -> str:
    told = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while chunk := os.read(terminal, 4096):
            told += chunk
    return told.decode()


def test_a_table_has_every_field_no_formula_and_no_address(
    jobs: Callable[..., Told], journal: Path
) -> None:
    code, out, _ = jobs("export")
    assert (code, "secret" in out) == (0, False)
    table = {row["key"]: row for row in csv.DictReader(io.StringIO(out))}
    assert [*table] == keys(journal)
    assert tuple(table["bad"]) == COLUMNS
    assert (table["bad"]["prompt"], table["bad"]["duration"]) == ('\'=HYPERLINK("x")', "5")
    assert (table["bad"]["metadata"], table["bad"]["waive"]) == ('{"shot": 1}', "media.public")
    assert (table["bad"]["generateAudio"], table["bad"]["name"]) == ("true", "")
    Path("all.jsonl").write_text("before")
    code, out, told = jobs("export", "--out", "all.jsonl")
    assert (code, out, told) == (0, "", "10 jobs of seedance.sqlite in all.jsonl\n")
    lines = Path("all.jsonl").read_text().splitlines()
    assert lines == jobs("--json")[1].splitlines()
    assert jobs("export", "--format", "jsonl")[1].splitlines() == lines
    code, _, told = jobs("export", "--out", "no/such/folder.csv")
    assert (code, "cannot write no/such/folder.csv" in told) == (2, True)


@given(st.text(max_size=20))
@settings(max_examples=50)
def test_no_text_becomes_a_formula(text: str) -> None:
    cell = _cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell.removeprefix("'") == text.removeprefix("'")


async def test_changes_are_seen_once_each_while_another_writes(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    await write(path, lived("a", *SENT))
    async with SqliteJournal(path) as writer, SqliteJournal(path, read_only=True) as reader:
        changes = Changes(reader)
        (first,) = await changes.new()
        assert (first.key, first.move.state, first.sent_at) == ("a", SUBMITTED, NOW)
        assert list(await changes.new()) == []
        for planned, *moved in [lived("b", *SENT, FAILED, error="no")]:
            await writer.plan(planned)
            for record in moved:
                await writer.put(record)
        found = await changes.new()
        assert [(one.key, one.move.state) for one in found] == [
            ("b", PLANNED), ("b", SUBMITTING), ("b", SUBMITTED), ("b", FAILED),
        ]  # fmt: skip
        await writer.forget(["a"])
        assert list(await changes.new()) == []


@contextlib.contextmanager
def batch_of(count: int, folder: Path, **env: str) -> Iterator[None]:
    jobs = ({**FAST, "prompt": f"{n} secret cats", "key": f"cat-{n}"} for n in range(count))
    write_jobs(folder, *jobs)
    with started("batch", "jobs.jsonl", "--out", "videos", cwd=folder, **env) as process:
        assert process.stderr is not None
        wait_for(process, process.stderr, "submitted")
        yield
        rest(process)


def test_a_run_is_followed_to_its_end_from_another_process(tmp_path: Path) -> None:
    with (
        emulating(speed=60) as emulator,
        batch_of(2, tmp_path, **account(emulator)),
        started("jobs", "--follow", cwd=tmp_path) as lines,
    ):
        told = run("jobs", "--follow", "--json", cwd=tmp_path)
        assert lines.stdout is not None
        shown = lines.stdout.read().splitlines()
        assert lines.wait(timeout=30) == 0
    assert told.returncode == 0, told.stderr
    moves = [json.loads(line) for line in told.stdout.splitlines()]
    last = {move["key"]: move for move in moves}
    assert {(move["state"], bool(move["path"])) for move in last.values()} == {("completed", True)}
    assert "nothing is under way: 2 jobs: 2 completed in videos/seedance.sqlite" in told.stderr
    assert shown[0].startswith("2 jobs: ")
    assert sum(": downloaded " in line for line in shown) == 2
    assert "secret" not in "".join(shown)


def test_following_waits_for_a_run_until_it_is_told_not_to(journal: Path, tmp_path: Path) -> None:
    with started("jobs", "--follow", cwd=tmp_path) as process:
        assert process.stderr is not None
        line = wait_for(process, process.stderr, "no run is going on")
        assert "2 jobs still to be ended" in line  # one runs, one is to be fetched
        process.send_signal(signal.SIGINT)
        assert "10 jobs: " in rest(process)
        assert process.returncode == 0
    assert command(["jobs", "--follow", "bad"]) == 2


def test_a_journal_that_is_being_written_is_left_alone(
    jobs: Callable[..., Told], journal: Path
) -> None:
    held = WriterLock(journal)
    try:
        for words in (("retry", "--failed"), ("forget", "bad", "--yes")):
            code, _, told = jobs(*words)
            assert (code, "this folder is in use: another seedance" in told) == (2, True), told
        assert jobs("export")[0] == 0
    finally:
        held.release()


def test_a_person_sees_the_view_of_the_run_itself(journal: Path) -> None:
    child, terminal = pty_fork("jobs", "--follow")
    told = ""
    while "running" not in told or "no run is going on" not in told:
        told += os.read(terminal, 4096).decode()
    os.kill(child, signal.SIGINT)
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told + read_all(terminal))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "1 waiting, 1 in flight, 1 fetching, 3 done, 3 failed" in told
    assert "1 UNKNOWN" in told
    assert "fetching" in told
    assert "seedance jobs settle lost --not-created" in told
