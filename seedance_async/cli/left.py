"""How long something still takes, as people read it: ``about 12 min left (9-17)``.

An estimate is asked for once a second at the most, and spelled roughly, so that it does not
flicker.
"""

from __future__ import annotations

from collections.abc import Callable

from seedance_async.estimate import Estimate

Asked = Callable[[], Estimate | None]

_EVERY_S = 1.0
# Up to two of a unit, the one below it tells more: seconds by fives, minutes, hours by tenths.
_UNITS = ((120.0, 5.0, 1.0, "s"), (7200.0, 60.0, 60.0, "min"), (float("inf"), 360.0, 3600.0, "h"))
_WIDE, _MEDIUM = 70, 45  # columns: for the range as well, and for the middle alone


class Left:
    """What is left, from an estimate that is asked for now and then."""

    def __init__(self) -> None:
        self.asked: Asked = lambda: None
        self._estimate: Estimate | None = None
        self._next = float("-inf")

    def spelled(self, now: float, columns: int) -> str:
        """Spell it to stand behind a clock; empty where nobody knows, or there is no room.

        Args:
            now: The time, in seconds on a steady clock.
            columns: How wide the terminal is.
        """
        if now >= self._next:
            self._estimate, self._next = self.asked(), now + _EVERY_S
        if self._estimate is None or columns < _MEDIUM:
            return ""
        return f", {spelled(self._estimate, with_range=columns >= _WIDE)}"


def spelled(estimate: Estimate, *, with_range: bool = True) -> str:
    """Spell an estimate in one unit, that of its middle."""
    _, step_s, unit_s, unit = next(choice for choice in _UNITS if estimate.remaining_s < choice[0])

    def number(seconds: float) -> str:
        return f"{round(seconds / step_s) * step_s / unit_s:.10g}"

    least = step_s if unit == "s" else 0.0
    middle = number(max(estimate.remaining_s, least))
    low, high = number(estimate.low_s), number(max(estimate.high_s, least))
    span = f" ({low}-{high})" if with_range and low != high else ""
    return f"about {middle} {unit} left{span}"
