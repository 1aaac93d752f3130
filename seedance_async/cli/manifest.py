"""Reading a file of jobs: the whole of it, every fault with its line, before anything is sent.

Whatever the format (see ``formats``), to ``Job`` values. Which rules there are is the library's
business; what lives here is what only a file can get wrong.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from seedance_async import rules
from seedance_async.cli import fields, folder, formats, matrix
from seedance_async.cli.document import Document
from seedance_async.cli.options import Format
from seedance_async.cli.unusable import FileFault, Unreadable, Unusable, cut
from seedance_async.errors import InvalidRequest, Violation
from seedance_async.request import Job

STDIN = "-"
_MAX_BYTES = 100_000_000  # our choice: what is larger was not meant, or never ends


@attrs.frozen(kw_only=True)
class Asked:
    """What the options say of all jobs of a file.

    Attributes:
        format: The file's format; None finds it.
        defaults: Fields for the jobs that do not have them, before the file's own defaults.
        matrix: Fields with the values that every job is to be made with, before the file's own.
    """

    format: Format | None = None
    defaults: Mapping[str, Any] = attrs.field(factory=dict)
    matrix: Mapping[str, Sequence[Any]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Line:
    """One job of a file.

    Attributes:
        number: The line on which it begins, from 1.
        job: The job; None where the line is invalid.
        faults: What is wrong with it, in the order of the rule table.
        given: What could be read of it, for its key, name and metadata.
        clash: How its key stands for another request, in lines for a person.
        place: Its place among what stands in the file, from 0; jobs that a matrix made of the same
            have the same.
        combination: The values of the matrix that it was made with, as a person reads them.
    """

    number: int
    job: Job | None = None
    faults: tuple[Violation, ...] = ()
    given: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    clash: tuple[str, ...] = attrs.field(default=(), repr=False)
    place: int = 0
    combination: str = ""

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
        called = self.name or self.key or self.combination
        return f"line {self.number} {called}" if called else f"line {self.number}"


@attrs.frozen(kw_only=True)
class Found:
    """One fault of one line; or of several that a matrix made, where all of them have it."""

    line: Line
    violation: Violation
    combination: str

    def told(self, source: str) -> str:
        """Spell it as ``file:line: field: message [rule]``."""
        fault = attrs.evolve(self.violation, field=cut(self.violation.field), message=self.message)
        return f"{source}:{self.line.number}: {fault}"

    @property
    def message(self) -> str:
        """What is wrong, and of which combination if not of all."""
        message = cut(self.violation.message)
        return f"{message} (with {self.combination})" if self.combination else message


@attrs.frozen(kw_only=True)
class Manifest:
    """A file of jobs, read to its end.

    Attributes:
        source: The file, as the user called it.
        lines: Its jobs in their order, invalid ones included; never empty.
        product: How a matrix made so many of them, for a person; None where there is none.
    """

    source: str
    lines: tuple[Line, ...]
    product: str | None = None

    @property
    def invalid(self) -> tuple[Line, ...]:
        """The lines that are no valid job."""
        return tuple(line for line in self.lines if line.faults)

    @property
    def invalid_places(self) -> frozenset[int]:
        """Their places among ``lines``."""
        return frozenset(place for place, line in enumerate(self.lines) if line.faults)

    @property
    def complaints(self) -> Iterator[str]:
        """Every fault as ``file:line: field: message [rule]``, in the order of the file."""
        return (found.told(self.source) for found in self.faults())

    def faults(self, known: Collection[int] = ()) -> Iterator[Found]:
        """Give every fault, in the order of the file.

        What all that a matrix made of one line have in common comes once.

        Args:
            known: The places of lines that are left out.
        """
        placed = enumerate(self.lines)
        for _, group in itertools.groupby(placed, key=lambda each: each[1].place):
            together = list(group)
            numbers = Counter(fault for _, line in together for fault in line.faults)
            told: set[Violation] = set()
            for index, line in together if any(line.faults for _, line in together) else ():
                for fault in line.faults if index not in known else ():
                    is_shared = numbers[fault] == len(together)
                    if not (is_shared and fault in told):
                        combination = "" if is_shared else line.combination
                        yield Found(line=line, violation=fault, combination=combination)
                    told.add(fault)


def read(source: str, *, checks_hosts: bool, asked: Asked = Asked()) -> Manifest:
    """Read a file of jobs and check all of it.

    Args:
        source: The file's path; ``-`` reads stdin. Its ending tells its format; see ``formats``.
        checks_hosts: Whether ``media.public`` is checked.
        asked: What the options say of all jobs.

    Raises:
        Unusable: It cannot be read at all, or has no jobs in it.
        CannotStart: Its format needs what is not installed.
    """
    called = "stdin" if source == STDIN else source
    suffix = None if source == STDIN else Path(source).suffix.lower()
    try:
        content = _content(source)
        if asked.format is None:
            formats.check_suffix(suffix or "")
        found = formats.read(_decoded(content), suffix, asked.format)
        document = attrs.evolve(
            found,
            defaults=fields.completed(asked.defaults, found.defaults),
            matrix=fields.replaced(found.matrix, asked.matrix),
        )
        return _whole(called, document, checks_hosts)
    except Unreadable as bad:
        raise Unusable(called, *bad.faults) from bad


def _whole(called: str, document: Document, checks_hosts: bool) -> Manifest:
    rows, axes = document.rows, document.matrix
    if not rows:
        raise Unreadable(FileFault(rule="file.empty", message="has no jobs in it"))
    product = matrix.told(len(rows), axes, document.noun) if axes else None
    if axes and matrix.size(len(rows), axes) > matrix.MAX_JOBS:
        message = f"{product}: a matrix makes at most {matrix.MAX_JOBS:,}; take values out of it"
        raise Unreadable(FileFault(rule="matrix.size", message=message))
    if document.noun == "prompt" and "model" not in {**document.defaults, **axes}:
        message = "prompts need a model: --set model=seedance_2_0_pro, for example"
        raise Unreadable(FileFault(rule="model.known", message=message))
    lines = _unique(_line(made, checks_hosts) for made in _made(document))
    return Manifest(source=called, lines=tuple(lines), product=product)


def _made(document: Document) -> Iterator[matrix.Made]:
    defaults = document.defaults
    rows = [
        (line, row if isinstance(row, Violation) else fields.completed(row, defaults))
        for line, row in document.rows
    ]
    return matrix.multiplied(rows, document.matrix)


def _content(source: str) -> bytes:
    try:
        if source == STDIN:
            if sys.stdin is None:
                raise Unreadable(
                    FileFault(rule="file.read", message="cannot be read: it is closed")
                )
            content = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with folder.at_home(source).open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        reason = getattr(exc, "strerror", None) or str(exc)
        message = f"cannot be read: {reason}"
        raise Unreadable(FileFault(rule="file.read", message=message)) from exc
    if len(content) > _MAX_BYTES:
        message = f"has more than {_MAX_BYTES // 1_000_000} MB: make several files of it"
        raise Unreadable(FileFault(rule="file.size", message=message))
    return content


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        number = content.count(b"\n", 0, exc.start) + 1
        message = "is not UTF-8: save the file as UTF-8"
        raise Unreadable(FileFault(rule="file.encoding", line=number, message=message)) from exc


def _line(made: matrix.Made, checks_hosts: bool) -> Line:
    row = made.row
    line = Line(number=made.line, place=made.place, combination=made.combination)
    if isinstance(row, Violation):
        return attrs.evolve(line, faults=(row,))
    late = _late_faults(row) if checks_hosts else ()
    line = attrs.evolve(line, given=row)
    try:
        job = Job.from_mapping(row)
    except InvalidRequest as invalid:
        return attrs.evolve(line, faults=(*invalid.violations, *late))
    return attrs.evolve(line, job=None if late else job, faults=late)


def _late_faults(row: Mapping[str, Any]) -> tuple[Violation, ...]:
    """Check what otherwise rests until submission, on lines with other faults as well."""
    given = {fields.python_name(name): value for name, value in row.items()}
    waived = given.get("waive")
    waive = [rule for rule in waived if isinstance(rule, str)] if isinstance(waived, list) else ()
    return rules.violations(
        given, waive=[waived] if isinstance(waived, str) else waive, stage=rules.Stage.SUBMISSION
    )


def _unique(lines: Iterable[Line]) -> Iterator[Line]:
    """Fault every line whose key an earlier one has."""
    first: dict[str, int] = {}
    for line in lines:
        if line.key is None or line.key not in first:
            if line.key is not None:
                first[line.key] = line.number
            yield line
            continue
        earlier = first[line.key]
        message = f"{line.key!r} is the key of line {earlier} too: give each job a key of its own"
        fault = Violation("key.unique", "key", message)
        yield attrs.evolve(line, job=None, faults=(*line.faults, fault))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
