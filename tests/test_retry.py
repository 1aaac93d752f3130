"""What a lost answer means: the contract's table, and patience."""

from __future__ import annotations

import datetime as dt
import json
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedance_async import (
    AuthenticationError,
    InsufficientBalance,
    RateLimited,
    RequestRefused,
    Retries,
    SeedanceError,
    ServiceUnavailable,
    SubmissionUnknown,
    TaskState,
    UnexpectedAnswer,
    VideoRequest,
)
from seedance_async.retry import Again, Patience, judge_create, judge_query
from seedance_async.wire import Answer, NoAnswer

NOW = dt.datetime(2026, 3, 30, 12, 0, tzinfo=dt.UTC)
REQUEST = VideoRequest(model="seedance_2_0_pro", prompt="A cat")
TASK = {"id": "video_1", "status": "queued"}


def answer(status: int, fields: Any = None, **headers: str) -> Answer:
    body = fields if isinstance(fields, bytes) else json.dumps(fields or {}).encode()
    return Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def created(reply: Answer | NoAnswer) -> Any:
    return judge_create(reply, NOW, key="k", request=REQUEST)


def test_an_accepted_create_is_a_task() -> None:
    assert created(answer(200, TASK)).id == "video_1"
    assert created(answer(201, {"data": TASK})).id == "video_1"


def test_a_task_that_failed_at_once_was_accepted_all_the_same() -> None:
    assert created(answer(200, {**TASK, "status": "failed", "error": "no"})).status == "failed"


def test_what_was_never_sent_may_be_sent_again() -> None:
    verdict = created(NoAnswer(sent=False, reason="ClientConnectorDNSError"))
    assert isinstance(verdict, Again)
    assert isinstance(verdict.error, ServiceUnavailable)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRefused),
        (401, AuthenticationError),
        (402, InsufficientBalance),
        (403, AuthenticationError),
        (404, RequestRefused),
        (408, RequestRefused),
        (413, RequestRefused),
        (422, RequestRefused),
    ],
)
def test_what_was_refused_is_told_with_the_providers_words(
    status: int, error: type[SeedanceError]
) -> None:
    verdict = created(answer(status, {"error": {"message": "bad seed"}}))
    assert type(verdict) is error
    assert (verdict.http_status, verdict.task_id) == (status, None)
    assert "bad seed" in str(verdict)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "told", ["17", format_datetime(NOW + dt.timedelta(seconds=17), usegmt=True)]
)
def test_a_busy_api_is_waited_for_as_told(status: int, told: str) -> None:
    verdict = created(answer(status, b"<html>", retry_after=told))
    assert isinstance(verdict, Again)
    assert verdict.wait_s == 17


def test_429_needs_no_retry_after() -> None:
    verdict = created(answer(429))
    assert isinstance(verdict, Again)
    assert verdict.wait_s is None
    assert isinstance(verdict.error, RateLimited)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 301, 307, 405, 409, 418, 499, 100])
def test_everything_else_is_unknown_and_never_sent_again(status: int) -> None:
    verdict = created(answer(status, b"<html>Bad gateway</html>"))
    assert isinstance(verdict, SubmissionUnknown)
    assert (verdict.key, verdict.digest, verdict.http_status) == ("k", REQUEST.digest, status)
    assert "html" not in str(verdict)


def test_a_lost_connection_after_sending_is_unknown() -> None:
    assert isinstance(
        created(NoAnswer(sent=True, reason="ServerDisconnectedError")), SubmissionUnknown
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"id": "vi', b"[]", b"{}", b'{"status": "queued"}']
)
def test_a_success_that_cannot_be_read_is_unknown(body: bytes) -> None:
    assert isinstance(created(answer(200, body)), SubmissionUnknown)


def test_a_failure_inside_a_success_is_a_refusal() -> None:
    verdict = created(answer(200, {"code": 1001, "msg": "no such model", "data": None}))
    assert type(verdict) is RequestRefused
    assert "no such model" in str(verdict)


def queried(reply: Answer | NoAnswer) -> Any:
    return judge_query(reply, NOW, task_id="video_1")


@pytest.mark.parametrize("status", ["queued", "processing", "failed", "cancelled"])
def test_a_query_gives_the_task(status: str) -> None:
    assert isinstance(queried(answer(200, {**TASK, "status": status})), TaskState)


@pytest.mark.parametrize(
    ("reply", "error", "outage"),
    [
        (NoAnswer(sent=False, reason="x"), ServiceUnavailable, True),
        (NoAnswer(sent=True, reason="x"), ServiceUnavailable, True),
        (answer(500), ServiceUnavailable, True),
        (answer(502, b"<html>"), ServiceUnavailable, True),
        (answer(503, retry_after="3"), ServiceUnavailable, True),
        (answer(429, retry_after="3"), RateLimited, True),
        (answer(401), AuthenticationError, False),
        (answer(404), RequestRefused, False),
        (answer(409), RequestRefused, False),
        (answer(302), UnexpectedAnswer, False),
        (answer(302, TASK), UnexpectedAnswer, False),
        (answer(200, b""), UnexpectedAnswer, False),
        (answer(200, b"<html>"), UnexpectedAnswer, False),
        (answer(200, {**TASK, "status": "expired"}), UnexpectedAnswer, False),
        (answer(200, {**TASK, "status": "completed"}), UnexpectedAnswer, False),
        (answer(200, {**TASK, "id": "video_2"}), UnexpectedAnswer, False),
        (answer(200, {"code": -1, "msg": "gone"}), UnexpectedAnswer, False),
    ],
)
def test_a_query_that_failed_may_be_repeated_and_keeps_the_id(
    reply: Any, error: type[SeedanceError], outage: bool
) -> None:
    verdict = queried(reply)
    assert isinstance(verdict, Again)
    assert type(verdict.error) is error
    assert verdict.error.task_id == "video_1"
    assert verdict.outage is outage


OUTAGE = Again(error=ServiceUnavailable("down"))
ODD = Again(error=UnexpectedAnswer("odd"), outage=False)


def test_pauses_double_up_to_the_cap() -> None:
    patience = Patience(Retries(first_s=1, cap_s=8), 1e9)
    assert [patience.failed(OUTAGE, 0, 0.999_999) for _ in range(6)] == pytest.approx(
        [1, 2, 4, 8, 8, 8], rel=1e-3
    )


def test_jitter_halves_a_pause_at_the_most() -> None:
    assert Patience(Retries(first_s=4), 1e9).failed(OUTAGE, 0, 0.0) == 2


def test_patience_ends_with_the_failures_own_error() -> None:
    patience = Patience(Retries(), 60)
    patience.failed(OUTAGE, 100, 0)
    patience.failed(OUTAGE, 159, 0)
    with pytest.raises(ServiceUnavailable, match="down"):
        patience.failed(OUTAGE, 160, 0)


def test_a_success_gives_all_patience_back() -> None:
    patience = Patience(Retries(odd_answers=2), 60)
    patience.failed(ODD, 0, 0)
    patience.reset()
    patience.failed(ODD, 59, 0)
    patience.reset()
    patience.failed(OUTAGE, 1000, 0)


def test_a_few_odd_answers_in_a_row_are_enough() -> None:
    patience = Patience(Retries(odd_answers=3), 1e9)
    patience.failed(ODD, 0, 0)
    patience.failed(ODD, 1, 0)
    patience.failed(OUTAGE, 2, 0)
    patience.failed(ODD, 3, 0)
    patience.failed(ODD, 4, 0)
    with pytest.raises(UnexpectedAnswer):
        patience.failed(ODD, 5, 0)


def test_a_wait_longer_than_patience_is_not_begun() -> None:
    with pytest.raises(RateLimited):
        Patience(Retries(), 60).failed(Again(error=RateLimited("x"), wait_s=61), 0, 0)


@given(
    st.lists(
        st.tuples(st.none() | st.floats(0, 1e6), st.booleans(), st.floats(0, 100)), max_size=50
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_waits_are_never_shorter_than_told_nor_unbounded(
    failures: list[tuple[float | None, bool, float]], jitter: float
) -> None:
    retries = Retries()
    patience = Patience(retries, 600)
    now = 0.0
    for wait_s, outage, later_s in failures:
        now += later_s
        again = Again(error=ServiceUnavailable("x"), wait_s=wait_s, outage=outage)
        try:
            pause_s = patience.failed(again, now, jitter)
        except ServiceUnavailable:
            return
        assert (wait_s or 0) <= pause_s <= (wait_s or 0) + retries.cap_s


@pytest.mark.parametrize(
    "wrong", [{"create_patience_s": -1}, {"odd_answers": 0}, {"first_s": 0}, {"cap_s": 0}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Retries(**wrong)  # type: ignore[arg-type]
