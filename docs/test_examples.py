"""The programs in ``docs/examples``, run as a reader runs them, and killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import postgres
import pytest
import yaml

from seedance_async import JournalError, SqliteJournal
from seedance_async.cli import app
from seedance_async.emulator import Emulator
from seedance_async.transport import DEFAULT_TIMEOUT

EXAMPLES = Path(__file__).parent / "examples"
Serve = Callable[..., Emulator]
# About a second for the fastest video: time to be killed in.
SPEED = 60


class Program:
    """One of the examples, with the folder and the emulator of its test."""

    def __init__(self, name: str, folder: Path, emulator: Emulator) -> None:
        self._command = [sys.executable, str(EXAMPLES / name)]
        self._folder = folder
        self.environment = {
            **os.environ,
            "SEEDANCE_API_KEY": emulator.api_key,
            "SEEDANCE_BASE_URL": emulator.base_url,
        }

    @contextlib.contextmanager
    def running(self, *args: object) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [*self._command, *map(str, args)],
            cwd=self._folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *args: object) -> tuple[int, str]:
        with self.running(*args) as process:
            out, err = process.communicate(timeout=60)
            assert "Traceback" not in err, err
            return process.returncode, out


def read_until(process: subprocess.Popen[str], words: str, times: int = 1) -> list[str]:
    """Read what a program says until *words* came so many times."""
    assert process.stdout is not None
    told: list[str] = []
    for line in process.stdout:
        told.append(line.rstrip())
        if sum(words in each for each in told) == times:
            return told
    raise AssertionError(f"{words!r} never came: {told}")


# --- overnight.py


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    jobs = [
        {"model": "seedance_2_0_fast_pro", "prompt": f"Cat {number}", "duration": 4}
        for number in range(4)
    ]
    file = tmp_path / "jobs.jsonl"
    file.write_text("\n".join(json.dumps(job) for job in jobs), "utf-8")
    return file


async def ids_on_record(path: Path) -> int:
    try:
        async with SqliteJournal(path, read_only=True) as journal:
            return len([job async for job in journal.records() if job.task_id])
    except JournalError:  # there is none yet
        return 0


def test_a_night_that_was_killed_goes_on_and_pays_once(
    serve: Serve, manifest: Path, tmp_path: Path
) -> None:
    emulator = serve(speed=SPEED)
    overnight = Program("overnight.py", tmp_path, emulator)
    with overnight.running(manifest, "videos"):
        while asyncio.run(ids_on_record(tmp_path / "videos" / "jobs.sqlite")) < 4:
            time.sleep(0.01)
    code, told = overnight.run(manifest, "videos")
    assert (code, told.count("completed")) == (0, 4), told
    code, told = overnight.run(manifest, "videos")
    assert (code, told.count("skipped")) == (0, 4), told
    assert emulator.stats.accepted == 4
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 4


def test_a_night_with_a_lost_answer_says_where_to_look(
    serve: Serve, manifest: Path, tmp_path: Path
) -> None:
    emulator = serve(faults=["create.reset_after_accept"])
    for _ in range(2):
        code, told = Program("overnight.py", tmp_path, emulator).run(manifest, "videos")
        assert code == 1
        assert told.count("look into the billing for ") == 1
    assert emulator.stats.accepted == 4


# --- batch_one_machine.py and batch_many_machines.py


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.db'}"
        return
    if reason := postgres.reason_to_skip():
        pytest.skip(reason)
    with postgres.running() as server:
        yield server.new_database()


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.txt"
    file.write_text("A cat\nA dog\nAn owl\n", "utf-8")
    return file


def test_the_batch_of_one_machine_pays_once(serve: Serve, prompts: Path, tmp_path: Path) -> None:
    emulator = serve()
    program = Program("batch_one_machine.py", tmp_path, emulator)
    for status in ("completed", "skipped"):
        code, told = program.run(prompts)
        assert (code, told.count(status)) == (0, 3), told
    assert emulator.stats.accepted == 3


def test_five_changed_lines_make_it_one_of_many_machines(
    serve: Serve, prompts: Path, tmp_path: Path, dsn: str
) -> None:
    one, many = (
        (EXAMPLES / f"batch_{which}.py").read_text("utf-8").splitlines()
        for which in ("one_machine", "many_machines")
    )
    changes = difflib.SequenceMatcher(None, one, many, autojunk=False).get_opcodes()
    assert sum(max(b - a, d - c) for tag, a, b, c, d in changes if tag != "equal") <= 5

    emulator = serve()
    words = ["worker", "--dsn", dsn, "--out", "made"]
    account = {"SEEDANCE_API_KEY": emulator.api_key, "SEEDANCE_BASE_URL": emulator.base_url}
    without = {name: text for name, text in os.environ.items() if "SEEDANCE" not in name}
    program = Program("batch_many_machines.py", tmp_path, emulator)
    program.environment = {**without, "SEEDANCE_DSN": dsn}  # it has no key
    with subprocess.Popen(
        [sys.executable, "-m", "seedance_async", *words],
        cwd=tmp_path,
        env={**without, **account, "SEEDANCE_CONFIG": os.devnull},
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        try:
            assert worker.stderr is not None
            assert any("other workers go on" in line for line in worker.stderr)
            for status in ("completed", "skipped"):
                code, told = program.run(prompts)
                assert (code, told.count(status)) == (0, 3), told
            worker.terminate()
            assert "stopped: 3 videos brought in" in worker.stderr.read()
            assert worker.wait() == 0
        finally:
            worker.kill()
    assert emulator.stats.accepted == 3
    assert len(list((tmp_path / "made").glob("*.mp4"))) == 3


# --- deploy


def test_what_is_deployed_are_commands_that_there_are() -> None:
    folder = EXAMPLES / "deploy"
    unit = (folder / "seedance-worker.service").read_text("utf-8")
    image = (folder / "Dockerfile").read_text("utf-8")
    services = yaml.safe_load((folder / "compose.yaml").read_text("utf-8"))["services"]
    entry = json.loads(re.findall(r"ENTRYPOINT (.*)", image)[0])
    told = [
        re.findall(r"ExecStart=/opt/seedance/bin/(.*)", unit)[0].split(),
        [*entry, *services["worker"]["command"]],
        services["migrate"]["entrypoint"],
    ]
    for program, *words in told:
        _, _, unknown, *_ = app.make_app().parse_known_args(words)
        assert (program, unknown) == ("seedance", []), words
    # More than a call to the provider may take.
    stop_s = int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0])
    assert services["worker"]["stop_grace_period"] == f"{stop_s}s"
    assert stop_s > (DEFAULT_TIMEOUT.total or 0)


# --- job files


def seedance(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seedance_async", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_matrix_makes_eight_videos(tmp_path: Path) -> None:
    jobs = str(EXAMPLES / "matrix.yaml")
    checked = seedance("validate", jobs, folder=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout
    assert "2 jobs x 2 aspect_ratio x 2 model = 8 jobs" in checked.stderr
    words = ("batch", jobs, "--out", "videos", "--emulate", "--speed", str(SPEED * 10))
    made = seedance(*words, folder=tmp_path)
    assert (made.returncode, len(made.stdout.splitlines())) == (0, 8), made.stderr


PAGE = (EXAMPLES.parent / "guide" / "job-files.md").read_text("utf-8")
FILES = [
    (language, content)
    for language, content in re.findall(r"```(json|yaml|toml)\n(.*?)```", PAGE, re.DOTALL)
    if "jobs" in content.replace("jobs.schema", "") or content.startswith('{"model')
]


def test_the_page_shows_every_format() -> None:
    assert {language for language, _ in FILES} == {"json", "yaml", "toml"}
    assert len(FILES) == 6


@pytest.mark.parametrize("place", range(len(FILES)))
def test_the_files_that_the_page_shows_are_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    language, content = FILES[place]
    file = tmp_path / f"jobs.{language}"
    file.write_text(content, "utf-8")
    assert app.run(["validate", str(file)]) == 0, capsys.readouterr().out


# --- bot.py


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def ask(port: int, number: int, prompt: str = "A cat") -> int:
    """Ask the bot, and again while nobody listens, as a chat does."""
    body: dict[str, Any] = {"id": number, "chat": "cats", "prompt": prompt}
    for _ in range(500):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("POST", "/asked", json.dumps(body))
            return connection.getresponse().status
        except ConnectionRefusedError:
            time.sleep(0.02)
        finally:
            connection.close()
    raise AssertionError("the bot does not listen")


@pytest.mark.parametrize("stop", ["kill", "terminate"])
def test_a_bot_that_was_ended_answers_what_it_was_asked_before(
    serve: Serve, port: int, tmp_path: Path, stop: str
) -> None:
    emulator = serve(speed=SPEED)
    bot = Program("bot.py", tmp_path, emulator)
    with bot.running(port) as first:
        for number in (1, 2, 2, 3):
            assert ask(port, number) == 202
        getattr(first, stop)()
        _, err = first.communicate()
        assert "Traceback" not in err
    with bot.running(port) as second:
        told = read_until(second, "here is your video", times=3)
        assert ask(port, 1) == 202  # the chat did not get its answer
    assert {line for line in told if "here is" in line} == {
        f"cats: here is your video: {Path('videos', f'question-{number}.mp4')}"
        for number in (1, 2, 3)
    }
    assert emulator.stats.accepted == 3


def test_a_bot_refuses_what_breaks_a_rule(serve: Serve, port: int, tmp_path: Path) -> None:
    emulator = serve()
    with Program("bot.py", tmp_path, emulator).running(port):
        assert ask(port, 1, prompt=" ") == 400
    assert emulator.stats.accepted == 0


def test_a_bot_does_not_take_an_old_id_for_another_question(
    serve: Serve, port: int, tmp_path: Path
) -> None:
    emulator = serve(speed=SPEED)
    with Program("bot.py", tmp_path, emulator).running(port) as process:
        for prompt in ("A cat", "A dog"):
            assert ask(port, 1, prompt) == 202
        told = read_until(process, "here is your video")
    assert any("question-1 was another question" in line for line in told)
    assert emulator.stats.accepted == 1


def test_a_bot_says_that_an_answer_was_lost_and_does_not_ask_again(
    serve: Serve, port: int, tmp_path: Path
) -> None:
    emulator = serve(faults=["create.reset_after_accept"])
    bot = Program("bot.py", tmp_path, emulator)
    for number in range(2):
        with bot.running(port) as process:
            if number == 0:
                assert ask(port, 1) == 202
            read_until(process, "question-1 got lost on the way")
    assert emulator.stats.accepted == 1
