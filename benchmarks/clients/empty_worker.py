"""The engine of a worker, whose jobs are nothing; says when it has begun. As ``shared_worker``.

python empty_worker.py DSN BASE_URL MAX_IN_FLIGHT FOLDER
"""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid

from seedance_async.distributed.database import Database
from seedance_async.distributed.engine import Bounds, Control, Engine, Watched


class Nothing:
    """The steps of a job that is made at once."""

    async def begin(self) -> None: ...

    async def submit(self, key: str) -> str:
        return key

    async def watch(self, key: str) -> Watched:
        return Watched(state="completed", task_id=key, deadline=0.0, download=f"video_{key} 1")

    async def is_over(self, key: str) -> bool:
        return bool(key)

    async def download(self, key: str, task_id: str, deadline: float) -> None: ...


async def main(dsn: str, _: str, max_in_flight: str, __: str) -> None:
    database = Database(dsn)
    control = Control(database)
    engine = Engine(database, {"main": Nothing()}, uuid.uuid4().hex, migrate=True)
    bounds = Bounds(max_in_flight=int(max_in_flight), creates_per_minute=None)
    await engine.begin()
    control.make_queues("main", bounds)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print("begun", flush=True)
    await told.wait()
    await engine.end()
    control.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
