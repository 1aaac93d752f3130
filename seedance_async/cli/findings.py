"""What ``seedance doctor`` finds: a line a check, and what to do about it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from enum import StrEnum

import attrs

from seedance_async.cli.terminal import Terminal, count, one_line

_NAME_COLUMNS, _MIN_COLUMNS = 12, 20


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
        self._write(f"{finding.level:<8} {check} ", finding.says, _STYLES[finding.level])
        if finding.hint:
            self._write(" " * (_NAME_COLUMNS + 10), finding.hint)

    def _write(self, head: str, words: str, style: str = "") -> None:
        width, lines = self._terminal.width, [one_line(words)]
        if width is not None:
            lines = textwrap.wrap(lines[0], max(width - len(head), _MIN_COLUMNS)) or [""]
        for line in (f"{head}{lines[0]}", *(f"{'':{len(head)}}{more}" for more in lines[1:])):
            if self._terminal.shows_results:
                self._terminal.say(line, style=style)
            else:
                self._terminal.give(line)

    def is_well(self) -> bool:
        """Sum up, and tell whether there is no problem."""
        problems = self._levels.count(Level.PROBLEM)
        warnings = self._levels.count(Level.WARNING)
        checks = count(len(self._levels), "check")
        there = f"{count(problems, 'problem')}, {count(warnings, 'warning')}"
        self._terminal.say(f"{checks}: {there if problems or warnings else 'all is well'}")
        return not problems
