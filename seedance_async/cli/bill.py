"""What one run made: seconds and tokens of what it saw completed, and nothing of earlier runs."""

from __future__ import annotations

from seedance_async.cli.past import Past
from seedance_async.cli.rest import Rest
from seedance_async.cli.terminal import count
from seedance_async.lifecycle import JobState
from seedance_async.results import BatchReport, OutcomeStatus


def told(past: Past, report: BatchReport, rest: Rest) -> str:
    """Spell it.

    Args:
        past: What was known before the run.
        report: The jobs that ended.
        rest: Those that it was stopped over.
    """
    made, fetched = list[tuple[float | None, int | None]](), 0
    for outcome in report.outcomes:
        if outcome.status is OutcomeStatus.COMPLETED and outcome.video is not None:
            if past.was_made(outcome.key):
                fetched += outcome.ok
            else:
                made.append((outcome.video.actual_duration_s, outcome.video.total_tokens))
    for record in (*rest.done.values(), *rest.left.values()):
        if record.state is JobState.COMPLETED and record.task is not None:
            if past.was_made(record.key):
                fetched += record.key in {job.key for job in rest.done.values()}
            else:
                made.append((record.task.actual_duration_s, record.task.total_tokens))
    video_s = sum(seconds or 0.0 for seconds, _ in made)
    tokens = sum(billed or 0 for _, billed in made)
    new = f"{video_s:g} s of video, {count(tokens, 'token')}" if made else "no new video"
    return f"{new}, {fetched} fetched that were made before" if fetched else new
