"""How long a person waits for the command line's help: a fresh process for each."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

import environments
import rig
from report import Section, Table, Verdict

COMMANDS = ("", "generate", "batch", "status", "wait", "download", "jobs", "assets", "doctor")
TARGET_MS = 300.0


def helped(interpreter: object, command: str) -> float:
    """Ask for a command's help on the clients' core; give the milliseconds of the whole process."""
    words = [str(interpreter), "-m", "seedance_async", *command.split(), "--help"]
    at = time.perf_counter()
    with rig.on_cores(rig.CLIENT_CORE):
        ran = subprocess.run(
            words, env=rig.environ(environments.COMMAND_LINE), capture_output=True, check=False
        )
    if ran.returncode:
        raise rig.Skipped(ran.stderr.decode()[-200:])
    return (time.perf_counter() - at) * 1e3


def run(*, quick: bool, rounds: int, clients: Sequence[str] | None) -> Section:  # noqa: ARG001
    rounds = rounds if quick else 3 * rounds
    interpreter = environments.python(environments.COMMAND_LINE)
    waits: dict[str, list[float]] = {command: [] for command in COMMANDS}
    for command in COMMANDS:
        helped(interpreter, command)  # compile once
    for _ in range(rounds):
        for command in COMMANDS:
            waits[command].append(helped(interpreter, command))
    medians = {command: rig.median(found) for command, found in waits.items()}
    rows = [
        [f"seedance {command} --help".replace("  ", " "), f"{medians[command]:.0f}"]
        for command in COMMANDS
    ]
    return Section(
        "starting",
        "The command line's help",
        "From the start of the process to its end, the median of "
        f"{rounds} fresh interpreters for each command, in turn.",
        tables=[Table("Help", ["command", "wall ms"], rows)],
        verdicts=[Verdict("the slowest help", max(medians.values()), TARGET_MS, unit=" ms")],
        raw={"wall_ms": waits},
    )
