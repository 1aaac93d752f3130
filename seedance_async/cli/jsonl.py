"""JSON lines to the mappings that ``Job.from_mapping`` takes, and what is wrong in people's words.

The file's frequent mistakes are found by undoing them: a line that can be read without its last
comma has a comma too many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from seedance_async.cli import fields
from seedance_async.cli.cells import Row
from seedance_async.errors import Violation

_EXAMPLE = '{"model": "seedance_2_0_pro", "prompt": "A cat"}'


def rows(text: str) -> Iterator[tuple[int, Row]]:
    """Read the lines, lazily; blank ones are left out.

    Yields:
        The line's number, from 1, and its mapping, or what keeps it from being one.
    """
    # Not ``splitlines``: JSON strings may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _row(line)


def misfit(text: str) -> str | None:
    """Say what the whole file is if it is no JSON lines, instead of complaining of every line."""
    begins = text.lstrip()[:1]
    if begins == "[" and _reads(text):
        return "is a JSON array: write one JSON object a line, no commas, or call it .json"
    if begins == "{" and _goes_over_lines(text):
        return f"has objects that go over several lines: write each on one line, as {_EXAMPLE}"
    starts = (line.lstrip()[:1] for line in text.split("\n") if line.strip())
    if begins and not any(start in ("{", "[") for start in starts):
        others = "a .csv table, or prompts in a .txt file"
        return f"has no JSON in it: write one object a line, as {_EXAMPLE}, {others}"
    return None


def _goes_over_lines(text: str) -> bool:
    first = text.lstrip().partition("\n")[0]
    if _reads(first):
        return False
    try:
        json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return False
    return True


def _row(line: str) -> Row:
    try:
        row = json.loads(line, parse_constant=no_constant, object_pairs_hook=no_repeats)
    except json.JSONDecodeError as exc:
        return Violation("json.syntax", f"column {exc.colno}", _words(line, exc))
    except (ValueError, RecursionError) as exc:
        return Violation("json.syntax", "line", f"is not valid JSON: {said(exc)}")
    if not isinstance(row, dict):
        return Violation("json.object", "line", "must be a JSON object: {...}")
    if (wrong := fields.problem(row)) is not None:
        return Violation("json.unicode" if wrong is fields.HALF else "json.syntax", "line", wrong)
    return row


def said(exc: Exception) -> str:
    """Spell what a reader of JSON complains of, but for its own settings."""
    if isinstance(exc, RecursionError):
        return "is nested too deep"
    text = str(exc)
    return "a number is too long" if "integer string conversion" in text else text


def mistake(text: str) -> str | None:
    """Find the one mistake whose undoing makes JSON of *text*, and say what to do about it."""
    for undo, words in _MISTAKES:
        if (undone := undo(text)) != text and _reads(undone):
            return words
    return None


def _words(line: str, exc: json.JSONDecodeError) -> str:
    if (words := mistake(line)) is not None:
        return f"is not valid JSON: {words}"
    if exc.pos >= len(line.rstrip()):
        return "is not valid JSON: it breaks off; an object ends with } on the same line"
    return f"is not valid JSON: {exc.msg}"


def _reads(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def no_constant(constant: str) -> Any:
    """Refuse what Python's reader takes and JSON does not have: NaN, Infinity."""
    raise ValueError(f"{constant} is no JSON value")


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice, of which one would be lost in silence."""
    row: dict[str, Any] = {}
    for name, value in pairs:
        if name in row:
            raise ValueError(f"{name!r} stands twice in one object")
        row[name] = value
    return row


def _straight(line: str) -> str:
    return re.sub("[\u201c\u201d\u201e\u00ab\u00bb]", '"', line)


def _without_last_comma(line: str) -> str:
    return line.rstrip().removesuffix(",")


def _without_inner_commas(line: str) -> str:
    return re.sub(r",\s*([}\]])", r"\1", line)


def _double(line: str) -> str:
    return line.replace("'", '"')


def _lower(line: str) -> str:
    named = {"True": "true", "False": "false", "None": "null"}
    return re.sub(r"\b(True|False|None)\b", lambda found: named[found[0]], line)


# How each mistake is undone, and what is said of it.
_MISTAKES: tuple[tuple[Callable[[str], str], str], ...] = (
    (_without_last_comma, "take out the comma at the end of the line"),
    (_without_inner_commas, "take out the comma before the closing bracket"),
    (_straight, 'it has typographic quotes: write straight ones, "'),
    (_double, 'it has single quotes: write double ones, "'),
    (_lower, "write true, false and null in lower case, without quotes"),
)
