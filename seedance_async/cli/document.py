"""What a file of jobs says, in whatever format: the jobs, what they share, and what varies.

JSON, YAML and TOML are read to values elsewhere; here it is found whether these are a document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from seedance_async.cli import fields, matrix
from seedance_async.cli.cells import Row
from seedance_async.cli.unusable import FileFault, Unreadable
from seedance_async.errors import Violation

_NAMES = ("jobs", "defaults", "matrix")
# Says to an editor which schema a JSON file keeps to, and nothing to us.
_SCHEMA = "$schema"


@attrs.frozen(kw_only=True)
class Document:
    """A file of jobs as it stands there, nothing filled in and nothing multiplied.

    Attributes:
        rows: The number of the line on which each job begins, from 1, and its fields, or what
            keeps it from being a job; in the order of the file.
        defaults: Fields for the jobs that do not have them.
        matrix: Fields with the values that every job is to be made with.
        noun: What a row is called.
    """

    rows: Sequence[tuple[int, Row]]
    defaults: Mapping[str, Any] = attrs.field(factory=dict)
    matrix: Mapping[str, Sequence[Any]] = attrs.field(factory=dict)
    noun: str = "job"


@attrs.frozen(kw_only=True)
class Tree:
    """A JSON, YAML or TOML file that was read.

    Attributes:
        value: What it says.
        job_lines: The lines on which the jobs begin, as far as the reader found them.
        name_lines: The lines of the names at the top.
    """

    value: Any
    job_lines: Sequence[int]
    name_lines: Mapping[str, int] = attrs.field(factory=dict)

    def line(self, name: str) -> int:
        """Give the line of a name at the top."""
        return self.name_lines.get(name, 1)


def of_tree(tree: Tree) -> Document:
    """Find the jobs in what was read.

    Raises:
        Unreadable: It is neither a list of jobs nor an object with one.
    """
    value = tree.value
    if isinstance(value, list):
        return Document(rows=_rows(tree, value))
    if not isinstance(value, dict):
        message = "must be a list of jobs, or an object with jobs, defaults and matrix"
        raise Unreadable(FileFault(rule="document.jobs", line=1, message=message))
    if faults := list(_faults(tree)):
        raise Unreadable(*faults)
    return Document(
        rows=_rows(tree, value.get("jobs") or []),
        defaults=value.get("defaults") or {},
        matrix=value.get("matrix") or {},
    )


def has_names_of_a_document(value: Any) -> bool:
    """Tell whether a value could be a document, as opposed to a job."""
    return isinstance(value, list) or (isinstance(value, dict) and any(n in value for n in _NAMES))


def _rows(tree: Tree, jobs: Sequence[Any]) -> Sequence[tuple[int, Row]]:
    lines = tree.job_lines
    if len(lines) != len(jobs):  # an alias of YAML, for one, has them elsewhere
        lines = [tree.line("jobs")] * len(jobs)
    return [(line, fields.row_of(job)) for line, job in zip(lines, jobs, strict=True)]


def _faults(tree: Tree) -> Iterator[FileFault]:
    value = tree.value
    for name in value:
        if name not in (*_NAMES, _SCHEMA):
            message = f"{str(name)[:40]!r} has no meaning here: a file has {', '.join(_NAMES)}"
            yield FileFault(rule="document.known", line=tree.line(name), message=message)
    jobs, defaults, axes = (value.get(name) for name in _NAMES)
    if "jobs" not in value or not isinstance(jobs, list | None):
        message = "jobs must be a list, one entry for each job"
        yield FileFault(rule="document.jobs", line=tree.line("jobs"), message=message)
    if not isinstance(defaults, dict | None):
        message = "defaults must be an object of fields"
        yield FileFault(rule="document.defaults", line=tree.line("defaults"), message=message)
    elif defaults:
        wrong = fields.problem(defaults)
        unfit = [] if wrong is None else [Violation("job.value", "defaults", wrong)]
        for fault in (*fields.faults_of_defaults(defaults), *unfit):
            yield _at(tree.line("defaults"), fault)
    if not isinstance(axes, dict | None):
        message = "matrix must be an object of fields, each with a list of values"
        yield FileFault(rule="document.matrix", line=tree.line("matrix"), message=message)
    elif axes:
        for fault in matrix.faults(axes):
            yield _at(tree.line("matrix"), fault)


def _at(line: int, fault: Violation) -> FileFault:
    return FileFault(rule=fault.rule, message=fault.message, line=line, field=fault.field)
