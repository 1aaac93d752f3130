"""What a person sees: whole sessions in a real terminal, kept as pictures of text.

Looked at by a person when they change: ``UPDATE_TERMINAL=1`` writes them anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cli_process import FAST, account, emulating, environment, started, wait_for, write_jobs
from programs import tool

PICTURES = Path(__file__).parent / "golden" / "terminal"
COLUMNS, ROWS = 80, 40
BATCH = "seedance batch jobs.jsonl --out videos"
# What differs from run to run.
CHANGING = (
    (r"video_[0-9a-f]{8}-[0-9a-f-]{27}", "video_ID"),
    (r"\bin \d+:\d\d(:\d\d)?\b", "in TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN"),
    (r"\bmade before, on \S+ \S+", "made before, on WHEN"),
)


@attrs.define
class Screen:
    """A terminal of its own, in which commands are typed."""

    socket: str
    home: Path

    def tmux(self, *words: str) -> str:
        ran = subprocess.run(
            [*tool("tmux"), "-L", self.socket, *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return ran.stdout

    def type(self, command: str, **variables: str) -> None:
        """Type a command; ``ended`` waits for its end."""
        env = environment(**variables)
        words = {name: env[name] for name in env if "SEEDANCE" in name}
        exported = " ".join(f"{name}={shlex.quote(value)}" for name, value in words.items())
        python = f"{shlex.quote(sys.executable)} -m seedance_async"
        script = (
            f"cd {shlex.quote(str(self.home))}; trap : INT;"
            f"printf '$ %s\\n' {shlex.quote(command)};"
            f"env -u FORCE_COLOR {exported} {command.replace('seedance', python, 1)};"
            f"printf '[%s]\\n' $?; tmux -L {self.socket} wait-for -S ended; cat"
        )
        self.tmux(
            "-f", "/dev/null", "new-session", "-d", "-s", "t",
            "-x", str(COLUMNS), "-y", str(ROWS), "sh", "-c", script,
        )  # fmt: skip

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "t", *keys)

    def ended(self) -> str:
        self.tmux("wait-for", "ended")
        return self.picture()

    def picture(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "t", "-S", "-").rstrip() + "\n"


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    tool("tmux")
    opened = Screen(f"seedance-{uuid.uuid4().hex[:8]}", tmp_path)
    try:
        yield opened
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            opened.tmux("kill-server")


def check(name: str, picture: str) -> None:
    """Compare with what was kept."""
    for pattern, word in CHANGING:
        picture = re.sub(pattern, word, picture)
    # Jobs that run at once end in any order.
    ends = re.findall(r"^line \d+: .*\n", picture, re.MULTILINE)
    picture = picture.replace("".join(ends), "".join(sorted(ends)))
    path = PICTURES / f"{name}.txt"
    if os.environ.get("UPDATE_TERMINAL"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(picture)
    assert picture == path.read_text(), f"look at it, then UPDATE_TERMINAL=1: {path.name}"


def cats(count: int) -> list[dict[str, Any]]:
    return [{**FAST, "prompt": f"A cat on a roof, take {n}"} for n in range(1, count + 1)]


def test_a_first_run(screen: Screen) -> None:
    write_jobs(screen.home, *cats(3))
    screen.type(f"{BATCH} --emulate --speed 600")
    check("first-run", screen.ended())


def test_an_invalid_file(screen: Screen) -> None:
    broken = [{**FAST, "duration": 60, "aspect_ratio": "2:1"}, {"prompt": " "}, FAST]
    path = write_jobs(screen.home, *broken)
    path.write_text(f"{path.read_text()}{{'model': 'seedance_2_0'}}\n")
    screen.type(BATCH, SEEDANCE_API_KEY="key")
    check("invalid-file", screen.ended())


def test_going_on_after_a_kill(screen: Screen) -> None:
    write_jobs(screen.home, *cats(4))
    with emulating(speed=100) as emulator:
        words = ("batch", "jobs.jsonl", "--out", "videos", "--max-in-flight", "2")
        with started(*words, cwd=screen.home, **account(emulator)) as process:
            assert process.stderr is not None
            for _ in range(2):
                wait_for(process, process.stderr, "submitted")
            process.send_signal(signal.SIGKILL)
            process.wait()
        screen.type(BATCH, **account(emulator))
        picture = screen.ended()
    check("after-a-kill", picture)


def test_a_throttled_account(screen: Screen) -> None:
    write_jobs(screen.home, *cats(4))
    with emulating(speed=300, concurrency=1, max_queued=1) as emulator:
        screen.type(BATCH, **account(emulator))
        picture = screen.ended()
    check("throttled", picture)


def test_ctrl_c(screen: Screen) -> None:
    write_jobs(screen.home, *cats(6))
    pressed = []

    def press(*_: Any) -> None:
        pressed.append(1)
        if len(pressed) == 2:
            screen.press("C-c")

    with emulating(speed=30, on_accept=press) as emulator:
        screen.type(f"{BATCH} --max-in-flight 2", **account(emulator))
        picture = screen.ended()
    check("ctrl-c", picture)


def test_a_budget_that_is_reached(screen: Screen) -> None:
    write_jobs(screen.home, *cats(5))
    prices = 'currency = "USD"\n[seedance_2_0_fast_pro]\nper_second = 0.05\n'
    (screen.home / "prices.toml").write_text(prices)
    screen.type(f"{BATCH} --emulate --speed 600 --prices prices.toml --max-cost 0.70")
    check("budget-reached", screen.ended())


def test_when_all_failed(screen: Screen) -> None:
    def fails(body: Any) -> str:
        odd = int(body["prompt"].split()[-1]) % 3 == 0
        return "The service is busy." if odd else "The prompt was rejected by content moderation."

    write_jobs(screen.home, *cats(9))
    with emulating(speed=600, failures=fails) as emulator:
        screen.type(BATCH, **account(emulator))
        picture = screen.ended()
    check("all-failed", picture)


@pytest.mark.parametrize(("answer", "sent"), [("n", 0), ("y", 21)])
def test_a_person_is_asked_before_much_is_sent(screen: Screen, answer: str, sent: int) -> None:
    write_jobs(screen.home, *[FAST] * 21)
    with emulating(speed=600) as emulator:
        screen.type(BATCH, **account(emulator))
        _until(screen, lambda: "[y/N]" in screen.picture())
        screen.press(answer, "Enter")
        picture = screen.ended()
        assert len(emulator.accepted_ids) == sent
    assert "Send 21 videos, 84 s of video? [y/N]" in picture
    assert ("nothing was done" in picture) is (answer == "n")


def test_the_live_view_shows_where_everything_stands(screen: Screen) -> None:
    write_jobs(screen.home, *cats(5))
    with emulating(speed=1) as emulator:
        screen.type(f"{BATCH} --max-in-flight 3 --max-videos 4", **account(emulator))
        _until(screen, lambda: len(re.findall("processing|queued", screen.picture())) == 3)
        _until(screen, lambda: "3 of 4 videos, 12 s" in screen.picture())
        picture = screen.picture()
        screen.press("C-c")
        _until(screen, lambda: "stopping: nothing more is sent" in screen.picture())
        screen.press("C-c")
        screen.ended()
    assert "0/5" in picture
    assert "2 waiting, 3 in flight, 0 done, 0 failed" in picture
    assert re.search(r"A cat on a roof, take 1 +(queued|processing) +0:0\d +~\d:\d\d left", picture)
    assert "min left" in picture


def _until(screen: Screen, is_so: Callable[[], bool]) -> None:
    """Wait until the screen shows it: it is another process's, and tells nobody."""
    for _ in range(400):
        if is_so():
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError(screen.picture())
