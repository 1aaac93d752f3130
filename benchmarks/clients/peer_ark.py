"""The provider's own SDK for Seedance, volcengine ark: it has no wait helper."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from _client import PROMPT, Order, Run, by_semaphore, main
from volcenginesdkarkruntime import AsyncArk


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    ark = AsyncArk(api_key="key", base_url=order.base_url + "/api/v3")
    tasks = ark.content_generation.tasks

    async def one() -> Any:
        made = await tasks.create(
            model="seedance", content=[{"type": "text", "text": PROMPT}], duration=5
        )
        while True:
            await asyncio.sleep(order.interval_s)
            task = await tasks.get(task_id=made.id)
            if task.status == "succeeded":
                return task.content.video_url

    yield by_semaphore(one, order)
    await ark.close()


if __name__ == "__main__":
    main(client)
