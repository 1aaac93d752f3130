"""``seedance jobs --follow``: a run of another process, live from its journal.

Reads, and never writes: the run does not notice. A person sees the view that the run itself shows;
a log gets a line for each change, a program an object.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs
from rich.live import Live
from rich.text import Text

from seedance_async.cli import exits, frame, journals, settling
from seedance_async.cli.board import FETCHING, OVER, SENDING, Running, oldest
from seedance_async.cli.interrupt import stoppable
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.errors import JournalError
from seedance_async.journal import SqliteJournal
from seedance_async.journal.changes import Change, Changes
from seedance_async.journal.lock import is_written
from seedance_async.lifecycle import JobState, Move

_LOOK_S = 0.5  # between two looks at the file: what a person takes for at once; our choice
_WRITER_S = 2.0  # between two looks whether the run still lives
_DRAW_S = 1.0  # as often as the clocks move
_MAX_ROWS = 20
_ECHO_COLUMNS = 5
_FRAME_ROWS = 4  # the bar, the counts, the last failure and the cursor's own line
# A video of a run is fetched as soon as it is made; what is made and not fetched for longer is
# left to whoever asked for it. Our choice.
_FETCHED_WITHIN_S = 900.0


@attrs.define
class Standing:
    """Where each job of a journal stands, from its changes.

    Attributes:
        moves: The last move of each job, by key, in the order of planning.
        names: What a person knows each job by.
        began: When each job's turn came, where that is known.
    """

    moves: dict[str, Move] = attrs.field(factory=dict)
    names: dict[str, str] = attrs.field(factory=dict)
    began: dict[str, dt.datetime] = attrs.field(factory=dict)

    def take(self, change: Change) -> None:
        """Take a change in."""
        key, move = change.key, change.move
        self.moves[key] = move
        self.names[key] = change.name or key
        if move.state is JobState.SUBMITTING:
            self.began[key] = move.at
        else:
            self.began.setdefault(key, change.sent_at or move.at)

    def running(self, now: dt.datetime) -> list[tuple[str, Running]]:
        """Give the jobs that are under way, in the order in which their turns came."""
        found = []
        for index, (key, move) in enumerate(self.moves.items()):
            if (state := _under_way(move, now)) is not None:
                since = self.began[key].timestamp()
                found.append((key, Running(index=index, state=state, since=since)))
        return sorted(found, key=lambda one: one[1].since)

    def counts(self) -> Counter[JobState]:
        """Count the jobs in each state."""
        return Counter(move.state for move in self.moves.values())


@attrs.define
class Following:
    """One run of the command.

    Attributes:
        path: The journal.
        as_json: Whether a program reads what is printed.
        terminal: Where to.
    """

    path: Path
    as_json: bool
    terminal: Terminal
    standing: Standing = attrs.field(init=False, factory=Standing)
    _running: list[tuple[str, Running]] = attrs.field(init=False, factory=list)
    _counts: Counter[JobState] = attrs.field(init=False, factory=Counter)

    async def to_its_end(self) -> int:
        """Follow until nothing is under way or a signal comes, and give the exit code."""
        try:
            with stoppable(lambda: None) as stop:
                async with SqliteJournal(self.path, read_only=True) as journal:
                    with stop.work(), self._shown() as live:
                        await self._follow(Changes(journal), live)
                ended = "" if stop.signum is not None else "nothing is under way: "
        except JournalError as error:
            raise exits.CannotStart(error.message) from error
        self.terminal.say(f"{ended}{self._told()} in {journals.near(self.path)}", style="bold")
        unknown = [
            key for key, move in self.standing.moves.items() if move.state is JobState.UNKNOWN
        ]
        if unknown:
            self.terminal.say("Unknown jobs may have been paid for.", style="bold red")
            for line in settling.how(unknown, self.path):
                self.terminal.say(line)
        return exits.OK

    @contextlib.contextmanager
    def _shown(self) -> Iterator[Live | None]:
        """Keep a view on the terminal for as long as the block lasts, if somebody looks at it."""
        if self.terminal.console is None or self.as_json:
            yield None
            return
        live = Live(
            console=self.terminal.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        with contextlib.suppress(OSError):
            live.start()
        try:
            yield live
        finally:
            with contextlib.suppress(OSError):
                live.stop()

    async def _follow(self, changes: Changes, live: Live | None) -> None:
        is_first, is_warned, next_look, next_draw = True, False, 0.0, 0.0
        while True:
            is_alive = True
            if time.monotonic() >= next_look:
                # Before the changes are read: whoever ends now has written them by then.
                is_alive = await asyncio.to_thread(is_written, self.path)
                next_look = time.monotonic() + _WRITER_S
            for change in await changes.new():
                self.standing.take(change)
                if not is_first:
                    self._tell(change)
            self._look()
            if is_first:
                self._tell_stands()
            if not is_alive and not self._running:
                return
            if not is_alive and not is_warned:
                is_warned = True
                self.terminal.say(
                    f"no run is going on; {count(len(self._running), 'job')} still to be ended "
                    "by one. Waiting for it; Ctrl-C ends this"
                )
            is_first = False
            if live is not None and time.monotonic() >= next_draw:
                next_draw = time.monotonic() + _DRAW_S
                # Room for the ^C that a terminal echoes: if it wrapped, a line would stay.
                self._draw(live, live.console.width - _ECHO_COLUMNS, live.console.height)
            await anyio.sleep(_LOOK_S)

    def _look(self) -> None:
        self._running = self.standing.running(dt.datetime.now(dt.UTC))
        self._counts = self.standing.counts()

    def _tell_stands(self) -> None:
        """Tell what there was when the following began."""
        if self.as_json:
            for key, move in self.standing.moves.items():
                self.terminal.give(self._spelled(key, move))
        elif self.terminal.console is None:
            self.terminal.give(f"{self._told()} in {journals.near(self.path)}")

    def _tell(self, change: Change) -> None:
        move = change.move
        if self.as_json:
            self.terminal.give(self._spelled(change.key, move))
        elif self.terminal.console is None and (words := _words(move)):
            when = f"{move.at.astimezone():%H:%M:%S}"
            self.terminal.give(one_line(f"{when} {self.standing.names[change.key]}: {words}"))
        elif move.state in (JobState.FAILED, JobState.UNKNOWN):
            line = one_line(f"{self.standing.names[change.key]}: {_words(move)}")
            self.terminal.say(line, style="red")

    def _spelled(self, key: str, move: Move) -> str:
        name = self.standing.names[key]
        fields: dict[str, Any] = {"key": key, "name": None if name == key else name}
        fields |= attrs.asdict(move) | {"at": move.at.astimezone(dt.UTC).isoformat()}
        return json.dumps(fields)

    def _told(self) -> str:
        counts = self._counts
        there = ", ".join(f"{counts[state]:,} {state}" for state in JobState if counts[state])
        return f"{count(counts.total(), 'job')}{': ' if there else ''}{there}"

    def _draw(self, live: Live | None, columns: int, rows: int) -> None:
        if live is not None:
            with contextlib.suppress(OSError):  # the terminal was closed
                live.update(self._frame(columns, rows), refresh=True)

    def _frame(self, columns: int, rows: int) -> Text:
        fitting, now, counts = max(min(rows - _FRAME_ROWS, _MAX_ROWS), 0), time.time(), self._counts
        shown, more = oldest(self._running, fitting)
        lines = [
            frame.bar(self._ended, counts.total(), columns),
            frame.Counts(
                waiting=counts[JobState.PLANNED],
                in_flight=len(self._running) - self._fetching,
                fetching=self._fetching,
                done=counts[JobState.COMPLETED] - self._fetching,
                failed=counts[JobState.FAILED],
                unknown=counts[JobState.UNKNOWN],
            ).line(columns),
        ]
        for key, job in shown:
            name = one_line(self.standing.names[key])
            lines.append(frame.job(name, job.state, now - job.since, columns))
        if more and fitting:
            lines.append(frame.line(f"... and {more} more", columns, "dim"))
        return frame.together(lines)

    @property
    def _ended(self) -> int:
        over = (JobState.COMPLETED, JobState.FAILED, JobState.UNKNOWN)
        return sum(self._counts[state] for state in over) - self._fetching

    @property
    def _fetching(self) -> int:
        return sum(job.state == FETCHING for _, job in self._running)


def _under_way(move: Move, now: dt.datetime) -> str | None:
    """Say what a job is at; None for one that waits or has ended."""
    if move.state is JobState.SUBMITTING:
        return SENDING
    if move.state is JobState.SUBMITTED:
        return "queued" if move.task_status in (None, *OVER) else move.task_status
    is_fresh = (now - move.at).total_seconds() < _FETCHED_WITHIN_S
    if move.state is JobState.COMPLETED and move.path is None and is_fresh:
        return FETCHING
    return None


def _words(move: Move) -> str:
    """Say a move in a few words; empty for what is not worth a line."""
    if move.state in (JobState.PLANNED, JobState.SUBMITTING):
        return ""
    if move.state is JobState.SUBMITTED:
        return f"{move.task_status or 'submitted'} {move.task_id}"
    if move.path is not None:
        return f"downloaded {Path(move.path).name}"
    shown = "UNKNOWN" if move.state is JobState.UNKNOWN else str(move.state)
    return f"{shown}: {move.error}" if move.error else shown


def follow(path: Path, keys: Sequence[str], states: Sequence[str], *, as_json: bool) -> int:
    """Follow the run that writes the journal *path*, and give the exit code.

    Raises:
        CannotStart: Only some of its jobs were asked for, or it cannot be read.
    """
    if keys or states:
        raise exits.CannotStart("--follow shows all jobs: leave KEYs and --state away")
    return asyncio.run(Following(path, as_json, Terminal()).to_its_end())
