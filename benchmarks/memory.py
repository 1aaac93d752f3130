"""Memory for each job that waits: resident, and what Python's own allocator was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import rig
from report import Plot, Section, Table, Verdict

FULL, QUICK = (2000, 5000, 10_000), (500, 1000)
KIB = 1024
# All must have been asked about once: in the time that the slower ones need for that.
LIGHT_POLLS_PER_S, PEER_POLLS_PER_S = 2000, 80
PENDING = (1000, 10_000, 100_000)
PENDING_QUICK = (500, 1000)


@dataclass
class Held:
    """One contender's memory by the number of jobs, in bytes: a figure for each round."""

    rss: dict[int, list[int]] = field(default_factory=dict)
    traced: dict[int, list[int]] = field(default_factory=dict)
    started: list[int] = field(default_factory=list)
    skipped: str | None = None

    def slope_kib(self, of: dict[int, list[int]]) -> float | None:
        """Give what a job more takes, from the smallest number of jobs to the largest."""
        if len(of) < 2:
            return None
        few, many = min(of), max(of)
        return (rig.median(of[many]) - rig.median(of[few])) / (many - few) / KIB

    def each_bytes(self, jobs: int) -> float:
        """Give what each of so many jobs takes of what came after the start."""
        return (rig.median(self.rss[jobs]) - rig.median(self.started)) / jobs


def hold(who: rig.Contender, held: Held, jobs: int, *, traces: bool) -> None:
    rate = LIGHT_POLLS_PER_S if who.is_light else PEER_POLLS_PER_S
    if traces:  # which makes everything three times as slow
        rate /= 3
    told = rig.held(who, jobs, max(2, jobs / rate), 120 + jobs / 50, traces=traces)
    if traces:
        held.traced.setdefault(jobs, []).append(told["traced_bytes"])
    else:
        held.rss.setdefault(jobs, []).append(told["rss_bytes"])
        held.started.append(told["rss_at_start_bytes"])
    rig.note(f"{who.name} holds {jobs} jobs: {told['rss_bytes'] / 2**20:.0f} MiB resident")


def measure(who: rig.Contender, sizes: Sequence[int], rounds: int) -> Held:
    held = Held()
    # A peer takes minutes for what is the same in each round: once, and not the largest size.
    for number in range(rounds if who.is_light else 1):
        for jobs in sizes if who.is_light else sizes[:2]:
            try:
                hold(who, held, jobs, traces=False)
                if number == 0 and who.is_light:
                    hold(who, held, jobs, traces=True)
            except rig.Skipped as why:
                held.skipped = str(why)
                rig.note(f"{who.name} cannot hold {jobs} jobs: {why}")
                return held
    return held


def row(who: rig.Contender, held: Held, sizes: Sequence[int]) -> list[str]:
    def kib(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    resident = [
        f"{rig.median(held.rss[jobs]) / 2**20:.0f}" if jobs in held.rss else "-" for jobs in sizes
    ]
    slopes = [kib(held.slope_kib(held.rss)), kib(held.slope_kib(held.traced))]
    return [who.title, *resident, *slopes, held.skipped or ""]


def pending_row(held: Held, jobs: int) -> list[str]:
    traced = rig.median(held.traced[jobs]) / jobs if jobs in held.traced else None
    return [
        f"{jobs:,}",
        f"{rig.median(held.rss[jobs]) / 2**20:.0f}",
        f"{held.each_bytes(jobs):,.0f}",
        "-" if traced is None else f"{traced:,.0f}",
    ]


def run(*, quick: bool, rounds: int, clients: Sequence[str] | None) -> Section:
    sizes = QUICK if quick else FULL
    rounds = min(rounds, 3)
    chosen = [who for who in rig.EVERYBODY if clients is None or who.name in clients]
    all_held = {who.name: measure(who, sizes, rounds) for who in chosen}
    more = measure(rig.OURS, PENDING_QUICK if quick else PENDING, 1)
    ours, single = (all_held.get(who.name, Held()) for who in (rig.OURS, rig.SINGLE))
    of_batch = ours.slope_kib(ours.rss)
    spread = f"{sizes[0]:,} to {sizes[-1]:,}"
    return Section(
        "memory",
        "Memory for each job in flight",
        "So many jobs are created and each is asked about at least once; none of them ever ends. "
        "Resident memory is the whole process's, each size in a fresh one; the slope is what one "
        "more job takes, interpreter, modules and connections aside. All jobs of a run share one "
        "request object, for everybody. The traced slope is tracemalloc's, in runs of their own: "
        "what was allocated, without what the allocator keeps. "
        f"Medians of {rounds}, peers once.",
        tables=[
            Table(
                "In flight",
                [
                    "client",
                    *(f"{jobs:,}: MiB" for jobs in sizes),
                    "slope, KiB a job",
                    "traced, KiB a job",
                    "",
                ],
                [row(who, all_held[who.name], sizes) for who in chosen],
            ),
            Table(
                "Pending jobs of one batch of seedance_async, once",
                ["jobs", "resident, MiB", "resident, bytes a job", "traced, bytes a job"],
                [pending_row(more, jobs) for jobs in more.rss],
            ),
        ],
        verdicts=[
            Verdict(f"memory of a batch's job, {spread} in flight", of_batch, 3, 2.5, " KiB"),
            Verdict(
                f"memory of a job awaited singly, {spread} in flight",
                single.slope_kib(single.rss),
                12,
                unit=" KiB",
            ),
        ],
        plots=[
            Plot(
                "memory",
                "Resident memory of the client",
                "jobs in flight",
                "MiB",
                series={
                    who.title: [
                        (jobs, rig.median(found) / 2**20)
                        for jobs, found in all_held[who.name].rss.items()
                    ]
                    for who in chosen
                },
            ),
            Plot(
                "pending",
                "Memory of one pending job, seedance_async",
                "pending jobs",
                "resident, bytes a job",
                series={rig.OURS.title: [(jobs, more.each_bytes(jobs)) for jobs in more.rss]},
                log_y=False,
            ),
        ],
        raw={name: vars(held) for name, held in all_held.items()} | {"pending": vars(more)},
    )
