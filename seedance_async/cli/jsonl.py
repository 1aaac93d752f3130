"""JSON lines to the mappings that ``Job.from_mapping`` takes, and what is wrong in people's words.

The file's frequent mistakes are found by undoing them: a line that can be read without its last
comma has a comma too many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
        return "is a JSON array: write one JSON object a line, no commas"
    if begins == "{" and _goes_over_lines(text):
        return f"has objects that go over several lines: write each on one line, as {_EXAMPLE}"
    starts = (line.lstrip()[:1] for line in text.split("\n") if line.strip())
    if begins and not any(start in ("{", "[") for start in starts):
        return f"has no JSON in it: write one object a line, as {_EXAMPLE}, or a .csv table"
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
        row = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except json.JSONDecodeError as exc:
        return Violation("json.syntax", f"column {exc.colno}", _words(line, exc))
    except (ValueError, RecursionError) as exc:
        return Violation("json.syntax", "line", f"is not valid JSON: {exc}")
    if not isinstance(row, dict):
        return Violation("json.object", "line", "must be a JSON object: {...}")
    if not _is_unicode(row):
        half = "has half of a surrogate pair (\\ud800 to \\udfff) in it, which is no character"
        return Violation("json.unicode", "line", half)
    return row


def _words(line: str, exc: json.JSONDecodeError) -> str:
    for undo, words in _MISTAKES:
        if (undone := undo(line)) != line and _reads(undone):
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


def _is_unicode(row: Mapping[str, Any]) -> bool:
    """Tell whether all text can be sent: JSON's escapes can spell what UTF-8 cannot."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
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
