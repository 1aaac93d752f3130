"""How long it will still take: one task, or a batch to its last job.

From the record of how long tasks take. Pure, and without chance: ages and counts come in, and what
comes out is computed and not drawn, so that it does not jump while somebody looks at it.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence

import attrs

from seedance_async.turnaround import Course

_SHARES = (0.1, 0.5, 0.9)
_Z = 1.2816  # so many standard deviations off the middle are 10 % and 90 % of a normal one
# Jobs that are reckoned with one by one; of more, each stands for several. Our choice, as is for
# how many rounds the slots are simulated: what comes before those goes at its mean rate.
_MOST_JOBS = 48
_ROUNDS = 4
# How many ends count as much as the guess before any; and how far it may be off, as a share of
# it: the spread of the provider's estimates, as they are taken in ``lifetable``.
_GUESS_JOBS = 4.0
_GUESS_OFF = 0.48
_LATE = 0.06  # of a task's time, until its end is noticed; by simulation of the default pacing
_HALVINGS = 7  # which make an error of the width of the search over a hundred
_GOLDEN = (math.sqrt(5) - 1) / 2


@attrs.frozen(kw_only=True)
class Estimate:
    """How long something will probably still take, in seconds from the call that gave it.

    A guess from the tasks that were seen to end, or from the provider's own estimates as long as
    there were none; never a promise.

    Attributes:
        remaining_s: The middle: it takes longer in 50 % of the cases. 0 for what has ended.
        low_s: It is faster than that in 10 %.
        high_s: It is slower than that in 10 %.
    """

    remaining_s: float
    low_s: float
    high_s: float


def flat(remaining_s: float) -> Estimate:
    """Make one without a range."""
    return Estimate(remaining_s=remaining_s, low_s=remaining_s, high_s=remaining_s)


def later(estimate: Estimate, more_s: float, *, at_least_s: float = 0.0) -> Estimate:
    """Give *estimate* with *more_s* behind it, and no time of it below *at_least_s*."""
    low_s, middle_s, high_s = (
        max(time_s + more_s, at_least_s)
        for time_s in (estimate.low_s, estimate.remaining_s, estimate.high_s)
    )
    return Estimate(remaining_s=middle_s, low_s=low_s, high_s=high_s)


OVER = flat(0.0)


def of_task(course: Course, age_s: float | None) -> Estimate:
    """Estimate when a task ends that has not.

    Args:
        course: What was seen of it.
        age_s: Its age; None where nobody knows. Then it is taken for a new one that may end at
            any moment.
    """
    low_s, middle_s, high_s = (course.remaining_s(age_s or 0.0, share) for share in _SHARES)
    return Estimate(remaining_s=middle_s, low_s=0.0 if age_s is None else low_s, high_s=high_s)


def stride(jobs: int) -> int:
    """Tell for how many of so many *jobs* at once one has to stand."""
    return max(math.ceil(jobs / _MOST_JOBS), 1)


class _Job:
    """A job that may be the last one to end."""

    def __init__(self, course: Course, age_s: float, begins_s: float = 0.0) -> None:
        self._forecast, began_s = course.outlook()
        self.begins_s = begins_s
        self._hazard = self._forecast.hazard
        self._clock_s = max(age_s - began_s, 0.0)
        self._before = self._hazard.at(self._clock_s)

    def log_chance(self, at_s: float) -> float:
        """Give the log of the chance that it has ended *at_s* from now."""
        hazard = self._hazard.at(self._clock_s + max(at_s - self.begins_s, 0.0)) - self._before
        return math.log(-math.expm1(-hazard)) if hazard > 0 else -math.inf

    def trust(self, at_s: float) -> float:
        """Give how far, of 1, its forecast for then rests on tasks that were seen to get so old."""
        return 1 - self._forecast.unknown_at(self._clock_s + max(at_s - self.begins_s, 0.0))


@attrs.frozen(kw_only=True)
class Ahead:
    """What a batch has before it.

    Attributes:
        running: Jobs in flight, each with its age: every *stride*-th of them.
        fresh: Jobs such as those that wait; at least one.
        waiting: How many jobs wait for a slot.
        slots: How many may be in flight at once.
        stride: For how many jobs one stands.
        gap_s: The least time between two creates.
        late_s: How long after its end one is noticed, on the average; None where that was not
            seen yet.
    """

    running: Sequence[tuple[Course, float]]
    fresh: Sequence[Course]
    waiting: int
    slots: int
    stride: int = 1
    gap_s: float = 0.0
    late_s: float | None = None

    def estimate(self) -> Estimate:
        """Estimate when the end of the last job is noticed.

        When the last ones begin, a simulation tells, in which jobs take their times from the
        distribution, evenly spread over it. The chance that all of them have ended is then the
        product of their chances if they are independent, and the least of these if they are slow
        or fast together. The more tasks were seen to get as old, the more the former is
        believed: before, a long tail is but a guess.
        """
        late_s = self._late_s
        jobs = self._last_jobs(late_s)
        if not jobs:
            return OVER

        def log_chance(at_s: float) -> float:
            chances = [job.log_chance(at_s) for job in jobs]
            least = min(chances)
            if least == -math.inf:  # times a trust of zero, it would be nothing
                return least
            trust = min(job.trust(at_s) for job in jobs)
            return trust * self.stride * sum(chances) + (1 - trust) * least

        low_s, middle_s, high_s = _reached_s(log_chance, jobs[-1].begins_s)
        off_s = _Z * self._deviation_s(middle_s, jobs[-1].begins_s)
        return Estimate(
            remaining_s=middle_s + late_s,
            # The last end may be noticed at once, or twice as late as on the average.
            low_s=max(middle_s - math.hypot(middle_s - low_s, off_s), 0.0),
            high_s=middle_s + math.hypot(high_s - middle_s, off_s) + 2 * late_s,
        )

    @property
    def _late_s(self) -> float:
        return _LATE * self.fresh[0].remaining_s(0.0) if self.late_s is None else self.late_s

    @property
    def _slots(self) -> int:
        jobs = len(self.running) * self.stride + self.waiting
        return max(math.ceil(min(self.slots, jobs) / self.stride), len(self.running))

    def _last_jobs(self, late_s: float) -> list[_Job]:
        """Give the jobs that may be the last one to end, in the order in which they begin."""
        slots, waiting = self._slots, math.ceil(self.waiting / self.stride)
        fresh = list(itertools.islice(itertools.cycle(self.fresh), min(waiting, _ROUNDS * slots)))
        spans_s = [
            course.remaining_s(0.0, _share(place)) + late_s for place, course in enumerate(fresh)
        ]
        frees_s = [
            course.remaining_s(age_s, _share(place)) + late_s
            for place, (course, age_s) in enumerate(self.running)
        ]
        frees_s += [0.0] * (slots - len(frees_s))
        heapq.heapify(frees_s)
        gap_s = self.gap_s * self.stride
        before_s = 0.0  # until the first of those that are simulated
        if waiting > len(fresh):
            mean_s = sum(spans_s) / len(spans_s)
            before_s = (waiting - len(fresh)) * max(mean_s / slots, gap_s)
        begin_s, begins_s = -gap_s, []
        for span_s in spans_s:
            begin_s = max(frees_s[0], begin_s + gap_s)
            heapq.heapreplace(frees_s, begin_s + span_s)
            begins_s.append(before_s + begin_s)
        jobs = [] if before_s else [_Job(course, age_s) for course, age_s in self.running]
        jobs += map(_Job, fresh, itertools.repeat(0.0), begins_s)
        return jobs[-2 * slots :]

    def _deviation_s(self, end_s: float, begins_s: float) -> float:
        """Give the standard deviation of an end that is expected then, its last job's luck aside.

        Args:
            end_s: When it is expected.
            begins_s: When the last job is expected to begin.
        """
        evidence = sum(course.jobs for course in self.fresh) / len(self.fresh)
        low_s, middle_s, high_s = (self.fresh[0].remaining_s(0.0, share) for share in _SHARES)
        relative = (high_s - low_s) / (2 * _Z * middle_s)
        # The first guess may be wrong, the ends so far may have been untypical, and those to come:
        # which evens out over the jobs that follow one another in all slots.
        guess = _GUESS_JOBS / (evidence + _GUESS_JOBS)
        seen_s = relative * (1 - guess) * end_s / math.sqrt(1 + evidence)
        to_come_s = relative * math.sqrt(begins_s * middle_s / (self._slots * self.stride))
        return math.hypot(_GUESS_OFF * guess * end_s, seen_s, to_come_s)


def _share(place: int) -> float:
    """Spread shares evenly from 0 to 1, however many of them are taken."""
    return (place + 1) * _GOLDEN % 1


def _reached_s(log_chance: Callable[[float], float], begins_s: float) -> list[float]:
    """Give when the chance that everything has ended reaches each of the shares."""
    reached_s = []
    low_s, width_s = begins_s, 1.0
    for share in _SHARES:
        wanted = math.log(share)
        while log_chance(low_s + width_s) < wanted:
            low_s, width_s = low_s + width_s, width_s * 2
        high_s = low_s + width_s
        for _ in range(_HALVINGS):
            middle_s = (low_s + high_s) / 2
            low_s, high_s = (
                (middle_s, high_s) if log_chance(middle_s) < wanted else (low_s, middle_s)
            )
        reached_s.append(high_s)
        width_s = max(high_s - begins_s, 1.0) / 8
    return reached_s
