"""What a worker tells of its work: a line for each thing that happens, and how it stands.

Reads events alone. A person sees a line that is redrawn; a log gets one a minute, if there is news.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import anyio
from rich.text import Text

from seedance_async.cli import settling
from seedance_async.cli.progress import log_line, redrawn
from seedance_async.cli.terminal import Terminal, clock, count, one_line
from seedance_async.events import Completed, Downloaded, Event, Failed, LimitsAdapted, Throttled

_MINUTE_S = 60.0
_PATIENCE_LINE_S = 30.0  # a provider that is busy says so to every job, again and again


class Shift:
    """One worker's work, from its start to its end.

    Args:
        terminal: Where to.
        in_flight: Tells how many jobs it has now.
    """

    def __init__(self, terminal: Terminal, in_flight: Callable[[], int]) -> None:
        self._terminal = terminal
        self._in_flight = in_flight
        self._made = self._failed = self._unknown = 0
        self._began = time.monotonic()
        self._next_patience_line = 0.0

    @property
    def told(self) -> str:
        """How it stands, in a line."""
        return f"{count(self._in_flight(), 'job')} under way; {self.done}"

    @property
    def done(self) -> str:
        """What came of it so far."""
        failed = f", {self._failed:,} failed" if self._failed else ""
        unknown = f", {self._unknown:,} unknown" if self._unknown else ""
        return f"{count(self._made, 'video')} brought in{failed}{unknown}"

    def note(self, event: Event) -> None:
        """Take an event in, and tell of it where it matters."""
        words, style = log_line(event), ""
        if isinstance(event, Completed):
            return  # it is seen once more before the video is fetched, and that is told of
        if isinstance(event, Throttled):
            now = time.monotonic()
            if now < self._next_patience_line:
                return
            self._next_patience_line = now + _PATIENCE_LINE_S
        elif isinstance(event, LimitsAdapted):
            words = _adapted(event)
        elif isinstance(event, Failed):
            why, style = settling.lost(event.reason), "red"
            words = f"UNKNOWN ({why}): it may be paid for" if why else f"failed: {event.reason}"
            self._unknown += bool(why)
            self._failed += not why
        self._made += isinstance(event, Downloaded)
        if words is not None:
            who = event.key or event.task_id
            self.say(f"{who}: {words}" if who else words, style)

    def say(self, words: str, style: str = "") -> None:
        """Write a line with the time before it."""
        self._terminal.say(f"{time.strftime('%H:%M:%S')} {one_line(words)}", style=style)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show how it stands for as long as the block lasts, to a person."""
        with redrawn(self._terminal, self._frame):
            yield

    def _frame(self, _rows: int, _columns: int) -> Text:
        words = f"{clock(time.monotonic() - self._began)}  {self.told}"
        return Text(words, style="dim", no_wrap=True, overflow="ellipsis")

    async def by_the_minute(self) -> None:
        """Write how it stands into a log once a minute, if there is anything to tell; for ever."""
        before = ""
        while True:
            await anyio.sleep(_MINUTE_S)
            if self._terminal.console is None and (self._in_flight() or self.told != before):
                before = self.told
                self.say(before)


def _adapted(event: LimitsAdapted) -> str:
    rate = event.creates_per_minute
    creates = "" if rate is None else f", {rate:.3g} creates a minute"
    return f"at most {event.max_in_flight} in flight{creates} for now: {event.reason}"
