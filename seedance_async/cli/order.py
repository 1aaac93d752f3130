"""What a run of a manifest was asked for, besides the jobs."""

from __future__ import annotations

from pathlib import Path

import attrs

from seedance_async.admission import DEFAULT_IN_FLIGHT
from seedance_async.budget import Budget, PriceTable
from seedance_async.cli.options import OnUnknown


@attrs.frozen(kw_only=True)
class Order:
    """What was asked for.

    Attributes:
        out: The folder of the videos.
        journal: The journal's file.
        max_in_flight: How many jobs may be at the provider at once; None for the library's own.
        timeout_s: Seconds from a job's submission to its end.
        file_names: How the files are named.
        on_unknown: What becomes of jobs that an earlier run left unknown.
        skip_invalid: Whether the valid jobs are sent though others are invalid.
        media_root: Where relative paths of local files start; None for the current folder.
        budget: The most that it may come to.
        prices: What the models cost; None where nobody said.
        confirm_above: More videos than that are asked about first; None never asks.
        as_json: Whether stdout gets what happens, one JSON object a line.
        quiet: Whether nothing is said that wants no hand.
    """

    out: Path
    journal: Path
    max_in_flight: int | None
    timeout_s: float
    file_names: str
    on_unknown: OnUnknown
    skip_invalid: bool
    media_root: Path | None
    budget: Budget
    prices: PriceTable | None
    confirm_above: int | None
    as_json: bool
    quiet: bool

    @property
    def slots(self) -> int:
        """How many jobs may be in flight at once."""
        return self.max_in_flight or DEFAULT_IN_FLIGHT
