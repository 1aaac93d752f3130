"""Many machines, one account: what a job takes of workers and server, few in flight and many."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import environments
import rig
from report import Section, Table, Verdict

SIZES, QUICK = (500, 5000), (50, 200)
ALONE, ALONE_QUICK = 1000, 100
# Emulated seconds in a real one. The fast model takes one to three emulated minutes: in ``HELD``
# long enough for all jobs to be at the provider at once, in ``BRIEF`` hardly any time.
HELD, HELD_QUICK, BRIEF = 1.0, 10.0, 60.0
GROWTH = 1.15  # as for the CPU of a call on one machine
NAMES = {
    "kib_per_job": "memory of both workers, KiB a job",
    "queries_per_job": "statements that the server executes, a job",
    "worker_ms_per_job": "the workers' CPU, ms a job",
    "server_ms_per_job": "the server's CPU, ms a job",
    "client_ms_per_job": "the client's CPU, ms a job",
    "handed_in_per_s": "handed in, jobs/s",
    "accepted_per_s": "accepted by the provider, jobs/s",
}
OF_BOTH = {
    "done_per_s": "from the client to the end, jobs/s",
    **{name: title for name, title in NAMES.items() if "_ms_" in name or "queries" in name},
}
Runs = list[rig.Figures]


def measured(program: str, jobs: int, speed: float) -> rig.Figures | None:
    """Measure in a process of its own, on all processors; None, and a note, where it fails."""
    told = [environments.HERE / "two_workers.py", program, jobs, speed]
    command = [environments.python(environments.SHARED), *told]
    with rig.on_cores(*rig.CORES):
        process = subprocess.Popen(
            [*map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=rig.environ(environments.SHARED),
        )
    try:
        return rig.finished(process, 300 + jobs / 5)
    except rig.Skipped as why:
        rig.note(f"{program}, {jobs} jobs: {why}")
        return None


def measure(sizes: Sequence[int], speed: float, brief: int, rounds: int) -> dict[str, Runs]:
    runs: dict[str, Runs] = {}
    for number in range(rounds):
        for name, program, jobs, fast in (
            *((f"{jobs}", "shared", jobs, speed) for jobs in sizes),
            *((program, program, brief, BRIEF) for program in ("shared", "empty")),
        ):
            found = measured(program, jobs, fast)
            if found is not None:
                runs.setdefault(name, []).append(found)
                rig.note(f"round {number + 1}: {name}: {found['done_per_s']:.1f} jobs/s")
    return runs


def compared(few: Runs, many: Runs, names: dict[str, str]) -> list[list[str]]:
    return [
        [
            title,
            f"{rig.median(run[name] for run in few):,.1f}",
            f"{rig.median(run[name] for run in many):,.1f}",
            f"{rig.median(ratios := rig.paired(many, few, name)):.2f}",
            f"{min(ratios, default=0):.2f} to {max(ratios, default=0):.2f}",
        ]
        for name, title in names.items()
    ]


def run(*, quick: bool, rounds: int, clients: Sequence[str] | None) -> Section:  # noqa: ARG001
    sizes, speed = (QUICK, HELD_QUICK) if quick else (SIZES, HELD)
    brief = ALONE_QUICK if quick else ALONE
    rounds = min(rounds, 3)
    runs = measure(sizes, speed, brief, rounds)
    few, many = (runs.get(str(jobs), []) for jobs in sizes)
    ours, empty = runs.get("shared", []), runs.get("empty", [])
    growing = ("kib_per_job", "queries_per_job", "worker_ms_per_job")
    spread = f"{sizes[1]:,} in flight over {sizes[0]:,}"
    tables = sorted({table for each in many for table, rows in each["rows"].items() if rows >= 1})

    def most(name: str) -> float:
        return max((each[name] for each in many), default=0.0)

    def rows_of(table: str) -> float:
        return max(each["rows"][table] for each in many)

    return Section(
        "distributed",
        "Many machines, one account",
        "Two worker processes, a client, the emulator and Postgres (with fsync) share the two "
        "processors. First, every job is at the provider at once, for one to three minutes: what "
        "a job more takes. Then jobs of a second or two go all the way, from the client's call to "
        "its outcome, beside workflows of the same queues whose steps do nothing: the engine "
        "alone. Statements are those of pg_stat_statements, BEGIN and COMMIT included; what idle "
        "workers take in the same time is subtracted, from CPU too. "
        f"Medians of {rounds} rounds; a ratio is the median of the rounds' own.",
        tables=[
            Table(
                "In flight",
                ["", *(f"{jobs:,} in flight" for jobs in sizes), "growth", "of rounds"],
                compared(few, many, NAMES),
            ),
            Table(
                f"From the client to the end, {brief:,} jobs",
                ["", "the engine alone", "videos", "ratio", "of rounds"],
                compared(empty, ours, OF_BOTH),
            ),
            Table(
                f"With {sizes[1]:,} in flight",
                ["", "the most in any round"],
                [
                    ["at the provider at once", f"{most('peak_in_flight'):,.0f}"],
                    ["memory of both workers before, MiB", f"{most('idle_mib'):.0f}"],
                    ["memory of both workers at their highest, MiB", f"{most('highest_mib'):.0f}"],
                    ["statements a second of idle workers", f"{most('standing_per_s'):.0f}"],
                    ["jobs taken up that somebody had", f"{most('taken_up'):.0f}"],
                    *([f"rows a job in {table}", f"{rows_of(table):.2f}"] for table in tables),
                ],
            ),
        ],
        verdicts=[
            Verdict(f"{NAMES[name]}, {spread}", rig.median(rig.paired(many, few, name)), GROWTH)
            for name in growing
        ],
        raw=runs,
    )
