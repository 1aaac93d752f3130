"""The emulator by itself: prints where it is, then what it has seen for each line it is given.

python emulated.py SPEED
"""

from __future__ import annotations

import asyncio
import json
import sys

from seedance_async.emulator import Emulator


async def main() -> None:
    async with Emulator(speed=float(sys.argv[1])) as emulator:
        print(emulator.base_url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            stats = emulator.stats
            seen = {
                name: getattr(stats, name) for name in ("accepted", "peak_in_flight", "queries")
            }
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
