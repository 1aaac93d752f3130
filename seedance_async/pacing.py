"""When to ask about a task again.

A pacing is a value that turns what is known of a wait into the next delay. It keeps no clock
and no state of its own, so that one serves any number of tasks at once.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import attrs

from seedance_async.rules import Model


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be above 0 seconds, not {value!r}")


@attrs.frozen(kw_only=True, eq=False)
class Waiting:
    """What is known of a wait when the next query is planned.

    Attributes:
        model: The model asked for; None for a task that was taken up by its id.
        age_s: Seconds since the task was accepted (or taken up).
        polls: How many queries there have been.
        hint_s: What the provider's last answer suggested to wait, in seconds.
        jitter: A random number from 0 inclusive to 1 exclusive.
    """

    model: str | None
    age_s: float
    polls: int
    hint_s: float | None
    jitter: float


class Pacing(Protocol):
    """Decides how long to wait before the next query."""

    def delay_s(self, waiting: Waiting) -> float:
        """Give the seconds until the next query; 0 asks at once."""


@attrs.frozen
class Fixed:
    """Ask every *interval_s* seconds, the first time after one interval.

    Args:
        interval_s: Seconds between two queries of a task, above 0.
    """

    interval_s: float = attrs.field(validator=_positive)

    def delay_s(self, waiting: Waiting) -> float:  # noqa: ARG002 -- fixed is fixed
        """Give the interval, whatever is known."""
        return self.interval_s


@attrs.frozen
class Backoff:
    """Ask ever more seldom: after *first_s*, then each time *factor* times as long.

    Args:
        first_s: Seconds before the first query, above 0.
        factor: By how much each delay exceeds the one before, 1 or more.
        cap_s: The longest delay in seconds, above 0.
    """

    first_s: float = attrs.field(default=2.0, validator=_positive)
    factor: float = attrs.field(default=1.5, validator=attrs.validators.ge(1))
    cap_s: float = attrs.field(default=30.0, validator=_positive)

    def delay_s(self, waiting: Waiting) -> float:
        """Give the delay for this query, 0 to 10 % shorter so that equal tasks spread."""
        delay_s = self.first_s
        # Multiplied in a loop that ends at the cap: ``factor ** polls`` would overflow.
        for _ in range(waiting.polls):
            if delay_s >= self.cap_s or self.factor == 1:
                break
            delay_s *= self.factor
        return min(delay_s, self.cap_s) * (1 - waiting.jitter / 10)


class _Expected(NamedTuple):
    earliest_s: float
    latest_s: float
    interval_s: float


# The provider's estimates: fast models 1 to 3 minutes, standard ones 2 to 5; "poll every 20 to
# 40 s, fast models more often". A start delay and then a fixed interval comes within a tenth of
# the best schedule that knows the distribution; our choice of three quarters of the lower bound.
_FAST = _Expected(earliest_s=45.0, latest_s=180.0, interval_s=8.0)
_STANDARD = _Expected(earliest_s=90.0, latest_s=300.0, interval_s=15.0)
# A server that hints 0 does not want to be asked without a pause. Our choice.
_SHORTEST_HINT_S = 0.1
_FAST_MODELS = frozenset({Model.SEEDANCE_2_0_FAST, Model.SEEDANCE_2_0_FAST_PRO})


@attrs.frozen(kw_only=True)
class Adaptive:
    """Ask when the video is likely to be ready: not before, then steadily, then less often.

    The first query comes shortly before the model's published earliest end. A hint of the
    server takes precedence, within a tenth of a second and the ceiling.

    Args:
        floor_s: The shortest delay in seconds, above 0, unless the server hints a shorter one.
        ceiling_s: The longest delay in seconds, at least *floor_s*.
    """

    floor_s: float = attrs.field(default=2.0, validator=_positive)
    ceiling_s: float = attrs.field(default=60.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if self.ceiling_s < self.floor_s:
            raise ValueError(f"ceiling_s={self.ceiling_s} is below floor_s={self.floor_s}")

    def delay_s(self, waiting: Waiting) -> float:
        """Give the delay that fits the task's age, 0 to 10 % longer so that equal ones spread."""
        spread = 1 + waiting.jitter / 10
        if waiting.hint_s is not None:
            return min(max(waiting.hint_s, _SHORTEST_HINT_S), self.ceiling_s) * spread
        expected = _FAST if waiting.model in _FAST_MODELS else _STANDARD
        delay_s = expected.interval_s
        if waiting.age_s < expected.earliest_s:
            delay_s = max(expected.earliest_s - waiting.age_s, delay_s)
        elif waiting.age_s > expected.latest_s:
            # Overdue: who knows for how long; a tenth of the age keeps the relative delay even.
            delay_s = max(waiting.age_s / 10, delay_s)
        return min(max(delay_s * spread, self.floor_s), self.ceiling_s)
