"""The options of every command that reads a file of jobs: what all jobs share, and what varies."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from seedance_async.cli import cells, fields, matrix
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.formats import Format
from seedance_async.cli.manifest import Asked
from seedance_async.errors import Violation


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class JobOptions:
    """What a user says of all jobs of a file.

    Parameters
    ----------
    set_
        FIELD=VALUE for all jobs without that field; may be repeated.
    matrix
        FIELD=V1,V2,... to make every job with every combination; may be repeated.
    format_
        How to read the file, whatever its name ends with.
    """

    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None
    matrix: Annotated[list[str] | None, Parameter(name="--matrix", negative="")] = None
    format_: Annotated[Format | None, Parameter(name="--format")] = None

    def asked(self) -> Asked:
        """Read them.

        Raises:
            CannotStart: One is no field, has no value, or is there twice.
        """
        defaults = dict(_pairs("--set", self.set_ or (), "FIELD=VALUE"))
        axes = dict(_pairs("--matrix", self.matrix or (), "FIELD=V1,V2,..."))
        _refuse("--set", fields.faults_of_defaults(defaults))
        read = {name: _values(name, text) for name, text in axes.items()}
        _refuse("--matrix", matrix.faults(read))
        return Asked(
            format=self.format_,
            defaults={name: cells.value(name, text) for name, text in defaults.items()},
            matrix=read,
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
