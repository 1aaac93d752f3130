"""What a session's jobs have come to, and whether one more is within the budget.

Pure bookkeeping: every job has one entry, by its key, which follows the job's record. What may be
given back is *open* (a create that may be refused; the tokens of a task that has not ended); all
else is *spent*. A job goes if it fits beside both, waits while what is open may make room, and is
refused if it does not even fit beside what is spent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum, auto

import attrs

from seedance_async.budget import Budget, Expense, Price, PriceTable, Spread, total
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.rates import Rates, seconds_of
from seedance_async.request import VideoRequest

# What a video takes of these is not known before it is made.
_BILLED = frozenset({"tokens", "cost"})
_LEAST = Decimal("0.000001")  # what has to be left for a job of which nobody knows what it takes


class _Stage(Enum):
    RESERVED = auto()  #: nothing is accepted yet
    RUNNING = auto()  #: accepted: what it takes is known when it ends
    ENDED = auto()  #: no more can be learned of it


@attrs.define
class _Entry:
    """A job.

    Attributes:
        request: What is made.
        stage: How far it is.
        billed: Its tokens, where they were told.
        is_mute: Whether it was made and its tokens were not told.
        attempts: How many creates were begun for it, as far as was told.
        lost: How many more creates of it count, of which nobody knows what became of them.
    """

    request: VideoRequest
    stage: _Stage = _Stage.RESERVED
    billed: int | None = None
    is_mute: bool = False
    attempts: int = 0
    lost: int = 0


@attrs.frozen
class _Sum:
    """What entries come to at the most; ``guesses`` are those of which nobody knows that."""

    videos: int = 0
    video_s: int = 0
    tokens: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    guesses: int = 0

    def plus(self, other: _Sum, times: int = 1) -> _Sum:
        return _Sum(
            self.videos + times * other.videos,
            self.video_s + times * other.video_s,
            self.tokens + times * other.tokens,
            self.cost + times * other.cost,
            self.guesses + times * other.guesses,
        )


_NOTHING = _Sum()


@attrs.frozen
class Refusal:
    """A job is not to be sent now.

    Attributes:
        reason: Why, for people.
        may_pass: Whether what is open may yet make room for it.
        is_guess: Whether it is merely not known what it takes.
    """

    reason: str
    may_pass: bool
    is_guess: bool = False


class Expenses:
    """The accounts of one session.

    Args:
        budget: The bounds.
        prices: What things cost; None where nobody said.
        rates: Gives what is known of tokens now.

    Raises:
        ValueError: There is a bound for money and no price.
    """

    def __init__(
        self, budget: Budget, prices: PriceTable | None, rates: Callable[[], Rates]
    ) -> None:
        if budget.max_cost is not None and prices is None:
            raise ValueError("a budget with max_cost needs prices: what do the models cost?")
        self._budget = budget
        self._prices = prices
        self._rates = rates
        self._entries: dict[str, _Entry] = {}  # of jobs that were not billed
        self._booked: dict[str, tuple[_Sum, _Sum]] = {}
        self._spent, self._open = _NOTHING, _NOTHING
        self._mute: Counter[str] = Counter()  # of each model, how many
        self._billed = Expense()  # what the others come to
        self._closed: set[str] = set()  # their keys: a session may live for weeks

    # ---- what jobs do

    def reserve(self, key: str, request: VideoRequest) -> Refusal | None:
        """Count a job that is about to be sent, unless it is not within the budget.

        One that counts already, since nobody knows what became of its create, counts twice.

        Returns:
            Why not; None where it is counted.
        """
        refusal = self.refusal(request)
        if refusal is not None:
            return refusal
        entry = _Entry(request)
        self._closed.discard(key)
        if key in self._entries:
            before = self._drop(key)
            entry.lost, entry.attempts = before.lost + 1, before.attempts
        self._put(key, entry)
        return None

    def counts(self, key: str) -> bool:
        """Tell whether the job of *key* counts."""
        return key in self._entries or key in self._closed

    def note(self, record: JobRecord, *, adopts: bool = False) -> bool:
        """Follow a job's record.

        Args:
            record: How the job stands.
            adopts: Whether to count it where it was not reserved: it was sent before.

        Returns:
            Whether anything changed, so that there may be room now.
        """
        entry = self._entries.get(record.key)
        if record.key in self._closed or (entry is None and not (adopts and _may_be_paid(record))):
            return False
        if not _may_be_paid(record):  # refused, or never sent
            self._drop(record.key)
            return True
        after = _entry_of(record)
        if entry is not None:
            is_unsent = entry.stage is _Stage.RESERVED and record.attempts == entry.attempts
            after.lost = entry.lost - (is_unsent and entry.lost > 0)
        if after != entry:
            if entry is not None:
                self._drop(record.key)
            self._put(record.key, after)
        return after != entry

    def give_up(self, key: str) -> bool:
        """Note that nobody asks about a job's task any more, so that no more is learned of it."""
        entry = self._entries.get(key)
        if entry is None or entry.stage is not _Stage.RUNNING:
            return False
        self._put(key, attrs.evolve(self._drop(key), stage=_Stage.ENDED))
        return True

    def learned(self) -> None:
        """Reckon anew with what is known of tokens now."""
        for key in tuple(self._entries):
            self._put(key, self._drop(key))

    def _put(self, key: str, entry: _Entry) -> None:
        self._mute[entry.request.model] += entry.is_mute
        spent, is_open = self._sums(entry)
        if entry.lost:
            lost = attrs.evolve(self._most(entry.request, self._guessed(entry)), guesses=0)
            spent = spent.plus(lost, entry.lost)
        self._spent, self._open = self._spent.plus(spent), self._open.plus(is_open)
        if entry.billed is not None and not entry.lost:  # there is nothing more to learn of it
            self._billed += self._comes_to(entry)
            self._closed.add(key)
            return
        self._entries[key] = entry
        self._booked[key] = spent, is_open

    def _drop(self, key: str) -> _Entry:
        spent, is_open = self._booked.pop(key)
        self._spent, self._open = self._spent.plus(spent, -1), self._open.plus(is_open, -1)
        entry = self._entries.pop(key)
        self._mute[entry.request.model] -= entry.is_mute
        return entry

    def _sums(self, entry: _Entry) -> tuple[_Sum, _Sum]:
        """Give what of an entry is spent, and what is open."""
        most = self._most(entry.request, self._comes_to(entry))
        if entry.stage is _Stage.RESERVED:
            return _NOTHING, most
        if entry.stage is _Stage.ENDED:
            return attrs.evolve(most, guesses=0), _NOTHING
        fixed = self._fixed(entry.request)
        certain = _Sum(videos=most.videos, video_s=most.video_s, cost=fixed)
        return certain, most.plus(certain, -1)

    def _most(self, request: VideoRequest, expense: Expense) -> _Sum:
        """Give the most that a job may come to, as far as anybody knows."""
        tokens, cost = expense.tokens, expense.cost
        return _Sum(
            videos=expense.videos,
            video_s=expense.video_s,
            tokens=Decimal(0) if tokens is None else tokens.high,
            # Where nobody knows its tokens, what it costs besides is known.
            cost=self._fixed(request) if cost is None else cost.high,
            guesses=int(self._is_guess(expense)),
        )

    def _fixed(self, request: VideoRequest) -> Decimal:
        """Give what a job costs whatever its tokens."""
        price = self._price(request)
        return (price and price.of(seconds_of(request), 0)) or Decimal(0)

    def _is_guess(self, expense: Expense) -> bool:
        """Tell whether it is unknown of a job what is bounded."""
        by_tokens = self._budget.max_tokens is not None and expense.tokens is None
        return by_tokens or (self._budget.max_cost is not None and expense.cost is None)

    # ---- what is within the budget

    def refusal(self, request: VideoRequest) -> Refusal | None:
        """Say why a job is not within the budget now, the same for all of a kind; None if it is."""
        if self._budget.max_cost is not None and self._price(request) is None:
            return Refusal(f"there is no price for {request.model}", may_pass=False)
        most = self._most(request, expected(request, self._rates(), self._prices))
        if most.guesses and self._mute[request.model]:
            reason = f"the provider does not tell what videos of {request.model} take"
            return Refusal(reason, may_pass=False)
        for name, bound, unit in self._bounds():
            takes: Decimal = getattr(most, name)
            if most.guesses and name in _BILLED:
                takes = max(takes, _LEAST)
            spent = getattr(self._spent, name)
            held = spent + getattr(self._open, name)
            for sum_, may_pass in ((spent, False), (held, True)):
                if sum_ + takes > bound:
                    what = "spent or in flight" if may_pass else "spent"
                    told = (
                        f"over the budget of {_told(bound, name)}{unit}: {_told(sum_, name)} {what}"
                    )
                    is_plain = takes is _LEAST or name == "videos"
                    more = "" if is_plain else f", and this one takes {_told(takes, name)}"
                    return Refusal(f"{told}{more}", may_pass=may_pass)
            if name in _BILLED and self._open.guesses:
                reason = "the first video of a model has to tell what one takes"
                return Refusal(reason, may_pass=True, is_guess=True)
        return None

    def _bounds(self) -> Iterable[tuple[str, Decimal, str]]:
        budget = self._budget
        currency = f" {self._prices.currency}".rstrip() if self._prices else ""
        for name, bound, unit in (
            ("videos", budget.max_videos, " videos"),
            ("video_s", budget.max_video_seconds, " s of video"),
            ("tokens", budget.max_tokens, " tokens"),
            ("cost", budget.max_cost, currency),
        ):
            if bound is not None:
                yield name, Decimal(str(bound)), unit

    # ---- what it comes to

    @property
    def so_far(self) -> Expense:
        """What all jobs come to that were sent, those in flight as expected."""
        live = self._entries.values()
        sent = (self._comes_to(each) for each in live if each.stage is not _Stage.RESERVED)
        lost = (self._guessed(each) for each in live for _ in range(each.lost))
        return total((self._billed, *sent, *lost))

    def _comes_to(self, entry: _Entry) -> Expense:
        return expected(entry.request, self._rates(), self._prices, entry.billed)

    def _guessed(self, entry: _Entry) -> Expense:
        return expected(entry.request, self._rates(), self._prices)

    def _price(self, request: VideoRequest) -> Price | None:
        return None if self._prices is None else self._prices.prices.get(request.model)


def kind_of(request: VideoRequest) -> tuple[str, str, int]:
    """Give what of a request decides about what it comes to."""
    return str(request.model), str(request.aspect_ratio), seconds_of(request)


def expected(
    request: VideoRequest, rates: Rates, prices: PriceTable | None, billed: int | None = None
) -> Expense:
    """Give what a job will come to, or came to where so many tokens were *billed*."""
    video_s = seconds_of(request)
    tokens = rates.tokens(request) if billed is None else Spread.exactly(billed)
    price = None if prices is None else prices.prices.get(request.model)
    if price is None:
        return Expense(videos=1, video_s=video_s, tokens=tokens, cost=None)
    counts = (None,) * 3 if tokens is None else (tokens.expected, tokens.low, tokens.high)
    costs = [price.of(video_s, each) for each in counts]
    known = [each for each in costs if each is not None]
    cost = Spread(*known) if len(known) == len(costs) else None
    return Expense(videos=1, video_s=video_s, tokens=tokens, cost=cost)


def _entry_of(record: JobRecord) -> _Entry:
    entry = _Entry(record.request, _Stage.RUNNING, attempts=record.attempts)
    if record.state is not JobState.SUBMITTED:
        entry.stage = _Stage.ENDED
        entry.billed = None if record.task is None else record.task.total_tokens
        entry.is_mute = record.state is JobState.COMPLETED and entry.billed is None
    return entry


def _may_be_paid(record: JobRecord) -> bool:
    """Tell whether a task of the job may exist."""
    if record.state is JobState.FAILED:
        return record.task_id is not None
    return record.state is not JobState.PLANNED


def _told(amount: Decimal | int, name: str) -> str:
    """Spell an amount of what *name* says for people."""
    whole, _, part = f"{amount:,.4f}".partition(".")
    part = part.rstrip("0")
    if name == "cost":
        part = part.ljust(2, "0")
    return f"{whole}.{part}".rstrip(".")
