"""What a job that waits costs: memory, and asyncio tasks, with 10,000 in flight."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

from aiohttp import web

from seedance_async import Fixed, SeedanceSession, VideoRequest

JOBS = 10_000


async def main() -> None:
    made = 0

    async def create(request: web.Request) -> web.Response:
        nonlocal made
        await request.read()
        made += 1
        return web.json_response({"id": f"video_{made}", "status": "queued"})

    app = web.Application()
    app.router.add_post("/v1/kyyvideo2/videos", create)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    requests = [
        VideoRequest(model="seedance_2_0_pro", prompt=f"Cat {number}") for number in range(JOBS)
    ]
    async with SeedanceSession("key", base_url=base_url, pacing=Fixed(1e6)) as session:
        tracemalloc.start()
        tasks_before = len(asyncio.all_tasks())
        async with session.batch(requests, max_in_flight=JOBS, timeout_s=None):
            while made < JOBS:
                await asyncio.sleep(0.1)
            gc.collect()
            size_bytes, _ = tracemalloc.get_traced_memory()
            tasks = len(asyncio.all_tasks()) - tasks_before
    await runner.cleanup()
    print(f"{JOBS} jobs in flight: {size_bytes / JOBS / 1024:.2f} KiB a job, {tasks} tasks in all")


if __name__ == "__main__":
    asyncio.run(main())
