"""What ``seedance doctor`` finds: a line a check, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum

import attrs

from seedance_async.cli.terminal import Terminal, count, one_line, printable

_NAME_COLUMNS = 12


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@attrs.frozen
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at, in a word or two.
        level: How bad it is.
        says: What was found; no key, and no address with a password in it.
        hint: What to do about it; empty for nothing.
    """

    check: str
    level: Level
    says: str
    hint: str = ""


def ok(check: str, says: str) -> Finding:
    """Find that all is well."""
    return Finding(check, Level.OK, says)


def warning(check: str, says: str, hint: str) -> Finding:
    """Find what may hurt one day."""
    return Finding(check, Level.WARNING, says, hint)


def problem(check: str, says: str, hint: str) -> Finding:
    """Find what keeps videos from being made."""
    return Finding(check, Level.PROBLEM, says, hint)


_STYLES = {Level.OK: "", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


class Report:
    """Tells of findings as they come, and counts them.

    Args:
        terminal: Where to.
        as_json: Whether a program reads it.
    """

    def __init__(self, terminal: Terminal, *, as_json: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._levels: list[Level] = []

    def take(self, findings: Iterable[Finding]) -> None:
        """Take findings in, and tell of each."""
        for finding in findings:
            self._levels.append(finding.level)
            self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        if self._as_json:
            self._terminal.give(json.dumps(attrs.asdict(finding)))
            return
        check = f"{finding.check:<{_NAME_COLUMNS}}"
        line = f"{finding.level:<8} {check} {one_line(finding.says)}"
        if self._terminal.shows_results:
            self._terminal.say(line, style=_STYLES[finding.level])
        else:
            self._terminal.give(line)
        if finding.hint:
            hint = printable(f"{'':8} {'':<{_NAME_COLUMNS}} {finding.hint}")
            write = self._terminal.say if self._terminal.shows_results else self._terminal.give
            write(hint)

    def is_well(self) -> bool:
        """Sum up, and tell whether there is no problem."""
        problems = self._levels.count(Level.PROBLEM)
        warnings = self._levels.count(Level.WARNING)
        checks = count(len(self._levels), "check")
        there = f"{count(problems, 'problem')}, {count(warnings, 'warning')}"
        self._terminal.say(f"{checks}: {there if problems or warnings else 'all is well'}")
        return not problems
