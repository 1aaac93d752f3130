"""Showing how a command gets on: a few lines redrawn for a person, or a log without control codes.

Reads events and outcomes; knows nothing of the session that they come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.text import Text

from seedance_async.cli import frame, gone, settling
from seedance_async.cli.board import ASKING, FETCHING, HOLDING, OVER, SENDING, Board, oldest
from seedance_async.cli.left import Asked, Left
from seedance_async.cli.terminal import Terminal, clock, one_line
from seedance_async.errors import JournalError, SubmissionUnknown
from seedance_async.estimate import Estimate
from seedance_async.events import (
    Completed,
    Downloaded,
    Event,
    Failed,
    Planned,
    Resumed,
    StateChanged,
    Submitted,
    Throttled,
)
from seedance_async.results import Outcome, OutcomeStatus

_REDRAW_S = 0.5
_PATIENCE_LINE_S = 30.0  # a provider that is busy says so to every job, again and again
_MAX_ROWS = 20
_ASK_S = 1.0
_FRAME_ROWS = 5  # the bar, the counts, the patience, the money and the cursor's own line
_ECHO_COLUMNS = 5
_MIB = 2**20


class BatchProgress:
    """Shows a batch.

    Args:
        terminal: Where to.
        names: What a person knows each job by, in the order of the batch, short.
        labels: The same for a log.
        quiet: Whether to show nothing at all.

    Attributes:
        spent: Spells what was spent so far; empty for nothing.
        estimates: Gives how long jobs in flight still take, by their keys.
    """

    def __init__(
        self,
        terminal: Terminal,
        names: Sequence[str],
        labels: Sequence[str],
        *,
        quiet: bool = False,
    ) -> None:
        self._terminal = terminal
        self._quiet = quiet
        self.spent: Callable[[], str] = str
        self.estimates: Callable[[Collection[str]], Mapping[str, Estimate]] = lambda _: {}
        self._known = _Known()
        self._names, self._labels = names, labels
        self._board = Board(len(names))
        self._started = time.monotonic()
        self._left = Left()
        self._places: dict[str, int] = {}
        self._next_patience_line = 0.0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show it for as long as the block lasts, and leave nothing but the log lines behind."""
        with contextlib.nullcontext() if self._quiet else redrawn(self._terminal, self._frame):
            yield

    @property
    def in_flight(self) -> int:
        """How many jobs the provider has, or may have soon, that have not ended."""
        return sum(job.state != HOLDING for job in self._board.running.values())

    @property
    def is_sending(self) -> bool:
        """Whether a create may be on the wire."""
        return any(job.state == SENDING for job in self._board.running.values())

    @property
    def taken(self) -> int:
        """How many jobs' turn has come."""
        return self._board.total - self._board.waiting

    def follow(self, asked: Asked) -> None:
        """Show what is left of the batch from now on."""
        self._left.asked = asked

    def note(self, event: Event) -> None:
        """Take an event in."""
        now = time.monotonic()
        self._board.note(event, now)
        if isinstance(event, Planned) and event.index is not None and event.key is not None:
            self._places[event.key] = event.index
        if self._terminal.console is None and not self._quiet:
            self._log(event, now)

    def put_back(self, outcome: Outcome) -> None:
        """Take in that a job is not sent."""
        self._board.put_back(outcome)

    def end(self, outcome: Outcome, *, is_known: bool) -> None:
        """Take an outcome in; nothing is said about one that *is_known* already."""
        self._board.end(outcome)
        if not outcome.ok and not is_known and not self._quiet:
            line = one_line(f"{self._labels[outcome.index]}: {ending(outcome)}")
            self._terminal.say(self._stamped(line), style="red")

    def _log(self, event: Event, now: float) -> None:
        words = log_line(event)
        if isinstance(event, Throttled):
            if now < self._next_patience_line:
                return
            self._next_patience_line = now + _PATIENCE_LINE_S
        if words is None or event.key is None or event.key not in self._places:
            return
        label = self._labels[self._places[event.key]]
        self._terminal.say(self._stamped(one_line(f"{label}: {words}")))

    def _stamped(self, line: str) -> str:
        return line if self._terminal.console else f"{time.strftime('%H:%M:%S')} {line}"

    def _frame(self, rows: int, columns: int) -> RenderableType:
        now, board = time.monotonic(), self._board
        time_ = f"{clock(now - self._started)}{self._left.spelled(now, columns)}"
        lines = [frame.bar(board.ended, board.total, columns, time_), self._counts(columns)]
        if board.patience is not None and now < board.patience[1]:
            to_go = f"{board.patience[1] - now:.0f} s to go"
            why = f"paused, {to_go}: {_patience(board.patience[0])}"
            lines.append(frame.line(why, columns, "yellow"))
        fitting = max(min(rows - _FRAME_ROWS, _MAX_ROWS), 0)
        running, more = oldest(tuple(board.running.items()), fitting)
        spent, left = self._known.at(now, self, [key for key, _ in running])
        if spent:
            lines.append(frame.line(spent, columns))
        for key, job in running:
            left_s = left[key].remaining_s if key in left else None
            age_s = now - job.since
            lines.append(frame.job(self._names[job.index], job.state, age_s, columns, left_s))
        if more and fitting:
            lines.append(frame.line(f"... and {more} more", columns, "dim"))
        return frame.together(lines)

    def _counts(self, columns: int) -> Text:
        board = self._board
        fetching = sum(job.state == FETCHING for job in board.running.values())
        in_flight = self.in_flight - fetching
        return frame.Counts(
            waiting=board.waiting + len(board.running) - fetching - in_flight,
            in_flight=in_flight,
            fetching=fetching,
            done=board.done,
            failed=board.failed,
            unknown=board.unknown,
        ).line(columns)


class _Known:
    """What is asked for once a second at the most: it takes a moment, and is not to flicker."""

    def __init__(self) -> None:
        self._next = float("-inf")
        self._spent, self._left = "", dict[str, Estimate]()

    def at(
        self, now: float, progress: BatchProgress, keys: Collection[str]
    ) -> tuple[str, Mapping[str, Estimate]]:
        """Give what was spent, and how long the jobs of *keys* still take."""
        if now >= self._next:
            self._next = now + _ASK_S
            self._spent, self._left = progress.spent(), dict(progress.estimates(keys))
        return self._spent, self._left


class SingleProgress:
    """Shows one job: a line for each change, and a clock for a person."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._state = SENDING
        self._started = time.monotonic()
        self._left = Left()

    @property
    def is_sending(self) -> bool:
        """Whether the create may be on the wire."""
        return self._state == SENDING

    def follow(self, asked: Asked) -> None:
        """Show how long the task still takes, from now on, while the provider has it."""
        self._left.asked = asked

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show it for as long as the block lasts."""
        with redrawn(self._terminal, self._frame):
            yield

    def note(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, StateChanged | Submitted):
            self._state = event.status if isinstance(event, StateChanged) else "queued"
        elif isinstance(event, Resumed):
            self._state = event.status or ASKING
        elif isinstance(event, Completed):
            self._state = FETCHING
        if isinstance(event, StateChanged) and event.status not in ("completed", "failed"):
            self._terminal.say(one_line(event.status))
        elif not isinstance(event, Failed) and (words := log_line(event)) is not None:
            self._terminal.say(one_line(words))

    def _frame(self, _rows: int, columns: int) -> RenderableType:
        now = time.monotonic()
        left = "" if self._state == FETCHING else self._left.spelled(now, columns)
        words = f"{one_line(self._state)} {clock(now - self._started)}{left}"
        return Text(words, style="dim", no_wrap=True)


def ending(outcome: Outcome) -> str:
    """Say in a few words how a job ended that is not done."""
    error = outcome.error
    if error is None:
        return "no reason given"
    if isinstance(error, SubmissionUnknown):
        return f"UNKNOWN ({settling.why(error)})"
    if gone.is_gone(error):
        return gone.told(error)
    if isinstance(error, JournalError) and error.task_id is not None:
        return "UNKNOWN, accepted, but its id is not in the journal"
    return f"{_ENDS.get(outcome.status, '')}{error.message}"


def log_line(event: Event) -> str | None:
    """Say in a line what happened; None for what is not worth one."""
    if isinstance(event, Submitted):
        return f"submitted {event.task_id}"
    if isinstance(event, Resumed):
        # Of one that is over, what is new comes with its outcome.
        return None if event.status in OVER else f"taken up again: {event.task_id}"
    if isinstance(event, Completed):
        return "completed"
    if isinstance(event, Downloaded):
        return f"downloaded, {event.size_bytes / _MIB:.1f} MiB"
    if isinstance(event, Throttled):
        return f"trying again in {max(event.wait_s, 1):.0f} s: {_patience(event.reason)}"
    return None


def _patience(reason: str) -> str:
    """Say why there is a pause; of a connection that fails, the system's words will do."""
    _, unreachable, why = reason.partition("cannot reach the API: ")
    if not unreachable:
        return reason
    system = why.partition(": ")[2]
    return f"the API cannot be reached{': ' if system else ''}{system}"


@contextlib.contextmanager
def redrawn(terminal: Terminal, drawn: Callable[[int, int], RenderableType]) -> Iterator[None]:
    """Redraw *drawn* twice a second inside the block, if somebody looks at it.

    Args:
        terminal: Where to.
        drawn: Makes what is drawn, for a terminal of so many rows and columns.
    """
    console = terminal.console
    if console is None:
        yield
        return
    # Not Live's own thread: the frame reads what the event loop writes.
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def draw() -> None:
        nonlocal timer
        timer = loop.call_later(_REDRAW_S, draw)
        with contextlib.suppress(OSError):  # the terminal was closed: the jobs go on
            # Room for the ^C that a terminal echoes: if it wrapped, a stray line would stay.
            columns = console.width - _ECHO_COLUMNS
            live.update(Constrain(drawn(console.height, columns), columns), refresh=True)

    with contextlib.suppress(OSError):
        live.start()
    draw()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
        with contextlib.suppress(OSError):
            live.stop()


_ENDS = {
    OutcomeStatus.COMPLETED: "made, but not on disk: ",
    OutcomeStatus.UNKNOWN: "UNKNOWN, ",
    OutcomeStatus.INVALID: "invalid: ",
}
