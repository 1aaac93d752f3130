"""What the page is told of jobs, as plain values for JSON: no address, no key, no IO.

Times are seconds since 1970. What is not known of a job is left out.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from seedance_async.budget import PriceTable
from seedance_async.lifecycle import JobRecord, JobState, Move
from seedance_async.rates import seconds_of

_ADDRESS = re.compile(r"\b(?:https?|asset|s3)://[^\s\"'<>]+", re.IGNORECASE)
_TASK = re.compile(r"video_[0-9a-f]{8}[0-9a-f-]*", re.IGNORECASE)
_REFERENCES = {
    "first_image": "first frame",
    "last_image": "last frame",
    "reference_images": "image",
    "reference_videos": "video",
    "reference_audios": "sound",
}

#: A phase of a job's life, its beginning, and its length in seconds. The phases are ``waiting``, in
#: which nothing is done, ``queued``, ``processing``, and ``download``.
Span = tuple[str, float, float]


def job(
    record: JobRecord,
    moves: Sequence[Move],
    *,
    until: dt.datetime,
    with_prompts: bool = True,
    with_urls: bool = False,
) -> dict[str, Any]:
    """Tell what is known of a job, but for its file.

    Args:
        record: The job.
        moves: Its history, the earliest first.
        until: Up to when it is known that an unfinished job stood as it does.
        with_prompts: Whether the prompt is told.
        with_urls: Whether the address of its video is told, and those in errors.
    """
    request, task = record.request, record.task
    error = None if record.error is None else told(record.error, with_urls=with_urls)
    url = record.video_url if with_urls and record.state is JobState.COMPLETED else None
    facts = {
        "key": record.key,
        "name": record.name,
        "state": record.state.value,
        "model": str(request.model),
        "prompt": request.prompt if with_prompts else None,
        "duration": request.duration,
        "ratio": str(request.aspect_ratio),
        "audio": request.generate_audio,
        "references": list(_references(record)),
        "waive": list(request.waive),
        "task": record.task_id,
        "status": record.task_status,
        "error": error,
        "reason": None if error is None else reason(error, record.key),
        "attempts": record.attempts,
        "polls": record.polls if record.task_id else None,
        "length": None if task is None else task.actual_duration_s,
        "tokens": None if task is None else task.total_tokens,
        "planned": _unix(record.planned_at),
        "submitted": _unix(record.submitted_at),
        "ended": _unix(record.ended_at),
        "took": _took_s(record),
        "expires": _unix(record.video_expires_at),
        "url": url if url and url.lower().startswith(("https://", "http://")) else None,
        "spans": list(spans(record, moves, until)),
    }
    return {name: value for name, value in facts.items() if value not in (None, [])}


def cost(record: JobRecord, prices: PriceTable | None) -> dict[str, Any]:
    """Tell what a made video cost, as far as that is known."""
    price = None if prices is None else prices.prices.get(record.request.model)
    if price is None or record.state is not JobState.COMPLETED or record.task is None:
        return {}
    known = price.of(seconds_of(record.request), record.task.total_tokens)
    return {} if known is None else {"cost": float(known)}


def told(error: str, *, with_urls: bool) -> str:
    """Give the words of an error, without the addresses in it unless they are asked for."""
    return error if with_urls else _ADDRESS.sub("(address left out)", error)


def reason(error: str, key: str) -> str:
    """Give what an error has in common with those of other jobs: all but whose it is."""
    return " ".join(_TASK.sub("…", error).replace(key, "…").split())


def spans(record: JobRecord, moves: Iterable[Move], until: dt.datetime) -> Iterator[Span]:
    """Tell where a job's time went: phases with their beginnings and lengths in seconds.

    In the order of their beginnings; between them may be time in which nothing was to be done. As
    far as it was seen: a task begins to be processed when a query says so.

    Args:
        record: The job.
        moves: Its history; clocks may have been set back in between.
        until: When the last phase of an unfinished job ends.
    """
    phase, since = None, float("-inf")
    for move in moves:
        at = max(move.at.timestamp(), since)
        following = _phase(move)
        if following == phase:
            continue
        if phase is not None:
            yield phase, round(since, 3), round(at - since, 3)
        phase, since = following, at
    # A video that was never brought to disk was not on its way for all that time.
    if phase not in (None, "download") and record.state not in (JobState.FAILED, JobState.UNKNOWN):
        yield phase, round(since, 3), round(max(until.timestamp() - since, 0.0), 3)


def _phase(move: Move) -> str | None:
    if move.state in (JobState.PLANNED, JobState.SUBMITTING):
        return "waiting"
    if move.state is JobState.SUBMITTED:
        return "processing" if move.task_status == "processing" else "queued"
    if move.state is JobState.COMPLETED and move.path is None:
        return "download"
    return None


def totals(jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up what ``job`` told of all jobs."""
    made = [each for each in jobs if each["state"] == JobState.COMPLETED]
    states = Counter(each["state"] for each in jobs)
    return {
        "jobs": len(jobs),
        "states": {state.value: states[state] for state in JobState if states[state]},
        "on_disk": sum("file" in each for each in jobs),
        "missing": sum("missing" in each for each in jobs),
        "length": sum(each.get("length", 0) for each in made),
        "tokens": sum(each.get("tokens", 0) for each in made),
        **({"cost": sum(costs)} if (costs := [e["cost"] for e in made if "cost" in e]) else {}),
        "polls": sum(each.get("polls", 0) for each in jobs),
        "busy": busy_s(span for each in jobs for span in each.get("spans", ())),
    }


def busy_s(worked: Iterable[Span]) -> float:
    """Give the seconds in which at least one job was beyond waiting: nights between runs apart."""
    busy, end = 0.0, float("-inf")
    for _, begin, length in sorted((s for s in worked if s[0] != "waiting"), key=lambda s: s[1]):
        busy += max(begin + length - max(begin, end), 0.0)
        end = max(end, begin + length)
    return round(busy, 3)


def _references(record: JobRecord) -> Iterator[str]:
    """Count what a request refers to; the addresses are the user's own, and may be signed."""
    for name, noun in _REFERENCES.items():
        given = getattr(record.request, name)
        if isinstance(given, str):
            yield noun
        elif given:
            yield f"{len(given)} {noun}{'' if len(given) == 1 else 's'}"


def _took_s(record: JobRecord) -> float | None:
    if record.state is not JobState.COMPLETED or not record.submitted_at or not record.ended_at:
        return None
    return round(max((record.ended_at - record.submitted_at).total_seconds(), 0.0), 3)


def _unix(moment: dt.datetime | None) -> float | None:
    return None if moment is None else round(moment.timestamp(), 3)
