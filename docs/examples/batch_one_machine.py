"""A line of a file, a video. Stop it, kill it, run it again: nothing is paid for twice.

Its one argument is the file with the prompts.
"""

import asyncio
import sys
from pathlib import Path

from seedance_async import SeedanceSession, VideoRequest


def requests(file: Path):
    for line in file.read_text("utf-8").splitlines():
        yield VideoRequest(model="seedance_2_0_fast_pro", prompt=line, duration=4)


async def main(file: Path) -> int:
    all_well = True
    async with (
        SeedanceSession(journal="jobs.sqlite") as session,
        session.batch(requests(file), out_dir="videos") as outcomes,
    ):
        async for outcome in outcomes:
            print(outcome.index + 1, outcome.status, outcome.path or outcome.error, flush=True)
            all_well = all_well and outcome.ok
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
