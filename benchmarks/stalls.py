"""How long the event loop stands still at the most while jobs run, with and without SQLite."""

from __future__ import annotations

from collections.abc import Sequence

import rig
from report import Plot, Section, Table, Verdict

FULL, QUICK = (200, 2000, 10_000), (100, 500)
POLLS_PER_S = 2500
COMPARED = (rig.RAW, rig.BY_HAND, rig.OURS, rig.SQLITE)
Runs = dict[tuple[str, int], list[rig.Figures]]


def measure(sizes: Sequence[int], rounds: int) -> Runs:
    runs: Runs = {}
    with rig.Server() as server:
        for in_flight in sizes:
            for number in range(rounds):
                for who in COMPARED:
                    jobs, interval_s = 2 * in_flight, in_flight / POLLS_PER_S
                    args = (jobs, in_flight, interval_s, who.name)
                    found = rig.tried("stall", server, *args, timeout_s=300)
                    if found is None:
                        continue
                    runs.setdefault((who.name, in_flight), []).append(found)
                    rig.note(
                        f"round {number + 1}: {who.name}, {in_flight} in flight: longest stall "
                        f"{found['longest_wall_ms']:.1f} ms, {found['longest_cpu_ms']:.1f} of CPU"
                    )
    return runs


COLUMNS = {
    "longest_wall_ms": "longest",
    "longest_cpu_ms": "longest, CPU",
    "p99_wall_ms": "p99",
    "p99_cpu_ms": "p99, CPU",
    "longest_step_ms": "longest step",
    "longest_collection_ms": "longest collection",
}


def run(*, quick: bool, rounds: int, clients: Sequence[str] | None) -> Section:  # noqa: ARG001
    sizes = QUICK if quick else FULL
    runs = measure(sizes, rounds)

    def ms(key: tuple[str, int], what: str) -> float:
        return rig.median(found[what] for found in runs.get(key, []))

    target_at = 500 if quick else 2000
    on_disk = rig.SQLITE.name, target_at
    return Section(
        "stalls",
        "Stalls of the event loop",
        "A heartbeat is due in the client's event loop every millisecond; a stall is how much "
        "later it comes. On the wall a stall has in it what the machine did meanwhile; in "
        "processor time of the loop's own thread it has not. Between two beats the loop takes a "
        "step for each answer that has arrived, a hundred at the most with aiohttp's pool. The "
        "longest single step, and the longest run of Python's garbage collector (which a step has "
        "in it), are what cannot be divided. Twice as many jobs as are in flight; "
        f"{POLLS_PER_S:,} polls a second, however many wait. Each figure is the median of "
        f"{rounds} rounds' own.",
        tables=[
            Table(
                "Milliseconds",
                ["client", "in flight", *COLUMNS.values()],
                [
                    [
                        who.title,
                        f"{in_flight:,}",
                        *(f"{ms((who.name, in_flight), what):.1f}" for what in COLUMNS),
                    ]
                    for in_flight in sizes
                    for who in COMPARED
                ],
            )
        ],
        verdicts=[
            Verdict(
                f"longest stall, {target_at:,} in flight, SQLite journal",
                ms(on_disk, "longest_wall_ms"),
                20,
                unit=" ms",
            ),
            Verdict(
                "the same, in processor time of the loop's thread",
                ms(on_disk, "longest_cpu_ms"),
                20,
                unit=" ms",
            ),
        ],
        plots=[
            Plot(
                "stalls",
                "Longest stall of the event loop",
                "jobs in flight",
                "ms",
                series={
                    who.title: [
                        (in_flight, ms((who.name, in_flight), "longest_wall_ms"))
                        for in_flight in sizes
                    ]
                    for who in COMPARED
                },
                target=20,
            )
        ],
        raw=[
            {"client": name, "in_flight": in_flight, "runs": found}
            for (name, in_flight), found in runs.items()
        ],
    )
