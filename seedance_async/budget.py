"""What may be spent, what things cost, and what is expected: values without a state.

No prices are public, so none are here: whoever wants to count in money brings a ``PriceTable``.
Money is ``decimal.Decimal`` throughout, so that a budget is reached exactly.
"""

import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import attrs

from seedance_async.rules import Model

Amount = Decimal | int | float | str
_MILLION = 1_000_000
_PER = ("per_video", "per_second", "per_million_tokens")
_CURRENCY = "currency"
_TOO_MUCH = Decimal(10) ** 15  # sums of less are exact; in any currency there is


def _amount(value: Amount) -> Decimal:
    """Read an amount of money; a float as it is written, not as it is stored."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise ValueError(f"an amount of money must be a number of 0 or more, not {value!r}")
    if amount >= _TOO_MUCH:
        raise ValueError(f"an amount of money must be below 1e15, not {value!r}")
    return amount


def _amount_or_none(value: Amount | None) -> Decimal | None:
    return None if value is None else _amount(value)


def _not_negative(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 <= value < float("inf")):
        raise ValueError(f"{attribute.name} must be a number of 0 or more, not {value!r}")


def _whole(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError(f"{attribute.name} must be a whole number of 0 or more, not {value!r}")


@attrs.frozen(kw_only=True)
class Price:
    """What a video of one model costs: the sum of its parts, each 0 or more.

    Attributes:
        per_video: For each video.
        per_second: For each second of video that is asked for.
        per_million_tokens: For a million of the tokens that are billed.
    """

    per_video: Decimal = attrs.field(default=Decimal(0), converter=_amount)
    per_second: Decimal = attrs.field(default=Decimal(0), converter=_amount)
    per_million_tokens: Decimal = attrs.field(default=Decimal(0), converter=_amount)

    def of(self, video_s: int, tokens: Decimal | int | None) -> Decimal | None:
        """Give what so many seconds and tokens cost; None where it takes tokens nobody knows."""
        fixed = self.per_video + self.per_second * video_s
        if not self.per_million_tokens:
            return fixed
        return None if tokens is None else fixed + self.per_million_tokens * tokens / _MILLION


@attrs.frozen
class PriceTable:
    """What the models cost, as the caller's contract or invoice has it.

    Args:
        prices: The price of each model, by its name.
        currency: What the amounts are in, for people: ``USD``.
    """

    prices: Mapping[str, Price]
    currency: str = ""

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> "PriceTable":
        """Read a table such as a file holds: models with their prices, and a ``currency``.

        ``{"currency": "USD", "seedance_2_0_pro": {"per_million_tokens": 7.5}}``

        Raises:
            ValueError: Something in it is no price; it is named.
        """
        prices = {name: _price(name, of) for name, of in table.items() if name != _CURRENCY}
        return cls(prices, str(table.get(_CURRENCY, "")))


def _price(model: str, parts: Any) -> Price:
    if model not in set(Model):
        close = difflib.get_close_matches(model, [*Model, _CURRENCY], n=1)
        meant = f": did you mean {close[0]}?" if close else f": there are {', '.join(Model)}"
        raise ValueError(f"{model!r} is no model{meant}")
    if not isinstance(parts, Mapping) or not parts or not set(parts) <= set(_PER):
        raise ValueError(f"the price of {model} needs one or more of {', '.join(_PER)}")
    try:
        return Price(**parts)
    except ValueError as error:
        raise ValueError(f"the price of {model}: {error}") from None


@attrs.frozen(kw_only=True)
class Budget:
    """The most that a session's jobs may come to; None for no bound, and each holds by itself.

    It covers all jobs that the session is given, and what earlier runs have made of the same ones:
    the same batch again, with the same journal, is within the same budget. A task that failed, and
    a create whose answer got lost, count as if they were paid for, since only the billing knows.

    Args:
        max_videos: Videos.
        max_video_seconds: Seconds of video, as asked for.
        max_tokens: Tokens, as billed. What a video takes is known when it is made; until then it
            counts with the most that such ones took, and the first of a model goes alone.
        max_cost: Money, in the currency of the session's prices; by tokens likewise, if these
            have a price.
    """

    max_videos: int | None = attrs.field(default=None, validator=_whole)
    max_video_seconds: float | None = attrs.field(default=None, validator=_not_negative)
    max_tokens: int | None = attrs.field(default=None, validator=_whole)
    max_cost: Decimal | None = attrs.field(default=None, converter=_amount_or_none)

    @property
    def is_bound(self) -> bool:
        """Whether it bounds anything."""
        return any(value is not None for value in attrs.astuple(self))


@attrs.frozen
class Spread:
    """A quantity that is not known exactly.

    Attributes:
        expected: What it will probably come to.
        low: If everything takes as little as the least that was seen.
        high: If everything takes as much as the most that was seen.
    """

    expected: Decimal
    low: Decimal
    high: Decimal

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(self.expected + other.expected, self.low + other.low, self.high + other.high)

    @property
    def is_exact(self) -> bool:
        """Whether there is nothing to guess."""
        return self.low == self.high

    @classmethod
    def exactly(cls, value: Decimal | int) -> "Spread":
        """Make one of which everything is known."""
        return cls(Decimal(value), Decimal(value), Decimal(value))


_ZERO = Spread.exactly(0)


@attrs.frozen(kw_only=True)
class Expense:
    """What some jobs come to.

    Attributes:
        videos: How many there are.
        video_s: Seconds of video, as asked for.
        tokens: Tokens, as billed or as such jobs took so far; None where nobody knows.
        cost: Money, by the prices that were given; None where there are none for all of it.
    """

    videos: int = 0
    video_s: int = 0
    tokens: Spread | None = _ZERO
    cost: Spread | None = _ZERO

    def __add__(self, other: "Expense") -> "Expense":
        return Expense(
            videos=self.videos + other.videos,
            video_s=self.video_s + other.video_s,
            tokens=_sum(self.tokens, other.tokens),
            cost=_sum(self.cost, other.cost),
        )


def total(expenses: Iterable[Expense]) -> Expense:
    """Add expenses up."""
    return sum(expenses, Expense())


def _sum(one: Spread | None, other: Spread | None) -> Spread | None:
    return None if one is None or other is None else one + other
