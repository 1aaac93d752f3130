"""Client CPU and wall time for each API call: this library beside what else could be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rig
from report import Plot, Section, Table, Verdict

Key = tuple[str, int]  # a contender's name, and how many jobs in flight


@dataclass(frozen=True)
class Load:
    """So many in flight, and how much there is to do; peers get less, for the sake of time.

    Attributes:
        promised: Who stands in a promise at this load, and is measured in all rounds.
        others: How many rounds the others get.
    """

    in_flight: int
    jobs: int
    peer_jobs: int
    interval_s: float
    promised: frozenset[rig.Contender]
    others: int = 2
    timeout_s: float = 120.0


# Asking without pause: the client's own work is all there is.
BUSY_S = 0.001


def waiting(in_flight: int) -> Load:
    """Give a load where every job waits and 2,500 a second are asked about, however many."""
    interval_s = in_flight / 2500
    return Load(in_flight, in_flight, 0, interval_s, frozenset({rig.OURS}), others=1)


BOTH = frozenset({rig.OURS, rig.OPENAI})
ALL = BOTH | {rig.RAW, rig.BY_HAND, rig.SQLITE}
FULL = (
    Load(20, 1000, 100, BUSY_S, BOTH),
    Load(200, 4000, 300, BUSY_S, ALL),
    waiting(2000),
    waiting(10_000),
)
QUICK = (Load(20, 200, 40, BUSY_S, BOTH), Load(200, 800, 200, BUSY_S, ALL))
FEW, MANY, CROWD, HUGE = 20, 200, 2000, 10_000


class Runs:
    """All that was measured, by contender and load, in the order of the rounds."""

    def __init__(self) -> None:
        self.figures: dict[Key, list[rig.Figures]] = {}
        self.skipped: dict[Key, str] = {}

    def ratio(self, of: Key, over: Key, key: str = "cpu_ms_per_call") -> float | None:
        if of not in self.figures or over not in self.figures:
            return None
        return rig.median(rig.paired(self.figures[of], self.figures[over], key))

    def median(self, of: Key, key: str) -> float | None:
        return rig.median(run[key] for run in self.figures[of]) if of in self.figures else None


def measure(loads: Iterable[Load], rounds: int, contenders: Sequence[rig.Contender]) -> Runs:
    runs = Runs()
    for load in loads:
        with rig.Server() as server:
            for number in range(rounds):
                for who in contenders:
                    measure_one(runs, who, server, load, number)
    return runs


def measure_one(
    runs: Runs, who: rig.Contender, server: rig.Server, load: Load, number: int
) -> None:
    key = who.name, load.in_flight
    is_over = who not in load.promised and number >= load.others
    jobs = load.jobs if who.is_light else load.peer_jobs
    if is_over or not jobs or key in runs.skipped:
        return
    try:
        run = rig.measured(
            who,
            server,
            jobs,
            in_flight=load.in_flight,
            interval_s=load.interval_s,
            timeout_s=load.timeout_s,
        )
    except rig.Skipped as why:
        runs.skipped[key] = str(why)
        rig.note(f"{who.name} with {load.in_flight} in flight: skipped, {why}")
        return
    runs.figures.setdefault(key, []).append(run)
    rig.note(
        f"round {number + 1}: {who.name} with {load.in_flight} in flight: "
        f"{run['cpu_ms_per_call']:.3f} ms of CPU a call"
    )


def row(runs: Runs, who: rig.Contender, load: Load) -> list[str]:
    key = who.name, load.in_flight
    if key in runs.skipped:
        return [who.title, "-", "-", "-", "-", "-", runs.skipped[key]]
    ratios = rig.paired(
        runs.figures[key], runs.figures.get((rig.RAW.name, load.in_flight), []), "cpu_ms_per_call"
    )
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "-"
    return [
        who.title,
        f"{runs.median(key, 'cpu_ms_per_call'):.3f}",
        f"{rig.median(ratios):.2f}" if ratios else "-",
        spread,
        f"{runs.median(key, 'wall_ms_per_call'):.3f}",
        f"{(runs.median(key, 'peak_rss_bytes') or 0) / 2**20:.0f}",
        f"{len(runs.figures[key])} x {load.jobs if who.is_light else load.peer_jobs} jobs",
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    ours, raw, sqlite = rig.OURS.name, rig.RAW.name, rig.SQLITE.name
    by_hand, openai = rig.BY_HAND.name, rig.OPENAI.name
    return [
        Verdict(
            "CPU a call over raw aiohttp, 200 in flight",
            runs.ratio((ours, MANY), (raw, MANY)),
            1.15,
            1.05,
        ),
        Verdict(
            "CPU a call over the script on aiohttp, 200 in flight",
            runs.ratio((ours, MANY), (by_hand, MANY)),
            1.05,
        ),
        Verdict(
            "CPU a call over openai, 20 in flight", runs.ratio((ours, FEW), (openai, FEW)), 0.16
        ),
        Verdict(
            "CPU a call over openai, 200 in flight", runs.ratio((ours, MANY), (openai, MANY)), 0.09
        ),
        Verdict(
            "CPU a call, 10,000 in flight over 2,000",
            runs.ratio((ours, HUGE), (ours, CROWD)),
            1.15,
        ),
        Verdict(
            "CPU a call with the SQLite journal over without, 200 in flight",
            runs.ratio((sqlite, MANY), (ours, MANY)),
            1.5,
        ),
    ]


def run(*, quick: bool, rounds: int, clients: Sequence[str] | None) -> Section:
    loads = QUICK if quick else FULL
    contenders = [who for who in rig.EVERYBODY if clients is None or who.name in clients]
    runs = measure(loads, rounds, contenders)
    header = ["client", "CPU, ms a call", "over raw", "of rounds", "wall, ms a call"]
    header += ["peak RSS, MiB", "rounds"]
    return Section(
        "cpu",
        "CPU and wall time for each API call",
        "A job is one create and five queries, for everybody; the time is that of the client's "
        "process, user and system, all threads, over the calls that the server counted. Up to 200 "
        f"in flight each waits {BUSY_S * 1e3:g} ms between two queries, so that the client's own "
        "work is all there is; from 2,000 on, jobs wait so long that 2,500 a second are asked "
        "about. Ratios are the medians of the rounds' own.",
        tables=[
            Table(
                f"{load.in_flight:,} in flight",
                header,
                [
                    row(runs, who, load)
                    for who in contenders
                    if (who.name, load.in_flight) in runs.figures.keys() | runs.skipped.keys()
                ],
            )
            for load in loads
        ],
        verdicts=verdicts(runs),
        plots=[
            Plot(
                "cpu",
                "Client CPU for each API call",
                "jobs in flight",
                "CPU, ms a call",
                series={
                    who.title: [
                        (load.in_flight, value)
                        for load in loads
                        if (value := runs.median((who.name, load.in_flight), "cpu_ms_per_call"))
                    ]
                    for who in contenders
                },
            )
        ],
        raw=[
            {"client": name, "in_flight": in_flight, "runs": figures}
            for (name, in_flight), figures in runs.figures.items()
        ]
        + [
            {"client": name, "in_flight": in_flight, "skipped": why}
            for (name, in_flight), why in runs.skipped.items()
        ],
    )
