"""What people write on aiohttp: a semaphore, checks, a retry of 429, a deadline for each job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from _client import BODY, CREATE, HEADERS, LONG_S, RESULT, Order, Run, by_semaphore, main

TRIES = 5


@dataclass
class Result:
    id: str
    url: str
    tokens: int


async def call(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Any:
    for _ in range(TRIES):
        async with http.request(method, url, **options) as response:
            if response.status == 429:
                await asyncio.sleep(float(response.headers.get("Retry-After", 1)))
                continue
            response.raise_for_status()
            return await response.json()
    raise RuntimeError("too many requests")


async def generate(http: aiohttp.ClientSession, order: Order) -> Result:
    async with asyncio.timeout(LONG_S):
        task = await call(http, "POST", order.base_url + CREATE, json=BODY)
        while True:
            await asyncio.sleep(order.interval_s)
            task = await call(http, "GET", f"{order.base_url}{RESULT}/{task['id']}")
            if task["status"] == "completed":
                return Result(task["id"], task["video_url"], task["totalTokens"])
            if task["status"] not in ("queued", "processing"):
                raise RuntimeError(f"task {task['id']} {task['status']}: {task['error']}")


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    async with aiohttp.ClientSession(headers=HEADERS) as http:
        yield by_semaphore(lambda: generate(http, order), order)


if __name__ == "__main__":
    main(client)
