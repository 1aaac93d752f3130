"""What a section of the suite says, and its form on the terminal and in the docs."""

from __future__ import annotations

import datetime as dt
import json
import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environments


@dataclass(frozen=True)
class Verdict:
    """A figure that was promised, beside what was measured; less is better."""

    what: str
    measured: float | None
    target: float
    stretch: float | None = None
    unit: str = ""

    @property
    def words(self) -> str:
        if self.measured is None or math.isnan(self.measured):
            return "not measured"
        if self.stretch is not None and self.measured <= self.stretch:
            return f"met, and the stretch of {self.stretch:g} too"
        if self.measured <= self.target:
            return "met"
        over = self.measured - self.target
        return f"missed by {over:.3g}{self.unit} ({over / self.target:.0%})"

    @property
    def row(self) -> list[str]:
        value = "-" if self.measured is None else f"{self.measured:.3g}{self.unit}"
        return [self.what, value, f"{self.target:g}{self.unit}", self.words]


@dataclass(frozen=True)
class Table:
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Lines over sizes (*series*: name to points), or bars (*bars*: name to value)."""

    file: str
    title: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    bars: dict[str, float] = field(default_factory=dict)
    target: float | None = None
    log_y: bool = True


@dataclass
class Section:
    name: str
    title: str
    note: str
    tables: list[Table] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    raw: Any = None
    machine: dict[str, str] = field(default_factory=dict)  # see ``machine``


def known(file: Path) -> tuple[list[Section], dict[str, Any]]:
    """Give the sections of *file*, and what it says besides; both empty where there is none."""
    told = json.loads(file.read_text()) if file.exists() else {"sections": []}
    return [_section(each) for each in told.pop("sections")], told


def merged(old: Sequence[Section], new: Sequence[Section], order: Sequence[str]) -> list[Section]:
    """Give *new*, and those of *old* that were not measured now."""
    found = {each.name: each for each in (*old, *new)}
    return sorted(found.values(), key=lambda section: order.index(section.name))


def _section(told: dict[str, Any]) -> Section:
    parts = {"tables": Table, "verdicts": Verdict, "plots": Plot}
    return Section(
        **told | {name: [kind(**each) for each in told[name]] for name, kind in parts.items()}
    )


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table, readable as it stands; numbers, that is all but the first, to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def laid(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([laid(header), laid(rule), *map(laid, lines[1:])])


def text(section: Section, *, with_plots: bool = False) -> str:
    parts = [f"## {section.title}", section.note]
    if section.machine:
        parts.append(f"Measured on: {', '.join(map(' '.join, section.machine.items()))}.")
    for table in section.tables:
        parts += [f"**{table.title}**", markdown(table.header, table.rows)]
    if section.verdicts:
        header = ["figure", "measured", "target at most", ""]
        parts.append(markdown(header, [verdict.row for verdict in section.verdicts]))
    if with_plots:
        parts += [f"![{plot.title}]({plot.file}.svg)" for plot in section.plots]
    return "\n\n".join(parts)


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def machine() -> dict[str, str]:
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpu_model(),
    }


def compared(names: Iterable[str]) -> dict[str, dict[str, str]]:
    return {name: environments.versions(name) for name in names}


# In the docs' table: what is compared, and what decides about its speed.
SHOWN = (
    *("seedance-async", "aiohttp", "yarl", "anyio", "attrs", "cattrs", "aiosqlite"),
    *("httpx", "httpx2", "httpcore", "pydantic", "pydantic_core"),
    *("openai", "volcengine-python-sdk", "runwayml", "fal_client", "replicate"),
    *("dbos", "psycopg", "SQLAlchemy"),
)


def page(sections: Sequence[Section], facts: dict[str, Any]) -> str:
    """Give the page for the docs."""
    verdicts = [verdict.row for section in sections for verdict in section.verdicts]
    versions = [
        [name, ", ".join(f"{package} {found[package]}" for package in SHOWN if package in found)]
        for name, found in facts["packages"].items()
    ]
    parts = [
        "# Measurements",
        (
            "Made by `python benchmarks/run.py`; how, says the README beside it. Ratios hold from "
            "machine to machine, times belong to the one that a section names. Medians; how many "
            "rounds, say the sections."
        ),
    ]
    if verdicts:
        parts += [
            "## What was promised",
            markdown(["figure", "measured", "target at most", ""], verdicts),
        ]
    for section in sections:
        section_of_page = Section(**{**vars(section), "verdicts": []})
        parts.append(text(section_of_page, with_plots=True))
    parts += ["## Versions", markdown(["environment", "packages"], versions)]
    return "\n\n".join(parts) + "\n"
