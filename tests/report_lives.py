"""Journals of batches that never ran, as a real one would have left them: for the report's tests.

Jobs take turns in a few places, in two runs with a night between, and end in every way there is.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seedance_async import JobRecord, JobState, VideoRequest
from seedance_async.journal import SqliteJournal
from seedance_async.wire import TaskState

BEGAN = dt.datetime(2026, 3, 30, 20, 0, tzinfo=dt.UTC)
NIGHT_S = 9 * 3600.0
IN_FLIGHT = 12
HOSTILE = "</script><img src=x onerror=alert(1)><!-- \u2028 & \"'"
SIGNED = "https://v.example.com/secret.mp4?sig=secret"
SCENES = [
    "A heron at dawn, mist over the reeds, slow push in",
    "Ramen, steaming, chopsticks lift the noodles, close up",
    "A red kite high above the dunes, long shadows",
    "An old tram climbs a hill in the rain, reflections on the rails",
    "The mug turns slowly on white, soft light from the left",
    "Paper boats drift down a gutter after the storm",
    "A glassblower at work, sparks, shallow depth of field",
    "雨の中で踊る猫、ネオンの路地",
]
NAMES = ["Heron", "Ramen", "Kite", "Tram", "Mug", "Boats", "Glass", "Cat"]
MODELS = {"seedance_2_0_pro": 150.0, "seedance_2_0_fast_pro": 65.0}
REASONS = [
    "the prompt was rejected by moderation",
    "task {id} failed: internal error of the model",
    f"could not fetch {SIGNED}",
]


def after(seconds: float) -> dt.datetime:
    return BEGAN + dt.timedelta(seconds=seconds)


def answer(task_id: str, status: str, **fields: Any) -> TaskState:
    told = {"id": task_id, "status": status, **fields}
    return TaskState(
        id=task_id,
        status=status,
        video_url=fields.get("video_url"),
        actual_duration_s=fields.get("actualDuration"),
        total_tokens=fields.get("totalTokens"),
        body=json.dumps(told).encode(),
    )


def life(
    number: int, request: VideoRequest, began: float, chance: random.Random, film: Path | None
) -> list[JobRecord]:
    """Give a job's records: what it was planned as, and each change."""
    key = request.digest[:16] + "-1" if number % 3 else f"shot-{number + 1}"
    name = NAMES[number % len(NAMES)] if number % 4 else None
    lived = [JobRecord(key=key, name=name, request=request, planned_at=BEGAN)]
    task_id = f"video_{chance.getrandbits(32):08x}-0000-4000-8000-{number:012x}"

    def on(state: JobState, at: float, **changes: Any) -> None:
        lived.append(lived[-1].moved(state, after(at), **changes))

    ending = chance.random()
    on(JobState.SUBMITTING, began)
    if ending < 0.02:
        on(JobState.UNKNOWN, began + 3, error="the answer was lost: HTTP 502")
        return lived
    if ending < 0.04:
        on(JobState.FAILED, began + 1, error="refused: the balance is too low")
        return lived
    at, takes = began + 0.4, chance.lognormvariate(0, 0.25) * MODELS[str(request.model)]
    on(JobState.SUBMITTED, at, task_id=task_id, task=answer(task_id, "queued"))
    at += chance.uniform(4, 30)
    on(JobState.SUBMITTED, at, task=answer(task_id, "processing"), polls=chance.randint(1, 3))
    at += takes
    polls = lived[-1].polls + chance.randint(1, 6)
    if ending < 0.1:
        error = REASONS[number % len(REASONS)].format(id=task_id)
        on(JobState.FAILED, at, task=answer(task_id, "failed"), error=error, polls=polls)
        return lived
    length = float(request.duration)
    url = SIGNED.replace("secret.mp4", f"secret{number}.mp4")
    done = answer(
        task_id, "completed", video_url=url, actualDuration=length, totalTokens=int(length * 10137)
    )
    on(JobState.COMPLETED, at, task=done, polls=polls)
    if film is not None:
        file = film.with_name(f"{number + 1:04}.mp4")
        if not file.exists():
            os.link(film, file)
        size, at = file.stat().st_size, at + chance.uniform(1, 5)
        there = {"path": str(file), "size_bytes": size, "downloaded_at": after(at)}
        on(JobState.COMPLETED, at, **there)
    return lived


def lives(count: int, films: Sequence[Path], seed: int = 1) -> Iterator[list[JobRecord]]:
    chance, places = random.Random(seed), [0.0] * IN_FLIGHT
    for number in range(count):
        prompt = f"{SCENES[number % len(SCENES)]}, take {number + 1}"
        request = VideoRequest(
            model=chance.choice(list(MODELS)),
            prompt=prompt if number != 3 else HOSTILE,
            duration=chance.randint(4, 10),
            aspect_ratio=chance.choice(["16:9", "16:9", "9:16", "1:1", "21:9"]),
            generate_audio=chance.random() < 0.8,
            first_image=f"{SIGNED}&first" if number % 7 == 0 else None,
        )
        began = heapq.heappop(places)
        if number == count * 6 // 10:  # from here on in the next morning
            places = [max(each, began) + NIGHT_S for each in places]
            began += NIGHT_S
        lived = life(number, request, began, chance, films[number % len(films)] if films else None)
        still = count - number
        if still <= 4:  # the run is not over
            lived = lived[: still if still > 2 else 1]
        heapq.heappush(places, (lived[-1].changed_at - BEGAN).total_seconds() + 0.1)
        yield lived


def write_journal(path: Path, told: Sequence[Sequence[JobRecord]]) -> Path:
    """Write them down in few commits."""

    async def write() -> None:
        async with SqliteJournal(path) as journal:
            for step in range(max(map(len, told), default=0)):
                records = [lived[step] for lived in told if len(lived) > step]
                await asyncio.gather(*map(journal.put if step else journal.plan, records))

    asyncio.run(write())
    return path
