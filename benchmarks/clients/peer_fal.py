"""fal-client: ``submit``, then its own ``get``, which asks for the status and then the result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fal_client.client
from _client import PROMPT, Order, Run, by_semaphore, main


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    # Its host can be set, its https cannot.
    fal_client.client.QUEUE_URL_FORMAT = order.base_url + "/"
    fal = fal_client.AsyncClient(key="key")

    async def one() -> Any:
        handle = await fal.submit("fal-ai/video", {"prompt": PROMPT, "duration": 5})
        return await handle.get(interval=order.interval_s)

    yield by_semaphore(one, order)


if __name__ == "__main__":
    main(client)
