"""A CSV table to the mappings that ``Job.from_mapping`` takes.

The first row names the fields, in the API's or in Python's spelling. An empty cell is a field
that was not given. ``duration`` is a whole number, ``generate_audio`` one of true/false, yes/no,
1/0; the lists (references, ``waive``) are separated by ``|`` or lines, or else by blanks;
``metadata`` is JSON. A cell that cannot be read is left as it is, for the rules to name. The
separator is whichever of comma, semicolon and tab stands most often in the first line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from seedance_async.errors import Violation

Row = Mapping[str, Any] | Violation

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MAX_CELL_CHARS = 10_000_000


def header(text: str) -> list[str]:
    """Give the names in the first row."""
    return [name.strip() for name in next(_reader(text), [])]


def rows(text: str) -> Iterator[tuple[int, Row]]:
    """Read the rows behind the header, lazily; rows without any content are left out.

    Yields:
        The number of the line on which the row begins, from 1, and the row's mapping, or what
        keeps it from being one.
    """
    reader = _reader(text)
    names = [name.strip() for name in next(reader, [])]
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The reader has lost its place: nothing behind this can be trusted.
            yield number, Violation("csv.syntax", "row", f"cannot be read: {words(error)}")
            return
        if any(cell.strip() for cell in cells):
            yield number, _row(names, cells)


def words(error: csv.Error) -> str:
    """Say what is wrong with the quotes; nothing else can be."""
    if "end of data" in str(error):
        return 'a quote (") that opens here is never closed'
    if "expected after" in str(error):
        return 'a quote (") within a quoted cell must be written twice, as ""'
    return str(error)


def _reader(text: str) -> Any:
    csv.field_size_limit(_MAX_CELL_CHARS)
    first = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=first.count)
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _row(names: list[str], cells: list[str]) -> Row:
    if any(cell.strip() for cell in cells[len(names) :]):
        message = f"has {len(cells)} cells under {len(names)} names: quote cells with a separator"
        return Violation("csv.cells", "row", message)
    given = zip(names, cells, strict=False)
    return {name: value(name, cell) for name, cell in given if cell.strip() and name}


def value(name: str, cell: str) -> Any:
    """Read what stands in a cell under *name*, in either spelling."""
    read = _READERS.get(name.replace("_", "").lower())
    return cell.strip() if read is None else read(cell.strip())


def _integer(cell: str) -> Any:
    return int(cell) if re.fullmatch(r"[+-]?[0-9]{1,9}", cell) else cell


def _boolean(cell: str) -> Any:
    return _BOOLEANS.get(cell.lower(), cell)


def _list(cell: str) -> Any:
    # A file's name may have a blank in it.
    separators = r"[|\n]" if "|" in cell or "\n" in cell else r"\s"
    return [entry.strip() for entry in re.split(separators, cell) if entry.strip()]


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


# By the name without its underscores, in lower case: the same in both spellings.
_READERS: Mapping[str, Callable[[str], Any]] = {
    "duration": _integer,
    "generateaudio": _boolean,
    "referenceimages": _list,
    "referencevideos": _list,
    "referenceaudios": _list,
    "waive": _list,
    "metadata": _json,
}
