"""A batch of a ``DistributedClient``, begun by a line; says when it stands, and what it took.

python shared_client.py DSN JOBS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator

from seedance_async import VideoRequest
from seedance_async.distributed import DistributedClient

REQUEST = VideoRequest(
    model="seedance_2_0_fast_pro", prompt="A cat dancing in the rain", duration=4
)


async def main(dsn: str, jobs: int) -> None:
    took: dict[str, float] = {}
    statuses: Counter[str] = Counter()

    def requests(began: float) -> Iterator[VideoRequest]:
        for _ in range(jobs):
            yield REQUEST
        took["handed_in_s"] = time.monotonic() - began  # but for the last few

    async with DistributedClient(dsn) as client:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.monotonic()
        async with client.batch(requests(began)) as outcomes:
            async for outcome in outcomes:
                statuses[outcome.status] += 1
        took["wall_s"] = time.monotonic() - began
    took["cpu_s"] = time.process_time()
    print(json.dumps({**took, "done": statuses["completed"]}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
