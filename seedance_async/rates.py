"""How many tokens a second of video takes, learned from the videos that were billed.

By model and shape, since pixels are what is billed; nothing else about a request is known to
matter. Pure: what was learned comes in and goes out as JSON, which the journal keeps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import attrs

from seedance_async.budget import Spread
from seedance_async.request import VideoRequest

_Kind = tuple[str, str]
_LONGEST_S = 15  # for a duration that is no number of seconds


@attrs.frozen
class Rate:
    """What the videos of one kind took; seconds are those that were asked for.

    Kept as pairs of whole numbers, so that what is reckoned from them is exact.

    Attributes:
        videos: How many there were.
        tokens: What they took together.
        video_s: How long they were together.
        least: Tokens and seconds of the one that took least a second.
        most: Likewise, of the one that took most.
    """

    videos: int
    tokens: int
    video_s: int
    least: tuple[int, int]
    most: tuple[int, int]

    @classmethod
    def of(cls, tokens: int, video_s: int) -> Rate:
        """Make the rate of one video."""
        return cls(1, tokens, video_s, (tokens, video_s), (tokens, video_s))

    def and_(self, other: Rate) -> Rate:
        """Give the rate of both."""
        return Rate(
            self.videos + other.videos,
            self.tokens + other.tokens,
            self.video_s + other.video_s,
            min(self.least, other.least, key=_a_second),
            max(self.most, other.most, key=_a_second),
        )

    def tokens_of(self, video_s: int) -> Spread:
        """Tell what a video of so many seconds takes."""
        return Spread(
            Decimal(_scaled((self.tokens, self.video_s), video_s)),
            Decimal(_scaled(self.least, video_s, rounds_up=False)),
            Decimal(_scaled(self.most, video_s)),
        )


class Rates:
    """What was learned of each kind of video."""

    def __init__(self) -> None:
        self._rates: dict[_Kind, Rate] = {}

    def note(self, request: VideoRequest, tokens: int) -> bool:
        """Take in what a video was billed; whether the most that one may take is another now."""
        return self._add(_kind(request), Rate.of(tokens, seconds_of(request)))

    def _add(self, kind: _Kind, rate: Rate) -> bool:
        known = self._rates.get(kind)
        after = self._rates[kind] = rate if known is None else known.and_(rate)
        return known is None or known.most != after.most

    def tokens(self, request: VideoRequest) -> Spread | None:
        """Tell what a video will take: as its like did, or else all of its model.

        None where there was none of its model.
        """
        rate = self._rates.get(_kind(request)) or _all(self._of_model(request.model))
        return None if rate is None else rate.tokens_of(seconds_of(request))

    def _of_model(self, model: str) -> Iterator[Rate]:
        return (rate for (its_model, _), rate in self._rates.items() if its_model == model)

    def to_json(self) -> str:
        """Spell what was learned."""
        return json.dumps([[*kind, *attrs.astuple(rate)] for kind, rate in self._rates.items()])

    @classmethod
    def from_json(cls, text: str | None) -> Rates:
        """Read what ``to_json`` spelled; what is not in order is left out."""
        rates = cls()
        try:
            listed = json.loads(text or "[]")
        except ValueError:
            return rates
        for entry in listed if isinstance(listed, list) else ():
            try:
                model, shape, *numbers = entry
                rates._add((model, shape), _read(*numbers))
            except (TypeError, ValueError):
                continue
        return rates


def seconds_of(request: VideoRequest) -> int:
    """Give the seconds that are asked for, rounded up.

    Where the rule was waived and it is no number above 0, the most that there usually are.
    """
    try:
        asked = float(request.duration)
    except (TypeError, ValueError):
        return _LONGEST_S
    is_any = 0 < asked < math.inf and not isinstance(request.duration, bool)
    return math.ceil(asked) if is_any else _LONGEST_S


def _read(videos: Any, tokens: Any, video_s: Any, least: Any, most: Any) -> Rate:
    (tokens_1, seconds_1), (tokens_2, seconds_2) = least, most
    rate = Rate(videos, tokens, video_s, (tokens_1, seconds_1), (tokens_2, seconds_2))
    numbers = (rate.videos, rate.tokens, rate.video_s, *rate.least, *rate.most)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a rate is made of whole numbers")
    if not (rate.video_s and rate.least[1] and rate.most[1]):
        raise ValueError("a rate needs seconds")
    return rate


def _kind(request: VideoRequest) -> _Kind:
    return (str(request.model), str(request.aspect_ratio))


def _all(rates: Iterable[Rate]) -> Rate | None:
    together: Rate | None = None
    for rate in rates:
        together = rate if together is None else together.and_(rate)
    return together


def _a_second(pair: tuple[int, int]) -> float:
    return pair[0] / pair[1]


def _scaled(pair: tuple[int, int], video_s: int, *, rounds_up: bool = True) -> int:
    tokens, seconds = pair
    return -(-tokens * video_s // seconds) if rounds_up else tokens * video_s // seconds
