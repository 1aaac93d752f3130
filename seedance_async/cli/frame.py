"""The lines of a view that is drawn again and again: how far it is, and what each job is at.

Made by hand: a table of rich's takes ten times as long, second by second.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from rich.cells import set_cell_size
from rich.text import Text

from seedance_async.cli.board import FETCHING, HOLDING, SENDING
from seedance_async.cli.terminal import clock, one_line

_STATE_COLUMNS, _AGE_COLUMNS, _LEFT_COLUMNS = 10, 7, 13
_WIDE = 70  # columns: room for a job's estimate as well
_STYLES = {
    SENDING: "dim",
    HOLDING: "dim",
    "queued": "cyan",
    "processing": "blue",
    FETCHING: "green",
}


@attrs.frozen(kw_only=True)
class Counts:
    """How many jobs are at what."""

    waiting: int
    in_flight: int
    fetching: int
    done: int
    failed: int
    unknown: int

    def line(self, columns: int) -> Text:
        """Spell them."""
        fetched = f"{self.fetching} fetching, " if self.fetching else ""
        line = Text.assemble(
            f"{self.waiting} waiting, {self.in_flight} in flight, {fetched}",
            (f"{self.done} done", "green"),
            ", ",
            (f"{self.failed} failed", "bold red" if self.failed else ""),
            (f", {self.unknown} UNKNOWN", "bold red") if self.unknown else "",
        )
        line.truncate(columns, overflow="ellipsis")
        return line


def bar(ended: int, total: int, columns: int, tail: str = "") -> Text:
    """Draw how far it is, with the numbers and *tail* behind it."""
    told = f" {ended}/{total}{f' {tail}' if tail else ''}"
    length = max(columns - len(told), 0)
    done = length * ended // max(total, 1)
    style = "green" if ended >= total else "magenta"
    return Text.assemble(("━" * done, style), ("━" * (length - done), "dim"), told)


def job(name: str, state: str, age_s: float, columns: int, left_s: float | None = None) -> Text:
    """Say what a job is at, for how long, and how long it still takes."""
    state = one_line(state)
    tail = f" {state[:_STATE_COLUMNS]:<{_STATE_COLUMNS}} {clock(age_s):>{_AGE_COLUMNS}}"
    if columns >= _WIDE:
        left = "" if left_s is None else f"~{clock(left_s)} left"
        tail += f"{left:>{_LEFT_COLUMNS}}"
    called = set_cell_size(name, max(columns - len(tail), 0))
    return Text.assemble(called, (tail, _STYLES.get(state, "")))


def line(text: str, columns: int, style: str = "") -> Text:
    """Put *text* on a line."""
    shown = Text(one_line(text), style=style)
    shown.truncate(columns, overflow="ellipsis")
    return shown


def together(lines: Iterable[Text]) -> Text:
    """Put lines under one another."""
    return Text("\n", no_wrap=True, overflow="crop").join(lines)
