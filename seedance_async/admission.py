"""Who may create or ask now: the limits of one session, and the gate that a 429 closes.

Pure arithmetic on a steady clock: it says *when*, and the shell sleeps. One instance is shared
by everything that a session does, so that a limit holds over all of it.
"""

from __future__ import annotations

import attrs

_optional_rate = attrs.validators.optional(attrs.validators.gt(0))
_SECONDS_A_MINUTE = 60.0


def _at_least_one(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number of at least 1, not {value!r}")


@attrs.frozen(kw_only=True)
class Limits:
    """What a session may do at once, and how fast.

    Args:
        max_in_flight: How many jobs of one batch may be at the provider at once, at least 1.
            Our choice; the account's own limit may be lower.
        creates_per_minute: How many creates a minute, above 0; None leaves it to the provider.
        polls_per_second: How many queries a second over the whole session, above 0; None sets
            no limit.
    """

    max_in_flight: int = attrs.field(default=20, validator=_at_least_one)
    creates_per_minute: float | None = attrs.field(default=None, validator=_optional_rate)
    polls_per_second: float | None = attrs.field(default=None, validator=_optional_rate)


class Admission:
    """Hands out times: each caller gets the earliest one at which it may go."""

    def __init__(self, limits: Limits) -> None:
        creates = limits.creates_per_minute
        self._create_gap_s = _SECONDS_A_MINUTE / creates if creates else 0.0
        self._poll_gap_s = 1 / limits.polls_per_second if limits.polls_per_second else 0.0
        self._next_create = self._next_poll = self._open_from = float("-inf")

    def create_at(self, now: float) -> float:
        """Take the next free time for a create, *now* or later."""
        at = max(now, self._next_create, self._open_from)
        self._next_create = at + self._create_gap_s
        return at

    def poll_at(self, now: float) -> float:
        """Take the next free time for a query, *now* or later."""
        at = max(now, self._next_poll, self._open_from)
        self._next_poll = at + self._poll_gap_s
        return at

    @property
    def open_from(self) -> float:
        """When the gate opens, or opened; negative infinity if it never closed."""
        return self._open_from

    def close_until(self, time: float) -> None:
        """Close the gate to everybody: the provider asked one caller to wait until *time*."""
        self._open_from = max(self._open_from, time)
