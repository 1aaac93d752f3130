"""What a session has learned of how long tasks take, and each task's own course so far.

One record for all tasks of a session, fed by every watch whatever its pacing is: kinds of tasks (a
model and a duration) with their life tables, which fall back to the model's, and those to the
provider's estimates. Pure: ages come in as numbers, and what comes out is a forecast.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

from seedance_async.lifetable import RATIO, Forecast, Table, published, shift_of

_VERSION = 1
_MARGIN = 3.0  # nats by which the clock since ``queued`` must have foretold better; our choice
_MOST_NATS = 3.0  # that one sighting may count, so that no single oddity decides
_KEPT_SCORE = 0.99  # of what the clocks have shown, at each end of a task
_OWN_JOBS = 40  # ends from which on the prior, worth four, matters little; our choice
_STALE = 256  # sightings, at the most, that a forecast may be behind; our choice


class Seen(Enum):
    """What a query told of a task."""

    QUEUED = auto()
    RUNNING = auto()
    ENDED = auto()


class _Kind:
    """What is known of the tasks of one model and duration, or of one model."""

    def __init__(self, prior: Callable[[], tuple[Forecast, Forecast]]) -> None:
        self._prior = prior
        self.by_age = Table()
        # By the time since it was last seen queued: the same, until one is.
        self.by_queue: Table | None = None
        self.score = 0.0  # nats by which the second clock has foretold better
        self._sightings = self._news = 0
        self._forecasts: tuple[Forecast, Forecast] | None = None
        self._went_by: tuple[Forecast, Forecast] | None = None
        self._text: str | None = None

    def forecasts(self) -> tuple[Forecast, Forecast]:
        """Give what is expected by age, and by the time since it was last seen queued."""
        if self._forecasts is None or self._is_stale(self._forecasts):
            self._went_by = prior_by_age, prior_by_queue = self._prior()
            by_age = by_queue = self.by_age.forecast(prior_by_age)
            if self.by_queue is not None:
                by_queue = self.by_queue.forecast(prior_by_queue, restarts=True)
            self._forecasts, self._news = (by_age, by_queue), 0
        return self._forecasts

    def _is_stale(self, forecasts: tuple[Forecast, Forecast]) -> bool:
        if self._news > min(self._sightings // 24, _STALE):
            return True
        # With little evidence of its own, it follows what it falls back to.
        return forecasts[0].jobs < _OWN_JOBS and self._prior() is not self._went_by

    def saw(self, seen: Seen, seen_s: float, age_s: float, queued_s: float) -> None:
        """Take in that a task, alive at *seen_s* and queued at *queued_s*, gave at *age_s*."""
        self._text = None
        self._news += 1
        self._sightings += 1
        ended = seen is Seen.ENDED
        if self.by_queue is None and seen is Seen.QUEUED:
            self.by_queue = copy.deepcopy(self.by_age)
        if not ended and self.by_queue is None:  # the usual case needs no forecast
            self.by_age.add(seen_s, age_s, None)
            return
        by_age, by_queue = self.forecasts()
        self.by_age.add(seen_s, age_s, by_age.hazard if ended else None)
        if self.by_queue is not None:
            span = seen_s - queued_s, age_s - queued_s
            self.by_queue.add(*span, by_queue.hazard if ended else None)
            better = by_queue.log_chance(*span, ended=ended)
            better -= by_age.log_chance(seen_s, age_s, ended=ended)
            self.score += min(max(better, -_MOST_NATS), _MOST_NATS)
            if ended:
                self.score *= _KEPT_SCORE

    def to_json(self) -> str:
        if self._text is None:  # most kinds have no news from one time to the next
            by_queue = None if self.by_queue is None else self.by_queue.to_json()
            score = round(self.score, 2)
            kept = {"age": self.by_age.to_json(), "queue": by_queue, "score": score}
            self._text = json.dumps(kept, separators=(",", ":"))
        return self._text

    def load(self, kept: Any) -> None:
        """Take over what was kept.

        Raises:
            ValueError, TypeError, KeyError: It cannot be read; nothing is changed.
        """
        by_age = Table.from_json(kept["age"])
        by_queue = None if kept["queue"] is None else Table.from_json(kept["queue"])
        score = float(kept["score"])
        if not math.isfinite(score):
            raise ValueError("not a score")
        self.by_age, self.by_queue, self.score, self._forecasts = by_age, by_queue, score, None
        self._text = None
        self._sightings = _STALE * _STALE


class Course:
    """One task: what was seen of it, and what is to be expected of it.

    Ages are seconds since the task was accepted. Made by ``Turnarounds.course``.

    Attributes:
        model: The model asked for; None where that is not known.
        duration: The video's length asked for, in seconds; None likewise.
        gap_s: Seconds between its last two sightings; 0 before there were two.
    """

    # A batch has one for each job that waits.
    __slots__ = ("_kinds", "_queued_s", "_seen_s", "duration", "gap_s", "model")

    def __init__(
        self,
        model: str | None,
        duration: int | None,
        kinds: Sequence[tuple[_Kind, float]],
        seen_s: float | None,
    ) -> None:
        self.model: str | None = model
        self.duration: int | None = duration
        self._kinds = kinds  # its own first, each with how fast its clock runs
        self._seen_s = seen_s
        self._queued_s = 0.0
        self.gap_s: float = 0.0

    @property
    def jobs(self) -> float:
        """How many ends are behind what is expected, the old ones discounted.

        Those of tasks of its model with another duration count half.
        """
        own, of_model = (kind.forecasts()[0].jobs for kind, _ in (self._kinds[0], self._kinds[-1]))
        return (own + of_model) / 2

    def saw(self, seen: Seen, age_s: float) -> None:
        """Take in an answer about the task, given at *age_s*.

        What was not watched teaches nothing: neither does the first sighting of a task that was
        taken up, nor one that does not go on from the one before.
        """
        if self._seen_s is not None and age_s > self._seen_s:
            for kind, pace in self._kinds:
                kind.saw(seen, self._seen_s * pace, age_s * pace, self._queued_s * pace)
            self.gap_s = age_s - self._seen_s
        self._seen_s = max(age_s, self._seen_s or 0.0)
        if seen is Seen.QUEUED:
            self._queued_s = self._seen_s

    def outlook(self) -> tuple[Forecast, float]:
        """Give the forecast that holds for the task, and the age at which its clock began.

        The clock is the task's age; or the time since it was last seen queued, for kinds of which
        the record shows that this tells more.
        """
        kind, _ = self._kinds[0]
        by_age, by_queue = kind.forecasts()
        return (by_queue, self._queued_s) if kind.score > _MARGIN else (by_age, 0.0)

    def remaining_s(self, age_s: float, share: float = 0.5) -> float:
        """Give the seconds after which *share* of the tasks like this have ended.

        Args:
            age_s: Its age now, still running.
            share: From 0 inclusive to 1 exclusive.
        """
        forecast, began_s = self.outlook()
        return forecast.remaining_s(max(age_s - began_s, 0.0), share)


class Turnarounds:
    """The record of a session."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str | None, int | None], _Kind] = {}
        # The kinds that a task belongs to, each with how fast its clock runs.
        self._lines: dict[tuple[str | None, int | None], Sequence[tuple[_Kind, float]]] = {}

    def course(
        self, model: str | None, duration: int | None = None, *, taken_up: bool = False
    ) -> Course:
        """Begin to follow a task.

        Args:
            model: The model asked for; None where that is not known.
            duration: The video's length asked for, in seconds; None likewise.
            taken_up: Whether it was accepted before anybody watched.
        """
        line = self._lines.get((model, duration))
        if line is None:
            line = self._lines[model, duration] = self._line(model, duration)
        return Course(model, duration, line, None if taken_up else 0.0)

    def _line(self, model: str | None, duration: int | None) -> Sequence[tuple[_Kind, float]]:
        own = (self._kind(model, duration), 1.0)
        if duration is None:
            return (own,)
        return own, (self._kind(model, None), RATIO ** -shift_of(duration))

    def _kind(self, model: str | None, duration: int | None) -> _Kind:
        kind = self._kinds.get((model, duration))
        if kind is None:
            kind = self._kinds[model, duration] = _Kind(self._prior(model, duration))
        return kind

    def _prior(
        self, model: str | None, duration: int | None
    ) -> Callable[[], tuple[Forecast, Forecast]]:
        if duration is None:
            estimate = (published(model), published(model))
            return lambda: estimate
        shared, bins = self._kind(model, None), shift_of(duration)
        came_from: tuple[Forecast, Forecast] | None = None
        shifted = shared.forecasts()

        def longer() -> tuple[Forecast, Forecast]:
            nonlocal came_from, shifted
            by_age, by_queue = forecasts = shared.forecasts()
            if forecasts is not came_from:
                came_from, shifted = forecasts, (by_age.shifted(bins), by_queue.shifted(bins))
            return shifted

        return longer

    def to_json(self) -> str:
        """Write all of it down, in one line."""
        kinds = ",".join(
            f"[{json.dumps(model)},{json.dumps(duration)},{kind.to_json()}]"
            for (model, duration), kind in self._kinds.items()
        )
        return f'{{"version":{_VERSION},"kinds":[{kinds}]}}'

    @classmethod
    def from_json(cls, text: str | bytes | None) -> Turnarounds:
        """Read what was written down; what cannot be read is as if it had never been."""
        record = cls()
        try:
            kept = json.loads(text or "{}")
            kinds = kept["kinds"] if kept["version"] == _VERSION else []
            for model, duration, kind in kinds:
                record._load(model, duration, kind)
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls()
        return record

    def _load(self, model: Any, duration: Any, kept: Any) -> None:
        if not isinstance(model, str | None) or type(duration) not in (int, type(None)):
            raise TypeError("not a kind of task")
        self._kind(model, duration).load(kept)
