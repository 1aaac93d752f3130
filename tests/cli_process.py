"""The command in a process of its own, as users run it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal

from seedance_async import JobRecord
from seedance_async.emulator import Emulator
from seedance_async.journal import SqliteJournal

SEEDANCE = [sys.executable, "-m", "seedance_async"]
FAST = {"model": "seedance_2_0_fast_pro", "prompt": "a secret cat", "duration": 4}
UUID = re.compile(r"video_[0-9a-f-]{36}")


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "SEEDANCE" not in name}
    # Whoever runs the tests may have a config file of their own.
    return {**kept, "SEEDANCE_CONFIG": os.devnull, "FORCE_COLOR": "1", **variables}


def run(*args: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    env = environment(**options.pop("env", {}))
    return subprocess.run(
        [*SEEDANCE, *args],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def write_jobs(folder: Path, *jobs: Any) -> Path:
    path = folder / "jobs.jsonl"
    path.write_text("".join(f"{json.dumps(job)}\n" for job in jobs))
    return path


def records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_for(process: subprocess.Popen[str], stream: Any, pattern: str) -> str:
    """Read *stream* until a line has *pattern* in it."""
    read = []
    for line in stream:
        read.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"{pattern!r} never came: {read}, exit {process.wait()}")


def stop(process: subprocess.Popen[str], command: str = "batch") -> None:
    """Press Ctrl-C until it stops: a batch drains first."""
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    if command == "batch":
        wait_for(process, process.stderr, "stopping: nothing more is sent")
        process.send_signal(signal.SIGINT)


def rest(process: subprocess.Popen[str]) -> str:
    """Wait for the end, and give what is left of stderr.

    Not ``communicate``, which reads past the lines that ``wait_for`` made the stream buffer.
    """
    assert process.stderr is not None
    told = process.stderr.read()
    process.wait(timeout=30)
    return told


@contextlib.contextmanager
def started(*args: str, cwd: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*SEEDANCE, *args],
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def emulating(**options: Any) -> Iterator[Emulator]:
    """Give an emulator that answers from a thread of this process, for clients in others."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Emulator(**options)) as emulator,
    ):
        yield emulator


def account(emulator: Emulator) -> dict[str, str]:
    """Point the command at *emulator*, as a user does."""
    return {"SEEDANCE_API_KEY": emulator.api_key, "SEEDANCE_BASE_URL": emulator.base_url}


def journalled(path: Path) -> list[JobRecord]:
    """Read a journal whose writer may be gone, or at work."""

    async def read() -> list[JobRecord]:
        async with SqliteJournal(path, read_only=True) as journal:
            return [record async for record in journal.records()]

    return asyncio.run(read())
