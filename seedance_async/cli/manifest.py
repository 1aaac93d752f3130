"""Reading a file of jobs: the whole of it, every fault with its line, before anything is sent.

JSONL (see ``jsonl``) or CSV (see ``cells``) to ``Job`` values. Which rules there are is the
library's business; what lives here is what only a file can get wrong.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from seedance_async import rules, wire
from seedance_async.cli import cells, folder, jsonl
from seedance_async.cli.exits import CannotStart
from seedance_async.errors import InvalidRequest, Violation
from seedance_async.request import Job

STDIN = "-"
_CSV_SUFFIXES = frozenset({".csv", ".tsv"})
_SHEET_SUFFIXES = frozenset({".xlsx", ".xls", ".ods", ".numbers"})


@attrs.frozen(kw_only=True)
class Line:
    """One job of a file.

    Attributes:
        number: The line on which it begins, from 1.
        job: The job; None where the line is invalid.
        faults: What is wrong with it, in the order of the rule table.
        given: What could be read of it, for its key, name and metadata.
        clash: How its key stands for another request, in lines for a person.
    """

    number: int
    job: Job | None = None
    faults: tuple[Violation, ...] = ()
    given: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    clash: tuple[str, ...] = attrs.field(default=(), repr=False)

    @property
    def key(self) -> str | None:
        """The caller's key, where it is one."""
        return _text(self.given.get("key"))

    @property
    def name(self) -> str | None:
        """The job's name, where it is one."""
        return _text(self.given.get("name"))

    @property
    def label(self) -> str:
        """What a person knows it by, for logs: no prompt."""
        called = self.name or self.key
        return f"line {self.number} {called}" if called else f"line {self.number}"


@attrs.frozen(kw_only=True)
class Manifest:
    """A file of jobs, read to its end.

    Attributes:
        source: The file, as the user called it.
        lines: Its jobs in their order, invalid ones included; never empty.
    """

    source: str
    lines: tuple[Line, ...]

    @property
    def invalid(self) -> tuple[Line, ...]:
        """The lines that are no valid job."""
        return tuple(line for line in self.lines if line.faults)

    @property
    def complaints(self) -> Iterator[str]:
        """Every fault as ``file:line: field: message [rule]``, in the order of the file."""
        for line in self.lines:
            yield from self.complaints_of(line)

    def complaints_of(self, line: Line) -> Iterator[str]:
        """The faults of one line, likewise."""
        for fault in line.faults:
            yield f"{self.source}:{line.number}: {fault}"


def read(source: str, *, checks_hosts: bool) -> Manifest:
    """Read a file of jobs and check all of it.

    Args:
        source: The file's path; ``-`` reads JSONL from stdin. ``.csv`` and ``.tsv`` are tables,
            anything else is JSONL.
        checks_hosts: Whether ``media.public`` is checked.

    Raises:
        CannotStart: It cannot be read at all, or has no jobs in it.
    """
    called = "stdin" if source == STDIN else source
    suffix = Path(source).suffix.lower()
    content = _content(source)
    if suffix in _SHEET_SUFFIXES:
        raise CannotStart(f"{called}: is a spreadsheet: save it as CSV (UTF-8)")
    text = _decoded(called, content)
    if suffix in _CSV_SUFFIXES:
        _check_header(called, text)
        rows = cells.rows(text)
    else:
        if misfit := jsonl.misfit(text):
            raise CannotStart(f"{called}:1: {misfit}")
        rows = jsonl.rows(text)
    lines = tuple(_unique(_line(number, row, checks_hosts) for number, row in rows))
    if not lines:
        raise CannotStart(f"{called}: has no jobs in it")
    return Manifest(source=called, lines=lines)


def _content(source: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if source == STDIN else folder.at_home(source).read_bytes()
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        reason = getattr(exc, "strerror", None) or str(exc)
        raise CannotStart(f"{source}: cannot be read: {reason}") from exc


def _decoded(called: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        number = content.count(b"\n", 0, exc.start) + 1
        message = f"{called}:{number}: is not UTF-8: save the file as UTF-8"
        raise CannotStart(message) from exc


def _check_header(called: str, text: str) -> None:
    """Report the header's faults once, and not again for each row."""
    try:
        names = cells.header(text)
    except csv.Error as error:
        raise CannotStart(f"{called}:1: cannot be read: {cells.words(error)}") from error
    faults = [f"{name}: stands twice" for name in sorted(set(names)) if names.count(name) > 1]
    try:
        Job.from_mapping(dict.fromkeys(filter(None, names)))
    except InvalidRequest as invalid:
        unknown = [str(fault) for fault in invalid.violations if fault.rule == "field.known"]
        if unknown and len(unknown) == len(list(filter(None, names))):
            example = "such as model,prompt,duration"
            message = f"{called}:1: the first row must name the columns, {example}"
            raise CannotStart(message) from invalid
        faults += unknown
    if faults:
        raise CannotStart("\n".join(f"{called}:1: {fault}" for fault in faults))


def _line(number: int, row: cells.Row, checks_hosts: bool) -> Line:
    if isinstance(row, Violation):
        return Line(number=number, faults=(row,))
    late = _late_faults(row) if checks_hosts else ()
    try:
        job = Job.from_mapping(row)
    except InvalidRequest as invalid:
        return Line(number=number, faults=(*invalid.violations, *late), given=row)
    return Line(number=number, job=None if late else job, faults=late, given=row)


def _late_faults(row: Mapping[str, Any]) -> tuple[Violation, ...]:
    """Check what otherwise rests until submission, on lines with other faults as well."""
    given = {wire.PYTHON_NAMES.get(name, name): value for name, value in row.items()}
    waived = given.get("waive")
    waive = [rule for rule in waived if isinstance(rule, str)] if isinstance(waived, list) else ()
    return rules.violations(
        given, waive=[waived] if isinstance(waived, str) else waive, stage=rules.Stage.SUBMISSION
    )


def _unique(lines: Iterable[Line]) -> Iterator[Line]:
    """Fault every line whose key an earlier one has."""
    first: dict[str, int] = {}
    for line in lines:
        earlier = None if line.key is None else first.setdefault(line.key, line.number)
        if earlier is None or earlier == line.number:
            yield line
            continue
        message = f"{line.key!r} is the key of line {earlier} too: give each job a key of its own"
        fault = Violation("key.unique", "key", message)
        yield attrs.evolve(line, job=None, faults=(*line.faults, fault))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
