"""runwayml: ``create`` and ``tasks.retrieve``; its wait helper asks every six seconds, fixed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from _client import PROMPT, Order, Run, by_semaphore, main
from runwayml import AsyncRunwayML


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    async with AsyncRunwayML(api_key="key", base_url=order.base_url) as runway:

        async def one() -> Any:
            made = await runway.text_to_video.create(
                model="gen4.5", prompt_text=PROMPT, ratio="1280:720", duration=5
            )
            while True:
                await asyncio.sleep(order.interval_s)
                task = await runway.tasks.retrieve(made.id)
                if task.status == "SUCCEEDED":
                    return task

        yield by_semaphore(one, order)


if __name__ == "__main__":
    main(client)
