"""What a job takes of two workers and of their Postgres: one measurement, printed as JSON.

Two worker processes, a client, the emulator and a Postgres server, each a process of its own, on
all processors of this machine. What the server executes is what its ``pg_stat_statements`` counts.
Runs in an environment that has the extra ``distributed``:

python two_workers.py PROGRAM JOBS SPEED

PROGRAM is ``shared`` or ``empty``, for ``clients/PROGRAM_worker.py`` and ``PROGRAM_client.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
import rig

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import postgres  # the tests' own server

WORKERS = 2
IDLE_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
WATCHER = "watcher"  # whose own queries are not counted
TAKEN_UP = "was nobody's"  # what a worker says of a job that another should have had
SETTINGS = {
    "fsync": "on",  # as it is where jobs are worth something
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "20000",
    "pg_stat_statements.track": "all",
}
Calls = dict[str, list[float]]  # a statement: how often it was executed, and its milliseconds


@dataclass
class Program:
    """A program of ``clients/`` that says something when it has begun."""

    process: subprocess.Popen[str]
    said: str

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        return json.loads(line(self.process))

    def ask(self) -> Any:
        self.tell()
        return self.hear()

    def rss_bytes(self, what: str = "VmRSS") -> int:
        for told in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if told.startswith(what + ":"):
                return int(told.split()[1]) * 1024
        raise RuntimeError(f"{what} of a process is not told")

    def cpu_s(self) -> float:
        return sum(times(self.process.pid)[:2])


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    if not said:
        raise RuntimeError(f"{process.args} ended with {process.wait()}")
    return said


def times(pid: int) -> list[float]:
    """Give a process's user and system time, then that of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(ticks) / TICKS for ticks in fields[11:15]]


def cpu_of_server(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = sum(times(pid))
    for child in children:
        with contextlib.suppress(FileNotFoundError):  # it has ended: the next look has it
            total += sum(times(int(child))[:2])
    return total


@contextlib.contextmanager
def started(program: str, *args: object, log: IO[str]) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, rig.CLIENTS / f"{program}.py", *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        yield Program(process, line(process))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def telling(log: Path) -> Iterator[None]:
    """Show what the programs had to say, where it did not go well."""
    try:
        yield
    except BaseException:
        rig.note(log.read_text()[-4000:])
        raise


class Watch:
    """What the server has executed for others than this one."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.execute("CREATE EXTENSION pg_stat_statements")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()  # type: ignore[arg-type]

    def calls(self) -> Calls:
        query = f"""
            SELECT query, sum(calls), sum(total_exec_time) FROM pg_stat_statements
            WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND userid <> '{WATCHER}'::regrole GROUP BY query
        """
        return {text: [float(count), float(took)] for text, count, took in self.rows(query)}

    def kept(self) -> dict[str, int]:
        """Count rows by table."""
        query = """
            SELECT schemaname || '.' || relname FROM pg_stat_user_tables
            WHERE schemaname IN ('seedance', 'dbos')
        """
        counted = {}
        for (table,) in self.rows(query):
            schema, _, name = table.partition(".")
            counted[table] = self.rows(f'SELECT count(*) FROM "{schema}"."{name}"')[0][0]
        return {table: count for table, count in counted.items() if count}

    def close(self) -> None:
        self._connection.close()


def since(now: Calls, before: Calls) -> Calls:
    news = {
        text: [a - b for a, b in zip(told, before.get(text, (0, 0)), strict=True)]
        for text, told in now.items()
    }
    return {text: told for text, told in news.items() if told[0]}


def count(calls: Calls) -> float:
    return sum(told[0] for told in calls.values())


def measured(program: str, server: postgres.Server, jobs: int, speed: float) -> rig.Figures:
    """Do so many jobs, all at once; what each of them took."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((folder / "log").open("w"))
        stack.enter_context(telling(folder / "log"))
        dsn = server.new_database()
        watch = Watch(dsn.replace("seedance@", f"{WATCHER}@"))
        stack.callback(watch.close)
        emulator = stack.enter_context(started("emulated", speed, log=log))
        args = (dsn, emulator.said, jobs, folder)
        workers = [
            stack.enter_context(started(f"{program}_worker", *args, log=log))
            for _ in range(WORKERS)
        ]
        client = stack.enter_context(started(f"{program}_client", dsn, jobs, log=log))

        def cpu() -> tuple[float, float]:
            return sum(worker.cpu_s() for worker in workers), cpu_of_server(server.pid)

        def rss(what: str = "VmRSS") -> int:
            return sum(worker.rss_bytes(what) for worker in workers)

        time.sleep(IDLE_S / 2)
        early, early_cpu = watch.calls(), cpu()
        time.sleep(IDLE_S)
        idle, idle_cpu, idle_rss = watch.calls(), cpu(), rss()
        standing = count(since(idle, early)) / IDLE_S
        resting = [(b - a) / IDLE_S for a, b in zip(early_cpu, idle_cpu, strict=True)]
        client.tell()
        figures: rig.Figures = {}
        if program == "shared":
            at = time.monotonic()
            while emulator.ask()["accepted"] < jobs:
                if any(each.process.poll() is not None for each in (client, *workers)):
                    raise RuntimeError("a process ended")
                time.sleep(0.1)
            figures["accepted_per_s"] = jobs / (time.monotonic() - at)
            figures["kib_per_job"] = (rss() - idle_rss) / jobs / 1024
        told = client.hear()
        done, ended_cpu, wall_s = watch.calls(), cpu(), told["wall_s"]
        taken = [
            b - a - rest * wall_s for a, b, rest in zip(idle_cpu, ended_cpu, resting, strict=True)
        ]
        in_all = since(done, idle)
        if told["done"] != jobs:
            raise RuntimeError(f"not all were made: {told}")
        log.flush()
        return figures | {
            "jobs": jobs,
            **emulator.ask(),
            "idle_mib": idle_rss / 2**20,
            "highest_mib": rss("VmHWM") / 2**20,
            "standing_per_s": standing,
            "queries_per_job": (count(in_all) - standing * wall_s) / jobs,
            "worker_ms_per_job": taken[0] / jobs * 1e3,
            "server_ms_per_job": taken[1] / jobs * 1e3,
            "client_ms_per_job": told["cpu_s"] / jobs * 1e3,
            "handed_in_per_s": jobs / told["handed_in_s"],
            "done_per_s": jobs / wall_s,
            "wall_s": wall_s,
            "taken_up": (folder / "log").read_text().count(TAKEN_UP),
            "rows": {table: number / jobs for table, number in watch.kept().items()},
            "statements": sorted(
                (
                    [calls / jobs, ms / jobs, " ".join(text.split())[:160]]
                    for text, (calls, ms) in in_all.items()
                ),
                reverse=True,
            )[:25],
        }


def main(program: str, jobs: str, speed: str) -> None:
    with postgres.running(**SETTINGS) as server:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {WATCHER} SUPERUSER LOGIN")
        print(json.dumps(measured(program, server, int(jobs), float(speed))))


if __name__ == "__main__":
    main(*sys.argv[1:])
