"""What all clients have in common: arguments, warm-up, measuring; prints one line of JSON.

A client is a module with an asynchronous context manager that is given an ``Order`` and yields a
coroutine function ``run(jobs)``, which makes so many videos and waits for all of them. Making the
client and its connections, and the first jobs, are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPT = "A cat dancing in the rain"
BODY = {
    "model": "seedance_2_0_pro",
    "prompt": PROMPT,
    "duration": 5,
    "aspect_ratio": "16:9",
    "generateAudio": True,
}
HEADERS = {"Authorization": "Bearer key"}
CREATE, RESULT = "/v1/kyyvideo2/videos", "/v1/result"
WARM_UP_JOBS = 20
LONG_S = 3600.0


@dataclass(frozen=True)
class Order:
    """What to measure: so many jobs, so many at a time, asked about so often."""

    base_url: str
    jobs: int
    in_flight: int
    interval_s: float
    holds: bool = False
    traces: bool = False


Run = Callable[[int], Awaitable[None]]
Client = Callable[[Order], AbstractAsyncContextManager[Run]]


def parsed() -> Order:
    parser = argparse.ArgumentParser()
    parser.add_argument("base_url")
    parser.add_argument("jobs", type=int)
    parser.add_argument("in_flight", type=int)
    parser.add_argument("interval_s", type=float)
    parser.add_argument("--hold", action="store_true", dest="holds", help="tell on SIGUSR1")
    parser.add_argument("--trace", action="store_true", dest="traces", help="with tracemalloc")
    return Order(**vars(parser.parse_args()))


def by_semaphore(one: Callable[[], Awaitable[Any]], order: Order) -> Run:
    """Make ``run`` as people do: a task for each job, so many at a time."""
    gate = asyncio.Semaphore(order.in_flight)

    async def bounded() -> Any:
        async with gate:
            return await one()

    async def run(jobs: int) -> None:
        results = await asyncio.gather(*(bounded() for _ in range(jobs)))
        assert all(results)

    return run


def stats(base_url: str) -> dict[str, int]:
    with urllib.request.urlopen(base_url + "/stats") as response:
        counted: dict[str, int] = json.load(response)
        return counted


def rss_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def tell(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


async def measure(client: Client, order: Order) -> None:
    async with client(order) as run:
        await run(min(WARM_UP_JOBS, order.in_flight))
        before = stats(order.base_url)
        wall, cpu = time.perf_counter(), cpu_s()
        await run(order.jobs)
        cpu, wall = cpu_s() - cpu, time.perf_counter() - wall
        after = stats(order.base_url)
        tell(
            cpu_s=cpu,
            wall_s=wall,
            calls=after["calls"] - before["calls"],
            creates=after["creates"] - before["creates"],
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


async def hold(client: Client, order: Order) -> None:
    """Fill up with jobs that never end; tell the memory when asked to, and be gone."""
    async with client(order) as run:
        at_start = rss_bytes()
        if order.traces:
            tracemalloc.start()

        def told(*_: object) -> None:
            traced = tracemalloc.get_traced_memory()[0]
            tell(rss_bytes=rss_bytes(), rss_at_start_bytes=at_start, traced_bytes=traced)
            os._exit(0)

        signal.signal(signal.SIGUSR1, told)
        await run(order.jobs)


def main(client: Client) -> None:
    order = parsed()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # The server is another program's child of one core; whatever a proxy variable says.
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        os.environ.pop(name, None)
    asyncio.run((hold if order.holds else measure)(client, order))
    sys.stdout.flush()
