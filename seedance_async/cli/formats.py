"""The formats of job files: told by the file's ending, by its first character, or by the user."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from typing import Any

from seedance_async.cli import cells, document, fields, jsonl, prompts
from seedance_async.cli.document import Document
from seedance_async.cli.options import Format
from seedance_async.cli.unusable import FileFault, Unreadable

_BY_SUFFIX: Mapping[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
}
_SHEETS = frozenset({".xlsx", ".xls", ".ods", ".numbers"})


def check_suffix(suffix: str) -> None:
    """Refuse what is no text, by its ending alone.

    Raises:
        Unreadable: It is a spreadsheet.
    """
    if suffix in _SHEETS:
        message = "is a spreadsheet: save it as CSV (UTF-8)"
        raise Unreadable(FileFault(rule="file.format", message=message))


def read(text: str, suffix: str | None, chosen: Format | None) -> Document:
    """Read a file of jobs.

    Args:
        text: What is in it.
        suffix: Its ending, in lower case; None for stdin.
        chosen: The format that the user named; None finds it.

    Raises:
        Unreadable: It cannot be read as that.
    """
    return _READERS[chosen or _found(text, suffix)](text)


def _found(text: str, suffix: str | None) -> Format:
    """Find the format; what no ending tells is JSONL."""
    if suffix is None or suffix == ".txt":
        if text.lstrip()[:1] == "{" or _is_document(text):
            return "json" if _is_document(text) else "jsonl"
        return "text"
    if suffix == ".json":
        return "jsonl" if _is_lines(text) else "json"
    return _BY_SUFFIX.get(suffix, "jsonl")


def _is_lines(text: str) -> bool:
    """Tell whether a .json file holds JSONL, as some programs write it."""
    first = text.lstrip().partition("\n")[0]
    value = _loaded(first)
    return isinstance(value, dict) and not document.has_names_of_a_document(value)


def _is_document(text: str) -> bool:
    return text.lstrip()[:1] in ("[", "{") and document.has_names_of_a_document(_loaded(text))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return None


def _jsonl(text: str) -> Document:
    if misfit := jsonl.misfit(text):
        raise Unreadable(FileFault(rule="file.format", line=1, message=misfit))
    return Document(rows=list(jsonl.rows(text)))


def _csv(text: str) -> Document:
    _check_header(text)
    return Document(rows=list(cells.rows(text)))


def _check_header(text: str) -> None:
    """Report the header's faults once, and not again for each row."""
    try:
        names = cells.header(text)
    except csv.Error as error:
        message = f"cannot be read: {cells.words(error)}"
        raise Unreadable(FileFault(rule="csv.syntax", line=1, message=message)) from error
    named = [name for name in names if name]
    unknown = list(fields.unknown(named))
    if unknown and len(unknown) == len(named):
        message = "the first row must name the columns, such as model,prompt,duration"
        raise Unreadable(FileFault(rule="csv.header", line=1, message=message))
    twice = sorted({name for name in named if named.count(name) > 1})
    faults = [
        *(
            FileFault(rule="field.twice", line=1, field=name, message="stands twice")
            for name in twice
        ),
        *(
            FileFault(rule=fault.rule, line=1, field=fault.field, message=fault.message)
            for fault in unknown
        ),
    ]
    if faults:
        raise Unreadable(*faults)


# The others are brought in where there is such a file: their patterns take time to compile.
def _json(text: str) -> Document:
    from seedance_async.cli import jsonfile  # noqa: PLC0415

    return document.of_tree(jsonfile.read(text))


def _yaml(text: str) -> Document:
    from seedance_async.cli import yamlfile  # noqa: PLC0415

    return document.of_tree(yamlfile.read(text))


def _toml(text: str) -> Document:
    from seedance_async.cli import tomlfile  # noqa: PLC0415

    return document.of_tree(tomlfile.read(text))


_READERS: Mapping[Format, Callable[[str], Document]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "yaml": _yaml,
    "toml": _toml,
    "text": prompts.read,
}
