"""``session.run_batch`` with a journal on disk, synced before each create is paid for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from _client import Order, Run, main
from ours import client as ours


@asynccontextmanager
async def client(order: Order) -> AsyncIterator[Run]:
    with TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.db"
        async with ours(order, str(journal)) as run:
            yield run


if __name__ == "__main__":
    main(client)
