"""The options that bound what a run may come to; read in ``money``."""

from __future__ import annotations

from pathlib import Path

import attrs
from cyclopts import Parameter


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Bounds:
    """The most that a run may come to.

    Parameters
    ----------
    max_videos
        Send no more than so many videos, with those of earlier runs of the same jobs.
    max_video_seconds
        Send no more than so many seconds of video, likewise.
    max_tokens
        Stop before more tokens are billed, likewise; learned from the videos that were made.
    max_cost
        Stop before it costs more, likewise; needs prices.
    prices
        A TOML file of what the models cost: a table for each model, with one or more of
        per_video, per_second, per_million_tokens, and a currency.
    """

    max_videos: int | None = None
    max_video_seconds: float | None = None
    max_tokens: int | None = None
    max_cost: str | None = None
    prices: Path | None = None
