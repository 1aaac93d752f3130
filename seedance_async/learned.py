"""Keeps what a session learns of tasks, how long they take and what they are billed, for the next.

Seldom, so that ten thousand jobs do not pay for it; and whatever goes wrong here is logged once,
and hurts no job. What is kept are counts and seconds by model and duration: no prompt, no id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

import anyio

from seedance_async.journal import Journal
from seedance_async.paid import is_ours
from seedance_async.rates import Rates
from seedance_async.turnaround import Turnarounds

_log = logging.getLogger("seedance_async")
TURNAROUNDS = "turnarounds"
RATES = "token rates"
# A program that is killed forgets what it learned in so many seconds; our choice.
_EVERY_S = 30.0
# For so long a job that has ended waits for a journal that hangs; our choice.
_PATIENCE_S = 5.0


class Learned:
    """The record of a session, and its copy in the journal.

    Attributes:
        turnarounds: The record; another one after ``read``.
        rates: What videos were billed, likewise.
    """

    def __init__(self, journal: Journal) -> None:
        self.turnarounds: Turnarounds = Turnarounds()
        self.rates: Rates = Rates()
        self._journal = journal
        self._rates = self.rates.to_json()
        self._next = float("-inf")
        self._has_news = False
        self._has_failed = False

    async def read(self) -> None:
        """Take up what the session before has left."""
        with self._trying(), anyio.fail_after(_PATIENCE_S):
            self.turnarounds = Turnarounds.from_json(await self._journal.recall(TURNAROUNDS))
            self.rates = Rates.from_json(await self._journal.recall(RATES))
            self._rates = self.rates.to_json()

    async def task_ended(self) -> None:
        """Take note that there is something new, and write it down if that is due."""
        self._has_news = True
        if anyio.current_time() >= self._next:
            await self.write()

    async def write(self) -> None:
        """Write down what is new, if anything is."""
        if not self._has_news:
            return
        # Before the write, so that others whose tasks end meanwhile go on.
        self._has_news, self._next = False, anyio.current_time() + _EVERY_S
        is_written = False
        # Shielded from the deadline of a wait: its task has ended in time.
        with self._trying(), anyio.fail_after(_PATIENCE_S, shield=True):
            await self._journal.remember(TURNAROUNDS, self.turnarounds.to_json())
            if (rates := self.rates.to_json()) != self._rates:
                await self._journal.remember(RATES, rates)
                self._rates = rates
            is_written = True
        self._has_news = self._has_news or not is_written

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        """Go on behind a block that fails, and say so the first time."""
        try:
            yield
        # Whatever a user's journal may raise; one that was written before it had to have the
        # methods lacks them, and that is no worse.
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and is_ours(exc):
                raise
            if not self._has_failed:
                self._has_failed = True
                _log.warning("the journal does not keep how long tasks take: %r", exc)
