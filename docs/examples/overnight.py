"""A file of jobs into a folder of videos. Stop it, kill it, run it again: it goes on.

    python overnight.py jobs.jsonl videos

Each line of the file is one job, as for ``seedance batch``. The journal lies beside the videos. It
knows what was sent, so a second run pays for nothing that the first has paid for.
"""

import asyncio
import json
import sys
from pathlib import Path

from seedance_async import SeedanceSession


def jobs(file: Path):
    for line in file.read_text("utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


async def main(file: Path, folder: Path) -> int:
    all_well = True
    async with SeedanceSession(journal=folder / "jobs.sqlite") as session:
        # No limit on the wait: a night is long, and what is at the provider is paid for.
        async with session.batch(jobs(file), out_dir=folder, timeout_s=None) as outcomes:
            async for outcome in outcomes:
                print(outcome.index + 1, outcome.status, outcome.path or outcome.error, flush=True)
                all_well = all_well and outcome.ok
        async for job in session.jobs("unknown"):
            print(
                f"look into the billing for {job.key}, sent at {job.intended_at:%Y-%m-%d %H:%M} UTC"
            )
    return 0 if all_well else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]))))
    except KeyboardInterrupt:
        sys.exit("stopped; run it again to go on")
