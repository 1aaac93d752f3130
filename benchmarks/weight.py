"""What importing and installing costs: this library beside the others."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence

import environments
import rig
from report import Plot, Section, Table

# What a program that makes a video has to import.
IMPORTS = {
    "nothing": (environments.OURS, "pass"),
    "aiohttp": (environments.OURS, "import aiohttp"),
    rig.OURS.title.partition(",")[0]: (
        environments.OURS,
        "from seedance_async import SeedanceSession, VideoRequest",
    ),
    "httpx": ("httpx", "import httpx"),
    "openai": ("openai", "from openai import AsyncOpenAI"),
    "volcengine ark": ("ark", "from volcenginesdkarkruntime import AsyncArk"),
    "runwayml": ("runwayml", "from runwayml import AsyncRunwayML"),
    "fal-client": ("fal", "import fal_client"),
    "replicate": ("replicate", "import replicate"),
}
NOTHING = "nothing"
# By itself: the peak that the system tells of a child begins with its parent's size.
TELL_PAGES = "print(open('/proc/self/statm').read().split()[1])"


def started(environment: str, code: str) -> rig.Figures:
    """Run *code* in a fresh interpreter on the clients' core; all the time that takes."""
    interpreter = environments.python(environment)
    at = time.perf_counter()
    with rig.on_cores(rig.CLIENT_CORE):
        process = subprocess.Popen(
            [interpreter, "-c", f"{code}\n{TELL_PAGES}"],
            env=rig.environ(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - at
    process.returncode = os.waitstatus_to_exitcode(status)
    out, err = process.communicate()
    if process.returncode:
        raise rig.Skipped(err.decode()[-200:])
    return {
        "cpu_ms": (used.ru_utime + used.ru_stime) * 1e3,
        "wall_ms": wall_s * 1e3,
        "rss_mib": int(out) * os.sysconf("SC_PAGE_SIZE") / 2**20,
    }


def imports(rounds: int, names: Sequence[str]) -> dict[str, list[rig.Figures]]:
    runs: dict[str, list[rig.Figures]] = {name: [] for name in names}
    for name in names:
        started(*IMPORTS[name])  # compile once
    for _ in range(rounds):
        for name in names:
            runs[name].append(started(*IMPORTS[name]))
    return runs


def run(*, quick: bool, rounds: int, clients: Sequence[str] | None) -> Section:
    rounds = rounds if quick else 3 * rounds
    wanted = {who.environment for who in rig.EVERYBODY if clients is None or who.name in clients}
    names = [name for name, (environment, _) in IMPORTS.items() if environment in wanted]
    runs = imports(rounds, names)
    weights = {name: environments.weight(name) for name in environments.PINS if name in wanted}

    def added(name: str, what: str) -> float:
        bare = (found[what] for found in runs[NOTHING])
        return rig.median(b[what] - a for a, b in zip(bare, runs[name], strict=True))

    rows, megabytes = [], {}
    for name in names:
        if name == NOTHING:
            continue
        cells = [name, *(f"{added(name, what):.0f}" for what in ("cpu_ms", "wall_ms", "rss_mib"))]
        if name == "aiohttp":  # it has no environment of its own
            rows.append([*cells, "-", "-", "-"])
            continue
        weight = weights[IMPORTS[name][0]]
        megabytes[name] = weight.size_bytes / 1e6
        rows.append(
            [*cells, f"{weight.distributions}", f"{weight.files:,}", f"{megabytes[name]:.0f}"]
        )
    header = [
        "",
        "import, CPU ms",
        "wall ms",
        "memory, MiB",
        "distributions",
        "files",
        "MB on disk",
    ]
    return Section(
        "weight",
        "Import and installation",
        "What importing adds to an interpreter that imports nothing, medians of "
        f"{rounds} fresh interpreters each, in turn; and what one `pip install` brings along, "
        "compiled files included, pip and setuptools not.",
        tables=[Table("Weight", header, rows)],
        plots=[
            Plot(
                "import",
                "Import, added to a bare interpreter",
                "CPU, ms",
                "",
                bars={name: added(name, "cpu_ms") for name in names if name != NOTHING},
                log_y=False,
            ),
            Plot("install", "Installed, dependencies included", "MB", "", bars=megabytes),
        ],
        raw={
            "imports": runs,
            "weights": {name: weight._asdict() for name, weight in weights.items()},
        },
    )
