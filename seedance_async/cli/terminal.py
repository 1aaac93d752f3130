"""Where words go: results to stdout, everything else to stderr, never a control code of others'.

Text from files, users and the provider passes through ``printable``, and none of it is read as
rich's markup. A reader that went away must not hurt a paid job: writing never raises.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text


class Terminal:
    """The two streams of one command.

    Attributes:
        width: How many columns stdout has, where it is a terminal; None where lines may be long.
        console: Draws on stderr where a person looks at it; None where plain lines belong.
    """

    def __init__(self) -> None:
        # Not rich's own judgement: FORCE_COLOR must not bring escape codes into a log.
        moves = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
        self.console: Console | None = (
            Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
            if moves
            else None
        )
        self.width: int | None = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self.shows_results: bool = self.console is not None and sys.stdout.isatty()

    def say(self, text: str, style: str = "") -> None:
        """Write a line for people."""
        with contextlib.suppress(OSError, UnicodeError):
            if self.console is None:
                print(printable(text), file=sys.stderr, flush=True)  # noqa: T201
            else:
                self.console.print(Text(printable(text), style=style), soft_wrap=True)

    @property
    def is_attended(self) -> bool:
        """Whether a person is here who could answer."""
        return self.console is not None and sys.stdin.isatty()

    def give(self, result: str) -> None:
        """Write a result for whatever reads stdout."""
        with contextlib.suppress(OSError, UnicodeError):
            print(result, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """Take everything out of *text* that could move a cursor or change a colour."""
    return "".join(char if char.isprintable() or char == "\n" else _shown(char) for char in text)


def _shown(char: str) -> str:
    return " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    """Put *text* on one line."""
    return printable(" ".join(text.split()))


def clock(seconds: float) -> str:
    """Spell a time span as people read it: ``0:42``, ``1:02:03``."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def count(number: int, noun: str) -> str:
    """Spell a number of things: ``1 job``, ``1,200 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ranges(numbers: Iterable[int]) -> Iterator[str]:
    """Spell rising numbers as ranges: ``3``, ``5-9``."""
    for _, run in groupby(enumerate(numbers), lambda placed: placed[1] - placed[0]):
        first, *more = [number for _, number in run]
        yield f"{first}-{more[-1]}" if more else str(first)
