"""A ``DistributedWorker`` until SIGTERM; says when it has begun.

python shared_worker.py DSN BASE_URL MAX_IN_FLIGHT FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from seedance_async.distributed import Account, DistributedWorker


async def main(dsn: str, base_url: str, max_in_flight: str, folder: str) -> None:
    account = Account(
        "main", api_key="emulator", base_url=base_url, max_in_flight=int(max_in_flight)
    )
    out, spool = Path(folder, "videos"), Path(folder, "spool")
    async with DistributedWorker(dsn, accounts=[account], out=out, spool=spool) as worker:
        print("begun", flush=True)
        await worker.run_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
