"""A TOML file to values, and to the lines on which its jobs begin.

``tomllib`` tells no lines, so what it has read is gone through once more: only to find where tables
and the jobs of a list open, in a text that is known to be TOML.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from seedance_async.cli.document import Tree
from seedance_async.cli.spots import Spots, deep_line
from seedance_async.cli.unusable import FileFault, Unreadable

# For a name of so many parts tomllib takes the square of their number.
_LONG_NAME = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){100}""")
_LONG_NUMBER = re.compile(r"[0-9a-fA-F_]{1000,}")
_PLACE = re.compile(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)

_NAME = r"""(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<bare>[A-Za-z0-9_-]+))"""
_TOKEN = re.compile(
    r"""
    (?P<text> \"\"\"(?:\\.|[^\\])*?\"\"\"\"{0,2} | '''.*?''''{0,2}
            | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | \#[^\n]*)
    | (?P<open> [\[{]) | (?P<close> [\]}]) | (?P<line> \n)
    """,
    re.VERBOSE | re.DOTALL,
)
# A line that begins with a name at the top: a table's header, or what is set there.
_HEAD = re.compile(rf"[ \t]*(?P<brackets>\[{{0,2}})[ \t]*{_NAME}[ \t]*(?P<end>\]\])?")


def read(text: str) -> Tree:
    """Read a TOML file.

    Raises:
        Unreadable: It is no TOML.
    """
    spots = Spots(text)
    if found := _LONG_NAME.search(text):
        raise Unreadable(_fault("a name has more than 100 parts", spots.line(found.start())))
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(_told(error, spots.line(len(text)))) from error
    except RecursionError as error:
        raise Unreadable(_fault("it is nested too deep", deep_line(text))) from error
    except ValueError as error:  # a number with more digits than Python reads
        found = _LONG_NUMBER.search(text)
        line = spots.line(found.start()) if found else 1
        raise Unreadable(_fault("a number is too long", line)) from error
    return _with_lines(text, value, spots)


def _fault(words: str, line: int, column: int | None = None) -> FileFault:
    message = f"is not valid TOML: {words}"
    return FileFault(rule="toml.syntax", message=message, line=line, column=column)


def _told(error: tomllib.TOMLDecodeError, last: int) -> FileFault:
    found = _PLACE.fullmatch(str(error))
    if found is None:
        return _fault(str(error), 1)
    words = "a name stands twice" if "overwrite" in found[1] else found[1]
    if found[2] is None:  # at the end of the file
        return _fault(words, last)
    return _fault(words, int(found[2]), int(found[3]))


def _with_lines(text: str, value: Mapping[str, Any], spots: Spots) -> Tree:
    job_lines, name_lines = list[int](), dict[str, int]()
    for name, is_job, offset in _places(text):
        line = spots.line(offset)
        name_lines.setdefault(name, line)
        if name == "jobs" and is_job:
            job_lines.append(line)
    return Tree(value=value, job_lines=job_lines, name_lines=name_lines)


def _places(text: str) -> Iterator[tuple[str, bool, int]]:
    """Find the names at the top, and what opens a job: name, whether it is an element, offset."""
    at, depth, is_at_top, name = 0, 0, True, ""
    begins = True
    while True:
        head = _HEAD.match(text, at) if begins and depth == 0 else None
        if head is not None:
            word = head["double"] or head["single"] or head["bare"] or ""
            is_table = bool(head["brackets"])
            if is_table or is_at_top:
                name, is_at_top = word, not is_table
                yield name, head["brackets"] == "[[" and bool(head["end"]), head.start()
            at = head.end()
            if is_table:
                at = text.find("\n", at)
                if at < 0:
                    return
        token = _TOKEN.search(text, at)
        if token is None:
            return
        if token["open"]:
            depth += 1
            if depth == 2 and token["open"] == "{" and is_at_top:  # noqa: PLR2004 -- in a list
                yield name, True, token.start()
        elif token["close"]:
            depth -= 1
        at, begins = token.end(), token["line"] is not None
