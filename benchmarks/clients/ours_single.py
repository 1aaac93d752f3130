"""``session.generate`` in a task for each job, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from _client import LONG_S, PROMPT, Order, Run, main

from seedance_async import Fixed, Limits, SeedanceSession, VideoRequest

REQUEST = VideoRequest(model="seedance_2_0_pro", prompt=PROMPT)


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    pacing, limits = Fixed(order.interval_s), Limits(max_in_flight=order.in_flight)
    async with SeedanceSession(
        "key", base_url=order.base_url, pacing=pacing, limits=limits
    ) as session:

        async def work(left: list[None]) -> None:
            while left:
                left.pop()
                await session.generate(REQUEST, timeout_s=LONG_S)

        async def run(jobs: int) -> None:
            left = [None] * jobs
            await asyncio.gather(*(work(left) for _ in range(min(jobs, order.in_flight))))

        yield run


if __name__ == "__main__":
    main(client)
