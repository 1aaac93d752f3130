"""A JSON file, an array of jobs or an object with one, to values and their lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from seedance_async.cli import jsonl
from seedance_async.cli.document import Tree
from seedance_async.cli.spots import Spots, deep_line
from seedance_async.cli.unusable import FileFault, Unreadable

_SPACE = re.compile(r"[ \t\r\n]*")
_STRICT = json.JSONDecoder(
    parse_constant=jsonl.no_constant, object_pairs_hook=jsonl.no_repeats, strict=True
)


def read(text: str) -> Tree:
    """Read a JSON file.

    Raises:
        Unreadable: It is no JSON, or has a name twice in one object.
    """
    if not text.strip():
        return Tree(value=[], job_lines=())
    _check_syntax(text)
    return _Walk(text).tree()


def _check_syntax(text: str) -> None:
    try:
        # Numbers are left for later: one that Python does not read has a place only there.
        json.loads(text, parse_int=len, parse_float=len)
    except json.JSONDecodeError as exc:
        words = jsonl.mistake(text) or exc.msg
        if exc.pos >= len(text.rstrip()):
            words = "it breaks off: a bracket or a quote is never closed"
        if exc.msg == "Extra data":
            words = "it goes on behind its end: put all jobs into one list, or into a .jsonl file"
        message = f"is not valid JSON: {words}"
        raise Unreadable(
            FileFault(rule="json.syntax", message=message, line=exc.lineno, column=exc.colno)
        ) from exc
    except RecursionError as exc:
        raise Unreadable(_too_deep(deep_line(text))) from exc


def _too_deep(line: int) -> FileFault:
    return FileFault(rule="json.syntax", message="is nested too deep", line=line)


class _Walk:
    """Goes through what is known to be JSON, value by value, to see where each begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spots = Spots(text)
        self._at = 0
        self._skip()

    def tree(self) -> Tree:
        if self._text[self._at] == "[":
            lines, jobs = self._array()
            return Tree(value=jobs, job_lines=lines)
        if self._text[self._at] != "{":
            return Tree(value=self._value(), job_lines=())
        value: dict[str, Any] = {}
        job_lines: list[int] = []
        name_lines: dict[str, int] = {}
        for _ in self._entries("}"):
            line = self._line
            name = self._value()
            if name in value:
                message = f"is not valid JSON: {name!r} stands twice in one object"
                raise Unreadable(FileFault(rule="json.syntax", message=message, line=line))
            self._step()  # the colon
            name_lines[name] = line
            if name == "jobs" and self._text[self._at] == "[":
                job_lines, value[name] = self._array()
            else:
                value[name] = self._value()
        return Tree(value=value, job_lines=job_lines, name_lines=name_lines)

    def _array(self) -> tuple[list[int], list[Any]]:
        lines, values = list[int](), []
        for _ in self._entries("]"):
            lines.append(self._line)
            values.append(self._value())
        return lines, values

    def _entries(self, end: str) -> Iterator[None]:
        """Stop at each entry of what opens here, for the caller to read it."""
        self._step()
        while self._text[self._at] != end:
            yield
            if self._text[self._at] == ",":
                self._step()
        self._step()

    def _value(self) -> Any:
        line = self._line
        try:
            value, self._at = _STRICT.raw_decode(self._text, self._at)
        except ValueError as exc:
            message = f"is not valid JSON: {jsonl.said(exc)}"
            fault = FileFault(rule="json.syntax", message=message, line=line)
            raise Unreadable(fault) from exc
        except RecursionError as exc:
            raise Unreadable(_too_deep(line)) from exc
        self._skip()
        return value

    @property
    def _line(self) -> int:
        return self._spots.line(self._at)

    def _step(self) -> None:
        self._at += 1
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
