"""openai's videos: ``create``, then its own ``poll``, which asks at once and then each interval."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from _client import PROMPT, Order, Run, by_semaphore, main
from openai import AsyncOpenAI
from openai.types import Video

warnings.simplefilter("ignore", DeprecationWarning)


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    async with AsyncOpenAI(api_key="key", base_url=order.base_url + "/v1") as openai:

        async def one() -> Video:
            video = await openai.videos.create(model="sora-2", prompt=PROMPT, seconds="4")
            interval_ms = max(1, round(order.interval_s * 1e3))
            return await openai.videos.poll(video.id, poll_interval_ms=interval_ms)

        yield by_semaphore(one, order)


if __name__ == "__main__":
    main(client)
