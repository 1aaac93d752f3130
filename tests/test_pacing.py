"""When to ask again: what ``Adaptive`` makes of the record, by simulation and through a session."""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import json
import math
import random
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import attrs
import pytest
from conftest import DONE, TASK_ID, ScriptedApi, task_json
from hypothesis import given
from hypothesis import strategies as st

from seedance_async import Adaptive, Fixed, Retries, SeedanceSession, VideoRequest
from seedance_async.emulator import Emulator
from seedance_async.pacing import Pacing, Waiting
from seedance_async.turnaround import Seen, Turnarounds
from seedance_async.watch import Watch
from seedance_async.wire import Answer

STANDARD = "seedance_2_0_pro"
EPOCH = dt.datetime(2026, 3, 30, 12, 0, tzinfo=dt.UTC)


@attrs.define
class Polled:
    """What became of a job."""

    polls: int = 0
    latency_s: float = 0.0
    asked_at_s: list[float] = attrs.field(factory=list)


def simulate(
    turnarounds_s: Sequence[float],
    *,
    in_flight: int = 10,
    pacing: Pacing | None = None,
    record: Turnarounds | None = None,
) -> list[Polled]:
    """Run jobs on a clock of their own, through the real pacing and the real record."""
    chance, pacing = random.Random(5), pacing or Adaptive()
    record = Turnarounds() if record is None else record
    jobs = [Polled() for _ in turnarounds_s]
    due: list[tuple[float, int, float, Any]] = []
    to_start = iter(range(len(jobs)))

    def plan(now: float, index: int, began: float, course: Any) -> None:
        waiting = Waiting(
            model=STANDARD,
            duration=5,
            age_s=now - began,
            polls=jobs[index].polls,
            hint_s=None,
            jitter=chance.random(),
            course=course,
        )
        heapq.heappush(due, (now + pacing.delay_s(waiting), index, began, course))

    def start(now: float) -> None:
        index = next(to_start, None)
        if index is not None:
            plan(now, index, now, record.course(STANDARD, 5))

    for _ in range(in_flight):
        start(0)
    while due:
        now, index, began, course = heapq.heappop(due)
        job, age_s = jobs[index], now - began
        job.polls += 1
        job.asked_at_s.append(age_s)
        job.latency_s = age_s - turnarounds_s[index]
        course.saw(Seen.ENDED if job.latency_s >= 0 else Seen.RUNNING, age_s)
        if job.latency_s >= 0:
            start(now)
        else:
            plan(now, index, began, course)
    return jobs


def lognormal(middle: float, sigma: float, count: int, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [middle * math.exp(rng.gauss(0, sigma)) for _ in range(count)]


def waiting(course: Any = None, **fields: Any) -> Waiting:
    known = {"model": STANDARD, "age_s": 0.0, "polls": 0, "hint_s": None, "jitter": 0.5}
    return Waiting(**{**known, **fields}, **({} if course is None else {"course": course}))


@given(
    st.lists(st.tuples(st.sampled_from(Seen), st.floats(0, 1e7)), max_size=30),
    st.floats(0, 1e7),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e6),
    st.floats(1.01, 100),
)
def test_floor_and_ceiling_hold_whatever_was_seen(
    sightings: list[tuple[Seen, float]],
    age_s: float,
    jitter: float,
    hint_s: float | None,
    polls_per_job: float,
) -> None:
    course = Turnarounds().course(STANDARD, 5)
    for seen, at_s in sightings:
        course.saw(seen, at_s)
    pacing = Adaptive(polls_per_job=polls_per_job, floor_s=3, ceiling_s=30)
    delay_s = pacing.delay_s(waiting(course, age_s=age_s, jitter=jitter, hint_s=hint_s))
    if hint_s is None:
        assert 3 <= delay_s <= 30
    else:
        assert max(min(hint_s, 30), 0.1) <= delay_s <= max(min(hint_s, 30), 0.1) * 1.1


def test_tasks_that_were_accepted_together_are_asked_apart() -> None:
    jobs = simulate([100.0] * 50, in_flight=50)
    firsts = sorted(job.asked_at_s[0] for job in jobs)
    assert firsts[-1] - firsts[0] > 10
    assert len(set(firsts)) == 50


def test_queries_go_where_tasks_end() -> None:
    jobs = simulate(lognormal(300, 0.1, 300))
    late = [at_s for job in jobs[150:] for at_s in job.asked_at_s]
    assert fmean(220 < at_s < 400 for at_s in late) > 0.8
    early = [at_s for job in jobs[:5] for at_s in job.asked_at_s]
    assert fmean(220 < at_s < 400 for at_s in early) < 0.6


@pytest.mark.parametrize("sigma", [0.15, 0.35])
@pytest.mark.parametrize("polls_per_job", [3.0, 5.0, 8.0])
def test_a_job_costs_what_was_asked_for(sigma: float, polls_per_job: float) -> None:
    jobs = simulate(lognormal(180, sigma, 500), pacing=Adaptive(polls_per_job=polls_per_job))
    assert fmean(job.polls for job in jobs) == pytest.approx(polls_per_job, rel=0.1)


@pytest.mark.parametrize("middle", [120, 180, 270])
def test_even_one_wave_that_nobody_foresaw_keeps_the_budget(middle: float) -> None:
    jobs = simulate(lognormal(middle, 0.35, 500), in_flight=500)
    assert fmean(job.polls for job in jobs) < 5 * 1.15


def test_learned_queries_find_ends_sooner_than_a_fixed_interval_at_equal_cost() -> None:
    turnarounds_s = lognormal(180, 0.35, 600)
    learned = simulate(turnarounds_s)[200:]
    fixed = simulate(turnarounds_s, pacing=Fixed(180 * 1.06 / 4.5))[200:]
    assert fmean(job.polls for job in learned) <= fmean(job.polls for job in fixed)
    ratio = fmean(job.latency_s for job in learned) / fmean(job.latency_s for job in fixed)
    assert ratio < 0.65


def test_a_stuck_task_does_not_eat_the_queries_of_the_others() -> None:
    turnarounds_s = [1e5, *lognormal(180, 0.35, 3000)]
    stuck, *others = simulate(turnarounds_s)
    assert fmean(job.polls for job in others) == pytest.approx(5, rel=0.1)
    gaps_s = [late - early for early, late in itertools.pairwise(stuck.asked_at_s)]
    assert min(gaps_s[80:]) == pytest.approx(180)  # the ceiling
    assert stuck.polls < 1e5 / 180 + 50


def test_tasks_that_fail_at_once_are_noticed_at_once_when_that_is_worth_a_query() -> None:
    """Less than half a query is theirs by the density, and one in ten is too few for one."""
    delays_s = []
    for every in (5, 10_000):
        record = Turnarounds()
        turnarounds_s = [
            6.0 if index % every == 0 else turnaround_s
            for index, turnaround_s in enumerate(lognormal(180, 0.2, 300))
        ]
        simulate(turnarounds_s, record=record, pacing=Fixed(3))
        course = record.course(STANDARD, 5)
        delays_s.append(Adaptive(polls_per_job=4).delay_s(waiting(course)))
    assert delays_s[0] < 12
    assert delays_s[1] > 90


def test_early_failures_are_found_by_and_by_and_keep_the_budget() -> None:
    turnarounds_s = [6.0 if index % 5 == 0 else 180.0 + index % 60 for index in range(1500)]
    jobs = simulate(turnarounds_s)
    assert fmean(job.polls for job in jobs) < 5.5
    assert fmean(jobs[index].latency_s for index in range(1000, 1500, 5)) < 40


def test_one_value_serves_many_sessions() -> None:
    pacing = Adaptive()
    slow, fast = Turnarounds(), Turnarounds()
    simulate([400.0] * 50, pacing=pacing, record=slow)
    simulate([30.0] * 50, pacing=pacing, record=fast)
    slow_s, fast_s = (
        pacing.delay_s(waiting(record.course(STANDARD, 5))) for record in (slow, fast)
    )
    assert fast_s < 30
    assert slow_s > 100
    assert pacing == Adaptive()


def watch(course: Any, pacing: Pacing, accepted: float | None = 0.0) -> Watch:
    return Watch(
        TASK_ID, pacing, Retries(), now=0.0, timeout_s=None, course=course, accepted=accepted
    )


def answer(status: str, created: float | None = 0.0) -> Answer:
    at = None if created is None else EPOCH.timestamp() + created
    body = DONE if status == "completed" else task_json(status)
    return Answer(status=200, headers={}, body=json.dumps({**body, "created": at}).encode())


def read(watched: Watch, status: str, now: float, **how: Any) -> None:
    watched.read(answer(status, **how), now, EPOCH + dt.timedelta(seconds=now), 0.5)


def learned_s(record: Turnarounds) -> float:
    return record.course(STANDARD, 5).remaining_s(0)


def test_a_watch_tells_the_record_what_it_sees_whatever_the_pacing_is() -> None:
    record = Turnarounds()
    for _ in range(30):
        watched = watch(record.course(STANDARD, 5), Fixed(5))
        read(watched, "queued", 10)
        read(watched, "processing", 45)
        read(watched, "completed", 50)
    assert learned_s(record) == pytest.approx(48, abs=3)


def test_no_pacing_is_asked_about_a_task_that_has_ended() -> None:
    class Once:
        def delay_s(self, waiting: Waiting) -> float:
            raise AssertionError

    watched = watch(Turnarounds().course(STANDARD, 5), Once())
    read(watched, "completed", 50)
    assert watched.ended


def test_failures_are_ends_and_errors_are_nothing() -> None:
    record, blind = Turnarounds(), Turnarounds()
    for _ in range(30):
        watched = watch(record.course(STANDARD, 5), Fixed(5))
        read(watched, "processing", 45)
        watched.read(Answer(status=500, headers={}, body=b""), 47, EPOCH, 0.5)
        read(watched, "failed", 50)
        broken = watch(blind.course(STANDARD, 5), Fixed(5))
        broken.read(Answer(status=500, headers={}, body=b""), 47, EPOCH, 0.5)
    assert learned_s(record) == pytest.approx(48, abs=3)
    assert learned_s(blind) == learned_s(Turnarounds())


@pytest.mark.parametrize("created", [None, 3600.0], ids=["unsaid", "in the future"])
def test_a_task_of_unknown_age_is_waited_for_and_teaches_nothing(created: float | None) -> None:
    record = Turnarounds()
    watched = watch(record.course(STANDARD, 5, taken_up=True), Adaptive(), accepted=None)
    for now in (10.0, 20.0, 90.0):
        read(watched, "processing", now, created=created)
        assert now < watched.due < now + 181
    read(watched, "completed", 91, created=created)
    assert learned_s(record) == learned_s(Turnarounds())


def test_a_task_that_was_taken_up_is_learned_from_at_its_own_age() -> None:
    record = Turnarounds()
    for _ in range(60):
        watched = watch(record.course(STANDARD, 5, taken_up=True), Fixed(5), accepted=None)
        read(watched, "processing", 1, created=-399)
        assert watched.age_s(1) == 400
        read(watched, "completed", 11, created=-399)
    course = record.course(STANDARD, 5)
    assert course.remaining_s(400) < 15
    assert learned_s(record) == pytest.approx(learned_s(Turnarounds()), rel=0.01)


@attrs.frozen
class Median:
    """A user's own: ask when half of the tasks like it will have ended."""

    def delay_s(self, waiting: Waiting) -> float:
        return max(waiting.course.remaining_s(waiting.age_s, 0.5), 1)


async def test_a_pacing_of_the_users_own_can_use_what_was_learned(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [task_json("processing"), DONE]
    async with SeedanceSession("key", base_url=api.base_url, pacing=Median()) as session:
        await session.generate(request_)
    (_, created), (_, first), (_, second) = api.seen
    assert 80 < first - created < 130
    assert 20 < second - first < 60


async def test_a_task_is_as_old_as_its_submission_not_as_the_wait_for_it(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    import anyio

    async with SeedanceSession("key", base_url=api.base_url) as session:
        task = await session.submit(request_)
        await anyio.sleep(100)
        await task.wait()
    (_, created), (_, first) = api.seen
    assert 100 < first - created < 130


async def test_a_batch_stays_within_its_budget() -> None:
    requests = [VideoRequest(model=STANDARD, prompt=f"cat {n}") for n in range(150)]
    async with (
        Emulator() as emulator,
        SeedanceSession(emulator.api_key, base_url=emulator.base_url) as session,
    ):
        report = await session.run_batch(requests, max_in_flight=20)
        assert report.ok
        assert 3 < emulator.stats.queries / len(requests) < 5.5
