"""A worker in a process of its own, for tests that kill it, stop it and start it again.

    python distributed_worker.py '{"dsn": ..., "base_url": ..., "out": ..., "spool": ...}'

Says ``ready`` when jobs come in, and ``fenced`` when it was taken for dead.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from seedance_async import Fixed, Video
from seedance_async.distributed import (
    Account,
    DistributedWorker,
    LocalFolder,
    WorkerFenced,
    database,
    engine,
)


class Nowhere:
    """Keeps nothing: for tests with hundreds of videos that are about something else."""

    async def keep(self, video: Video, name: str) -> tuple[str, int]:
        return f"/nowhere/{name}", len(video.id)


async def main(told: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(message)s")
    database.SILENCE_S = told.get("silence_s", 3.0)
    engine._POLL_S = 0.1
    account = Account(
        "main",
        api_key=told.get("api_key", "emulator"),
        base_url=told["base_url"],
        max_in_flight=told.get("max_in_flight", 50),
        creates_per_minute=told.get("creates_per_minute"),
    )
    working = DistributedWorker(
        told["dsn"],
        accounts=[account],
        out=LocalFolder(told["out"]) if told.get("out") else Nowhere(),
        spool=told["spool"],
        pacing=Fixed(told.get("poll_s", 0.2)),
    )
    async with working:
        print("ready", flush=True)  # noqa: T201
        try:
            await working.run_forever()
        except WorkerFenced:
            print("fenced", flush=True)  # noqa: T201
            raise SystemExit(3) from None


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
