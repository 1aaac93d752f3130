"""What one run made: seconds and tokens of what it saw completed, and nothing of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from seedance_async.budget import PriceTable
from seedance_async.cli.past import Past
from seedance_async.cli.rest import Rest
from seedance_async.cli.terminal import count
from seedance_async.lifecycle import JobState
from seedance_async.rates import seconds_of
from seedance_async.request import VideoRequest
from seedance_async.results import BatchReport, OutcomeStatus, Video
from seedance_async.wire import TaskState

_Made = tuple[VideoRequest | None, Video | TaskState]


def told(past: Past, report: BatchReport, rest: Rest, prices: PriceTable | None = None) -> str:
    """Spell it.

    Args:
        past: What was known before the run.
        report: The jobs that ended.
        rest: Those that it was stopped over.
        prices: What the models cost; None where nobody said.
    """
    made, fetched = list[_Made](), 0
    for outcome in report.outcomes:
        if outcome.status is OutcomeStatus.COMPLETED and outcome.video is not None:
            if past.was_made(outcome.key):
                fetched += outcome.ok
            else:
                made.append((outcome.request, outcome.video))
    for record in (*rest.done.values(), *rest.left.values()):
        if record.state is JobState.COMPLETED and record.task is not None:
            if past.was_made(record.key):
                fetched += record.key in {job.key for job in rest.done.values()}
            else:
                made.append((record.request, record.task))
    video_s = sum(video.actual_duration_s or 0.0 for _, video in made)
    tokens = sum(video.total_tokens or 0 for _, video in made)
    new = f"{video_s:g} s of video, {count(tokens, 'token')}" if made else "no new video"
    new = f"{new}{_cost(made, prices)}"
    return f"{new}, {fetched} fetched that were made before" if fetched else new


def _cost(made: Iterable[_Made], prices: PriceTable | None) -> str:
    """Spell what it cost; empty where that is not known of every video."""
    sums = [_price(request, video.total_tokens, prices) for request, video in made]
    known = [each for each in sums if each is not None]
    if prices is None or not known or len(known) < len(sums):
        return ""
    return f", {sum(known):,.2f} {prices.currency}".rstrip()


def _price(
    request: VideoRequest | None, tokens: int | None, prices: PriceTable | None
) -> Decimal | None:
    price = None if request is None or prices is None else prices.prices.get(request.model)
    return None if price is None or request is None else price.of(seconds_of(request), tokens)
