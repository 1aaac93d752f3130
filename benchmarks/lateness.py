"""How much later than due a poll starts, with ever more jobs pending and as many polls a second."""

from __future__ import annotations

from collections.abc import Sequence

import rig
from report import Plot, Section, Table, Verdict

FULL, QUICK = (1000, 10_000, 100_000), (500, 2000)
POLLS_PER_S, SECONDS = 500, 20
WAYS = {"batch": rig.OURS.title, "tasks": "a task for each job, on aiohttp"}
Runs = dict[tuple[str, int], list[rig.Figures]]


def measure(sizes: Sequence[int], rounds: int, seconds: float) -> Runs:
    runs: Runs = {}
    for jobs in sizes:
        for number in range(rounds):
            for way in list(WAYS)[: 1 if number else 2]:  # for comparison, once is enough
                with rig.Server(polls=rig.NEVER) as server:
                    args = (jobs, POLLS_PER_S, seconds, way)
                    found = rig.tried("late", server, *args, timeout_s=120 + jobs / 100)
                if found is not None:
                    runs.setdefault((way, jobs), []).append(found)
                    rig.note(f"round {number + 1}: {jobs} {way}: p99 {found['p99_ms']:.1f} ms late")
    return runs


def run(*, quick: bool, rounds: int, clients: Sequence[str] | None) -> Section:  # noqa: ARG001
    sizes, seconds = (QUICK, 4) if quick else (FULL, SECONDS)
    rounds = min(rounds, 3)
    runs = measure(sizes, rounds, seconds)

    def ms(key: tuple[str, int], what: str) -> float:
        return rig.median(found[what] for found in runs.get(key, []))

    return Section(
        "lateness",
        "Lateness of polls",
        f"So many jobs are pending, and {POLLS_PER_S} polls a second are due, evenly apart, "
        "however many jobs there are. Late is from when a poll is due to when aiohttp is asked to "
        f"send it, over {seconds:g} s after all jobs were created. Medians of {rounds} runs, each "
        "in a fresh process; the tasks run once. Busy is the share of its "
        "processor that the client took.",
        tables=[
            Table(
                "Milliseconds late",
                ["scheduler", "pending", "p50", "p99", "longest", "busy"],
                [
                    [
                        WAYS[way],
                        f"{jobs:,}",
                        *(
                            f"{ms((way, jobs), what):.1f}"
                            for what in ("p50_ms", "p99_ms", "max_ms")
                        ),
                        f"{ms((way, jobs), 'busy'):.0%}",
                    ]
                    for way, jobs in sorted(runs)
                ],
            )
        ],
        verdicts=[
            Verdict(
                f"lateness p99, {sizes[-1]:,} pending",
                ms(("batch", sizes[-1]), "p99_ms"),
                20,
                unit=" ms",
            )
        ],
        plots=[
            Plot(
                "lateness",
                f"Lateness of polls, {POLLS_PER_S} a second",
                "pending jobs",
                "p99, ms",
                series={
                    title: [(jobs, ms((way, jobs), "p99_ms")) for jobs in sizes]
                    for way, title in WAYS.items()
                },
                target=20,
            )
        ],
        raw=[{"way": way, "jobs": jobs, "runs": found} for (way, jobs), found in runs.items()],
    )
