"""The fields of a job as files and options name them: in either spelling, misspelt, or twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seedance_async import wire
from seedance_async.cli.cells import Row
from seedance_async.errors import InvalidRequest, Violation
from seedance_async.request import Job

_MAX_DEPTH = 100  # our choice: more than anybody writes, far less than what breaks a JSON reader
#: What names one job and no other.
OWN = frozenset({"key"})


def python_name(name: str) -> str:
    """Spell a field as Python does, whichever spelling it has."""
    return wire.PYTHON_NAMES.get(name, name)


def unknown(names: Iterable[str]) -> Iterator[Violation]:
    """Find what is no field of a job, each with what may have been meant."""
    try:
        Job.from_mapping(dict.fromkeys(names))
    except InvalidRequest as invalid:
        yield from (fault for fault in invalid.violations if fault.rule == "field.known")


def faults_of_defaults(names: Iterable[str]) -> Iterator[Violation]:
    """Find what cannot be said of all jobs at once."""
    given = list(names)
    yield from unknown(given)
    for name in OWN.intersection(given):
        yield Violation("key.unique", name, "is for one job alone: give each job a key of its own")
    yield from twice(given)


def twice(names: Iterable[str]) -> Iterator[Violation]:
    """Find the fields that are named more than once, in one spelling or in two."""
    seen: set[str] = set()
    for name in map(python_name, names):
        if name in seen:
            yield Violation("field.twice", name, "stands there twice: give it once")
        seen.add(name)


def completed(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give *row* the *defaults* that it does not have a value of its own for."""
    own = {python_name(name) for name in row}
    missing = {name: value for name, value in defaults.items() if python_name(name) not in own}
    return {**missing, **row}


def replaced(row: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put *values* into *row*, in the place of its own."""
    new = {python_name(name) for name in values}
    kept = {name: value for name, value in row.items() if python_name(name) not in new}
    return {**kept, **values}


def row_of(value: Any) -> Row:
    """Take what a document has in the place of a job."""
    if not isinstance(value, dict):
        message = 'must be an object of fields, such as {"prompt": "A cat"}'
        return Violation("job.object", "job", message)
    wrong = problem(value)
    return value if wrong is None else Violation("job.value", "job", wrong)


def problem(value: Any) -> str | None:
    """Say why a value cannot be sent or written down, whatever field it is of."""
    # By hand and not by recursion, which is what the depth would break.
    waiting = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            return f"is nested more than {_MAX_DEPTH} deep"
        if isinstance(each, dict):
            waiting += ((inner, depth + 1) for pair in each.items() for inner in pair)
        elif isinstance(each, list):
            waiting += ((inner, depth + 1) for inner in each)
        elif isinstance(each, str) and any("\ud800" <= char <= "\udfff" for char in each):
            return HALF
    return None


#: What is said of a text that JSON's escapes can spell and UTF-8 cannot.
HALF = "has half of a surrogate pair (\\ud800 to \\udfff) in it, which is no character"
