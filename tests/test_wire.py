"""Every shape in which the API's answers have been seen."""

from __future__ import annotations

import datetime as dt
import json
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedance_async import TaskState, wire
from seedance_async.lifecycle import Phase, phase
from seedance_async.wire import Answer, BusinessFailure, Unreadable, read_task

NOW = dt.datetime(2026, 3, 30, 12, 0, tzinfo=dt.UTC)
PAGE = {
    "id": "video_fd35ee52-2a98-44a6-b930-29a88ce9b8fd",
    "object": "video",
    "created": 1774836724,
    "model": "seedance_2_0_fast",
    "status": "queued",
    "error": None,
}


def read(fields: Any, **options: Any) -> Any:
    return read_task(json.dumps(fields).encode(), **options)


def test_the_pages_own_answer() -> None:
    task = read(PAGE)
    assert task.raw == PAGE
    assert task == TaskState(
        id="video_fd35ee52-2a98-44a6-b930-29a88ce9b8fd",
        status="queued",
        model="seedance_2_0_fast",
        created_at=dt.datetime(2026, 3, 30, 2, 12, 4, tzinfo=dt.UTC),
    )


@pytest.mark.parametrize("tokens", ["40594", 40594, 40594.0])
@pytest.mark.parametrize("duration", [4, 4.0, "4.000000"])
def test_a_completed_task_with_numbers_in_any_shape(tokens: Any, duration: Any) -> None:
    task = read(
        {**PAGE, "status": "completed", "video_url": "https://v.example/a.mp4"}
        | {"totalTokens": tokens, "actualDuration": duration}
    )
    assert (task.total_tokens, task.actual_duration_s) == (40594, 4.0)
    assert isinstance(task.total_tokens, int)
    assert phase(task) is Phase.COMPLETED


@pytest.mark.parametrize("odd", ["", "many", None, [], {}, True, "nan", "-3", "1e999"])
def test_numbers_that_are_none_are_left_out(odd: Any) -> None:
    task = read({**PAGE, "totalTokens": odd, "actualDuration": odd, "created": odd})
    assert (task.total_tokens, task.actual_duration_s) == (None, None)
    assert task.id == PAGE["id"]


def test_a_task_wrapped_in_data() -> None:
    assert read({"data": PAGE}).id == PAGE["id"]
    assert read({"code": 0, "msg": None, "data": PAGE}).status == "queued"
    assert read({"code": "0", "data": PAGE}).raw == {"code": "0", "data": PAGE}


@pytest.mark.parametrize("beside", [{}, {"video_url": None}, {"video_url": ""}])
def test_result_url_in_place_of_video_url(beside: dict[str, Any]) -> None:
    task = read({**PAGE, **beside, "status": "completed", "result_url": "https://v.example/b"})
    assert task.video_url == "https://v.example/b"


def test_video_url_goes_before_result_url() -> None:
    both = {"video_url": "https://v.example/a", "result_url": "https://v.example/b"}
    assert read({**PAGE, **both}).video_url == "https://v.example/a"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("content rejected", "content rejected"),
        ({"message": "content rejected"}, "content rejected"),
        ({"code": "moderation", "message": "content rejected"}, "content rejected"),
        ({"code": "moderation"}, "moderation"),
        (None, None),
        ("", None),
        ({}, None),
        ({"reason": 1}, '{"reason": 1}'),
        (["a"], '["a"]'),
    ],
)
def test_an_error_in_any_shape(error: Any, words: str | None) -> None:
    assert read({**PAGE, "status": "failed", "error": error}).error == words


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("queued", Phase.RUNNING),
        ("processing", Phase.RUNNING),
        ("PROCESSING", Phase.RUNNING),
        ("failed", Phase.FAILED),
        ("FAILED", Phase.FAILED),
        ("cancelled", Phase.FAILED),
        ("canceled", Phase.FAILED),
        ("completed", Phase.ODD),  # without a URL
        ("expired", Phase.ODD),
        ("", Phase.ODD),
        (None, Phase.ODD),
        (7, Phase.ODD),
        (["queued"], Phase.ODD),
    ],
)
def test_what_a_status_means(status: Any, expected: Phase) -> None:
    assert phase(read({**PAGE, "status": status})) is expected


def test_capitals_are_read_as_what_they_mean() -> None:
    task = read({**PAGE, "status": "COMPLETED", "video_url": "https://v.example/a"})
    assert task.status == "completed"
    assert phase(task) is Phase.COMPLETED


def test_unknown_fields_are_kept() -> None:
    assert read({**PAGE, "seed": 7}).raw["seed"] == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"<html>502</html>",
        b'{"id": "vid',
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe\x00",
        b"{}",
    ]
    + [b'{"id": null}', b'{"id": ""}', b'{"id": true}', b'{"id": {}}', b'{"data": null}']
    + [b'{"a":' * 100_000],
)
def test_what_holds_no_task_is_unreadable(body: bytes) -> None:
    assert isinstance(read_task(body), Unreadable)


@pytest.mark.parametrize(
    "failure",
    [
        {"code": 1001, "msg": "no such model", "data": None},
        {"code": "1001", "msg": "no such model"},
        {"error": {"message": "no such model"}},
        {"error": "no such model"},
    ],
)
def test_a_failure_inside_a_success(failure: dict[str, Any]) -> None:
    answer = read(failure)
    assert isinstance(answer, BusinessFailure)
    assert "no such model" in answer.message


def test_a_query_without_an_id_is_about_the_one_asked_for() -> None:
    assert read({"status": "processing"}, asked_id="video_1").id == "video_1"


def test_an_answer_about_another_task_is_not_believed() -> None:
    assert isinstance(read(PAGE, asked_id="video_1"), Unreadable)


def test_no_repr_shows_the_url() -> None:
    task = read({**PAGE, "video_url": "https://v.example/a?sig=SECRET"})
    assert "SECRET" not in repr(task)
    assert "SECRET" not in repr(Answer(200, {"a": "SECRET"}, b"SECRET"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.25", 0.25),
        (format_datetime(NOW + dt.timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - dt.timedelta(seconds=90), usegmt=True), 0.0),
        ("Mon, 30 Mar 2026 12:00:10 -0000", 10.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("inf", None),
        ("٣", None),
        ("99999999999", None),
    ],
)
def test_retry_after_in_both_forms(value: str, seconds: float | None) -> None:
    assert wire.retry_after_s({"retry-after": value}, NOW) == seconds


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_date_is_read_against_the_clock_of_who_sent_it(date: str) -> None:
    headers = {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": date}
    now = dt.datetime(2026, 10, 21, 7, 28 if date[:3] != "Wed" else 0, tzinfo=dt.UTC)
    assert wire.retry_after_s(headers, now) == 30


def test_no_retry_after() -> None:
    assert wire.retry_after_s({}, NOW) is None


@given(st.text(), st.text())
def test_any_retry_after_is_read_without_failing(value: str, date: str) -> None:
    seconds = wire.retry_after_s({"retry-after": value, "date": date}, NOW)
    assert seconds is None or seconds >= 0


@given(st.binary())
def test_any_bytes_are_read_without_failing(body: bytes) -> None:
    assert isinstance(read_task(body), TaskState | BusinessFailure | Unreadable)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["id", "status", "created", "model", "video_url", "result_url", "error", "data"]
            + ["totalTokens", "actualDuration", "code", "msg", "message"]
        ),
        json_values,
    )
)
def test_any_answer_is_read_without_failing(fields: dict[str, Any]) -> None:
    task = read(fields)
    if isinstance(task, TaskState):
        assert task.id
        assert phase(task) in Phase
    wire.failure_message(Answer(400, {}, json.dumps(fields).encode()))


def test_an_id_cannot_leave_its_path() -> None:
    assert wire.quote_id("../a?b#c") == "..%2Fa%3Fb%23c"


def test_a_long_message_is_cut_and_put_on_one_line() -> None:
    body = json.dumps({"error": "a\nb " * 1000}).encode()
    message = wire.failure_message(Answer(400, {}, body))
    assert "\n" not in message
    assert len(message) < 400
