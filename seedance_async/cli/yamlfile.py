"""A YAML file to values and their lines: read as data and nothing else.

Scalars are read by the core schema of YAML 1.2, not by PyYAML's rules of YAML 1.1: there ``16:9``
is the number 969, ``no`` is false, and ``2026-01-01`` a date. No tags, no merge keys, no key twice;
aliases are taken, but not so many that a small file becomes a large one.

Built from the parser's events, one by one: what nests a million deep is refused, not gone into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from seedance_async.cli.document import Tree
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.spots import Spots
from seedance_async.cli.unusable import FileFault, Unreadable

_MAX_DEPTH = 100
_MAX_REPEATED = 1_000_000  # characters and values that aliases may repeat in all; our choice
_MAX_DIGITS = 1000  # of a number; far below what Python refuses to read
# What a YAML file may not have in it; it says so itself, but with no line.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OLD_BREAKS = "\x85\u2028\u2029"
_PRIVATE_USE = range(0xE000, 0xF900)

# YAML 1.2.2, section 10.3.2.
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INTEGER = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITY = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")

# What the parser says of frequent mistakes, and what people understand.
_MISTAKES = (
    ("mapping values are not allowed", "a text with a colon in it needs quotes"),
    ("'\\t' that cannot start", "a tab cannot indent: use spaces"),
    ("unexpected end of stream", "a quote that opens here is never closed"),
    ("found undefined alias", "an alias (*) names no anchor (&) before it"),
    ("that cannot start any token", "a text that begins with this character needs quotes"),
)


def read(text: str) -> Tree:
    """Read a YAML file.

    Raises:
        Unreadable: It is no YAML, or has something in it that is not taken.
        CannotStart: PyYAML is not installed.
    """
    if found := _NO_CHARACTER.search(text):
        line = text.count("\n", 0, found.start()) + 1
        message = f"has a character in it that no text has, U+{ord(found[0]):04X}: take it out"
        raise Unreadable(FileFault(rule="yaml.syntax", message=message, line=line))
    back = _stand_ins(text)
    builder = _Builder(Spots(text), back)
    there = {ord(char): stand_in for stand_in, char in back.items()}
    for event, offset in _events(text.translate(there), builder.spots):
        builder.take(event, offset)
    return Tree(value=builder.value, job_lines=builder.job_lines, name_lines=builder.name_lines)


def _stand_ins(text: str) -> dict[str, str]:
    """Find characters to put in the place of those that end a line in YAML 1.1 and not in 1.2.

    A prompt that was copied from a document may have such in it.
    """
    free = (char for char in map(chr, _PRIVATE_USE) if char not in text)
    return {next(free, char): char for char in _OLD_BREAKS if char in text}


def _events(text: str, spots: Spots) -> Iterator[tuple[Any, int]]:
    try:
        import yaml  # noqa: PLC0415 -- only where there is YAML
    except ModuleNotFoundError as missing:
        what = "reading YAML needs PyYAML: pip install 'seedance-async[cli]'"
        raise CannotStart(what) from missing
    # In C it is ten times as fast; it is not everywhere.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            yield event, event.start_mark.index  # type: ignore[union-attr]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        offset = min(mark.index, len(text)) if mark else 0
        fault = _fault(spots, offset, _words(str(error.problem or error.context)))
        raise Unreadable(fault) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # "\UFFFFFFFF", in pure Python
        raise Unreadable(_fault(spots, 0, "it has something in it that is no text")) from error


def _words(problem: str) -> str:
    return next((words for sign, words in _MISTAKES if sign in problem), problem)


def _fault(spots: Spots, offset: int, words: str, rule: str = "yaml.syntax") -> FileFault:
    return FileFault(
        rule=rule,
        message=f"cannot be read as YAML: {words}",
        line=spots.line(offset),
        column=spots.column(offset),
    )


@attrs.define
class _Open:
    """A list or a mapping that is being read; ``size`` counts characters and values."""

    value: Any
    anchor: str | None
    key: str | None = None
    size: int = 1


@attrs.define
class _Builder:
    """Makes one value of the events; ``value`` is whole with the last of them."""

    spots: Spots
    stand_ins: dict[str, str]
    value: Any = None
    job_lines: list[int] = attrs.field(factory=list)
    name_lines: dict[str, int] = attrs.field(factory=dict)
    _open: list[_Open] = attrs.field(init=False, factory=list)
    _anchors: dict[str, tuple[Any, int]] = attrs.field(init=False, factory=dict)
    _documents: int = attrs.field(init=False, default=0)
    _repeated: int = attrs.field(init=False, default=0)

    def take(self, event: Any, offset: int) -> None:
        """Take the next event, which begins at *offset*."""
        kind = type(event).__name__
        if getattr(event, "tag", None) is not None:
            self._refuse(offset, f"tags ({str(event.tag)[:40]}) are not taken: write plain values")
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                self._refuse(offset, "it has several documents (---): put all jobs into one list")
        elif kind == "ScalarEvent":
            self._scalar(event, offset)
        elif kind == "AliasEvent":
            self._alias(event.anchor, offset)
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            self._enter([] if kind.startswith("Seq") else {}, event.anchor, offset)
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            done = self._open.pop()
            self._put(done.value, done.size, done.anchor)

    def _scalar(self, event: Any, offset: int) -> None:
        top, text = self._open[-1] if self._open else None, event.value
        for stand_in, char in self.stand_ins.items():
            text = text.replace(stand_in, char)
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._name(top, text, offset)
            return
        self._note_line(offset)
        value = self._read(text, offset) if event.implicit[0] else text
        self._put(value, len(text) + 1, event.anchor)

    def _name(self, top: _Open, text: str, offset: int) -> None:
        if text in top.value:
            self._refuse(offset, f"{text[:40]!r} stands twice in one mapping")
        if text == "<<":
            self._refuse(offset, "merge keys (<<) are not taken: use defaults")
        top.key = text
        top.size += len(text) + 1
        if len(self._open) == 1:
            self.name_lines[text] = self.spots.line(offset)

    def _alias(self, anchor: str, offset: int) -> None:
        self._check_is_value(offset)
        if anchor not in self._anchors:  # or is being read, and would be endless
            self._refuse(offset, "an alias (*) names no anchor (&) before it")
        value, size = self._anchors[anchor]
        self._repeated += size
        if self._repeated > _MAX_REPEATED:
            self._refuse(offset, "its aliases (*) make a very large file of it")
        self._note_line(offset)
        self._put(value, size, None)

    def _enter(self, value: Any, anchor: str | None, offset: int) -> None:
        self._check_is_value(offset)
        if len(self._open) >= _MAX_DEPTH:
            self._refuse(offset, f"it is nested more than {_MAX_DEPTH} deep")
        self._note_line(offset)
        self._open.append(_Open(value, anchor))

    def _check_is_value(self, offset: int) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._refuse(offset, "a name must be plain text")

    def _put(self, value: Any, size: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, size
        if not self._open:
            self.value = value
            return
        top = self._open[-1]
        top.size += size
        if isinstance(top.value, list):
            top.value.append(value)
        else:
            top.value[top.key], top.key = value, None

    def _note_line(self, offset: int) -> None:
        """Note where a job begins: an entry of the outermost list, or of the one named jobs."""
        is_list = bool(self._open) and isinstance(self._open[-1].value, list)
        if is_list and (len(self._open) == 1 or self._is_jobs()):
            self.job_lines.append(self.spots.line(offset))

    def _is_jobs(self) -> bool:
        return len(self._open) == 2 and self._open[0].key == "jobs"  # noqa: PLR2004 -- below the top

    def _read(self, text: str, offset: int) -> Any:
        if _NULL.match(text):
            return None
        if _BOOLEAN.match(text):
            return text.lower() == "true"
        if _INTEGER.match(text) or _FLOAT.match(text):
            if len(text) > _MAX_DIGITS:
                self._refuse(offset, f"a number of {len(text):,} digits is too long")
            if _INTEGER.match(text):
                return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
            return float(text)
        if _INFINITY.match(text):
            return float(text.lower().replace(".", "", 1))
        return text

    def _refuse(self, offset: int, words: str) -> None:
        raise Unreadable(_fault(self.spots, offset, words))
