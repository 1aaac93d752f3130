"""``seedance worker``: processes that do the jobs of a database, and what is said of these jobs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import postgres
import psycopg
import pytest
from cli_process import account, emulating, environment, rest, started, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_loop import VirtualLoop

from seedance_async import JobState, SubmissionUnknown, VideoRequest
from seedance_async.cli import dsn, metrics, whose
from seedance_async.cli.app import run as command
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.shift import Shift
from seedance_async.cli.terminal import Terminal
from seedance_async.cli.working import leaving
from seedance_async.distributed import DistributedClient
from seedance_async.emulator import Emulator, Fault, FaultPlan
from seedance_async.events import (
    Completed,
    Downloaded,
    Event,
    Failed,
    LimitsAdapted,
    Submitted,
    Throttled,
)

DSN = "sqlite:///jobs.db"
KEY = "emulator"
SPEED = 600
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if "SEEDANCE" in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SEEDANCE_CONFIG", os.devnull)
    return tmp_path


@pytest.fixture
def say(here: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process, and give its code and its two streams."""

    def said(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = command(words)
        told = capsys.readouterr()
        return code, told.out, told.err

    return said


@contextlib.contextmanager
def working(
    emulator: Emulator, folder: Path, *options: str, where: str = DSN, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a worker that is ready."""
    words = ("worker", "--out", "videos", *options)
    with started(*words, cwd=folder, SEEDANCE_DSN=where, **account(emulator), **env) as process:
        wait_for(process, process.stderr, "other workers go on")
        yield process


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    told = rest(process)
    return process.returncode, told


def request(prompt: str) -> VideoRequest:
    return VideoRequest(model="seedance_2_0_fast_pro", prompt=prompt, duration=4)


async def made(where: str, *keys: str) -> list[Any]:
    """Hand jobs in, and give what becomes of them."""
    async with DistributedClient(where) as client:
        jobs = [await client.submit(request(f"a secret {key}"), key=key) for key in keys]
        return await asyncio.gather(*(job.result(30) for job in jobs), return_exceptions=True)


# ---- a worker's life


def test_a_worker_does_what_is_handed_in_and_others_look_at_it(here: Path, say: Say) -> None:
    with emulating(speed=SPEED) as emulator:
        with working(emulator, here, "--max-in-flight", "5") as worker:
            cat, dog = asyncio.run(made(DSN, "cat", "dog"))
            code, out, _ = say("worker", "set-limit", "main", "--dsn", DSN)
            assert (code, out) == (0, "main: at most 5 in flight, any number of creates a minute\n")
            set_ = ("--max-in-flight", "7", "--creates-per-minute", "60")
            code, out, _ = say("worker", "set-limit", "main", *set_, "--dsn", DSN)
            assert (code, out) == (0, "main: at most 7 in flight, 60 creates a minute\n")
            _, counted, _ = say("worker", "metrics", "--dsn", DSN)
            assert 'seedance_workers{account="main"} 1' in counted
            code, told = end(worker)
        assert emulator.stats.accepted == 2
    assert (code, cat.state, dog.state) == (0, JobState.COMPLETED, JobState.COMPLETED)
    assert {Path(cat.path).parent, Path(dog.path).parent} == {here / "videos"}
    assert f"cat: submitted {cat.task_id}" in told
    assert re.search(r"\d\d:\d\d:\d\d dog: downloaded, 0\.\d MiB\n", told)
    assert told.endswith("leaving: no create is on the wire\nstopped: 2 videos brought in\n")
    assert KEY not in told
    assert "secret" not in told

    assert 'seedance_jobs{account="main",state="completed"} 2' in counted
    assert 'seedance_jobs{account="main",state="unknown"} 0' in counted
    _, counted, _ = say("worker", "metrics", "--dsn", DSN)
    assert 'seedance_workers{account="main"} 0' in counted

    code, out, err = say("jobs", "--dsn", DSN)
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["completed", key, record.task_id] for key, record in (("cat", cat), ("dog", dog))
    ]
    assert (code, err[:37]) == (0, "2 jobs: 2 completed (2 downloaded); 8")
    code, out, _ = say("jobs", "--state", "failed", "--dsn", DSN)
    assert (code, out) == (0, "")
    code, out, _ = say("jobs", "dog", "--json", "--dsn", DSN)
    told_of = json.loads(out)
    assert (told_of["key"], told_of["request"]["prompt"]) == ("dog", "a secret dog")
    assert [move["state"] for move in told_of["history"]][:3] == [
        *("planned", "submitting", "submitted")
    ]
    code, out, err = say("jobs", "cow", "--dsn", DSN)
    assert (code, err) == (1, f"there is no job cow in {DSN}\n")

    assert say("worker", "cancel", "cat", "--dsn", DSN)[2].startswith("cat is made already: ")
    assert say("worker", "prune", "--older-than", "1m", "--dsn", DSN)[2] == "0 jobs forgotten\n"


def test_the_database_of_the_environment_is_read_unless_a_journal_is_named(
    here: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(("worker", "migrate", "--dsn", DSN)) == 0
    monkeypatch.setenv("SEEDANCE_DSN", DSN)
    assert say("jobs") == (0, "", f"0 jobs in {DSN}\n")
    code, _, err = say("jobs", "--journal", "videos")
    assert (code, err) == (2, f"there is no journal {here / 'videos'}\n".replace(f"{here}/", ""))
    assert say("jobs", "--follow")[2].startswith("there is no journal here")


def test_creates_on_the_wire_are_finished_before_a_worker_ends(here: Path, say: Say) -> None:
    faults = FaultPlan(script=[Fault("create.slow", times=None)], slow_s=1.0)
    with emulating(speed=1, faults=faults) as emulator, working(emulator, here) as worker:
        hand_in("cat", "dog")
        until(DSN, JobState.SUBMITTING, 2)
        code, told = end(worker)
    assert code == 0
    assert "leaving: 2 creates on the wire are finished first\n" in told
    assert "stopped: 0 videos brought in\n" in told
    assert asyncio.run(states(DSN)) == {JobState.SUBMITTED: 2}


def test_jobs_are_cancelled_and_a_second_signal_gives_up_on_a_create(here: Path, say: Say) -> None:
    faults = FaultPlan(script=[Fault("create.slow", times=None)], slow_s=30.0)
    with (
        emulating(speed=1, faults=faults) as emulator,
        working(emulator, here, "--max-in-flight", "1") as worker,
    ):
        hand_in("cat")
        until(DSN, JobState.SUBMITTING, 1)
        hand_in("dog")
        code, _, err = say("worker", "cancel", "dog", "--dsn", DSN)
        assert (code, err) == (0, "dog is cancelled: it was not sent, and will not be\n")
        assert say("worker", "cancel", "dog", "--dsn", DSN)[2] == "dog had failed already\n"
        code, _, err = say("worker", "cancel", "cow", "--dsn", DSN)
        assert (code, err) == (1, "there is no job cow in the database\n")
        code, _, err = say("worker", "cancel", "cat", "--dsn", DSN)
        assert (code, "is billed then: it keeps its place" in err) == (0, True)

        worker.send_signal(signal.SIGINT)
        wait_for(worker, worker.stderr, "leaving: 1 create on the wire is finished first")
        worker.send_signal(signal.SIGINT)
        told = rest(worker)
        code, _, err = say("worker", "cancel", "cat", "--force", "--dsn", DSN)
        assert (code, "is billed then: its place is free" in err) == (0, True)
    assert worker.returncode == 0
    assert "cat: UNKNOWN (abandoned): it may be paid for" in told
    assert asyncio.run(states(DSN)) == {JobState.UNKNOWN: 1, JobState.FAILED: 1}


def hand_in(*keys: str) -> None:
    async def work() -> None:
        async with DistributedClient(DSN) as client:
            for key in keys:
                await client.submit(request(f"a secret {key}"), key=key)

    asyncio.run(work())


async def states(where: str) -> dict[JobState, int]:
    async with DistributedClient(where) as client:
        return dict((await client.counts())["main"])


def until(where: str, state: JobState, number: int) -> None:
    async def look() -> None:
        async with DistributedClient(where) as client:
            while (await client.counts())["main"].get(state) != number:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(look(), 30))


def test_a_worker_whose_jobs_others_have_says_to_start_it_again(here: Path) -> None:
    with emulating() as emulator, working(emulator, here) as worker:
        asyncio.run(bury(DSN))
        told = rest(worker)
    assert worker.returncode == 1
    assert "was silent for too long, and others have its jobs: start it again\n" in told
    assert "Traceback" not in told


async def bury(where: str) -> None:
    """Do as a worker does that has found another one silent."""
    database = dsn.database(where)
    await database.run(
        lambda connection: connection.exec_driver_sql("DELETE FROM seedance_workers")
    )
    database.close()


# ---- unknown jobs


def test_unknown_jobs_are_adopted_and_resubmitted(here: Path, say: Say) -> None:
    lost = [Fault("create.reset_after_accept", times=2)]
    billing: dict[str, str] = {}

    def bill(task_id: str, prompt: str, _: bool) -> None:
        billing[prompt] = task_id

    with (
        emulating(speed=SPEED, faults=lost, on_accept=bill) as emulator,
        working(emulator, here) as worker,
    ):
        for error in asyncio.run(made(DSN, "cat", "dog")):
            assert isinstance(error, SubmissionUnknown)
        code, out, err = say("jobs", "--state", "unknown", "--dsn", DSN)
        assert (code, len(out.splitlines())) == (0, 2)
        assert "seedance worker adopt KEY video_..." in err
        assert say("jobs", "cat", "--dsn", DSN)[2].count("seedance worker resubmit cat ") == 1

        found = billing["a secret cat"]
        code, _, err = say("worker", "adopt", "cat", found, "--dsn", DSN)
        assert (code, err) == (0, f"cat is task {found} now: a worker waits for it\n")
        code, _, err = say("worker", "adopt", "dog", found, "--dsn", DSN)
        assert (code, err) == (1, "that task belongs to job cat\n")

        again = ("worker", "resubmit", "dog", "--reason", "not in the billing", "--dsn", DSN)
        code, _, err = say(*again)
        assert (code, "MAY BE PAID FOR TWICE" in err, "say --yes" in err) == (2, True, True)
        code, _, err = say(*again, "cow", "--yes")
        assert (code, err.splitlines()[-1]) == (1, "nothing was done")
        code, _, err = say(*again, "--yes")
        assert (code, err.splitlines()[-1]) == (0, "dog is in line again")
        cat, dog = asyncio.run(made(DSN, "cat", "dog"))
        assert (cat.task_id, dog.state) == (found, JobState.COMPLETED)
        _, told = end(worker)
    assert "cat: UNKNOWN (" in told
    assert "2 videos brought in, 2 unknown\n" in told


# ---- whose jobs

PROFILES = """
[profiles.main]
key_env = "MAIN_KEY"
base_url = "https://main.example.com/api"
max_in_flight = 30
creates_per_minute = 12
[profiles.work]
key_env = "WORK_KEY"
"""


@pytest.fixture
def profiles(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "config.toml").write_text(PROFILES)
    for name, value in {
        "SEEDANCE_CONFIG": "config.toml",
        "MAIN_KEY": "main-key",
        "WORK_KEY": "work-key",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("profiles")
def test_an_account_has_all_of_the_profile_of_its_name() -> None:
    (main,) = whose.accounts((), None, None)
    assert (main.name, main.api_key, main.max_in_flight) == ("main", "main-key", 30)
    assert (main.base_url, main.creates_per_minute) == ("https://main.example.com/api", 12)
    main, work = whose.accounts(("main", "work", "main"), 4, None)
    assert (main.max_in_flight, work.max_in_flight) == (4, 4)
    assert (work.api_key, work.creates_per_minute) == ("work-key", None)
    assert "example.com" not in str(work.base_url)


def test_an_account_without_a_profile_is_that_of_the_environment(
    profiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDANCE_API_KEY", "own-key")
    monkeypatch.setenv("SEEDANCE_BASE_URL", "https://own.example.com")
    (other,) = whose.accounts(("other",), None, 5)
    assert (other.api_key, other.base_url) == ("own-key", "https://own.example.com")
    assert (other.max_in_flight, other.creates_per_minute) == (20, 5)
    # Named, the profile wins; else it is not clear.
    assert whose.accounts(("main",), None, None)[0].api_key == "main-key"
    with pytest.raises(CannotStart, match="say --account main for the profile's, or unset it"):
        whose.accounts((), None, None)
    with pytest.raises(CannotStart, match="accounts other and third would have one key"):
        whose.accounts(("other", "third"), None, None)


def test_a_profile_of_another_name_gives_its_key_to_an_account_that_has_none(
    profiles: None, say: Say
) -> None:
    words = ("worker", "--out", "videos", "--dsn", "sqlite:////nowhere/jobs.db")
    code, _, err = say("--profile", "work", *words)
    assert (code, "leave --profile away, or say --account work" in err) == (2, True)
    code, _, err = say("--profile", "work", *words, "--account", "other")
    assert (code, "unable to open database file" in err) == (2, True)


# ---- what cannot start

WHERE = ("--dsn", DSN)
DEAD = "postgresql://bot:secret-word@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("worker", "--out", "v"), "which database. Set SEEDANCE_DSN, or say --dsn"),
        (("worker", "--out", "v", "--dsn", "mysql://x/y"), "a dsn is postgresql://"),
        (("worker", "--out", "v", "--dsn", DEAD), "postgresql://bot:...@.*Connection refused"),
        (("worker", "--out", "/dev/null/v", *WHERE), "cannot write /dev/null/v: Not a directory"),
        (("worker", "--out", "v", "--account", "a b", *WHERE), "an account's name is up to 60"),
        (("worker", "--out", "v", "--max-in-flight", "0", *WHERE), "--max-in-flight must be at"),
        (("worker", "--out", "v", "--creates-per-minute", "nan", *WHERE), "must be above 0, not"),
        (("worker", "--out", "v", "--no-migrate", *WHERE), "run 'seedance worker migrate' once"),
        (("worker", "--out", "v", "--emulate", *WHERE), "--emulate"),
        (("worker", "migrate", "--role", "r", *WHERE), "SQLite has no roles"),
        (("worker", "migrate", "--dsn", DEAD), "Connection refused"),
        (("worker", "metrics", *WHERE), "there is no jobs.db: the first worker makes it"),
        (("worker", "set-limit", "main", "--max-in-flight", "0", *WHERE), "must be at least 1"),
        (("worker", "prune", "--older-than", "soon", *WHERE), "--older-than takes 30d"),
        (("worker", "prune", "--older-than", "0d", *WHERE), "must be above 0"),
        (("worker", "resubmit", "--reason", "x", *WHERE), "say which: KEY..."),
        (("worker", "resubmit", "cat", "--reason", " ", *WHERE), "say why: --reason"),
        (("worker", "adopt", "cat", "video_...", *WHERE), "cannot be a task's id"),
        (("jobs", *WHERE), "there is no jobs.db"),
        (("jobs", "--journal", "v", *WHERE), "--dsn or --journal"),
        (("jobs", "--follow", *WHERE), "--follow shows a run that writes a journal"),
        (("jobs", "settle", "cat", "--not-created", *WHERE), "jobs settle is for a journal"),
        (("jobs", "export", *WHERE), "jobs export is for a journal. .*seedance worker COMMAND"),
    ],
)
def test_what_cannot_start_says_so_and_exits_with_2(
    here: Path, say: Say, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.setenv("SEEDANCE_API_KEY", "a-key")
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert re.search(says, err, re.DOTALL), err
    assert "secret-word" not in err
    assert ("others on this machine can read the password in --dsn" in err) == (DEAD in words)


def test_without_the_extra_it_says_what_brings_it(here: Path) -> None:
    without = "import sys; sys.modules['dbos'] = None; from seedance_async.cli.app import run; "
    for words in (["worker", "--out", "v"], ["jobs"], ["worker", "metrics"]):
        asked = f"sys.exit(run({[*words, '--dsn', 'postgresql://h/d']!r}))"
        env = environment(SEEDANCE_API_KEY=KEY)
        ran = subprocess.run(
            [sys.executable, "-c", without + asked],
            env=env,
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 2
        assert "pip install 'seedance-async[distributed]'" in ran.stderr
        assert "Traceback" not in ran.stderr


# ---- what it tells


def test_the_view_of_a_worker_says_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    shift = Shift(Terminal(), lambda: 3)
    lost = "the create of job c was sent and its answer is lost (HTTP 502): a task may exist"
    busy = Throttled(key="a", wait_s=4.0, reason="HTTP 429")
    events: list[Event] = [
        *(Submitted(key="a", task_id="video_1"), Completed(key="a", task_id="video_1")),
        *(Downloaded(key=None, task_id="video_1", size_bytes=2**20), busy, busy),
        *(Failed(key="b\x1b", reason="no\nsuch"), Failed(key="c", reason=lost)),
        LimitsAdapted(max_in_flight=4, creates_per_minute=None, reason="HTTP 429"),
    ]
    for event in events:
        shift.note(event)
    told = capsys.readouterr().err.splitlines()
    assert [line[9:] for line in told] == [
        "a: submitted video_1",
        "video_1: downloaded, 1.0 MiB",
        "a: trying again in 4 s: HTTP 429",
        "b\N{REPLACEMENT CHARACTER}: failed: no such",
        "c: UNKNOWN (HTTP 502): it may be paid for",
        "at most 4 in flight for now: HTTP 429",
    ]
    assert shift.told == "3 jobs under way; 1 video brought in, 1 failed, 1 unknown"


async def test_a_log_has_a_line_a_minute_while_there_is_something_to_tell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    numbers = iter([2, 2, 1, 1, 0, 0, 0, 0, 0, 0])
    shift = Shift(Terminal(), lambda: now)
    now = 0
    telling = asyncio.create_task(shift.by_the_minute())
    for number in numbers:
        now = number
        await asyncio.sleep(60)
    telling.cancel()
    told = [line[9:] for line in capsys.readouterr().err.splitlines()]
    assert told[-1] == "0 jobs under way; 0 videos brought in"
    assert len([line for line in told if line.startswith("0 ")]) <= 2
    assert "2 jobs under way; 0 videos brought in" in told
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)


def test_what_is_said_at_the_end_counts_creates() -> None:
    assert leaving(1).startswith("leaving: 1 create on the wire is finished first\n")


# ---- metrics


def read(line: str) -> tuple[str, dict[str, str], int]:
    """Read a sample by the format's own rules."""
    found = re.fullmatch(r"(\w+)\{(.*)\} (\d+)", line, re.DOTALL)
    assert found
    pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2])
    spoken = {"n": "\n", "\\": "\\", '"': '"'}
    labels = {
        name: re.sub(r"\\(.)", lambda escape: spoken[escape[1]], text) for name, text in pairs
    }
    return found[1], labels, int(found[3])


@settings(max_examples=20)
@given(st.dictionaries(st.text(), st.integers(0, 10**9), max_size=4))
def test_metrics_can_be_read_whatever_an_account_is_called(counts: dict[str, int]) -> None:
    known = {name: {JobState.UNKNOWN: number} for name, number in counts.items()}
    lines = list(metrics.of(known, [list(counts), ["only a worker"]], JobState))
    samples = [read(line) for line in lines if not line.startswith("# ")]
    assert not any("\n" in line for line in lines)
    unknown = {
        labels["account"]: number
        for name, labels, number in samples
        if name == "seedance_jobs" and labels["state"] == "unknown"
    }
    assert unknown == {"only a worker": 0, **counts}
    workers = {labels["account"]: number for name, labels, number in samples if "workers" in name}
    assert set(workers) == {"only a worker", *counts}
    assert all(workers.values())


# ---- Postgres


def test_a_role_with_what_it_was_granted_is_enough(
    here: Path, say: Say, monkeypatch: pytest.MonkeyPatch, server: postgres.Server
) -> None:
    owner = server.new_database()
    role = 'Seedance-"bot'
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute('CREATE ROLE "Seedance-""bot" LOGIN')
        connection.execute("CREATE ROLE stranger LOGIN")
    name = owner.rpartition("/")[2]
    bot, stranger = server.dsn(name, "Seedance-%22bot"), server.dsn(name, "stranger")

    code, _, err = say("worker", "migrate", "--dsn", owner, "--role", "nobody-there")
    assert (code, 'role "nobody-there" does not exist' in err) == (2, True)
    for _ in range(2):
        code, _, err = say("worker", "migrate", "--dsn", owner, "--role", role)
        assert (code, err) == (0, f"the tables are in {owner}; role {role} may use them\n")
    code, _, err = say("jobs", "--dsn", stranger)
    assert (code, "permission denied for schema seedance" in err) == (2, True)

    monkeypatch.setenv("SEEDANCE_API_KEY", KEY)
    code, _, err = say("worker", "--out", "videos", "--dsn", bot)
    assert (code, "say --no-migrate" in err) == (2, True)

    with (
        emulating(speed=SPEED) as emulator,
        working(emulator, here, "--no-migrate", where=bot) as worker,
    ):
        (cat,) = asyncio.run(made(bot, "cat"))
        _, counted, _ = say("worker", "metrics", "--dsn", bot)
        assert 'seedance_workers{account="main"} 1' in counted
        worker.kill()
        worker.wait()
        deadline = time.monotonic() + 10  # the server learns of it in a moment
        while 'seedance_workers{account="main"} 0' not in counted:
            assert time.monotonic() < deadline, counted
            _, counted, _ = say("worker", "metrics", "--dsn", bot)
    assert cat.state is JobState.COMPLETED
    assert 'seedance_jobs{account="main",state="completed"} 1' in counted
    with psycopg.connect(bot) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE seedance.mine (number int)")
    with psycopg.connect(owner) as connection:  # a table of a later version
        connection.execute("CREATE TABLE seedance.later (number int)")
    with psycopg.connect(bot) as connection:
        connection.execute("INSERT INTO seedance.later VALUES (1)")
