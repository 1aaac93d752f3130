"""What a journal on disk costs: client CPU for each job of a batch, beside one in memory.

A server in a process of its own answers every create with an id and every query with a finished
task; each measurement has a client in a process of its own, whose processor time counts all of
its threads, SQLite's among them. Rounds go in turn, and the ratio is the median of the pairs'.
How often the journal commits, and so syncs, is counted in a round of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from batch_overhead import IN_FLIGHT, serve

from seedance_async import Fixed, SeedanceSession, VideoRequest

SIZES = (100, 1_000, 10_000)
ROUNDS = 7
TARGET = 1.5


@attrs.frozen
class Cost:
    cpu_s: float
    wall_s: float


def requests(jobs: int) -> Iterator[VideoRequest]:
    for number in range(jobs):
        yield VideoRequest(model="seedance_2_0_pro", prompt=f"Cat number {number}")


async def batch(base_url: str, jobs: int, journal: Path | None) -> None:
    async with SeedanceSession(
        "key", base_url=base_url, pacing=Fixed(0.001), journal=journal
    ) as session:
        report = await session.run_batch(requests(jobs), max_in_flight=IN_FLIGHT)
    assert report.ok


def measure(base_url: str, jobs: int, journal: Path | None) -> Cost:
    """Run in a process of its own, so that no round has the garbage of the one before."""
    asyncio.run(batch(base_url, 20, None))  # what is done once in a process is not counted
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    asyncio.run(batch(base_url, jobs, journal))
    return Cost(time.process_time() - cpu_s, time.perf_counter() - wall_s)


def commits(base_url: str, jobs: int, journal: Path) -> int:
    """Count the transactions of a run; in a process of its own too, which it changes."""
    count, plain = 0, sqlite3.connect

    def note(statement: str) -> None:
        nonlocal count
        count += statement.startswith("COMMIT")

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = plain(*args, **options)
        connection.set_trace_callback(note)
        return connection

    sqlite3.connect = connect
    asyncio.run(batch(base_url, jobs, journal))
    return count


def apart(task: Any, *args: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(task, args)


def compare(base_url: str, jobs: int, rounds: int) -> str:
    memory: list[Cost] = []
    disk: list[Cost] = []
    with TemporaryDirectory() as folder:
        for number in range(rounds):
            path = Path(folder) / f"{number}.db"
            turns = [(memory, None), (disk, path)]
            for costs, journal in turns if number % 2 else reversed(turns):
                costs.append(apart(measure, base_url, jobs, journal))
        transactions = apart(commits, base_url, jobs, Path(folder) / "counted.db")
    ratio = statistics.median(b.cpu_s / a.cpu_s for a, b in zip(memory, disk, strict=True))
    cells = [f"{jobs:6}"]
    for costs in (memory, disk):
        cells.append(f"{statistics.median(cost.cpu_s for cost in costs) / jobs * 1e3:6.3f} ms")
        cells.append(f"{statistics.median(cost.wall_s for cost in costs):6.2f} s")
    verdict = "" if jobs < max(SIZES) else "  ok" if ratio <= TARGET else f"  above {TARGET}"
    cells += [f"{ratio:5.2f} x", f"{transactions / jobs:8.3f}{verdict}"]
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    args = parser.parse_args()
    near, far = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(far,), daemon=True)
    server.start()
    base_url = f"http://127.0.0.1:{near.recv()}"
    print(f"{IN_FLIGHT} in flight, CPU for each job and wall in all, {args.rounds} rounds, medians")
    print("  jobs |    memory |     wall |    SQLite |     wall |     CPU | commits a job")
    for jobs in args.sizes:
        print(compare(base_url, jobs, args.rounds), flush=True)
    server.terminate()


if __name__ == "__main__":
    main()
