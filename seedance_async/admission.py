"""Who may create or ask now: the limits of one session, and the gate that a 429 closes.

Pure arithmetic on a steady clock: it says *when*, and the shell sleeps. One instance is shared
by everything that a session does, so that a limit holds over all of it.
"""

from __future__ import annotations

import attrs

_optional_rate = attrs.validators.optional(attrs.validators.gt(0))
_SECONDS_A_MINUTE = 60.0
LONGEST_POLL_PAUSE_S = 120.0  # our choice


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


class Lane:
    """Says when the next call of one kind may go, and is told when one goes.

    Attributes:
        open_from: When the gate before it opens, or opened; negative infinity if it never closed.
        gap_s: The least time between two calls, in seconds.
    """

    def __init__(self, gap_s: float) -> None:
        self.open_from: float = float("-inf")
        self.gap_s: float = gap_s
        self._next = float("-inf")

    def earliest(self, now: float) -> float:
        """Give the next free time, *now* or later; it may move while somebody waits for it."""
        return max(now, self._next, self.open_from)

    def go(self, now: float) -> None:
        """Note that a call goes now."""
        self._next = now + self.gap_s

    def close(self, until: float) -> None:
        """Close the gate until then, or longer if it is closed for longer."""
        self.open_from = max(self.open_from, until)


class Admission:
    """The two lanes of a session, creates and polls, and the one gate before both."""

    def __init__(self, limits: Limits) -> None:
        per_minute, per_second = limits.creates_per_minute, limits.polls_per_second
        self.creates: Lane = Lane(_SECONDS_A_MINUTE / per_minute if per_minute else 0.0)
        self.polls: Lane = Lane(1 / per_second if per_second else 0.0)

    def close(self, now: float, wait_s: float) -> None:
        """Close the gate to everybody: the provider asked one caller to wait so long.

        Polls wait two minutes at the most: a long pause is about creates, and a video that is
        ready waits for nobody.
        """
        self.creates.close(now + wait_s)
        self.polls.close(now + min(wait_s, LONGEST_POLL_PAUSE_S))
