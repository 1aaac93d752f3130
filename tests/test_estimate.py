"""How long it will still take: a task, a batch, and whether that comes true."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import random
import time
from collections.abc import Iterator
from typing import Any

import anyio
import attrs
import pytest
from conftest import DONE, TASK_ID, ScriptedApi, task_json
from hypothesis import given
from hypothesis import strategies as st

from seedance_async import Estimate, Fixed, Limits, SeedanceSession, VideoRequest
from seedance_async.batch import Outcomes
from seedance_async.emulator import Emulator
from seedance_async.estimate import OVER, Ahead, of_task, stride
from seedance_async.turnaround import Course, Seen, Turnarounds

FAST, STANDARD = "seedance_2_0_fast_pro", "seedance_2_0_pro"


def now() -> float:
    return asyncio.get_running_loop().time()


def taught(jobs: int, middle_s: float = 100, sigma: float = 0.2) -> Turnarounds:
    record, rng = Turnarounds(), random.Random(1)
    for _ in range(jobs):
        course, age_s = record.course(STANDARD, 5), 10.0
        turnaround_s = middle_s * math.exp(rng.gauss(0, sigma))
        while age_s < turnaround_s:
            course.saw(Seen.RUNNING, age_s)
            age_s += 10
        course.saw(Seen.ENDED, age_s)
    return record


def course(record: Turnarounds) -> Course:
    return record.course(STANDARD, 5)


def ahead(record: Turnarounds, in_flight: int, waiting: int = 0, **more: Any) -> Ahead:
    slots = more.pop("slots", in_flight)
    step = stride(min(max(slots, in_flight), in_flight + waiting))
    age_s = more.pop("age_s", 0.0)
    fresh = [course(record)]
    return Ahead(
        running=[(course(record), age_s)] * math.ceil(in_flight / step),
        fresh=fresh,
        waiting=waiting,
        slots=slots,
        stride=step,
        **more,
    )


def is_sound(estimate: Estimate) -> bool:
    return 0 <= estimate.low_s <= estimate.remaining_s <= estimate.high_s < math.inf


# --- the arithmetic


def test_a_task_has_a_middle_and_a_range() -> None:
    record = taught(100)
    new = of_task(course(record), 0)
    assert is_sound(new)
    assert new.remaining_s == pytest.approx(100, rel=0.1)
    assert new.low_s == pytest.approx(100 * math.exp(-0.2 * 1.28), rel=0.15)
    assert new.high_s == pytest.approx(100 * math.exp(0.2 * 1.28), rel=0.15)
    old = of_task(course(record), 80)
    assert old.remaining_s < new.remaining_s - 60
    assert of_task(course(record), None) == attrs.evolve(new, low_s=0.0)


def test_nothing_ahead_takes_no_time() -> None:
    assert ahead(taught(0), 0).estimate() == OVER


def test_many_jobs_at_once_take_longer_than_one() -> None:
    record = taught(200)
    one, many = (ahead(record, count, late_s=0).estimate() for count in (1, 20))
    assert one.remaining_s < many.low_s < many.remaining_s < 200


def test_jobs_that_wait_take_turns() -> None:
    record = taught(200)
    waves = [ahead(record, 10, 10 * more).estimate().remaining_s for more in (0, 1, 2, 40)]
    assert waves == sorted(waves)
    # The mean of these times is 102 s, and ends are noticed 6 s late.
    assert waves[3] - waves[2] == pytest.approx(38 * 108, rel=0.1)


def test_the_more_ends_were_seen_the_narrower_is_the_range() -> None:
    widths = []
    for jobs in (0, 10, 100):
        estimate = ahead(taught(jobs, middle_s=190), 10, 30).estimate()
        widths.append((estimate.high_s - estimate.low_s) / estimate.remaining_s)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 3 * widths[2]


def test_a_limit_of_creates_slows_a_batch_down() -> None:
    assert ahead(taught(100), 20, 80, gap_s=60).estimate().remaining_s > 79 * 60
    quick = ahead(taught(100), 20, 80, gap_s=0.1).estimate()
    assert quick.remaining_s < 800


def test_a_late_notice_is_part_of_it() -> None:
    record = taught(100)
    prompt, late = (ahead(record, 5, 20, late_s=late_s).estimate() for late_s in (0, 30))
    assert late.remaining_s > prompt.remaining_s + 4 * 30


@pytest.mark.parametrize("waiting", [0, 1_000_000])
@pytest.mark.parametrize("in_flight", [1, 100_000])
def test_it_is_cheap_however_many_jobs_there_are(in_flight: int, waiting: int) -> None:
    asked = ahead(taught(50), in_flight, waiting)
    assert len(asked.running) <= 48
    began = time.perf_counter()
    assert is_sound(asked.estimate())
    assert time.perf_counter() - began < 0.5  # some milliseconds


def test_a_sample_tells_what_all_of_them_tell() -> None:
    record = taught(100)
    whole = Ahead(
        running=[(course(record), 30.0)] * 400, fresh=[course(record)], waiting=800, slots=400
    ).estimate()
    sampled = ahead(record, 400, 800, age_s=30).estimate()
    for name in ("remaining_s", "low_s", "high_s"):
        assert getattr(sampled, name) == pytest.approx(getattr(whole, name), rel=0.15)


@given(
    st.integers(0, 30),
    st.integers(0, 300),
    st.integers(1, 60),
    st.floats(0, 1e5),
    st.tuples(st.floats(0, 60), st.none() | st.floats(0, 60)),
)
def test_no_batch_breaks_it(
    in_flight: int, waiting: int, slots: int, age_s: float, pace: tuple[float, float | None]
) -> None:
    more = {"age_s": age_s, "gap_s": pace[0], "late_s": pace[1]}
    assert is_sound(ahead(Turnarounds(), in_flight, waiting, slots=slots, **more).estimate())


# --- a task


async def test_a_task_says_how_long_it_still_takes(session: SeedanceSession) -> None:
    task = await session.submit(VideoRequest(model=FAST, prompt="a cat"))
    first = task.estimate()
    assert is_sound(first)
    assert 60 < first.remaining_s < 180
    await anyio.sleep(40)
    assert task.estimate().remaining_s < first.remaining_s - 20
    await task.wait()
    assert task.estimate() == OVER


async def test_a_task_that_is_waited_for_goes_on_telling(session: SeedanceSession) -> None:
    task = await session.submit(VideoRequest(model=FAST, prompt="a cat"))
    told = [task.estimate().remaining_s async for _ in task.updates()]
    assert told == sorted(told, reverse=True)
    assert told[-1] == 0 < told[-2]


async def test_a_task_of_unknown_age_may_end_at_any_moment(
    scripted: SeedanceSession, api: ScriptedApi
) -> None:
    task = scripted.task(TASK_ID)
    unseen = task.estimate()
    assert unseen.low_s == 0 < unseen.remaining_s
    since = dt.datetime.now(dt.UTC).timestamp() - 100
    api.queries = [task_json("processing", created=since), DONE]
    await task.refresh()
    told = task.estimate()
    assert told.low_s > 0
    assert told.remaining_s < unseen.remaining_s - 30
    await task.refresh()
    assert task.estimate() == OVER


# --- a batch


def requests(count: int, model: str = FAST) -> list[VideoRequest]:
    return [
        VideoRequest(model=model, prompt=f"a cat {n}", duration=4 + n % 3) for n in range(count)
    ]


async def test_who_does_not_say_how_many_jobs_there_are_is_told_nothing(
    session: SeedanceSession,
) -> None:
    def lazily() -> Iterator[VideoRequest]:
        yield from requests(6)

    async with session.batch(lazily(), max_in_flight=3) as outcomes:
        assert outcomes.estimate() is None
        assert outcomes.estimate(to_come=6) is not None
        told = [outcomes.estimate() async for _ in outcomes]
    assert told[0] is None
    assert isinstance(told[-2], Estimate)  # by then the source has ended
    assert told[-1] == OVER


async def test_a_length_that_costs_something_is_not_asked_for(session: SeedanceSession) -> None:
    class Query:
        """As a database's, which its length would load."""

        def __len__(self) -> int:
            raise AssertionError

        def __iter__(self) -> Iterator[VideoRequest]:
            return iter(requests(2))

    async with session.batch(Query()) as outcomes:
        assert outcomes.estimate() is None
        assert len([outcome async for outcome in outcomes]) == 2


async def test_a_batch_knows_its_waiting_jobs_and_its_downloads(
    session: SeedanceSession, tmp_path: Any
) -> None:
    jobs: list[Any] = [*requests(1) * 7, {}]
    async with session.batch(jobs, max_in_flight=2, out_dir=tmp_path) as outcomes:
        told = [outcomes.estimate(), *[outcomes.estimate() async for _ in outcomes]]
    assert all(estimate and is_sound(estimate) for estimate in told)
    left_s = [estimate.remaining_s for estimate in told if estimate]
    assert left_s[0] > 2.5 * left_s[-3] > 0
    assert told[-1] == OVER


async def looked(outcomes: Outcomes) -> list[tuple[float, Estimate]]:
    """Read a batch to its end, and give what was estimated meanwhile, every ten seconds."""
    told: list[tuple[float, Estimate]] = []

    async def look() -> None:
        while True:
            await anyio.sleep(10)
            estimate = outcomes.estimate()
            assert estimate is not None
            assert is_sound(estimate)
            told.append((now(), estimate))

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        async for _ in outcomes:
            pass
        group.cancel_scope.cancel()
    return told


SEEDS = 6


@pytest.mark.parametrize(
    ("model", "count", "slots", "pacing"),
    [(STANDARD, 40, 10, None), (FAST, 20, 20, None), (FAST, 30, 10, Fixed(20))],
)
async def test_most_batches_end_within_the_range(
    model: str, count: int, slots: int, pacing: Fixed | None
) -> None:
    """The range leaves out 20 %; a bounded distribution, as the emulator's, ends rather early."""
    hits = dict.fromkeys((0.05, 0.3, 0.6, 0.9), 0)
    for seed in range(SEEDS):
        async with (
            Emulator(seed=seed) as emulator,
            SeedanceSession(emulator.api_key, base_url=emulator.base_url, pacing=pacing) as session,
            session.batch(requests(count, model), max_in_flight=slots) as outcomes,
        ):
            began_s = now()
            told = await looked(outcomes)
            end_s = now()
        for share in hits:
            at_s, estimate = min(
                told, key=lambda each: abs(each[0] - began_s - share * (end_s - began_s))
            )
            hits[share] += estimate.low_s <= end_s - at_s <= estimate.high_s
    assert min(hits.values()) >= 0.8 * SEEDS, hits


async def test_jobs_that_wait_for_their_turn_are_not_taken_for_running(emulator: Emulator) -> None:
    """A batch may ask for more at once than its session allows, or than the account takes."""
    limits = Limits(max_in_flight=2)
    async with (
        SeedanceSession(emulator.api_key, base_url=emulator.base_url, limits=limits) as session,
        session.batch(requests(24), max_in_flight=20) as outcomes,
    ):
        seen = [
            (now(), estimate.remaining_s)
            async for _ in outcomes
            if (estimate := outcomes.estimate())
        ]
    end_s = now()
    for at_s, remaining_s in seen[2:-4]:
        assert remaining_s == pytest.approx(end_s - at_s, rel=0.6)
