"""aiohttp and nothing else: the floor. Tasks that take one job after the other; no checks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
from _client import BODY, CREATE, HEADERS, RESULT, Order, Run, main


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    create, result = order.base_url + CREATE, order.base_url + RESULT
    async with aiohttp.ClientSession(headers=HEADERS) as http:

        async def work(numbers: Iterator[int]) -> None:
            for _ in numbers:
                async with http.post(create, json=BODY) as response:
                    task = json.loads(await response.read())
                while task["status"] != "completed":
                    await asyncio.sleep(order.interval_s)
                    async with http.get(f"{result}/{task['id']}") as response:
                        task = json.loads(await response.read())

        async def run(jobs: int) -> None:
            numbers = iter(range(jobs))
            await asyncio.gather(*(work(numbers) for _ in range(min(jobs, order.in_flight))))

        yield run


if __name__ == "__main__":
    main(client)
