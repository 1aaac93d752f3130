"""What is learned of how long tasks take: life tables, kinds of tasks, courses."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedance_async.lifetable import EDGES_S, Curve, Forecast, Table, published
from seedance_async.turnaround import Seen, Turnarounds

FAST, STANDARD = "seedance_2_0_fast_pro", "seedance_2_0_pro"

_CHANCE = random.Random(1)
ages_s = st.floats(0, 1e6)
rates = st.lists(st.floats(1e-6, 1), min_size=len(EDGES_S), max_size=len(EDGES_S))


def middle_s(record: Turnarounds, model: str | None = STANDARD, duration: int | None = 5) -> float:
    return record.course(model, duration).remaining_s(0, 0.5)


def teach(record: Turnarounds, turnaround_s: float, *, every_s: float = 10, **kind: Any) -> None:
    """Follow one task to its end, asking at a fixed interval."""
    course = record.course(**{"model": STANDARD, "duration": 5, **kind})
    age_s = every_s
    while age_s < turnaround_s:
        course.saw(Seen.RUNNING, age_s)
        age_s += every_s
    course.saw(Seen.ENDED, age_s)


def taught(turnarounds_s: list[float], **how: Any) -> Turnarounds:
    record = Turnarounds()
    for turnaround_s in turnarounds_s:
        teach(record, turnaround_s, **how)
    return record


def lognormal(middle: float, sigma: float, count: int, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [middle * math.exp(rng.gauss(0, sigma)) for _ in range(count)]


@given(rates, ages_s, ages_s)
def test_a_curve_rises_and_its_inverse_is_its_inverse(
    rates: list[float], age: float, other: float
) -> None:
    curve = Curve(rates)
    assert curve.reaches(curve.at(age)) == pytest.approx(age, rel=1e-6, abs=1e-6)
    assert (curve.at(age) <= curve.at(other)) is (age <= other) or age == pytest.approx(other)


@pytest.mark.parametrize(("model", "low_s", "high_s"), [(FAST, 60, 180), (STANDARD, 120, 300)])
def test_before_any_evidence_the_providers_estimates_hold(
    model: str, low_s: float, high_s: float
) -> None:
    course = Turnarounds().course(model, 5)
    assert low_s < course.remaining_s(0, 0.25) < course.remaining_s(0, 0.75) < high_s


def test_a_longer_video_takes_longer_but_within_the_estimates() -> None:
    record = Turnarounds()
    middles = [middle_s(record, FAST, duration) for duration in (4, 5, 10, 15)]
    assert middles == sorted(middles)
    assert 60 < middles[0] < middles[-1] < 180


def test_a_model_that_is_not_known_is_taken_for_a_standard_one() -> None:
    record = Turnarounds()
    assert middle_s(record, None, None) == middle_s(record, STANDARD) > middle_s(record, FAST)


def test_what_tasks_take_is_learned() -> None:
    record = taught(lognormal(60, 0.2, 60))
    assert middle_s(record) == pytest.approx(60, rel=0.1)
    assert record.course(STANDARD, 5).remaining_s(55, 0.5) < 25
    assert middle_s(record, FAST) == middle_s(Turnarounds(), FAST)


def test_another_duration_learns_from_the_model() -> None:
    record = taught(lognormal(40, 0.2, 60))
    assert middle_s(record, STANDARD, 10) == pytest.approx(40 * 2 ** (1 / 3), rel=0.2)


def test_an_end_that_was_noticed_late_was_somewhere_before() -> None:
    """A mean of the times of notice would be off by half an interval, 30 s."""
    record = taught(lognormal(100, 0.3, 400), every_s=60)
    for teacher in range(3):  # what is believed sharpens with each
        for turnaround_s in lognormal(100, 0.3, 200, seed=teacher):
            teach(record, turnaround_s, every_s=random.Random(turnaround_s).uniform(30, 60))
    assert middle_s(record) == pytest.approx(100, rel=0.1)


def test_tasks_that_still_run_count() -> None:
    """The first ends of a batch are the fast ones: alone, they would promise too much."""
    record = Turnarounds()
    turnarounds_s = lognormal(200, 0.6, 300)
    courses = [record.course(STANDARD, 5) for _ in turnarounds_s]
    for age_s in range(10, 151, 10):
        for course, turnaround_s in zip(courses, turnarounds_s, strict=True):
            if turnaround_s > age_s - 10:
                course.saw(Seen.ENDED if turnaround_s <= age_s else Seen.RUNNING, age_s)
    ended = sorted(turnaround_s for turnaround_s in turnarounds_s if turnaround_s <= 150)
    assert ended[len(ended) // 2] < 120
    course = record.course(STANDARD, 5)
    share = len(ended) / 300
    assert course.remaining_s(0, share) == pytest.approx(150, rel=0.1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_provider_that_changes_its_speed_is_followed(factor: float) -> None:
    record = taught(lognormal(150, 0.2, 300))
    for turnaround_s in lognormal(150 * factor, 0.2, 150, seed=2):
        teach(record, turnaround_s)
    assert middle_s(record) == pytest.approx(150 * factor, rel=0.2)


def test_the_first_sight_of_a_task_that_was_taken_up_teaches_nothing() -> None:
    record = Turnarounds()
    for _ in range(200):
        record.course(STANDARD, 5, taken_up=True).saw(Seen.ENDED, 50_000)
        record.course(STANDARD, 5, taken_up=True).saw(Seen.RUNNING, 500)
    assert middle_s(record) == middle_s(Turnarounds())


def test_tasks_that_are_taken_up_late_do_not_lengthen_what_is_expected() -> None:
    """Whoever is found after an hour is a slow one: how many were faster, nobody saw."""
    record = taught(lognormal(100, 0.2, 100))
    before_s = middle_s(record)
    for _ in range(50):
        course = record.course(STANDARD, 5, taken_up=True)
        course.saw(Seen.RUNNING, 3600)
        course.saw(Seen.ENDED, 3660)
    assert middle_s(record) == pytest.approx(before_s, rel=0.1)


@given(st.lists(st.tuples(st.sampled_from(Seen), st.floats(-10, 1e9))))
def test_no_course_of_events_breaks_the_record(sightings: list[tuple[Seen, float]]) -> None:
    record = Turnarounds()
    for taken_up in (True, False):
        course = record.course(STANDARD, 5, taken_up=taken_up)
        for seen, age_s in sightings:
            course.saw(seen, age_s)
            for share in (0, 0.5, 0.999):
                assert 0 <= course.remaining_s(max(age_s, 0), share) < math.inf


def follow(record: Turnarounds, queue_s: float, work_s: float, says: Any, every_s: float) -> None:
    course, age_s = record.course(STANDARD, 5), every_s
    while age_s < queue_s + work_s:
        course.saw(says(age_s < queue_s), age_s)
        age_s += every_s
    course.saw(Seen.ENDED, age_s)


def queueing(says: Any) -> Turnarounds:
    record, rng = Turnarounds(), random.Random(3)
    for _ in range(300):
        every_s = rng.uniform(15, 25)
        follow(record, rng.expovariate(1 / 120), 60 * math.exp(rng.gauss(0, 0.15)), says, every_s)
    return record


def test_a_true_queue_is_worth_a_clock_of_its_own() -> None:
    record = queueing(lambda waits: Seen.QUEUED if waits else Seen.RUNNING)
    course = record.course(STANDARD, 5)
    course.saw(Seen.QUEUED, 300)
    just_queued_s = course.remaining_s(300)
    assert course.outlook()[1] == 300
    course.saw(Seen.RUNNING, 340)
    assert course.remaining_s(340) < 40 < just_queued_s


@pytest.mark.parametrize(
    "says",
    [
        lambda _: Seen.RUNNING,
        lambda _: _CHANCE.choice([Seen.QUEUED, Seen.RUNNING]),
    ],
    ids=["never", "at random"],
)
def test_a_queue_that_tells_nothing_changes_nothing(says: Any) -> None:
    record, blind = queueing(says), queueing(lambda _: Seen.RUNNING)
    course = record.course(STANDARD, 5)
    course.saw(Seen.QUEUED, 100)
    assert course.outlook()[1] == 0
    assert course.remaining_s(100) == pytest.approx(
        blind.course(STANDARD, 5).remaining_s(100), rel=0.1
    )


def test_what_was_learned_survives_being_written_down() -> None:
    record = queueing(lambda waits: Seen.QUEUED if waits else Seen.RUNNING)
    teach(record, 70, model=FAST, duration=None)
    text = record.to_json()
    again = Turnarounds.from_json(text)
    assert again.to_json() == text
    assert len(text) < 10_000
    for kind in ((STANDARD, 5), (STANDARD, 9), (FAST, 5)):
        course, other = record.course(*kind), again.course(*kind)
        for each in (course, other):
            each.saw(Seen.QUEUED, 50)
        # What goes by a forecast may be some sightings behind; what was read is not.
        assert other.remaining_s(60) == pytest.approx(course.remaining_s(60), rel=0.25)


GOOD = json.loads(taught([100.0]).to_json())


def spoilt(**changes: Any) -> str:
    model, duration, kind = GOOD["kinds"][0]
    return json.dumps({"version": 1, "kinds": [[model, duration, {**kind, **changes}]]})


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        "7",
        b"\xff\xfe",
        "[" * 100_000,
        json.dumps({**GOOD, "version": 2}),
        json.dumps({**GOOD, "kinds": 7}),
        json.dumps({**GOOD, "kinds": [[7, 5, GOOD["kinds"][0][2]]]}),
        json.dumps({**GOOD, "kinds": [["m", True, GOOD["kinds"][0][2]]]}),
        json.dumps({**GOOD, "kinds": [["m", -1, GOOD["kinds"][0][2]]]}),
        spoilt(age={}),
        spoilt(age={**GOOD["kinds"][0][2]["age"], "events": [1.0]}),
        spoilt(age={**GOOD["kinds"][0][2]["age"], "events": [-1.0] * len(EDGES_S)}),
        spoilt(age={**GOOD["kinds"][0][2]["age"], "events": [math.nan] * len(EDGES_S)}),
        spoilt(score=math.nan),
        spoilt(score="x"),
        spoilt(queue=3),
    ],
)
def test_a_record_that_cannot_be_read_is_as_if_it_had_never_been(text: str | bytes | None) -> None:
    assert Turnarounds.from_json(text).to_json() == Turnarounds().to_json()


@given(st.recursive(st.none() | st.floats() | st.text(), st.lists))
def test_no_garbage_raises(garbage: Any) -> None:
    for kept in (garbage, {"version": 1, "kinds": garbage}, {"version": 1, "kinds": [garbage]}):
        assert middle_s(Turnarounds.from_json(json.dumps(kept))) > 0


def test_old_evidence_fades_for_ever_without_overflowing() -> None:
    table = Table()
    for _ in range(40_000):
        table.add(0, 100, None)
        table.add(100, 110, published(STANDARD).hazard)
    forecast: Forecast = table.forecast(published(STANDARD))
    assert forecast.jobs == pytest.approx(1 / (1 - 0.992), rel=0.02)
    assert 100 < forecast.remaining_s(0, 0.5) < 110


def test_a_duration_that_nobody_saw_yet_follows_its_model() -> None:
    record = Turnarounds()
    before_s = record.course(FAST, 15).remaining_s(0)
    for _ in range(50):
        course = record.course(FAST, 5)
        course.saw(Seen.RUNNING, 580)
        course.saw(Seen.ENDED, 600)
    assert record.course(FAST, 15).remaining_s(0) > 3 * before_s
