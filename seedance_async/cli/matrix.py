"""Every job with every combination of some values: counted, bounded, named, then made.

A job's key and name get a suffix made of the values, in the order of the fields' names, so that the
same combination is the same job however the matrix is written, and running again resumes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from seedance_async import rules, wire
from seedance_async.cli import fields
from seedance_async.cli.cells import Row
from seedance_async.cli.terminal import count
from seedance_async.errors import Violation

#: How many jobs a matrix may make, against accidents: an axis too many, a value too many. Ours.
MAX_JOBS = 10_000
# Signed URLs and prompts must not get into a key, which stands in logs and in files' names.
_PRIVATE = frozenset({"prompt", *rules.FRAMES, *rules.REFERENCES})
_DIGEST_DIGITS = 8
_SHOWN_CHARS = 40


@attrs.frozen(kw_only=True)
class Made:
    """A job that was made of a row.

    Attributes:
        place: The row's place in the file, from 0; all that were made of it have the same.
        line: The line on which the row begins.
        row: The job's fields, or what keeps it from being one.
        combination: The values of the matrix that it has, for a person and for logs, such as
            ``aspect_ratio=9:16, duration=5``.
    """

    place: int
    line: int
    row: Row
    combination: str = ""


def faults(axes: Mapping[str, Any]) -> Iterator[Violation]:
    """Find what is wrong with a matrix, whatever its jobs are."""
    unknown = {fault.field: fault for fault in fields.unknown(axes)}
    yield from fields.twice(axes)
    for name, values in axes.items():
        if name in unknown:
            yield unknown[name]
        elif fields.python_name(name) not in wire.WIRE_NAMES:
            yield Violation("matrix.field", name, "does not make another video: it cannot vary")
        elif not isinstance(values, list) or not values:
            yield Violation("matrix.values", name, "must be a list of values, at least one")
        elif (problem := fields.problem(values)) is not None:
            yield Violation("matrix.values", name, problem)
        elif len({_spelled(value) for value in values}) < len(values):
            yield Violation("matrix.values", name, "has a value twice, which would be paid twice")


def size(rows: int, axes: Mapping[str, Sequence[Any]]) -> int:
    """Tell how many jobs there are to be."""
    return rows * math.prod(len(values) for values in axes.values())


def told(rows: int, axes: Mapping[str, Sequence[Any]], noun: str) -> str:
    """Spell how the number of jobs comes about: ``12 prompts x 2 model = 24 jobs``."""
    factors = (f"{len(values):,} {fields.python_name(name)}" for name, values in axes.items())
    product = count(size(rows, axes), "job")
    return f"{' x '.join([count(rows, noun), *factors])} = {product}"


def multiplied(
    rows: Sequence[tuple[int, Row]], axes: Mapping[str, Sequence[Any]]
) -> Iterator[Made]:
    """Make every row with every combination, lazily; the last axis varies fastest.

    A row's own value of a field that varies is replaced. What is no job stays what it is.
    """
    for place, (line, row) in enumerate(rows):
        for numbered in itertools.product(*(enumerate(values, 1) for values in axes.values())):
            chosen = {name: value for name, (_, value) in zip(axes, numbered, strict=True)}
            shown = (_shown(name, *each) for name, each in zip(axes, numbered, strict=True))
            combined = row if isinstance(row, Violation) else _combined(row, chosen)
            yield Made(place=place, line=line, row=combined, combination=", ".join(shown))


def _combined(row: Mapping[str, Any], chosen: Mapping[str, Any]) -> Mapping[str, Any]:
    if not chosen:
        return row
    by_name = {fields.python_name(name): value for name, value in chosen.items()}
    suffix = "".join(f"@{_word(name, by_name[name])}" for name in sorted(by_name))
    named = {
        name: f"{row[name]}{suffix}"
        for name in ("key", "name")
        if isinstance(row.get(name), str) and row[name].strip()
    }
    return {**fields.replaced(row, chosen), **named}


def _word(name: str, value: Any) -> str:
    spelled = value if isinstance(value, str) else _spelled(value)
    if name not in _PRIVATE and len(spelled) <= _SHOWN_CHARS:
        return spelled
    return hashlib.sha256(_spelled(value).encode()).hexdigest()[:_DIGEST_DIGITS]


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _shown(name: str, number: int, value: Any) -> str:
    name = fields.python_name(name)
    spelled = value if isinstance(value, str) else _spelled(value)
    is_public = name not in _PRIVATE and len(spelled) <= _SHOWN_CHARS
    return f"{name}={spelled}" if is_public else f"{name} {number}"
