"""What people write on httpx: the same script as on aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from _client import BODY, CREATE, HEADERS, LONG_S, RESULT, Order, Run, by_semaphore, main

TRIES = 5


@dataclass
class Result:
    id: str
    url: str
    tokens: int


async def call(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    for _ in range(TRIES):
        response = await http.request(method, path, **options)
        if response.status_code == 429:
            await asyncio.sleep(float(response.headers.get("Retry-After", 1)))
            continue
        response.raise_for_status()
        return response.json()
    raise RuntimeError("too many requests")


async def generate(http: httpx.AsyncClient, order: Order) -> Result:
    async with asyncio.timeout(LONG_S):
        task = await call(http, "POST", CREATE, json=BODY)
        while True:
            await asyncio.sleep(order.interval_s)
            task = await call(http, "GET", f"{RESULT}/{task['id']}")
            if task["status"] == "completed":
                return Result(task["id"], task["video_url"], task["totalTokens"])
            if task["status"] not in ("queued", "processing"):
                raise RuntimeError(f"task {task['id']} {task['status']}: {task['error']}")


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    # Its default of five seconds for a connection of the pool ends with hundreds in flight.
    timeout = httpx.Timeout(60, pool=None)
    async with httpx.AsyncClient(base_url=order.base_url, headers=HEADERS, timeout=timeout) as http:
        yield by_semaphore(lambda: generate(http, order), order)


if __name__ == "__main__":
    main(client)
