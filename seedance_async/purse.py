"""A session's money: what is asked before a create, and told of every job.

What is counted and how is decided in ``expenses``; what lives here is that others can wait for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import anyio
import attrs

from seedance_async.budget import Expense
from seedance_async.errors import BudgetExceeded
from seedance_async.expenses import Expenses, kind_of
from seedance_async.lifecycle import JobRecord
from seedance_async.request import VideoRequest


@attrs.define(eq=False)
class Waiting:
    """Somebody who waits for room.

    Attributes:
        request: For what.
        called: Set when it is worth a look; to be replaced before that.
    """

    request: VideoRequest
    called: anyio.Event = attrs.field(factory=anyio.Event)


class Purse:
    """The budget of one session.

    Who waits stands in a line for each kind of video: as one fares, so do all. Otherwise each of
    thousands would look at every change.
    """

    def __init__(self, expenses: Expenses) -> None:
        self._expenses = expenses
        self._lines: dict[object, dict[Waiting, None]] = {}

    @property
    def spent(self) -> Expense:
        """What the jobs that were sent come to so far."""
        return self._expenses.so_far

    def reserve(self, key: str, request: VideoRequest) -> str | None:
        """Count a job that is about to be sent.

        Returns:
            Why it has to wait until what is in flight makes room for it; None where it may go.

        Raises:
            BudgetExceeded: It is not within the budget.
        """
        refusal = self._expenses.reserve(key, request)
        if refusal is not None and not refusal.may_pass:
            raise BudgetExceeded(f"not sent, nothing paid: {refusal.reason}")
        return None if refusal is None else refusal.reason

    def counts(self, key: str) -> bool:
        """Tell whether the job of *key* counts."""
        return self._expenses.counts(key)

    def note(self, record: JobRecord, *, adopts: bool = False) -> None:
        """Follow a job's record; see ``Expenses.note``."""
        if self._expenses.note(record, adopts=adopts):
            self.wake()

    def give_up(self, key: str) -> None:
        """Note that nobody asks about a job's task any more."""
        if self._expenses.give_up(key):
            self.wake()

    def learned(self) -> None:
        """Reckon anew: more is known of what videos take."""
        self._expenses.learned()
        self.wake()

    @contextlib.contextmanager
    def waiting(self, request: VideoRequest) -> Iterator[Waiting]:
        """Stand in line inside the block; who gets what it waits for calls ``wake``."""
        waiting, kind = Waiting(request), kind_of(request)
        self._lines.setdefault(kind, {})[waiting] = None
        try:
            yield waiting
        finally:
            del self._lines[kind][waiting]
            if not self._lines[kind]:
                del self._lines[kind]
            if waiting.called.is_set():  # and cancelled before it could look
                self.wake()

    def wake(self) -> None:
        """Call the first in each line if there is room, and all of them if there never will be."""
        for line in tuple(self._lines.values()):
            first = next(iter(line))
            refusal = self._expenses.refusal(first.request)
            if refusal is None:
                first.called.set()
            elif not refusal.may_pass:
                _call(line)

    def wake_all(self) -> None:
        """Call everybody."""
        for line in self._lines.values():
            _call(line)


def _call(line: Iterable[Waiting]) -> None:
    for waiting in line:
        waiting.called.set()
