"""A key that stands for another request, told to a person: what was, what is, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seedance_async import wire
from seedance_async.cli.settling import utc
from seedance_async.cli.terminal import one_line
from seedance_async.lifecycle import JobRecord
from seedance_async.request import VideoRequest

_SHOWN = 56  # characters of a value, so that a line fits a terminal
_BEFORE = 16  # characters that are shown before the first difference


def lines(record: JobRecord, request: VideoRequest) -> Iterator[str]:
    """Tell how the request of a key was, and is now: the user's own words, on his terminal."""
    yield one_line(f"key {record.key} stands for another request, of {utc(record.planned_at)}:")
    for name in wire.WIRE_NAMES:
        there, here = getattr(record.request, name), getattr(request, name)
        if there != here:
            was, is_now = _spelled(there), _spelled(here)
            start = _start(was, is_now)
            yield f"  {name} was {_cut(was, start)}"
            yield f"  {' ' * len(name)}  is {_cut(is_now, start)}"


def _spelled(value: Any) -> str:
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    return "not given" if value in (None, "") else one_line(str(value))


def _start(one: str, other: str) -> int:
    """Choose where to begin, so that the first difference is in sight."""
    pairs = enumerate(zip(one, other, strict=False))
    alike = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
    return 0 if alike < _SHOWN - _BEFORE else alike - _BEFORE


def _cut(text: str, start: int) -> str:
    head = "…" if start else ""
    tail = "…" if len(text) > start + _SHOWN else ""
    return f"{head}{text[start : start + _SHOWN]}{tail}"
