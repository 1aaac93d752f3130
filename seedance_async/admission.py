"""Who may create or ask now: a user's limits, and the two lanes with their gates.

Pure arithmetic on a steady clock: it says *when*, and the shell sleeps. One instance of each lane
is shared by everything that a session does, so that a limit holds over all of it.
"""

from __future__ import annotations

import attrs

_optional_rate = attrs.validators.optional(attrs.validators.gt(0))
SECONDS_A_MINUTE = 60.0
LONGEST_POLL_PAUSE_S = 120.0  # our choice
#: The session's bound where nobody gave one. Our choice; the account's own may be lower.
DEFAULT_IN_FLIGHT = 20
_NEVER = float("inf")
_LONG_AGO = float("-inf")
# How many calls may be out at once before a gate that was closed counts as open. Our choice:
# when so many got through together, the provider takes them as they come.
_OPEN_WIDTH = 64


def _at_least_one(_: object, attribute: attrs.Attribute[int], value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number of at least 1, not {value!r}")


@attrs.frozen(kw_only=True)
class Limits:
    """What a session may do at once, and how fast: over all of its batches and single calls.

    The provider's own limits need not be known: where it refuses creates, the session finds out
    what it takes, stays below these limits as well, and says so in a ``LimitsAdapted`` event.

    Args:
        max_in_flight: How many jobs may be at the provider at once, at least 1. None takes 20,
            or, while batches run that were given numbers of their own, their sum if it is more.
        creates_per_minute: How many creates a minute, above 0, evenly spaced; None leaves it to
            the provider.
        polls_per_second: How many queries a second, above 0, evenly spaced; None sets no limit.
    """

    max_in_flight: int | None = attrs.field(default=None, validator=_at_least_one)
    creates_per_minute: float | None = attrs.field(default=None, validator=_optional_rate)
    polls_per_second: float | None = attrs.field(default=None, validator=_optional_rate)


@attrs.frozen(kw_only=True, eq=False)
class Passage:
    """A call that a lane let go.

    Attributes:
        at: When it went.
        epoch: How often the gate had been closed by then.
        was_pressed: Whether it went about as soon as the lane's rate allowed.
        previous: When the call before it went.
    """

    at: float
    epoch: int
    was_pressed: bool
    previous: float


class Gate:
    """Closes when the provider refuses a call of its lane, and reopens by degrees.

    After a pause one call goes alone. Each that gets through lets one more be out at once, so that
    they double from round to round, until it no longer counts; the next refusal closes it again.
    So it is one call that runs into the next refusal, not everybody who waits.

    Attributes:
        open_from: When it opens, or opened; negative infinity if it never closed.
        told_until: The latest time that the provider itself named; likewise.
        refused_since: Since when every call was refused; None after one that got through.
    """

    def __init__(self, first_s: float, cap_s: float, longest_s: float) -> None:
        self.open_from: float = _LONG_AGO
        self.told_until: float = _LONG_AGO
        self.refused_since: float | None = None
        self.epoch: int = 0
        self._first_s, self._cap_s, self._longest_s = first_s, cap_s, longest_s
        self._pause_s = first_s
        self._width = _NEVER
        self._out = 0

    @property
    def has_room(self) -> bool:
        """Whether another call may be out now, as far as it is not a matter of time."""
        return self._out < self._width

    def go(self) -> None:
        """Note that a call goes."""
        self._out += 1

    def come_back(self, epoch: int) -> None:
        """Note that a call is over, however it ended; to be told for each, once."""
        if epoch == self.epoch:
            self._out -= 1

    def let_through(self, epoch: int) -> None:
        """Note that the provider took a call."""
        self.refused_since = None
        # What was sent before the gate closed says nothing of what happens now.
        if epoch == self.epoch:
            self._pause_s = self._first_s
            self._width = self._width + 1 if self._width < _OPEN_WIDTH else _NEVER

    def refuse(self, epoch: int, now: float, told_s: float | None, jitter: float) -> bool:
        """Close, since the provider refused a call.

        Args:
            epoch: When that call went.
            now: The time.
            told_s: For how long, in seconds, if the provider said so; else half to all of a
                pause that doubles up to a cap with each refusal in a row.
            jitter: A random number from 0 inclusive to 1 exclusive.

        Returns:
            Whether it was news: of calls that went together, the first refusal closes the gate.
        """
        self.refused_since = now if self.refused_since is None else self.refused_since
        is_news = epoch == self.epoch
        if not is_news and told_s is None:
            return False
        pause_s = self._pause_s * (0.5 + jitter / 2)
        # What was told is stretched as well: other sessions were told the same.
        wait_s = pause_s if told_s is None else told_s + pause_s * jitter
        if told_s is not None:
            self.told_until = max(self.told_until, now + told_s)
        self.open_from = max(self.open_from, now + min(wait_s, self._longest_s))
        if is_news:
            self._pause_s = min(self._pause_s * 2, self._cap_s)
            self.epoch += 1
            self._out, self._width = 0, 1.0
        return is_news


class Lane:
    """Says when the next call of one kind may go, and is told when one goes and how it ends.

    Attributes:
        gate: What the provider's refusals close.
        gap_s: The least time between two calls, in seconds; takes effect at once.
    """

    def __init__(self, gate: Gate, gap_s: float = 0.0) -> None:
        self.gate: Gate = gate
        self.gap_s: float = gap_s
        self._last = _LONG_AGO

    def earliest(self, now: float) -> float:
        """Give the next free time, *now* or later; it may move while somebody waits for it.

        Infinity where only a call that comes back makes room.
        """
        if not self.gate.has_room:
            return _NEVER
        return max(now, self._last + self.gap_s, self.gate.open_from)

    def go(self, now: float) -> Passage:
        """Note that a call goes now."""
        self.gate.go()
        was_pressed = now - self._last < self.gap_s * 1.5
        passage = Passage(
            at=now, epoch=self.gate.epoch, was_pressed=was_pressed, previous=self._last
        )
        self._last = now
        return passage

    def undo(self, passage: Passage) -> None:
        """Note that a call that was let go was never made, so that it leaves no gap."""
        self.gate.come_back(passage.epoch)
        if self._last == passage.at:
            self._last = passage.previous
