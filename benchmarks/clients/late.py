"""How much later than due polls start, with so many jobs pending that never end.

    python late.py BASE_URL JOBS POLLS_PER_S SECONDS batch|tasks

Due times are slots, evenly apart: with any number of jobs, as many polls a second. ``batch`` is
``session.batch``; ``tasks`` is a task for each job, asleep until its slot, on plain aiohttp. A
poll starts when aiohttp is asked for it. Whoever is due earlier starts earlier, so that the
sorted starts belong to the sorted slots, and nothing inside the library has to be touched.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import sys
from collections.abc import Iterator

import aiohttp
from _client import BODY, CREATE, HEADERS, PROMPT, RESULT, cpu_s, stats, tell

from seedance_async import Pacing, SeedanceSession, VideoRequest
from seedance_async.pacing import Waiting

REQUEST = VideoRequest(model="seedance_2_0_pro", prompt=PROMPT)
SAMPLE = 1000
CREATORS = 32


class Slots:
    """Hands out due times; the first *spare_s* from now, time enough to create all jobs."""

    def __init__(self, polls_per_s: float, spare_s: float) -> None:
        self.gap_s = 1 / polls_per_s
        self.first = asyncio.get_running_loop().time() + spare_s
        self.count = 0

    def next(self) -> float:
        self.count += 1
        return self.first + self.count * self.gap_s

    def delay_s(self, waiting: Waiting) -> float:  # noqa: ARG002 -- a Pacing
        return self.next() - asyncio.get_running_loop().time()


class Far:
    def delay_s(self, waiting: Waiting) -> float:  # noqa: ARG002
        return 1e6


def tracer(starts: list[float]) -> aiohttp.TraceConfig:
    async def started(
        _: aiohttp.ClientSession, __: object, asked: aiohttp.TraceRequestStartParams
    ) -> None:
        if asked.method == "GET":
            starts.append(asyncio.get_running_loop().time())

    config = aiohttp.TraceConfig()
    config.on_request_start.append(started)
    return config


async def created(base_url: str, jobs: int, running: asyncio.Task[None]) -> None:
    """Wait until the server has seen so many creates in all."""
    while (await asyncio.to_thread(stats, base_url))["creates"] < jobs:
        if running.done():
            running.result()
        await asyncio.sleep(0.02)


async def seconds_a_create(base_url: str) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with aiohttp.ClientSession() as http:
        running = asyncio.create_task(batch(base_url, SAMPLE, Far(), http))
        await created(base_url, SAMPLE, running)
        running.cancel()
        await asyncio.wait({running})
    return (loop.time() - started) / SAMPLE


async def batch(base_url: str, jobs: int, pacing: Pacing, http: aiohttp.ClientSession) -> None:
    async with (
        SeedanceSession("key", base_url=base_url, pacing=pacing, http=http) as session,
        session.batch(
            itertools.repeat(REQUEST, jobs), max_in_flight=jobs, timeout_s=None
        ) as outcomes,
    ):
        async for outcome in outcomes:
            raise RuntimeError(f"ended: {outcome}")


async def tasks(base_url: str, jobs: int, slots: Slots, http: aiohttp.ClientSession) -> None:
    loop, waiting = asyncio.get_running_loop(), set()

    async def create(numbers: Iterator[int]) -> None:
        for _ in numbers:
            async with http.post(base_url + CREATE, json=BODY, headers=HEADERS) as response:
                task = json.loads(await response.read())
            waiting.add(asyncio.create_task(wait(task["id"])))

    async def wait(task_id: str) -> None:
        while True:
            await asyncio.sleep(slots.next() - loop.time())
            url = f"{base_url}{RESULT}/{task_id}"
            async with http.get(url, headers=HEADERS) as response:
                json.loads(await response.read())

    numbers = iter(range(jobs))
    await asyncio.gather(*(create(numbers) for _ in range(CREATORS)))
    await asyncio.gather(*waiting)


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def told(starts: list[float], slots: Slots, counted_from: float, busy: float) -> None:
    due = (slots.first + number * slots.gap_s for number in itertools.count(1))
    late = sorted(
        (start - slot) * 1e3
        for start, slot in zip(sorted(starts), due, strict=False)
        if slot > counted_from
    )
    tell(
        p50_ms=quantile(late, 0.5),
        p99_ms=quantile(late, 0.99),
        max_ms=late[-1],
        earliest_ms=late[0],
        polls=len(late),
        busy=busy,
        all_created_late_s=max(0.0, counted_from - slots.first),
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


async def main() -> None:
    base_url, mode = sys.argv[1], sys.argv[5]
    jobs, polls_per_s, seconds = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    loop, starts = asyncio.get_running_loop(), list[float]()
    # Half as much again, for the collector's work grows with what there is.
    spare_s = 1 + 1.5 * jobs * await seconds_a_create(base_url)
    slots = Slots(polls_per_s, spare_s)
    async with aiohttp.ClientSession(trace_configs=[tracer(starts)]) as http:
        way = {"batch": batch, "tasks": tasks}[mode]
        running = asyncio.create_task(way(base_url, jobs, slots, http))
        await created(base_url, SAMPLE + jobs, running)
        counted_from = max(slots.first, loop.time())
        await asyncio.sleep(counted_from - loop.time())
        cpu = cpu_s()
        await asyncio.sleep(seconds)
        told(starts, slots, counted_from, (cpu_s() - cpu) / seconds)
        os._exit(0)  # nothing here ever ends


if __name__ == "__main__":
    asyncio.run(main())
