"""When to ask about a task again.

A pacing is a value that turns what is known of a wait into the next delay. It keeps no clock
and no state of its own, so that one serves any number of tasks at once.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from operator import mul
from typing import Protocol

import attrs

from seedance_async.lifetable import EDGES_S, Curve, Forecast
from seedance_async.turnaround import Course, Turnarounds


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be above 0 seconds, not {value!r}")


def _above_one(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 1 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be above 1, not {value!r}")


@attrs.frozen(kw_only=True, eq=False)
class Waiting:
    """What is known of a wait when the next query is planned.

    Attributes:
        model: The model asked for; None for a task that was taken up by its id.
        age_s: Seconds since the task was accepted (or taken up).
        polls: How many queries there have been.
        hint_s: What the provider's last answer suggested to wait, in seconds.
        jitter: A random number from 0 inclusive to 1 exclusive.
        duration: The video's length asked for, in seconds; None likewise.
        course: What was seen of the task, and what the session's record makes of it:
            ``course.remaining_s(age_s, share)`` gives the seconds after which *share* of the
            tasks like it have ended. Without one, what the provider's estimates make of it.
    """

    model: str | None
    age_s: float
    polls: int
    hint_s: float | None
    jitter: float
    duration: int | None = None
    course: Course = attrs.field()

    @course.default
    def _unseen(self) -> Course:
        return Turnarounds().course(self.model, self.duration)


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


# A server that hints 0 does not want to be asked without a pause. Our choice.
_SHORTEST_HINT_S = 0.1
# How far a query is moved about its place, in gaps, so that tasks that were accepted together are
# not asked together. It costs 1 % of latency; by simulation, a wider one shows nothing sooner.
_SPREAD = 0.3
# How much of the whole budget stands by at every age, so that what is left of it at the end, a
# small difference, is not taken for much; and how far from the usual density that may lead. Both
# by simulation.
_STANDBY = 0.2
_MOST_OFF = 2.0
_LONG_GAP = 4  # bins, some half of the age: what is shorter has no room for a second thought


@attrs.frozen(kw_only=True)
class Adaptive:
    """Ask when the video is likely to have just been made, as learned from the tasks before.

    The density of the queries is in proportion to the square root of the hazard, which makes the
    mean delay between an end and its notice the least for a number of queries (Keller 1974, after
    Barlow, Hunter and Proschan 1963). It is scaled so that a task costs *polls_per_job*. What was
    learned and spent is the session's, so that one pacing may serve many sessions.

    A hint of the server takes precedence, within a tenth of a second and the ceiling.

    Args:
        polls_per_job: How many queries a task is to cost on the average, above 1. The default asks
            as often as the provider advises, every 20 to 40 s (fast models more often), if
            not at those times, and notices an end after some 6 % of a task's time; the delay
            falls as the queries grow.
        floor_s: The shortest delay in seconds, above 0, unless the server hints a shorter one.
        ceiling_s: The longest delay in seconds, at least *floor_s*. One below the time that tasks
            take at least costs queries that find nothing.
    """

    polls_per_job: float = attrs.field(default=5.0, validator=_above_one)
    floor_s: float = attrs.field(default=2.0, validator=_positive)
    ceiling_s: float = attrs.field(default=180.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if self.ceiling_s < self.floor_s:
            raise ValueError(f"ceiling_s={self.ceiling_s} is below floor_s={self.floor_s}")

    def delay_s(self, waiting: Waiting) -> float:
        """Give the delay after which one more query has become worth it."""
        if waiting.hint_s is not None:
            hint_s = min(max(waiting.hint_s, _SHORTEST_HINT_S), self.ceiling_s)
            return hint_s * (1 + waiting.jitter / 10)
        forecast, began_s = waiting.course.outlook()
        clock_s = max(waiting.age_s - began_s, 0.0)
        density, price_s = _density(forecast, self.polls_per_job)
        step = 1 + _SPREAD * (waiting.jitter - 0.5)
        due_s = density.reaches(density.at(clock_s) + step)
        between_s = _between(forecast.hazard, clock_s, due_s, price_s)
        if between_s is not None:
            due_s = min(between_s * (1 + _SPREAD * waiting.jitter), due_s)
        return min(max(due_s - clock_s, self.floor_s), self.ceiling_s)


@functools.lru_cache(maxsize=256)  # several kinds of task, each with a forecast or two in use
def _density(forecast: Forecast, polls_per_job: float) -> tuple[Curve, float]:
    """Give how many queries a running task is to get, a second, by its age; and what one is worth.

    Age by age, what is left of the budget after the queries that tasks really got before that age
    is spread over what is to come: so that the budget is held while the forecast is still wrong.
    A query is worth the seconds of delay that make this density the best, by Keller's formula.
    """
    roots = [math.sqrt(hazard) for hazard in forecast.hazard.rates]
    # How many queries a task gets in a bin for each unit of density.
    worths = list(map(mul, roots, forecast.spent_s))
    to_come = whole = sum(worths)
    left = polls_per_job - 1  # the one that finds the end is not asked of a running task
    usual = left / whole
    rates = []
    for root, worth, (asked, unknown) in zip(roots, worths, forecast.asked, strict=True):
        scale = (left + _STANDBY * usual * whole) / (to_come + _STANDBY * whole)
        scale = min(max(scale, usual / _MOST_OFF), usual * _MOST_OFF)
        rates.append(scale * root)
        left -= asked + unknown * scale * worth
        to_come -= worth
    return Curve(rates), 1 / (2 * usual * usual)


def _between(hazard: Curve, clock_s: float, due_s: float, price_s: float) -> float | None:
    """Give an age at which one more query would spare more delay than it is worth, if any.

    The density takes queries for a liquid: it would spend half a query on tasks that fail at
    once, and so none at all.
    """
    first, last = bisect_right(EDGES_S, clock_s), bisect_right(EDGES_S, due_s)
    if last - first < _LONG_GAP:
        return None
    before = hazard.at(clock_s)
    spared_s, place = max(
        (-math.expm1(before - hazard.sums[place]) * (due_s - EDGES_S[place]), place)
        for place in range(first, last)
    )
    return EDGES_S[place] if spared_s > price_s else None
