"""How long tasks take from their acceptance to their end, as far as was seen: life tables.

An actuary's way: for each bin of ages, how many tasks ended in it, and for how many seconds tasks
were under observation in it. The one over the other is the hazard. So a task that still runs counts
for what it has lasted (right-censoring), one that was taken up late counts from then on (left
truncation), and an end that was noticed between two queries is shared out between them
(interval-censoring). No clock and no chance: ages come in as numbers.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import add, mul
from typing import Any

from seedance_async.rules import Model

# Bins that grow by a ninth, from 2 s to an hour; the first begins at 0, the last has no end. Finer
# ones show nothing more, by simulation.
_BINS = 72
RATIO = 1.11
EDGES_S: tuple[float, ...] = (0.0, *(2.0 * RATIO**power for power in range(_BINS - 1)))
WIDTHS_S: tuple[float, ...] = (
    *(end - start for start, end in pairwise(EDGES_S)),
    EDGES_S[-1] * (RATIO - 1),
)
_LAST = _BINS - 1

_PRIOR_JOBS = 4.0  # how many tasks the estimate before any evidence is worth; by simulation
_MEMORY = 0.992  # what evidence keeps of its weight at each end of a task; by simulation
_LEAST_SHARE = 0.01  # of a task, that the prior is worth in bins that it hardly reaches
_MOST_WEIGHT = 1e100  # of new evidence, before all is brought down; far from a float's end
_LEAST_CHANCE = 1e-9

# The provider's estimates: fast models 1 to 3 minutes, standard ones 2 to 5. Their geometric
# middle; the spread puts about four of five tasks between the two.
_FAST_MODELS = frozenset({Model.SEEDANCE_2_0_FAST, Model.SEEDANCE_2_0_FAST_PRO})
_FAST_S, _STANDARD_S = math.sqrt(60 * 180), math.sqrt(120 * 300)
#: What stands for a model where the review of an asset is waited for, of which no estimate is
#: published: a quarter of a minute, our choice.
ASSET = "asset"
_ASSET_S = 15.0
_SHAPE = 3.8
# Some fail soon after they were accepted. Where nobody expected that, nobody would look.
_EARLY_SHARE, _EARLY_MEAN_S = 0.005, 20.0
_USUAL_DURATION_S = 5


def shift_of(duration: int | None) -> int:
    """Tell by how many bins a video of that length takes longer than one of 5 s.

    The cube root, which keeps 4 to 15 s within the provider's estimates; our choice.
    """
    ratio = (duration or _USUAL_DURATION_S) / _USUAL_DURATION_S
    return round(math.log(ratio) / 3 / math.log(RATIO))


class Curve:
    """The integral over age of a rate that is constant within each bin, and its inverse."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = rates
        self.sums: tuple[float, ...] = (0.0, *accumulate(map(mul, rates[:-1], WIDTHS_S)))

    def at(self, age_s: float) -> float:
        """Give the integral from 0 to *age_s*."""
        place = bisect_right(EDGES_S, age_s) - 1
        return self.sums[place] + self.rates[place] * (age_s - EDGES_S[place])

    def reaches(self, total: float) -> float:
        """Give the age in seconds at which the integral is *total*."""
        place = bisect_right(self.sums, total) - 1
        return EDGES_S[place] + (total - self.sums[place]) / self.rates[place]


class Forecast:
    """What is expected of a task, by its age; a value.

    Attributes:
        hazard: The rate of ending, a second, in each bin, of those that got there; as a curve.
        spent_s: The seconds that a task spends in each bin, on the average.
        asked: How many queries a task got in each bin while it ran, on the average of all tasks,
            and for which share of them that is not known.
        jobs: How many ends it rests on, the old ones discounted.
    """

    def __init__(
        self,
        hazards: Sequence[float],
        *,
        asked: Sequence[tuple[float, float]] = ((0.0, 1.0),) * _BINS,
        jobs: float = 0.0,
        spent_s: Sequence[float] | None = None,
    ) -> None:
        self.hazard: Curve = Curve(hazards)
        self.asked = asked
        self.jobs = jobs
        alive = (math.exp(-total) for total in (*self.hazard.sums, math.inf))
        ends = (start - end for start, end in pairwise(alive))
        self.spent_s: Sequence[float] = spent_s or [
            end / rate for end, rate in zip(ends, hazards, strict=True)
        ]

    def remaining_s(self, age_s: float, share: float) -> float:
        """Give the seconds from *age_s* until *share* (0 to below 1) of those left have ended."""
        hazard = self.hazard
        return max(hazard.reaches(hazard.at(age_s) - math.log1p(-share)) - age_s, 0.0)

    def unknown_at(self, age_s: float) -> float:
        """Give which share of what is said of an age is not from evidence, 0 to 1."""
        return self.asked[bisect_right(EDGES_S, age_s) - 1][1]

    def log_chance(self, start_s: float, end_s: float, *, ended: bool) -> float:
        """Give the log of the chance that a task, alive at *start_s*, has ended by *end_s*.

        Or, where not *ended*, that it has not.
        """
        hazard = self.hazard.at(end_s) - self.hazard.at(start_s)
        return math.log(-math.expm1(-hazard) or _LEAST_CHANCE) if ended else -hazard

    def shifted(self, bins: int) -> Forecast:
        """Give the same for tasks that take longer by so many bins."""
        if not bins:
            return self
        hazards, scale = self.hazard.rates, RATIO**-bins
        places = (min(max(place - bins, 0), _LAST) for place in range(_BINS))
        return Forecast([hazards[place] * scale for place in places])


@functools.lru_cache(maxsize=16)
def published(model: str | None) -> Forecast:
    """Give what the provider's estimates promise: log-logistic, whose tail has no surprises."""
    middle_s = _FAST_S if model in _FAST_MODELS else _STANDARD_S
    if model == ASSET:
        middle_s = _ASSET_S
    ends = (*EDGES_S[1:], EDGES_S[-1] * RATIO)
    alive = [
        (1 - _EARLY_SHARE) / (1 + (age_s / middle_s) ** _SHAPE)
        + _EARLY_SHARE * math.exp(-age_s / _EARLY_MEAN_S)
        for age_s in (0.0, *ends)
    ]
    steps = (math.log(start / end) for start, end in pairwise(alive))
    return Forecast([step / width for step, width in zip(steps, WIDTHS_S, strict=True)])


class Table:
    """The evidence on one kind of task by one clock."""

    def __init__(self) -> None:
        self.events: list[float] = [0.0] * _BINS
        self.asked: list[float] = [0.0] * _BINS
        self.lasted_s: list[float] = [0.0] * _BINS
        self.entered: list[float] = [0.0] * _BINS
        # What passed through a bin from end to end, as differences between neighbours: so that a
        # long gap costs no more than a short one.
        self._whole = [0.0] * _BINS
        # Old evidence fades by new evidence weighing more.
        self._weight = 1.0

    def add(self, start_s: float, end_s: float, ended_by: Curve | None) -> None:
        """Note that a task was asked at the age *end_s*, and before that at *start_s*, running.

        Args:
            start_s: Its age when it was seen before.
            end_s: Its age now, above that.
            ended_by: The hazard believed so far, if it has ended; None if it has not.
        """
        if ended_by is None:
            self._lasted(start_s, end_s)
        else:
            self._ended(start_s, end_s, ended_by)

    def _lasted(self, start_s: float, end_s: float) -> None:
        weight = self._weight
        first, last = bisect_right(EDGES_S, start_s) - 1, bisect_right(EDGES_S, end_s) - 1
        self.asked[last] += weight
        if first == last:
            self.lasted_s[first] += weight * (end_s - start_s)
            return
        self.lasted_s[first] += weight * (EDGES_S[first + 1] - start_s)
        self.lasted_s[last] += weight * (end_s - EDGES_S[last])
        self.entered[last] += weight
        self._whole[first + 1] += weight
        self._whole[last] -= weight

    def _ended(self, start_s: float, end_s: float, hazard: Curve) -> None:
        # Who knows when, between the two: its one event is shared out by what is believed so far.
        self._weight /= _MEMORY
        first, last = bisect_right(EDGES_S, start_s) - 1, bisect_right(EDGES_S, end_s) - 1
        ages_s = (start_s, *EDGES_S[first + 1 : last + 1], end_s)
        sums = (hazard.at(start_s), *hazard.sums[first + 1 : last + 1], hazard.at(end_s))
        left = _shares_left(ages_s, sums)
        for place in range(last - first + 1):
            before, after = left[place], left[place + 1]
            span_s = ages_s[place + 1] - ages_s[place]
            self.events[first + place] += self._weight * (before - after)
            self.lasted_s[first + place] += self._weight * (before + after) / 2 * span_s
            if place:
                self.entered[first + place] += self._weight * before
        if self._weight > _MOST_WEIGHT:
            self._settle()

    def _settle(self) -> None:
        # Give every number its present worth, and fold the whole passages in.
        whole = list(accumulate(self._whole))
        self.lasted_s = list(map(add, self.lasted_s, map(mul, whole, WIDTHS_S)))
        self.entered = list(map(add, self.entered, whole))
        self._whole = [0.0] * _BINS
        for numbers in (self.events, self.asked, self.lasted_s, self.entered):
            # Differences of floats leave traces below zero.
            numbers[:] = [max(number, 0.0) / self._weight for number in numbers]
        self._weight = 1.0

    def forecast(self, prior: Forecast, *, restarts: bool = False) -> Forecast:
        """Weigh the evidence against *prior*.

        Args:
            prior: What is believed without it.
            restarts: Whether the clock may begin anew, so that a task is in a bin many times.
        """
        self._settle()
        hazards = []
        for events, lasted_s, width_s, prior_hazard, prior_s in zip(
            self.events, self.lasted_s, WIDTHS_S, prior.hazard.rates, prior.spent_s, strict=True
        ):
            weight_s = _PRIOR_JOBS * max(prior_s, _LEAST_SHARE * width_s)
            hazards.append((events + prior_hazard * weight_s) / (lasted_s + weight_s))
        return self._restarting(hazards, prior) if restarts else self._plain(hazards)

    def _plain(self, hazards: list[float]) -> Forecast:
        alive = (math.exp(-total) for total in Curve(hazards).sums)
        asked = [
            (share * asked / (entered + _PRIOR_JOBS), _PRIOR_JOBS / (entered + _PRIOR_JOBS))
            for share, asked, entered in zip(alive, self.asked, self.entered, strict=True)
        ]
        return Forecast(hazards, asked=asked, jobs=sum(self.events))

    def _restarting(self, hazards: list[float], prior: Forecast) -> Forecast:
        # What a task spends in a bin over all its beginnings is counted, and not deduced.
        jobs = sum(self.events)
        worth = jobs + _PRIOR_JOBS
        spent_s = [
            (seconds + _PRIOR_JOBS * prior_s) / worth
            for seconds, prior_s in zip(self.lasted_s, prior.spent_s, strict=True)
        ]
        asked = [(asked / worth, _PRIOR_JOBS / worth) for asked in self.asked]
        return Forecast(hazards, asked=asked, jobs=jobs, spent_s=spent_s)

    def to_json(self) -> dict[str, list[float]]:
        """Give the evidence as plain lists, a number for each bin."""
        self._settle()
        return {name: [float(f"{x:.4g}") or 0 for x in getattr(self, name)] for name in _KEPT}

    @classmethod
    def from_json(cls, kept: Any) -> Table:
        """Take what ``to_json`` gave.

        Raises:
            ValueError, TypeError, KeyError: It did not give that.
        """
        table = cls()
        table.events, table.asked, table.lasted_s, table.entered = (
            _numbers(kept[name]) for name in _KEPT
        )
        return table


def _shares_left(ages_s: Sequence[float], sums: Sequence[float]) -> list[float]:
    """Give how much of an event that fell between the first age and the last is still to come.

    Args:
        ages_s: Ages, rising.
        sums: The hazard's integral up to each.
    """
    alive = [math.exp(sums[0] - total) for total in sums]
    certain = alive[0] - alive[-1]
    if certain < _LEAST_CHANCE:  # nothing was expected to end here: it may have been anywhere
        alive, certain = [-age_s for age_s in ages_s], ages_s[-1] - ages_s[0]
    end = alive[-1]
    return [(share - end) / certain for share in alive]


_KEPT = ("events", "asked", "lasted_s", "entered")


def _numbers(kept: Any) -> list[float]:
    numbers = [float(number) for number in kept]
    if len(numbers) != _BINS or not all(0 <= number < _MOST_WEIGHT for number in numbers):
        raise ValueError("not the bins of a life table")
    return numbers
