"""Server on one core, client on the other: start them, measure, read what they say. Linux only."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import environments

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
POLLS = 5  # a create and five queries for each job, whoever asks: as the default pacing does
NEVER = 10**9
tree = environments.ROOT  # the checkout that is measured
CLIENTS = environments.HERE / "clients"
Figures = dict[str, Any]


class Skipped(Exception):
    """A measurement that was not made, and why."""


@dataclass(frozen=True)
class Contender:
    """A client: its file, where it is installed, and how it is named in tables."""

    name: str
    title: str
    environment: str
    is_light: bool = True  # on aiohttp: fast enough for the full number of jobs and rounds


OURS = Contender("ours", "seedance_async, a batch", environments.OURS)
SQLITE = Contender("ours_sqlite", "seedance_async, a batch, SQLite journal", environments.OURS)
SINGLE = Contender("ours_single", "seedance_async, generate() for each job", environments.OURS)
RAW = Contender("raw_aiohttp", "raw aiohttp", environments.OURS)
BY_HAND = Contender("by_hand_aiohttp", "a script on aiohttp", environments.OURS)
HTTPX = Contender("by_hand_httpx", "a script on httpx", "httpx", is_light=False)
OPENAI = Contender("peer_openai", "openai", "openai", is_light=False)
ARK = Contender("peer_ark", "volcengine ark", "ark", is_light=False)
RUNWAY = Contender("peer_runwayml", "runwayml", "runwayml", is_light=False)
FAL = Contender("peer_fal", "fal-client", "fal", is_light=False)
REPLICATE = Contender("peer_replicate", "replicate", "replicate", is_light=False)
LIGHT = (RAW, BY_HAND, OURS, SQLITE, SINGLE)
PEERS = (HTTPX, OPENAI, ARK, RUNWAY, FAL, REPLICATE)
EVERYBODY = (*LIGHT, *PEERS)


@contextlib.contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """Let what is started in the block run on these; this process goes back to its own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """The server, for as long as the block lasts; tasks are done at their *polls*-th query."""

    def __init__(self, polls: int = POLLS) -> None:
        self._polls = polls

    def __enter__(self) -> Self:
        with on_cores(SERVER_CORE):
            self._process = subprocess.Popen(
                [sys.executable, environments.HERE / "server.py", str(self._polls)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdout is not None
        self.base_url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stats(self) -> dict[str, int]:
        with urllib.request.urlopen(self.base_url + "/stats", timeout=30) as response:
            counted: dict[str, int] = json.load(response)
            return counted


def start(program: str, environment: str, *args: object) -> subprocess.Popen[str]:
    """Start a program of ``clients/`` in a process of its own on the clients' core."""
    with on_cores(CLIENT_CORE):
        return subprocess.Popen(
            [environments.python(environment), CLIENTS / f"{program}.py", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ(environment),
        )


def environ(environment: str) -> dict[str, str]:
    env = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    if environment in (environments.OURS, environments.COMMAND_LINE, environments.SHARED):
        env["PYTHONPATH"] = str(tree)  # as it is now, not as it was installed
    return env


def finished(process: subprocess.Popen[str], timeout_s: float) -> Figures:
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Skipped(f"not done after {timeout_s:.0f} s") from None
    if process.returncode or not out:
        raise Skipped(f"failed: {(err.strip().splitlines() or ['no word'])[-1][:200]}")
    figures: Figures = json.loads(out.splitlines()[-1])
    return figures


def tried(program: str, server: Server, *args: object, timeout_s: float) -> Figures | None:
    """Run a program of our own and read its figures; None, and a note, where it fails."""
    try:
        process = start(program, environments.OURS, server.base_url, *args)
        return finished(process, timeout_s)
    except Skipped as why:
        note(f"{program} {' '.join(map(str, args))}: {why}")
        return None


def measured(
    who: Contender,
    server: Server,
    jobs: int,
    *,
    in_flight: int,
    interval_s: float,
    timeout_s: float,
) -> Figures:
    """Run one client once; CPU and wall time for each call that the server counted."""
    process = start(who.name, who.environment, server.base_url, jobs, in_flight, interval_s)
    figures = finished(process, timeout_s)
    figures["cpu_ms_per_call"] = figures["cpu_s"] / figures["calls"] * 1e3
    figures["wall_ms_per_call"] = figures["wall_s"] / figures["calls"] * 1e3
    figures["calls_per_job"] = figures["calls"] / jobs
    return figures


def held(
    who: Contender, jobs: int, interval_s: float, timeout_s: float, *, traces: bool = False
) -> Figures:
    """Let one client hold so many jobs, each of them asked about at least once; its memory."""
    with Server(polls=NEVER) as server:
        options = ["--hold", *(["--trace"] if traces else [])]
        args = (server.base_url, jobs, jobs, interval_s, *options)
        process = start(who.name, who.environment, *args)
        give_up = time.monotonic() + timeout_s
        while min((counted := server.stats())["creates"], counted["polled"]) < jobs:
            if process.poll() is None and time.monotonic() < give_up:
                time.sleep(0.25)
                continue
            process.kill()
            _, err = process.communicate()
            said = (err.strip().splitlines() or [f"not full after {timeout_s:.0f} s"])[-1]
            raise Skipped(f"{counted['creates']} of {jobs} created: {said[:200]}")
        process.send_signal(signal.SIGUSR1)
        return finished(process, 60)


def note(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def median(values: Iterable[float]) -> float:
    """Give the median; NaN of nothing, which meets no target."""
    return statistics.median(list(values) or [math.nan])


def paired(of: Sequence[Figures], over: Sequence[Figures], key: str) -> list[float]:
    """Give the ratios of each round: what disturbs a round disturbs both."""
    return [a[key] / b[key] for a, b in zip(of, over, strict=False)]
