"""What was asked of all jobs of a file, read from its options."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from seedance_async.cli import cells, fields, matrix
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.joboptions import JobOptions
from seedance_async.cli.manifest import Asked
from seedance_async.errors import Violation


def read(options: JobOptions | None) -> Asked:
    """Read them.

    Raises:
        CannotStart: One is no field, has no value, or is there twice.
    """
    given = options or JobOptions()
    defaults = dict(_pairs("--set", given.set_ or (), "FIELD=VALUE"))
    axes = dict(_pairs("--matrix", given.matrix or (), "FIELD=V1,V2,..."))
    _refuse("--set", fields.faults_of_defaults(defaults))
    varied = {name: _values(name, text) for name, text in axes.items()}
    _refuse("--matrix", matrix.faults(varied))
    return Asked(
        format=given.format_,
        defaults={name: cells.value(name, text) for name, text in defaults.items()},
        matrix=varied,
    )


def _pairs(option: str, given: Iterable[str], form: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for words in given:
        name, sign, text = words.partition("=")
        name = name.strip()
        if not (sign and name and text.strip()):
            raise CannotStart(f"{option} takes {form}, not {words!r}")
        if fields.python_name(name) in seen:
            raise CannotStart(f"{option}: {name} is given twice")
        seen.add(fields.python_name(name))
        yield name, text


def _values(name: str, text: str) -> list[Any]:
    """Take a list of values apart; one with a comma in it stands in double quotes."""
    try:
        (row,) = csv.reader([text], strict=True, skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        what = "a value with a comma or a quote in it stands in double quotes"
        raise CannotStart(f"--matrix: {name}: {what}") from error
    if not all(cell.strip() for cell in row):
        raise CannotStart(f"--matrix: {name}: has a comma too many, or a value too few")
    return [cells.value(name, cell) for cell in row]


def _refuse(option: str, faults: Iterable[Violation]) -> None:
    told = [f"{option}: {fault}" for fault in faults]
    if told:
        raise CannotStart("\n".join(told))
