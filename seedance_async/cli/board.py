"""Where a batch stands, gathered from events and outcomes. Draws nothing and reads no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import attrs

from seedance_async.events import (
    Completed,
    Event,
    Held,
    Planned,
    Resumed,
    StateChanged,
    Submitted,
    Throttled,
)
from seedance_async.results import Outcome, OutcomeStatus

T = TypeVar("T")

#: A job's state while its video comes to disk; the provider is done with it.
FETCHING = "fetching"
#: Its state until the provider has accepted it; the create may be on the wire.
SENDING = "sending"
#: The state of one that waits for the budget.
HOLDING = "on hold"
#: The state of a job that an earlier run sent, until its task is asked for.
ASKING = "asking"
#: What the provider says of a task that it does not work on any more.
OVER = frozenset({"completed", "failed", "cancelled"})


@attrs.define(kw_only=True)
class Running:
    """A job under way.

    Attributes:
        index: Its place in the batch, from 0.
        state: What it is at, in a word.
        since: When its turn came, on the caller's clock in seconds.
    """

    index: int
    state: str
    since: float


class Board:
    """The state of a batch whose jobs are all known.

    Attributes:
        total: How many jobs there are.
        done: Ended, with all that was asked for.
        unknown: Ended, and nobody knows how.
        failed: Ended otherwise.
        running: The jobs under way by key, in the order in which their turns came.
        patience: What the provider last asked for, and until when; None if it never did.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done: int = 0
        self.unknown: int = 0
        self.failed: int = 0
        self.running: dict[str, Running] = {}
        self.patience: tuple[str, float] | None = None

    @property
    def ended(self) -> int:
        """How many jobs have ended in any way."""
        return self.done + self.unknown + self.failed

    @property
    def waiting(self) -> int:
        """How many jobs' turn has not come."""
        return max(self.total - self.ended - len(self.running), 0)

    def note(self, event: Event, now: float) -> None:
        """Take an event in."""
        if event.key is None:
            return
        if isinstance(event, Planned) and event.index is not None:
            self.running[event.key] = Running(index=event.index, state=SENDING, since=now)
        elif isinstance(event, Throttled):
            self.patience = (event.reason, now + event.wait_s)
        elif (job := self.running.get(event.key)) is not None:
            job.state = _state(event) or job.state

    def put_back(self, outcome: Outcome) -> None:
        """Take a job back among those whose turn has not come: it was not sent."""
        if outcome.key is not None:
            self.running.pop(outcome.key, None)

    def end(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        if outcome.ok:
            self.done += 1
        elif outcome.status is OutcomeStatus.UNKNOWN:
            self.unknown += 1
        else:
            self.failed += 1
        job = None if outcome.key is None else self.running.get(outcome.key)
        # An invalid job has the key of another one when that is what is wrong with it.
        if job is not None and outcome.key is not None and job.index == outcome.index:
            del self.running[outcome.key]


def oldest(running: Sequence[T], rows: int) -> tuple[Sequence[T], int]:
    """Choose the jobs to show in so many *rows*, and tell how many are left out."""
    if len(running) <= rows:
        return running, 0
    shown = max(rows - 1, 0)  # one row says how many more there are
    return running[:shown], len(running) - shown


def _state(event: Event) -> str | None:
    if isinstance(event, Submitted):
        return "queued"
    if isinstance(event, StateChanged):
        return event.status
    if isinstance(event, Held):
        return HOLDING
    if isinstance(event, Resumed):
        return FETCHING if event.status == "completed" else event.status or ASKING
    return FETCHING if isinstance(event, Completed) else None
