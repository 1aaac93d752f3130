"""Many machines, one account: what a job takes of two workers and of their Postgres.

Two worker processes, one client, the emulator and a Postgres server, each a process of its own, on
all processors of this machine. What the server executes is what its ``pg_stat_statements`` counts.
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

import rig

WORKERS = 2
SIZES, QUICK = (500, 5000), (50, 200)
# Emulated seconds in a real one. The fast model takes one to three emulated minutes: in ``held``
# long enough for all jobs to be at the provider at once, in ``through`` hardly any time.
HELD, HELD_QUICK, THROUGH = 1.0, 10.0, 60.0
IDLE_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
WATCHER = "watcher"  # whose own queries are not counted
SETTINGS = {
    "fsync": "on",  # as it is where jobs are worth something
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "20000",
    "pg_stat_statements.track": "all",
}


@dataclass
class Program:
    """A program of ``clients/`` that says something when it has begun."""

    process: subprocess.Popen[str]
    said: str

    def ask(self) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> Any:
        return json.loads(line(self.process))

    def rss_bytes(self, what: str = "VmRSS") -> int:
        for told in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if told.startswith(what + ":"):
                return int(told.split()[1]) * 1024
        raise rig.Skipped(f"{what} of a process is not told")

    def cpu_s(self) -> float:
        return sum(times(self.process.pid)[:2])


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    if not said:
        raise rig.Skipped(f"{process.args} ended with {process.wait()}")
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
        env={**os.environ, "PYTHONPATH": str(rig.tree)},
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
        import psycopg  # noqa: PLC0415 -- of the extra that is measured, as all of the above

        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.execute("CREATE EXTENSION pg_stat_statements")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()  # type: ignore[arg-type]

    def calls(self) -> dict[str, list[float]]:
        """Give by statement how often it was executed, and the milliseconds that took."""
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


def since(now: dict[str, list[float]], before: dict[str, list[float]]) -> dict[str, list[float]]:
    news = {
        text: [a - b for a, b in zip(told, before.get(text, (0, 0)), strict=True)]
        for text, told in now.items()
    }
    return {text: told for text, told in news.items() if told[0]}


def count(calls: dict[str, list[float]]) -> float:
    return sum(told[0] for told in calls.values())


def one(server: Any, jobs: int, speed: float) -> rig.Figures:
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
            stack.enter_context(started("shared_worker", *args, log=log)) for _ in range(WORKERS)
        ]
        client = stack.enter_context(started("shared_client", dsn, jobs, log=log))
        time.sleep(IDLE_S / 2)
        before, early = watch.calls(), sum(worker.cpu_s() for worker in workers)
        time.sleep(IDLE_S)
        idle = watch.calls()
        idle_rss = [worker.rss_bytes() for worker in workers]
        cpu = [worker.cpu_s() for worker in workers], cpu_of_server(server.pid)
        idle_cpu = (sum(cpu[0]) - early) / IDLE_S
        assert client.process.stdin is not None
        client.process.stdin.write("\n")
        client.process.stdin.flush()
        at = time.monotonic()
        while (seen := emulator.ask())["accepted"] < jobs:
            if any(each.process.poll() is not None for each in (client, *workers)):
                raise rig.Skipped(f"a process ended at {seen['accepted']} of {jobs} jobs")
            time.sleep(0.1)
        accepted_s = time.monotonic() - at
        at_peak = watch.calls()
        peak_rss = [worker.rss_bytes() for worker in workers]
        told = client.hear()
        done = watch.calls()
        ended_cpu = [worker.cpu_s() for worker in workers], cpu_of_server(server.pid)
        in_all, standing = since(done, idle), count(since(idle, before)) / IDLE_S
        if told["statuses"] != {"completed": jobs}:
            raise rig.Skipped(f"not all were made: {told['statuses']}")
        wall_s = told["wall_s"]
        return {
            "jobs": jobs,
            "peak_in_flight": emulator.ask()["peak_in_flight"],
            "polls_per_job": emulator.ask()["queries"] / jobs,
            "idle_mib": sum(idle_rss) / 2**20,
            "kib_per_job": (sum(peak_rss) - sum(idle_rss)) / jobs / 1024,
            "highest_mib": sum(worker.rss_bytes("VmHWM") for worker in workers) / 2**20,
            "standing_per_s": standing,
            "queries_per_job": (count(in_all) - standing * wall_s) / jobs,
            "queries_until_accepted": (count(since(at_peak, idle)) - standing * accepted_s) / jobs,
            "server_ms_per_job": (ended_cpu[1] - cpu[1]) / jobs * 1e3,
            "idle_cpu": idle_cpu,
            "worker_ms_per_job": (sum(ended_cpu[0]) - sum(cpu[0]) - idle_cpu * wall_s) / jobs * 1e3,
            "client_ms_per_job": told["cpu_s"] / jobs * 1e3,
            "handed_in_per_s": jobs / told["handed_in_s"],
            "accepted_per_s": jobs / accepted_s,
            "done_per_s": jobs / wall_s,
            "wall_s": wall_s,
            "rows": {table: number / jobs for table, number in watch.kept().items()},
            "split": [
                round((a - b) / (sum(ended_cpu[0]) - sum(cpu[0])), 2)
                for a, b in zip(ended_cpu[0], cpu[0], strict=True)
            ],
            "statements": sorted(
                (
                    [calls / jobs, ms / jobs, " ".join(text.split())[:300]]
                    for text, (calls, ms) in in_all.items()
                ),
                reverse=True,
            )[:60],
        }


NAMES = {
    "kib_per_job": "memory of the workers, KiB a job in flight",
    "queries_per_job": "statements a job, transactions included",
    "server_ms_per_job": "the server's CPU, ms a job",
    "worker_ms_per_job": "the workers' CPU, ms a job",
    "client_ms_per_job": "the client's CPU, ms a job",
    "handed_in_per_s": "handed in, jobs/s",
    "accepted_per_s": "accepted by the provider, jobs/s",
    "done_per_s": "all the way, jobs/s",
}


def main() -> None:
    """Print what a job takes with few in flight and with many, and how that grows."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import postgres  # noqa: PLC0415 -- the tests' own server
    import psycopg  # noqa: PLC0415

    is_quick = "--quick" in sys.argv
    sizes, speed = (QUICK, HELD_QUICK) if is_quick else (SIZES, HELD)
    figures = []
    for jobs in sizes:
        with postgres.running(**SETTINGS) as server:
            with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE ROLE {WATCHER} SUPERUSER LOGIN")
            figures.append(one(server, jobs, speed))
    few, many = figures
    print(f"| in flight | {few['peak_in_flight']} | {many['peak_in_flight']} | growth |")
    print("| --- | --- | --- | --- |")
    for name, title in NAMES.items():
        a, b = few[name], many[name]
        print(f"| {title} | {a:.1f} | {b:.1f} | {b / a:.2f} |")
    for table, rows in sorted(many["rows"].items()):
        if rows >= 1:
            print(f"| rows a job in {table} | {few['rows'][table]:.1f} | {rows:.1f} | |")


if __name__ == "__main__":
    main()
