"""Measure everything, say what was met, and write the page and the plots for the docs.

One command; the virtual environments of what is compared are made on first use. Needs Linux, and
two processors that have nothing else to do.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import environments
import report
import rig

SECTIONS = ("cpu", "memory", "lateness", "stalls", "weight", "starting", "distributed")
DOCS = environments.ROOT / "docs" / "benchmarks"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        default=",".join(SECTIONS),
        help="sections, with commas between; the others stay as they were measured last",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; for a look, no result")
    parser.add_argument("--rounds", type=int, help="7, or 2 with --quick")
    parser.add_argument("--clients", help="only these files of clients/, with commas between")
    parser.add_argument("--out", type=Path, default=DOCS, help="where the page and plots go")
    parser.add_argument("--tree", type=Path, help="measure the package of another checkout")
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    return parser.parse_args()


def write(sections: list[report.Section], facts: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "results.json"
    old, said = report.known(file)
    sections = report.merged(old, sections, SECTIONS)
    facts = {**facts, "packages": said.get("packages", {}) | facts["packages"]}
    told = {**facts, "sections": [asdict(section) for section in sections]}
    file.write_text(json.dumps(told, indent=1) + "\n")
    (folder / "results.md").write_text(report.page(sections, facts))
    drawing = [environments.python(environments.DRIVER), "plots.py", file.resolve()]
    subprocess.run([*drawing, folder.resolve()], cwd=environments.HERE, check=True)


def main() -> None:
    args = parsed()
    wanted = args.only.split(",")
    clients = args.clients.split(",") if args.clients else None
    rounds = args.rounds or (2 if args.quick else 7)
    rig.tree = args.tree.resolve() if args.tree else environments.ROOT
    os.sched_setaffinity(0, {rig.SERVER_CORE})  # the clients' core is theirs alone
    sections = []
    for name in wanted:
        measuring = importlib.import_module(name)
        section = measuring.run(quick=args.quick, rounds=rounds, clients=clients)
        section.machine = report.machine()
        print(report.text(section) + "\n", flush=True)
        sections.append(section)
    if args.dry:
        return
    names = [name for name in environments.PINS if name in environments.used]
    facts = {"quick": args.quick, "packages": report.compared(names)}
    write(sections, facts, args.out)


if __name__ == "__main__":
    main()
