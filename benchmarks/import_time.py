"""What importing the package, session included, adds to importing aiohttp.

Runs both in turn in fresh interpreters and compares processor time, which other processes on the
machine disturb less than the time on the wall.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

ALONE = "import aiohttp"
BOTH = "import aiohttp; from seedance_async import SeedanceSession"
ROUNDS = 21


def cpu_ms(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    cpu_ms(BOTH)  # compile once
    pairs = [(cpu_ms(ALONE), cpu_ms(BOTH)) for _ in range(ROUNDS)]
    alone, added = (
        statistics.median(alone for alone, _ in pairs),
        statistics.median(both - alone for alone, both in pairs),
    )
    print(f"import aiohttp:           {alone:6.1f} ms of processor time, median of {ROUNDS}")
    print(f"seedance_async adds:      {added:6.1f} ms, median of the pairs' differences")


if __name__ == "__main__":
    main()
