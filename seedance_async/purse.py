"""A session's money: what is asked before a create, and told of every job.

What is counted and how is decided in ``expenses``; what lives here is that others can wait for it.
"""

from __future__ import annotations

import anyio

from seedance_async.budget import Expense
from seedance_async.errors import BudgetExceeded
from seedance_async.expenses import Expenses
from seedance_async.lifecycle import JobRecord
from seedance_async.request import VideoRequest


class Purse:
    """The budget of one session.

    Attributes:
        changed: Set when there may be room; another one then.
    """

    def __init__(self, expenses: Expenses) -> None:
        self.changed: anyio.Event = anyio.Event()
        self._expenses = expenses

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

    def wake(self) -> None:
        """Have those who wait look again."""
        self.changed.set()
        self.changed = anyio.Event()
