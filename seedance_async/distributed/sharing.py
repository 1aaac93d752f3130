"""What several workers have learned, put together: each adds its own news to what is there."""

from __future__ import annotations

import json
from typing import Any

import attrs

from seedance_async.learned import RATES, TURNAROUNDS
from seedance_async.rates import Rate

#: What is kept for all; the rest that a session remembers (what was published, with its signed
#: URLs) is its own machine's.
SHARED = frozenset({TURNAROUNDS, RATES})


def together(name: str, theirs: str | None, mine: str, before: str | None) -> str:
    """Add what is new in *mine* to *theirs*.

    Args:
        name: What it is: one of ``SHARED``.
        theirs: What is kept now.
        mine: What a session knows.
        before: What it knew when it read or wrote last.
    """
    if theirs is None or theirs == before:
        return mine
    return (_rates if name == RATES else _turnarounds)(theirs, mine, before)


def _turnarounds(theirs: str, mine: str, before: str | None) -> str:
    kept, ours, old = (_by_kind(text) for text in (theirs, mine, before))
    for kind, evidence in ours.items():
        kept[kind] = _plus(kept.get(kind), evidence, old.get(kind))
    kinds = [[*kind, evidence] for kind, evidence in kept.items()]
    return json.dumps({**json.loads(mine), "kinds": kinds}, separators=(",", ":"))


def _by_kind(text: str | None) -> dict[tuple[Any, Any], Any]:
    kinds = json.loads(text)["kinds"] if text else []
    return {(model, duration): evidence for model, duration, evidence in kinds}


def _plus(theirs: Any, mine: Any, before: Any) -> Any:
    """Add the change from *before* to *mine* to each number of *theirs*; evidence fades to 0."""
    if theirs is None or mine is None:
        return mine if theirs is None else theirs
    if isinstance(mine, dict):
        old = before or {}
        return {name: _plus(theirs.get(name), mine[name], old.get(name)) for name in mine}
    if isinstance(mine, list):
        old = before or [0] * len(mine)
        return [_plus(*each) for each in zip(theirs, mine, old, strict=True)]
    return max(theirs + mine - (before or 0), 0)


def _rates(theirs: str, mine: str, before: str | None) -> str:
    kept, ours, old = (_by_shape(text) for text in (theirs, mine, before))
    for kind, rate in ours.items():
        if (known := kept.get(kind)) is None:
            kept[kind] = rate
            continue
        less, both = old.get(kind), known.and_(rate)
        kept[kind] = (
            both
            if less is None
            else attrs.evolve(
                both,
                videos=both.videos - less.videos,
                tokens=both.tokens - less.tokens,
                video_s=both.video_s - less.video_s,
            )
        )
    return json.dumps([[*kind, *attrs.astuple(rate)] for kind, rate in kept.items()])


def _by_shape(text: str | None) -> dict[tuple[str, str], Rate]:
    listed = json.loads(text) if text else []
    return {
        (model, shape): Rate(videos, tokens, video_s, tuple(least), tuple(most))
        for model, shape, videos, tokens, video_s, least, most in listed
    }
