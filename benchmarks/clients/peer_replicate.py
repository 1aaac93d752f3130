"""replicate: ``predictions.async_create``, then its own ``async_wait``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from _client import PROMPT, Order, Run, by_semaphore, main
from replicate.client import Client


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    replicate = Client(api_token="key", base_url=order.base_url)
    replicate.poll_interval = order.interval_s

    async def one() -> Any:
        prediction = await replicate.predictions.async_create(
            model="a/video", input={"prompt": PROMPT, "duration": 5}
        )
        await prediction.async_wait()
        return prediction.output

    yield by_semaphore(one, order)


if __name__ == "__main__":
    main(client)
