"""The command as users run it: what it prints, writes and exits with."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_process import (
    FAST,
    SEEDANCE,
    UUID,
    environment,
    journalled,
    records,
    rest,
    run,
    started,
    stop,
    wait_for,
    write_jobs,
)

from seedance_async.cli import app

Seedance = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def slow_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An emulator in a process of its own, on which no task ends within a test."""
    folder = tmp_path_factory.mktemp("emulator")
    with started("emulator", "--port", "0", "--speed", "1.01", cwd=folder) as process:
        assert process.stdout is not None
        yield wait_for(process, process.stdout, "BASE_URL").partition("=")[2].strip()


def test_a_batch_leaves_videos_and_a_record_of_each_job(
    seedance: Seedance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDANCE_API_KEY", "real")
    monkeypatch.setenv("SEEDANCE_BASE_URL", "https://example.invalid")
    named = {**FAST, "name": "A cat\u001b[31m", "key": "cat", "metadata": {"shot": 1}}
    jobs = write_jobs(home, named, FAST, {**FAST, "duration": 99})
    out = home / "videos"
    out.mkdir()
    (out / "results.jsonl").write_text('{"run": "earlier", "line": 1}\n{"cut')
    code, stdout, stderr = seedance(
        *("batch", str(jobs), "--out", "videos", "--emulate", "--speed", "200", "--skip-invalid")
    )
    assert code == 1, stderr
    files = ["0001-A-cat-31m.mp4", "0002.mp4"]
    assert sorted(stdout.split()) == [f"videos/{name}" for name in files]
    assert all((out / name).read_bytes()[4:8] == b"ftyp" for name in files)
    assert "\x1b" not in stdout + stderr
    assert f"{jobs}:3: duration: 99 is out of range" in stderr
    assert "emulated: no key, no money" in stderr
    assert "3 jobs in" in stderr
    assert len(set(UUID.findall(stderr))) == 2

    earlier, *lines = (out / "results.jsonl").read_text().splitlines()
    assert json.loads(earlier)["run"] == "earlier"
    by_line = {record["line"]: record for record in map(json.loads, lines)}
    assert sorted(by_line) == [1, 2, 3]
    assert len({record["run"] for record in by_line.values()}) == 1
    first, invalid = by_line[1], by_line[3]
    assert (first["key"], first["status"], first["file"]) == ("cat", "completed", files[0])
    assert first["duration_s"] == 4.0
    assert first["tokens"] > 0
    assert first["metadata"] == {"shot": 1}
    assert first["started_at"] < first["ended_at"]
    assert UUID.fullmatch(first["task_id"])
    assert (invalid["index"], invalid["status"], invalid["file"]) == (2, "invalid", None)
    assert [fault["rule"] for fault in invalid["violations"]] == ["duration.range"]
    assert "secret" not in "".join(lines)
    assert "http" not in "".join(lines)


def test_a_csv_table_runs_to_exit_code_0(seedance: Seedance, home: Path) -> None:
    (home / "jobs.csv").write_text(
        "\ufeffmodel,prompt,duration,name\nseedance_2_0_fast_pro,a secret cat,4,cat\n",
        encoding="utf-8",
    )
    args = ("batch", "jobs.csv", "--out", "videos", "--emulate", "--speed", "200")
    code, stdout, stderr = seedance(*args)
    assert code == 0, stderr
    assert stdout == "videos/0001-cat.mp4\n"


def test_a_hyphen_reads_jobs_from_stdin(tmp_path: Path) -> None:
    args = ("batch", "-", "--out", "videos", "--emulate", "--speed", "200")
    ran = run(*args, cwd=tmp_path, input=json.dumps({**FAST, "prompt": "- a cat"}))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "videos/0001.mp4\n"


def test_a_reader_that_goes_away_hurts_no_job(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, FAST, FAST)
    args = ("batch", str(jobs), "--out", "videos", "--emulate", "--speed", "200")
    with started(*args, cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()
    assert process.returncode == 0, told
    assert "2 completed" in told
    assert "BrokenPipe" not in told


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_hurt_no_job(tmp_path: Path, closed: str) -> None:
    write_jobs(tmp_path, FAST)
    words = [*SEEDANCE, "batch", "jobs.jsonl", "--out", "videos", "--emulate", "--speed", "1000"]
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (journal,) = journalled(tmp_path / "videos" / "emulated.sqlite")
    assert journal.path
    assert "Traceback" not in ended.stderr


def test_a_person_sees_a_table_that_is_gone_in_the_end(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, {**FAST, "name": "[red]cat"}, FAST)
    command = [*SEEDANCE, "batch", str(jobs), "--out", "videos", "--emulate", "--speed", "100"]
    screen, terminal = os.openpty()
    env = environment(TERM="xterm", COLUMNS="60", LINES="12")
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        told = b""
        # Linux ends a terminal whose other side is closed with an error.
        with contextlib.suppress(OSError):
            while chunk := os.read(screen, 65536):
                told += chunk
    os.close(screen)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode())
    assert process.returncode == 0, shown
    assert "in flight" in shown
    assert "[red]cat" in shown
    assert "line 2: a secret cat" in shown
    assert b"\x1b[?25h" in told  # the cursor is back
    assert "0001-red-cat.mp4" not in shown
    assert "2 jobs in" in shown.splitlines()[-2]


def test_a_bad_line_sends_nothing(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, FAST, {**FAST, "duration": 99, "model": "x"})
    ran = run("batch", str(jobs), "--out", "videos", "--emulate", cwd=tmp_path)
    assert ran.returncode == 2
    assert f"{jobs}:2: duration: " in ran.stderr
    assert f"{jobs}:2: model: " in ran.stderr
    assert "nothing was sent" in ran.stderr
    assert ran.stdout == ""
    assert not (tmp_path / "videos").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("batch", "jobs.jsonl", "--out", "videos"), "set SEEDANCE_API_KEY.*--emulate"),
        (("batch", "jobs.jsonl", "--out", "jobs.jsonl/x", "--emulate"), "cannot write to"),
        (("batch", "jobs.jsonl", "--out", "videos", "--speed", "3"), "only with --emulate"),
        (("batch", "jobs.jsonl", "--out", "v", "--emulate", "--speed", "nan"), "--speed must be"),
        (("batch", "none.jsonl", "--out", "videos", "--emulate"), "none.jsonl: cannot be read"),
        (("generate", "a cat", "--duration", "3", "--aspect-ratio", "[red]"), "duration: 3 is"),
        (("generate", "a cat", "--duraton", "3"), "--duraton"),
        (("generate", "--duraton"), "no option --duraton"),
        (("generate", "A", "cat", "dancing"), "unexpected: cat dancing.*prompt in quotes"),
        (("generate", "cat", "--emulate", "--first-image", "http://10.0.0.1/a"), "media.public"),
        (("batch", "private.jsonl", "--out", "videos", "--emulate"), "media.public"),
        (("batch", "bad.jsonl", "--out", "videos", "--emulate"), "... and 9 more\\n29 of 29 jobs"),
    ],
)
def test_what_cannot_start_exits_with_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jobs(tmp_path, {**FAST, "first_image": "http://10.0.0.1/a.png"}).rename("private.jsonl")
    write_jobs(tmp_path, *[{**FAST, "duration": 99}] * 29).rename("bad.jsonl")
    write_jobs(tmp_path, FAST)
    assert app.run(args) == 2
    assert re.search(says, capsys.readouterr().err)
    assert not Path("videos").exists()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SEEDANCE_API_KEY", "", "no API key: set SEEDANCE_API_KEY. --emulate needs no key"),
        ("SEEDANCE_API_KEY", "a b", "no key has: look at SEEDANCE_API_KEY. --emulate"),
        ("SEEDANCE_BASE_URL", "ftp://x", "SEEDANCE_BASE_URL is no URL"),
    ],
)
def test_what_is_wrong_with_the_account_names_its_variable(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setenv("SEEDANCE_API_KEY", "key")
    monkeypatch.setenv(variable, value)
    assert app.run(["generate", "a cat"]) == 2
    assert says in capsys.readouterr().err


def test_generate_prints_the_id_and_then_the_file(seedance: Seedance, home: Path) -> None:
    args = ("--model", "seedance_2_0_fast_pro", "--duration", "4", "--no-audio")
    code, stdout, stderr = seedance("generate", "a cat", *args, "--emulate", "--speed", "200")
    assert code == 0, stderr
    task_id = UUID.findall(stderr)[0]
    assert stdout == f"{task_id}.mp4\n"
    assert (home / stdout.strip()).read_bytes()[4:8] == b"ftyp"
    assert "\x1b" not in stderr


def test_a_refused_key_stops_generate_with_3(tmp_path: Path, slow_emulator: str) -> None:
    env = {"SEEDANCE_API_KEY": "wrong", "SEEDANCE_BASE_URL": slow_emulator}
    ran = run("generate", "a cat", cwd=tmp_path, env=env)
    assert ran.returncode == 3
    assert ran.stderr.startswith("failed: ")
    assert "Traceback" not in ran.stderr


def test_giving_up_says_which_task_lives_on(tmp_path: Path, slow_emulator: str) -> None:
    env = {"SEEDANCE_API_KEY": "emulator", "SEEDANCE_BASE_URL": slow_emulator}
    ran = run("generate", "a cat", "--timeout", "0.1", cwd=tmp_path, env=env)
    assert ran.returncode == 1
    assert re.search(r"not ready yet: .*lives on", ran.stderr)
    assert re.search(r"run the same command again\nwith --key [0-9a-f-]+\n", ran.stderr)


def test_an_answer_that_got_lost_is_loud(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, FAST)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        env = {"SEEDANCE_API_KEY": "key", "SEEDANCE_BASE_URL": url}
        with started("batch", str(jobs), "--out", "videos", cwd=tmp_path, **env) as process:
            connection, _ = server.accept()
            connection.recv(1)
            connection.close()
            told = rest(process)
    assert process.returncode == 1
    assert re.search(r"line 1: UNKNOWN \(.*Connection reset", told), told
    assert "UNKNOWN, may have been paid for, not sent again: 1 job\n" in told
    assert "billing" in told
    (record,) = records(tmp_path / "videos")
    assert (record["status"], record["error"]["type"]) == ("unknown", "SubmissionUnknown")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly_and_keeps_every_id(
    tmp_path: Path, slow_emulator: str, number: signal.Signals, code: int
) -> None:
    jobs = write_jobs(tmp_path, FAST, {**FAST, "name": "two"}, {**FAST, "duration": 5})
    env = {"SEEDANCE_API_KEY": "emulator", "SEEDANCE_BASE_URL": slow_emulator}
    args = ("batch", str(jobs), "--out", "videos", "--max-in-flight", "2")
    with started(*args, cwd=tmp_path, **env) as process:
        assert process.stderr is not None
        ids = [UUID.findall(wait_for(process, process.stderr, "submitted"))[0] for _ in range(2)]
        stop(process) if number is signal.SIGINT else process.send_signal(number)
        told = rest(process)
    assert process.returncode == code, told
    assert "Traceback" not in told
    assert "2 at the provider, 1 not sent" in told
    assert "at the provider, may be paid for: lines 1-2\n" in told
    assert "not sent, nothing paid: line 3\n" in told
    # But for the command, which is as long as it was typed.
    assert max(len(line) for line in told.splitlines() if not line.startswith("  ")) <= 80
    assert "stopping\n" in told
    assert "Run the same command again to go on; nothing is paid twice." in told
    found = records(tmp_path / "videos")
    assert sorted(record["task_id"] for record in found) == sorted(ids)
    assert {record["status"] for record in found} == {"submitted"}


@pytest.mark.parametrize("command", ["batch", "generate"])
def test_signals_in_quick_succession_are_no_traceback(
    tmp_path: Path, slow_emulator: str, command: str
) -> None:
    write_jobs(tmp_path, FAST, FAST)
    args = ("batch", "jobs.jsonl", "--out", "videos") if command == "batch" else ("generate", "cat")
    env = {"SEEDANCE_API_KEY": "emulator", "SEEDANCE_BASE_URL": slow_emulator}
    with started(*args, cwd=tmp_path, **env) as process:
        assert process.stderr is not None
        wait_for(process, process.stderr, "submitted")
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.002)  # a signal that is pending swallows the next one
        told = rest(process)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert UUID.search(told) or "videos/results.jsonl" in told


class HeldApi(http.server.ThreadingHTTPServer):
    """Answers as the API does, but holds one step, ``create`` or ``download``, until told."""

    daemon_threads = True

    def __init__(self, held: str) -> None:
        self.held = held
        self.reached = threading.Event()
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), HeldAnswers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def pass_by(self, step: str) -> None:
        if step == self.held:
            self.reached.set()
            self.released.wait(30)


class HeldAnswers(http.server.BaseHTTPRequestHandler):
    server: HeldApi
    task_id = "video_0b6a7a0e-0000-4000-8000-000000000000"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.pass_by("create")
        self.answer({"id": self.task_id, "status": "queued"})

    def do_GET(self) -> None:
        if not self.path.endswith(".mp4"):
            url = f"{self.server.url}/a.mp4"
            self.answer({"id": self.task_id, "status": "completed", "video_url": url})
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"\0\0\0\x18ftypisom")
        self.wfile.flush()
        self.server.pass_by("download")

    def answer(self, fields: dict[str, str]) -> None:
        body = json.dumps(fields).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        # A hint, so that the first query comes at once.
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("held", "status"), [("create", "submitted"), ("download", "completed")])
@pytest.mark.parametrize("args", [("batch", "jobs.jsonl", "--out", "videos"), ("generate", "cat")])
def test_ctrl_c_while_creating_or_downloading_keeps_the_id_and_no_half_a_file(
    tmp_path: Path, args: tuple[str, ...], held: str, status: str
) -> None:
    write_jobs(tmp_path, FAST)
    with HeldApi(held) as api:
        env = {"SEEDANCE_API_KEY": "key", "SEEDANCE_BASE_URL": api.url}
        with started(*args, cwd=tmp_path, **env) as process:
            assert process.stderr is not None
            assert api.reached.wait(30)
            stop(process, args[0])
            wait_for(process, process.stderr, "^stopping")
            api.released.set()
            told = rest(process)
        api.shutdown()
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert list(tmp_path.rglob("*.mp4")) == list(tmp_path.rglob("*.part")) == []
    if args[0] == "batch":
        (record,) = records(tmp_path / "videos")
        assert (record["status"], record["task_id"]) == (status, HeldAnswers.task_id)
    else:
        assert HeldAnswers.task_id in told


@pytest.mark.parametrize("args", [("batch", "jobs.jsonl", "--out", "videos"), ("generate", "cat")])
def test_a_second_signal_leaves_a_create_that_hangs(tmp_path: Path, args: tuple[str, ...]) -> None:
    write_jobs(tmp_path, FAST)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        env = {"SEEDANCE_API_KEY": "key", "SEEDANCE_BASE_URL": url}
        with started(*args, cwd=tmp_path, **env) as process:
            assert process.stderr is not None
            connection, _ = server.accept()
            connection.recv(1)
            stop(process, args[0])
            wait_for(process, process.stderr, "^stopping: creates on the wire")
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            told = rest(process)
            connection.close()
    assert process.returncode == 130
    assert time.monotonic() - began < 5
    assert "billing" in told
    assert "seedance jobs settle" in told
    assert "Traceback" not in told
    folder = tmp_path / "videos" if args[0] == "batch" else tmp_path
    assert [job.state for job in journalled(folder / "seedance.sqlite")] == ["unknown"]
    if args[0] == "batch":
        assert [record["status"] for record in records(tmp_path / "videos")] == ["unknown"]


def test_the_emulator_says_how_to_point_clients_at_it_and_ends_with_0(tmp_path: Path) -> None:
    with started("emulator", "--port", "0", "--api-key", "a b", cwd=tmp_path) as process:
        assert process.stdout is not None
        wait_for(process, process.stdout, r"^export SEEDANCE_BASE_URL=http://127.0.0.1:\d+$")
        assert process.stdout.readline() == "export SEEDANCE_API_KEY='a b'\n"
        process.send_signal(signal.SIGINT)
        told = rest(process)
    assert process.returncode == 0
    assert "stopped: 0 tasks" in told


@pytest.mark.parametrize("args", ["", "batch", "generate", "jobs", "jobs settle"])
def test_help_imports_nothing_heavy(tmp_path: Path, args: str) -> None:
    script = (
        "import sys; from seedance_async.cli import main\n"
        f"sys.argv = ['seedance', *{args.split()!r}, '--help']\n"
        "try: main()\n"
        "finally: print(sorted({'aiohttp', 'av', 'PIL', 'aiosqlite'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"
    assert "Usage: seedance" in ran.stdout


@pytest.mark.parametrize(
    ("missing", "args", "extra"),
    [
        ("cyclopts", ["--help"], "cli"),
        ("rich", ["--help"], "cli"),
        ("av", ["generate", "a cat", "--emulate"], "emulator"),
    ],
)
def test_a_missing_extra_names_what_to_install(
    tmp_path: Path, missing: str, args: list[str], extra: str
) -> None:
    script = (
        "import importlib.util as util, sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "find = util.find_spec\n"
        f"util.find_spec = lambda name: None if name == {missing!r} else find(name)\n"
        f"sys.argv = ['seedance', *{args!r}]\n"
        "from seedance_async.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert f"pip install 'seedance-async[{extra}]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_version_is_the_package_s(tmp_path: Path) -> None:
    ran = run("--version", cwd=tmp_path)
    assert (ran.returncode, ran.stdout.count(".")) == (0, 2)
