"""Lifecycle, pacing, settings, events and errors: the small modules of the core."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import logging
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seedance_async
from seedance_async import (
    Adaptive,
    Backoff,
    BatchReport,
    Fixed,
    InvalidRequest,
    JobRecord,
    JobState,
    Limits,
    Outcome,
    OutcomeStatus,
    SeedanceError,
    VideoRequest,
    Violation,
    WaitTimeout,
)
from seedance_async.events import Completed, Event, Stream, Submitted
from seedance_async.lifecycle import ENDS, MOVES, IllegalMove
from seedance_async.pacing import Waiting

NOW = dt.datetime(2026, 3, 30, 12, 0, tzinfo=dt.UTC)
REQUEST = VideoRequest(model="seedance_2_0_pro", prompt="A cat")


def record(state: JobState, **fields: Any) -> JobRecord:
    return JobRecord(key="k", request=REQUEST, state=state, planned_at=NOW, **fields)


@pytest.mark.parametrize(("start", "end"), list(itertools.product(JobState, JobState)))
def test_only_the_moves_of_the_table_are_legal(start: JobState, end: JobState) -> None:
    if end in MOVES[start]:
        assert record(start).moved(end, NOW).state is end
    else:
        with pytest.raises(IllegalMove, match="k cannot go"):
            record(start).moved(end, NOW)


def test_a_sent_job_never_goes_back_to_planned_but_by_a_persons_word_or_a_refusal() -> None:
    assert JobState.PLANNED not in MOVES[JobState.SUBMITTED]
    assert {start for start in JobState if JobState.SUBMITTING in MOVES[start]} == {
        JobState.PLANNED,
        JobState.UNKNOWN,  # where a person says so
    }


def test_an_id_once_known_stays() -> None:
    submitted = record(JobState.SUBMITTING).moved(JobState.SUBMITTED, NOW, task_id="video_1")
    with pytest.raises(IllegalMove):
        submitted.moved(JobState.COMPLETED, NOW, task_id="video_2")
    assert submitted.moved(JobState.COMPLETED, NOW).task_id == "video_1"


def test_moves_keep_their_times() -> None:
    later = NOW + dt.timedelta(seconds=9)
    submitted = record(JobState.SUBMITTING).moved(JobState.SUBMITTED, NOW)
    moved = submitted.moved(JobState.SUBMITTED, later).moved(JobState.COMPLETED, later)
    assert (moved.submitted_at, moved.ended_at) == (NOW, later)
    assert submitted.ended_at is None
    assert JobState.SUBMITTED not in ENDS


def waiting(**fields: Any) -> Waiting:
    known = {"model": None, "age_s": 0.0, "polls": 0, "hint_s": None, "jitter": 0.0}
    return Waiting(**{**known, **fields})


def test_fixed_is_fixed() -> None:
    assert Fixed(7).delay_s(waiting(polls=9, hint_s=1, jitter=0.9)) == 7


def test_backoff_grows_to_its_cap_and_no_further() -> None:
    backoff = Backoff(first_s=2, factor=2, cap_s=10)
    assert [backoff.delay_s(waiting(polls=polls)) for polls in range(5)] == [2, 4, 8, 10, 10]
    assert backoff.delay_s(waiting(polls=10**9)) == 10
    assert Backoff(first_s=2, factor=1, cap_s=10).delay_s(waiting(polls=10**9)) == 2


def test_adaptive_waits_for_the_published_minimum_and_asks_fast_models_more_often() -> None:
    fast, standard = (
        [Adaptive().delay_s(waiting(model=model, age_s=age)) for age in (0, 100)]
        for model in ("seedance_2_0_fast_pro", "seedance_2_0_pro")
    )
    assert fast[0] < standard[0]
    assert fast[1] < standard[1]


def test_adaptive_asks_an_overdue_task_less_and_less_often() -> None:
    half = {"jitter": 0.5}
    delays = [Adaptive().delay_s(waiting(age_s=age, **half)) for age in (300, 400, 590, 6000)]
    assert delays == sorted(delays)
    assert delays[-1] > 2 * delays[0]


def test_a_hint_of_the_server_goes_first() -> None:
    assert Adaptive().delay_s(waiting(hint_s=0.25)) == 0.25
    assert Adaptive().delay_s(waiting(hint_s=0)) == 0.1
    assert Adaptive(ceiling_s=60).delay_s(waiting(hint_s=999_999)) == 60


@given(st.floats(0, 1e7), st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.booleans())
def test_adaptive_stays_between_floor_and_ceiling(
    age_s: float, polls: int, jitter: float, fast: bool
) -> None:
    model = "seedance_2_0_fast" if fast else None
    state = waiting(model=model, age_s=age_s, polls=polls, jitter=jitter)
    assert 3 <= Adaptive(floor_s=3, ceiling_s=30).delay_s(state) <= 30


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(0),
        lambda: Fixed(float("inf")),
        lambda: Backoff(first_s=-1),
        lambda: Backoff(factor=0.5),
        lambda: Backoff(cap_s=0),
        lambda: Adaptive(floor_s=0),
        lambda: Adaptive(floor_s=10, ceiling_s=5),
        lambda: Limits(max_in_flight=0),
        lambda: Limits(max_in_flight=True),
        lambda: Limits(max_in_flight=2.5),
        lambda: Limits(creates_per_minute=0),
        lambda: Limits(polls_per_second=-1),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


def test_events_reach_every_subscriber_in_order_until_they_leave() -> None:
    stream, seen = Stream(), []
    with stream.subscribe(lambda event: seen.append(("a", event))):
        with stream.subscribe(lambda event: seen.append(("b", event))):
            stream.emit(Submitted(key="1", task_id="video_1"))
        stream.emit(Completed(key="2"))
    stream.emit(Completed(key="3"))
    assert [(who, event.key) for who, event in seen] == [("a", "1"), ("b", "1"), ("a", "2")]


def test_a_broken_subscriber_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    stream, seen = Stream(), []

    def broken(_: Event) -> None:
        raise RuntimeError("my progress bar")

    with stream.subscribe(broken), stream.subscribe(seen.append):
        stream.emit(Completed(key="1"))
    assert len(seen) == 1
    assert caplog.records[0].levelno == logging.ERROR


ERRORS = [
    value
    for name in seedance_async.__all__
    if isinstance(value := getattr(seedance_async, name), type) and issubclass(value, SeedanceError)
]


def test_there_is_one_root_and_the_familiar_kinds_are_kept() -> None:
    assert len(ERRORS) == 20
    assert issubclass(InvalidRequest, ValueError)
    assert issubclass(WaitTimeout, TimeoutError)


@pytest.mark.parametrize("error_class", ERRORS)
def test_errors_pickle_and_copy_with_all_their_fields(error_class: type[SeedanceError]) -> None:
    if error_class is InvalidRequest:
        error: SeedanceError = InvalidRequest([Violation("a.b", "a", "is wrong")])
    else:
        error = error_class("words", "video_1")
    error.add_note("seen")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is error_class
        assert vars(again) == vars(error)
        assert str(again) == str(error)
    assert error_class.__module__ == "seedance_async"


def test_an_error_shows_its_task() -> None:
    assert str(WaitTimeout("too long", "video_1")) == "too long (task video_1)"


def outcome(index: int, status: OutcomeStatus, **fields: Any) -> Outcome:
    return Outcome(index=index, status=status, started_at=NOW, ended_at=NOW, **fields)


def test_a_report_counts_every_status() -> None:
    report = BatchReport(
        outcomes=(outcome(0, OutcomeStatus.COMPLETED), outcome(1, OutcomeStatus.FAILED)), wall_s=1
    )
    assert report.counts[OutcomeStatus.COMPLETED] == 1
    assert report.counts[OutcomeStatus.UNKNOWN] == 0
    assert not report.ok
    assert report.total_tokens == 0


def test_a_video_that_is_not_on_disk_is_not_ok() -> None:
    assert outcome(0, OutcomeStatus.COMPLETED).ok
    assert not outcome(0, OutcomeStatus.COMPLETED, error=SeedanceError("disk full")).ok
