"""What things come to, as people read it; budgets and prices, as they are given."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from seedance_async.budget import Budget, Expense, PriceTable, Spread
from seedance_async.cli import folder
from seedance_async.cli.bounds import Bounds
from seedance_async.cli.exits import CannotStart

_THOUSAND, _MILLION = 1_000, 1_000_000
_EXACT_BELOW = 10_000  # tokens that are spelled with all their digits


def read_budget(bounds: Bounds) -> Budget:
    """Read the bounds that were given.

    Raises:
        CannotStart: One of them is no such number.
    """
    given = {name: getattr(bounds, name) for name in attrs.fields_dict(Budget)}
    for name, value in given.items():
        try:
            Budget(**{name: value})
        except ValueError as error:
            option = f"--{name.replace('_', '-')}"
            raise CannotStart(f"{option} {str(error)[str(error).index('must be') :]}") from error
    return Budget(**given)


def needed_prices(bounds: Bounds, usual: Any = None) -> PriceTable | None:
    """Read the prices that were given.

    Args:
        bounds: The options.
        usual: A table of them for where no file was named.

    Raises:
        CannotStart: They cannot be read, or there are none and they are needed.
    """
    if bounds.prices is None and not usual and bounds.max_cost is not None:
        what = "--max-cost needs --prices FILE: no prices are public, so none are known here"
        raise CannotStart(what)
    return read_prices(bounds.prices, usual or None)


def read_prices(path: Path | None, usual: Any = None) -> PriceTable | None:
    """Read prices.

    Args:
        path: The file that was named; None for none.
        usual: A table of them for where none was.

    Raises:
        CannotStart: They cannot be read.
    """
    table = usual if path is None else _read(path)
    try:
        return None if table is None else PriceTable.from_mapping(table)
    except ValueError as error:
        raise CannotStart(f"{path or 'prices'}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(folder.at_home(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no TOML
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(f"{path}: cannot be read: {reason}") from error


def spelled(expense: Expense, currency: str) -> str:
    """Spell what jobs will come to: seconds, then tokens and money as far as they are known."""
    return ", ".join(_parts(expense, currency))


def _parts(expense: Expense, currency: str) -> Iterator[str]:
    yield f"{expense.video_s:,} s of video"
    if expense.tokens is not None and expense.videos:
        yield _range(expense.tokens, _tokens, "tokens")
    if expense.cost is not None and expense.videos:
        yield _range(expense.cost, _cost, currency)


def _range(spread: Spread, told: Callable[[Decimal], str], unit: str) -> str:
    middle, low, high = told(spread.expected), told(spread.low), told(spread.high)
    span = "" if low == high else f"({low}-{high})"
    return " ".join(filter(None, (f"about {middle}", unit, span)))


def _cost(cost: Decimal) -> str:
    return f"{cost:,.2f}"


def _tokens(count: Decimal) -> str:
    if count < _EXACT_BELOW:
        return f"{count:,.0f}"
    return f"{count / _THOUSAND:,.0f}k" if count < _MILLION else f"{count / _MILLION:,.2f}M"


def spent(expense: Expense | None, budget: Budget, prices: PriceTable | None) -> str:
    """Spell what was spent so far, of what may be."""
    if expense is None or not expense.videos:
        return ""
    told = [
        _of(f"{expense.videos:,}", budget.max_videos, f"video{'s' * (expense.videos != 1)}"),
        _of(f"{expense.video_s:,}", budget.max_video_seconds, "s"),
    ]
    if expense.tokens is not None:
        most = budget.max_tokens and _tokens(Decimal(budget.max_tokens))
        told.append(_of(_tokens(expense.tokens.expected), most, "tokens"))
    if expense.cost is not None:
        most = None if budget.max_cost is None else _cost(budget.max_cost)
        currency = prices.currency if prices else ""
        told.append(_of(_cost(expense.cost.expected), most, currency).rstrip())
    return ", ".join(told)


def _of(amount: str, most: object, unit: str) -> str:
    of = "" if most is None else f" of {most}"
    return f"{amount}{of} {unit}"


def fields(expense: Expense) -> dict[str, Any]:
    """Give what jobs come to as an object for a program."""

    def spread(value: Spread | None) -> dict[str, float] | None:
        if value is None:
            return None
        numbers = {"expected": value.expected, "low": value.low, "high": value.high}
        return {name: float(number) for name, number in numbers.items()}

    return {
        "videos": expense.videos,
        "video_s": expense.video_s,
        "tokens": spread(expense.tokens),
        "cost": spread(expense.cost),
    }
