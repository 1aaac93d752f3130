"""``session.run_batch``, with the journal in memory that a session has by default."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from _client import LONG_S, PROMPT, Order, Run, main

from seedance_async import Fixed, SeedanceSession, VideoRequest


@asynccontextmanager
async def client(order: Order, journal: str | None = None) -> AsyncIterator[Run]:
    pacing = Fixed(order.interval_s)
    async with SeedanceSession(
        "key", base_url=order.base_url, pacing=pacing, journal=journal
    ) as session:
        runs = itertools.count()

        async def run(jobs: int) -> None:
            # Equal within a run, other than before: a journal on disk resumes what it knows.
            request = VideoRequest(model="seedance_2_0_pro", prompt=f"{PROMPT} {next(runs)}")
            requests = itertools.repeat(request, jobs)
            report = await session.run_batch(
                requests, max_in_flight=order.in_flight, timeout_s=LONG_S
            )
            assert report.ok

        yield run


if __name__ == "__main__":
    main(client)
