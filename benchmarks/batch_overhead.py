"""Client CPU for each job: ``run_batch`` beside what people write by hand.

A server in a process of its own answers every create with an id and every query with a finished
task, so that only the client's own work is measured. Rounds go in turn.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import aiohttp
from aiohttp import web

from seedance_async import Fixed, SeedanceSession, VideoRequest

JOBS, IN_FLIGHT, ROUNDS = 1000, 50, 7
REQUEST = VideoRequest(model="seedance_2_0_pro", prompt="A cat dancing in the rain")
CREATE, RESULT = "/v1/kyyvideo2/videos", "/v1/result"
HEADERS = {"Authorization": "Bearer key"}


def serve(ready: Connection) -> None:
    numbers = itertools.count()

    async def create(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"id": f"video_{next(numbers)}", "status": "queued"})

    async def query(request: web.Request) -> web.Response:
        task_id = request.path.rpartition("/")[2]
        done = {"id": task_id, "status": "completed", "video_url": "https://v.example/a.mp4"}
        return web.json_response(done)

    async def main() -> None:
        app = web.Application()
        app.router.add_post(CREATE, create)
        app.router.add_get(RESULT + "/{id}", query)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


async def ours(base_url: str) -> None:
    async with SeedanceSession("key", base_url=base_url, pacing=Fixed(0.001)) as session:
        report = await session.run_batch([REQUEST] * JOBS, max_in_flight=IN_FLIGHT)
    assert report.ok


async def by_hand(
    base_url: str, one: Callable[[aiohttp.ClientSession, str], Awaitable[None]]
) -> None:
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def bounded(http: aiohttp.ClientSession) -> None:
        async with gate:
            await one(http, base_url)

    async with aiohttp.ClientSession(headers=HEADERS) as http:
        await asyncio.gather(*(bounded(http) for _ in range(JOBS)))


async def raw(http: aiohttp.ClientSession, base_url: str) -> None:
    async with http.post(base_url + CREATE, json=REQUEST.to_wire()) as response:
        task_id = json.loads(await response.read())["id"]
    while True:
        await asyncio.sleep(0.001)
        async with http.get(f"{base_url}{RESULT}/{task_id}") as response:
            if json.loads(await response.read())["status"] == "completed":
                return


async def session_each(base_url: str) -> None:
    async def one(_: aiohttp.ClientSession, url: str) -> None:
        async with aiohttp.ClientSession(headers=HEADERS) as own:
            await raw(own, url)

    await by_hand(base_url, one)


WAYS: dict[str, Callable[[str], Awaitable[None]]] = {
    "run_batch": ours,
    "aiohttp, a task and a semaphore for each job": lambda url: by_hand(url, raw),
    "the same, with an aiohttp session for each job": session_each,
}


def main() -> None:
    near, far = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(far,), daemon=True)
    server.start()
    base_url = f"http://127.0.0.1:{near.recv()}"
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            started = time.process_time()
            asyncio.run(way(base_url))  # type: ignore[arg-type]
            took[name].append((time.process_time() - started) / JOBS * 1e3)
    server.terminate()
    base = took["aiohttp, a task and a semaphore for each job"]
    print(f"{JOBS} jobs of one create and one query, {IN_FLIGHT} in flight, {ROUNDS} rounds")
    for name, times in took.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(times, base, strict=True))
        print(f"{statistics.median(times):6.3f} ms of CPU a job, {ratio:5.2f} x: {name}")


if __name__ == "__main__":
    main()
