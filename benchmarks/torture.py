"""The torture, the long one: a client that is killed again and again while everything goes wrong.

What it does and what it checks stands in ``tests/torture.py``; this runs it at length, prints what
happened, and ends with 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import torture as trial


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def table(report: trial.Report) -> str:
    rows: Mapping[str, object] = {
        "runs of the client": report.runs,
        "killed": f"{sum(report.kills.values())}: {trial.counted(report.kills)}",
        "creates that came": report.creates,
        "creates accepted": report.accepted,
        "jobs": f"{report.jobs}: {trial.counted(report.states)}",
        "whole files": report.files,
        "calls met by a fault": sum(report.faults.values()),
        "wall": f"{report.wall_s:.0f} s",
    }
    lines = [f"{name:22} {value}" for name, value in rows.items()]
    absent = sorted(trial.rates().keys() - report.faults.keys())
    lines.append(f"\n{'fault':34} {'calls':>6}")
    lines += [f"{name:34} {report.faults.get(name, 0):6}" for name in sorted(trial.rates())]
    lines.append(f"\nfaults that never came: {', '.join(absent) or 'none'}")
    return "\n".join(lines)


def main() -> int:
    args = parsed()
    with TemporaryDirectory() as folder:
        report = asyncio.run(
            trial.torture(Path(folder), jobs=args.jobs, kills=args.kills, seed=args.seed)
        )
    print(table(report))
    for sentence in report.violations:
        print(f"VIOLATED: {sentence}")
    print(f"{len(report.violations)} violations" if report.violations else "ok")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
