"""What the provider takes, learned from what it refuses: jobs in flight, and creates a minute.

Additive increase, multiplicative decrease, and one thing besides: an account has two limits, a
refusal does not say which of them it met, and to blame the wrong one costs throughput for long.
Pure: told of accepted and refused creates, it says what may be tried next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import attrs

from seedance_async.admission import SECONDS_A_MINUTE

_UNLIMITED = float("inf")
# All of these are our choice; the tests on virtual accounts show what they come to.
_DECREASE = 0.75
_RATE_MARGIN = 0.98  # a window that is used to the full refuses whatever comes a moment early
# Creates that have to go well at a limit before more is tried: where it was refused for the first
# time; where it may have been refused again, twice as many each time; where it certainly was, and
# at the most. One refused create in 60 is 1.7 %.
_SOON, _LATER, _SELDOM, _MOST_SELDOM = 1, 4, 60, 120
# A provider that asks for such a pause means a limit; whether a shorter one does is soon tried.
_MEANT_S = 10.0
# So long a refusal that was let pass is remembered, and all that was learned while nothing is sent.
_MEMORY_S = 600.0
# So long for each create that has to go well before more is tried: who makes few waits no longer.
_PATIENCE_S = 30.0
_FARTHEST = 2  # how many times what is proven may be tried, even where nothing speaks against it


@attrs.define(kw_only=True, eq=False)
class Dial:
    """One learned limit.

    Attributes:
        step: By how much it is raised, at least.
        growth: The same as a share of the limit.
        margin: How much of a level that was refused beyond is used.
        doubt: How far below the proven a refusal may still be this limit's doing, as a share of
            what passes for the same level.
        limit: What may be tried now; infinity as long as nothing was refused.
        proven: The highest level at which the provider accepted, as far as still believed.
    """

    step: float
    growth: float
    margin: float
    doubt: float
    limit: float = _UNLIMITED
    proven: float = 0.0
    _plateau: float | None = None
    _suspected: float | None = None
    _suspected_at: float = 0.0
    _needed: int = _SOON
    _needed_until: float = _UNLIMITED
    _successes: int = 0
    _seldom: int = 0
    _is_falling: bool = False

    @property
    def is_trying(self) -> bool:
        """Whether it allows more than was ever accepted."""
        return self.limit > self.proven

    def is_known_at(self, level: float) -> bool:
        """Tell whether the provider refused at about that level before."""
        return self._plateau is not None and _is_near(level, self._plateau)

    def suspect(self, level: float, now: float) -> float:
        """Note a refusal at *level*, of which nobody knows yet what it means.

        Returns:
            Since when creates are refused at about that level, as far as is remembered: for a
            while, or until more than that was accepted.
        """
        is_old = now - self._suspected_at > _MEMORY_S
        if self._suspected is None or is_old or not _is_near(level, self._suspected):
            self._suspected, self._suspected_at = level, now
        return self._suspected_at

    def stop_trying(self) -> bool:
        """Go back to what is proven, if there is a reason to believe that it is all."""
        if not self.is_trying or self._plateau is None:
            return False
        self.limit = max(1.0, self.proven * self.margin)
        return True

    def wait_for(self, successes: int) -> None:
        """Have at least so many creates go well before more is tried."""
        self._successes, self._needed = 0, max(self._needed, successes)

    def explains(self, level: float) -> bool:
        """Tell whether a refusal at *level* may be this limit's doing: not far below the proven."""
        return level >= 1 and level >= self.proven - self.doubt * _slack(self.proven)

    def accepted(self, level: float, now: float, *, is_at_limit: bool) -> bool:
        """Note that a create was accepted at *level*, which includes it.

        Returns:
            Whether the limit was raised.
        """
        self._is_falling = False
        self.proven = max(self.proven, level)
        if self._suspected is not None and level > self._suspected + _slack(self._suspected):
            self._suspected = None
        if level * self.margin > self.limit:  # of a burst of which another one was refused first
            self._plateau, self.limit = level, level * self.margin
            return True
        if self._plateau is not None and level > self._plateau + _slack(self._plateau):
            # What was refused there was refused for another reason, or is allowed by now.
            self._plateau, self._needed = None, _SOON
        if self.limit == _UNLIMITED or self.limit > self.proven * _FARTHEST:
            return False
        if self.is_trying and self._plateau is not None:
            return False  # one step at a time, as long as it may be the wrong way
        self._successes += is_at_limit
        if not is_at_limit or (self._successes < self._needed and now < self._needed_until):
            return False
        self._successes, self._needed, self._needed_until = 0, _SOON, _UNLIMITED
        self.limit += self.step + self.limit * self.growth
        return True

    def refused(self, level: float, now: float, *, is_certain: bool = True) -> None:
        """Lower the limit: the provider refused one more than *level*.

        Args:
            level: That level.
            now: The time.
            is_certain: Whether nothing else may be to blame.
        """
        limit = level * self.margin
        if self._is_falling and self._plateau is not None:
            # Nothing was accepted since it was lowered last.
            if level >= self._plateau:
                return
            if level < self._plateau - _slack(self._plateau):
                limit = min(limit, self.limit * _DECREASE)
        if self.is_known_at(level) and not self._is_falling:
            least = _SELDOM if is_certain else _LATER
            self._seldom = self._needed = min(max(least, self._seldom * 2), _MOST_SELDOM)
            self._needed_until = now + _PATIENCE_S * self._needed
        else:
            self._needed, self._seldom = _SOON, 0
        self._plateau, self.proven, self.limit = level, level, max(1.0, limit)
        self._successes, self._is_falling = 0, True


def _is_near(level: float, to: float) -> bool:
    return abs(level - to) <= _slack(to)


def _slack(level: float) -> float:
    """Give how far levels may be apart and still mean the same.

    Tasks that have ended count until somebody sees it, and calls take their time.
    """
    return max(1.0, level / 10)


class Adaptation:
    """The two limits of an account, as far as they are known.

    Attributes:
        jobs: Jobs in flight.
        rate: Creates accepted in a minute.
    """

    def __init__(self) -> None:
        self._forget()
        self._accepted: deque[float] = deque()
        self._rate_tried_at = -_UNLIMITED
        self._blamed: list[Dial] = []  # since the last create that was accepted
        self._accepted_at = -_UNLIMITED

    def _forget(self) -> None:
        self.jobs: Dial = Dial(step=1, growth=0, margin=1, doubt=1)
        # Creates are counted as they are accepted, and ends only once they are seen.
        self.rate: Dial = Dial(step=0.5, growth=0.05, margin=_RATE_MARGIN, doubt=0.5)

    def accepted(
        self, now: float, in_flight: int, *, jobs_at_limit: bool, rate_at_limit: bool
    ) -> str | None:
        """Note an accepted create.

        Args:
            now: The time.
            in_flight: How many accepted jobs are in flight with it.
            jobs_at_limit: Whether it took the last place in flight.
            rate_at_limit: Whether it came as early as the rate allowed.

        Returns:
            Why the limits are now higher; None if they are not.
        """
        is_anew = in_flight <= 1 and now - self._accepted_at > _MEMORY_S
        if is_anew:
            self._forget()
        self._accepted.append(now)
        self._accepted_at = now
        self._blamed = []
        a_minute = self._a_minute(now)
        more = self.jobs.accepted(in_flight, now, is_at_limit=jobs_at_limit)
        is_fast = rate_at_limit and a_minute >= self.rate.limit - _slack(self.rate.limit)
        faster = self.rate.accepted(a_minute, now, is_at_limit=is_fast)
        # One experiment at a time, so that its failure tells something.
        if more and not faster and self.rate.stop_trying():
            self._rate_tried_at = now
            self.rate.wait_for(_LATER)
        elif faster and not more:
            self.jobs.stop_trying()
        if is_anew:
            return "nothing was under way for long"
        return f"accepted {in_flight} in flight, {a_minute} a minute" if more or faster else None

    def refused(self, now: float, in_flight: int, told_s: float = 0.0) -> str | None:
        """Note a refused create, the first of those that were sent together.

        Args:
            now: The time.
            in_flight: How many accepted jobs are in flight.
            told_s: For how long the provider asked to wait, in seconds, if it did.

        Returns:
            Why the limits are now lower; None if nothing is to be learned.
        """
        a_minute = self._a_minute(now)
        if not in_flight and not a_minute:
            return None  # no limit of ours: the provider takes nothing at all
        levels = {self.jobs: in_flight, self.rate: a_minute}
        suspects = self._to_blame(now, levels)
        gap_s = SECONDS_A_MINUTE / max(a_minute, 1)
        is_meant = {self.jobs: told_s >= _MEANT_S, self.rate: told_s >= max(_MEANT_S, gap_s)}
        since = {dial: dial.suspect(levels[dial], now) for dial in suspects}
        # Otherwise it may be a bad moment of the provider's, and the gate sees to that.
        self._blamed = [
            dial
            for dial in suspects
            if is_meant[dial] or dial.is_known_at(levels[dial]) or now - since[dial] >= gap_s
        ]
        for dial in self._blamed:
            dial.refused(levels[dial], now, is_certain=len(suspects) == 1)
        if not self._blamed:
            return None
        return f"refused at {in_flight} in flight, {a_minute} a minute"

    def _to_blame(self, now: float, levels: Mapping[Dial, int]) -> list[Dial]:
        possible = [dial for dial, level in levels.items() if dial.explains(level)]
        # A rate that was tried tells for a minute.
        lately = self.rate if now - self._rate_tried_at < SECONDS_A_MINUTE else None
        # Where both may be to blame: what was to blame a moment ago, when nothing has been
        # accepted since; what is being tried; what was in the way before.
        for suspects in (
            [dial for dial in possible if dial in self._blamed],
            [dial for dial in possible if dial.is_trying or dial is lately],
            [dial for dial in possible if dial.is_known_at(levels[dial])],
        ):
            if len(suspects) == 1:
                return suspects
        # If neither, it is less than was taken before: the account is not what it was.
        return possible or [dial for dial, level in levels.items() if level]

    def _a_minute(self, now: float) -> int:
        while self._accepted and self._accepted[0] <= now - SECONDS_A_MINUTE:
            self._accepted.popleft()
        return len(self._accepted)
