"""A single call, from submission to the video, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import queue
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from conftest import DONE, TASK_ID, ScriptedApi, error, name, never, plain, reset, task_json

from seedance_async import (
    Adaptive,
    AuthenticationError,
    Backoff,
    DownloadError,
    Fixed,
    InvalidRequest,
    JobRecord,
    JobState,
    JournalError,
    Limits,
    MemoryJournal,
    RateLimited,
    RequestRefused,
    Retries,
    SeedanceError,
    SeedanceSession,
    ServiceUnavailable,
    SessionClosed,
    SubmissionUnknown,
    UnexpectedAnswer,
    VideoFailed,
    VideoRequest,
    VideoTask,
    WaitTimeout,
)
from seedance_async.emulator import Emulator
from seedance_async.events import Event, StateChanged, Submitted, Throttled


def now() -> float:
    return asyncio.get_running_loop().time()


async def states(session: SeedanceSession) -> list[tuple[str, str | None]]:
    return [(job.state, job.task_id) async for job in session.jobs()]


async def test_generate_submits_waits_and_gives_the_video(
    session: SeedanceSession, emulator: Emulator, request_: VideoRequest
) -> None:
    video = await session.generate(request_)
    assert video.request is request_
    assert video.actual_duration_s == 5
    assert video.total_tokens
    assert video.url.startswith(emulator.base_url)
    assert 60 <= now() <= 200
    assert await states(session) == [("completed", video.id)]


async def test_updates_give_each_change_once_and_end(
    session: SeedanceSession, request_: VideoRequest
) -> None:
    task = await session.submit(request_)
    seen = [state.status async for state in task.updates()]
    assert seen == ["queued", "processing", "completed"]
    assert task.state is not None
    assert task.state.video_url


async def test_a_task_is_taken_up_by_its_id_in_another_session(
    session: SeedanceSession, emulator: Emulator, request_: VideoRequest
) -> None:
    task = await session.submit(request_)
    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5)
    ) as other:
        again = other.task(task.id)
        assert (await again.refresh()).status == "queued"
        video = await again.wait()
    assert (video.id, video.request) == (task.id, None)


async def test_a_finished_task_is_not_asked_again(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    task = await scripted.submit(request_)
    first, again = await task.wait(), await task.wait()
    assert first == again
    assert api.count("GET") == 1


async def test_many_coroutines_share_a_session_and_a_task(
    session: SeedanceSession, request_: VideoRequest
) -> None:
    task = await session.submit(request_)
    videos = []

    async def wait() -> None:
        videos.append(await task.wait())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(wait)
    assert len({video.id for video in videos}) == 1


async def test_the_same_request_twice_is_two_jobs(
    session: SeedanceSession, emulator: Emulator, request_: VideoRequest
) -> None:
    tasks = [await session.submit(request_) for _ in range(2)]
    assert len({task.id for task in tasks}) == len({task.key for task in tasks}) == 2
    assert emulator.stats.accepted == 2


async def test_a_key_used_again_is_the_same_task(
    session: SeedanceSession, emulator: Emulator, request_: VideoRequest
) -> None:
    first = await session.submit(request_, key="mine")
    assert (await session.submit(request_, key="mine")).id == first.id
    assert emulator.stats.accepted == 1


async def test_the_wait_ends_at_its_deadline_exactly_and_the_task_lives_on(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [task_json("processing")]
    task = await scripted.submit(request_)
    started = now()
    with pytest.raises(WaitTimeout) as caught:
        await task.wait(timeout_s=1803.7)
    assert now() - started == pytest.approx(1803.7, abs=1e-6)
    assert (caught.value.task_id, caught.value.last_status) == (TASK_ID, "processing")
    api.queries = [DONE]
    assert (await task.wait()).id == TASK_ID


async def test_the_deadline_cuts_a_query_that_hangs(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [never]
    task = await scripted.submit(request_)
    started = now()
    with pytest.raises(WaitTimeout, match="last seen queued"):
        await task.wait(timeout_s=12)
    assert now() - started == pytest.approx(12, abs=1e-6)


async def test_a_deadline_of_zero_asks_nothing(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    task = await scripted.submit(request_)
    with pytest.raises(WaitTimeout):
        await task.wait(timeout_s=0)
    assert api.count("GET") == 0
    with pytest.raises(ValueError, match="timeout_s"):
        await task.wait(timeout_s=-1)


async def test_an_hour_of_polling_asks_at_the_interval(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [*[task_json("processing")] * 719, DONE]
    await (await scripted.submit(request_)).wait(timeout_s=None)
    asked = [at for method, at in api.seen if method == "GET"]
    assert asked == pytest.approx([5.0 * n for n in range(1, 721)], abs=0.5)


async def test_a_failed_task_raises_with_the_providers_reason(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [task_json("failed", error={"message": "content rejected"})]
    with pytest.raises(VideoFailed, match="content rejected") as caught:
        await scripted.generate(request_)
    assert (caught.value.task_id, caught.value.reason) == (TASK_ID, "content rejected")
    assert await states(scripted) == [("failed", TASK_ID)]


async def test_a_cancelled_task_is_a_failure(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [task_json("CANCELED")]
    with pytest.raises(VideoFailed) as caught:
        await scripted.generate(request_)
    assert caught.value.status == "cancelled"


@pytest.mark.parametrize(
    "odd",
    [
        task_json("expired"),
        task_json("completed"),
        task_json("completed", video_url=""),
        plain(200, "<html>"),
        plain(200, ""),
        plain(200, '{"id": "vid'),
        {**DONE, "id": "video_of_somebody_else"},
    ],
    ids=name,
)
async def test_odd_answers_are_believed_neither_way_and_the_id_is_kept(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, odd: Any
) -> None:
    api.queries = [odd]
    with pytest.raises(UnexpectedAnswer) as caught:
        await scripted.generate(request_)
    assert caught.value.task_id == TASK_ID
    assert api.count("GET") == 6
    assert await states(scripted) == [("submitted", TASK_ID)]
    api.queries = [odd, DONE]
    assert (await scripted.task(TASK_ID).wait()).id == TASK_ID


@pytest.mark.parametrize(
    "failure", [reset, error(500), error(502), error(429), error(404)], ids=name
)
async def test_failed_queries_in_between_do_not_end_a_wait(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, failure: Any
) -> None:
    working = task_json("processing")
    api.queries = [failure, failure, working, failure, failure, failure, working, failure, DONE]
    assert (await scripted.generate(request_)).id == TASK_ID
    assert api.count("POST") == 1


async def test_an_outage_longer_than_patience_ends_the_wait_with_the_id(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [error(503)]
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(5), retries=Retries(query_patience_s=300)
    ) as session:
        task = await session.submit(request_)
        with pytest.raises(ServiceUnavailable) as caught:
            await task.wait()
    assert caught.value.task_id == TASK_ID
    assert 300 <= now() <= 340


async def test_a_query_waits_as_told(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [error(429, Retry_After="77"), DONE]
    await scripted.generate(request_)
    first, second = (at for method, at in api.seen if method == "GET")
    assert 77 <= second - first <= 79


@pytest.mark.parametrize("busy", [429, 503])
async def test_a_busy_create_waits_as_told_and_is_sent_again(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, busy: int
) -> None:
    events: list[Event] = []
    api.creates = [error(busy, "slow down", Retry_After="40"), task_json("queued")]
    with scripted.subscribe(events.append):
        task = await scripted.submit(request_)
    assert task.id == TASK_ID
    first, second = (at for _, at in api.seen)
    assert 40 <= second - first <= 42
    throttled = next(event for event in events if isinstance(event, Throttled))
    assert throttled.wait_s >= 40
    assert "slow down" in throttled.reason


async def test_one_retry_after_holds_the_whole_session(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [error(429, Retry_After="60"), task_json("queued")]

    async def later() -> None:
        await anyio.sleep(10)
        await scripted.submit(request_)

    async with anyio.create_task_group() as group:
        group.start_soon(scripted.submit, request_)
        group.start_soon(later)
    assert all(at >= 60 for _, at in api.seen[1:])


async def test_a_create_that_is_refused_for_too_long_gives_up_unpaid(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [error(429)]
    retries = Retries(create_patience_s=120)
    async with SeedanceSession("key", base_url=api.base_url, retries=retries) as session:
        with pytest.raises(RateLimited) as caught:
            await session.submit(request_)
        assert caught.value.task_id is None
        assert await states(session) == [("failed", None)]
    assert 120 <= now() <= 160


async def test_an_unreachable_api_is_tried_again_since_nothing_was_sent(
    request_: VideoRequest, unused_port: int
) -> None:
    retries = Retries(create_patience_s=60)
    base_url = f"http://127.0.0.1:{unused_port}"
    async with SeedanceSession("key", base_url=base_url, retries=retries) as session:
        with pytest.raises(ServiceUnavailable, match="cannot reach the API"):
            await session.submit(request_)
    assert now() >= 60


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.mark.parametrize(
    "lost",
    [
        reset,
        never,
        error(500),
        error(502),
        error(504),
        error(503),
        plain(200, ""),
        plain(200, "<html>"),
    ]
    + [plain(200, '{"id": "vid'), plain(307, Location="/elsewhere")],
    ids=name,
)
async def test_a_lost_answer_is_unknown_and_the_create_is_sent_once(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, lost: Any
) -> None:
    api.creates = [lost]
    with pytest.raises(SubmissionUnknown) as caught:
        await scripted.submit(request_)
    assert api.count("POST") == 1
    assert api.count("GET") == 0
    assert caught.value.digest == request_.digest
    assert await states(scripted) == [("unknown", None)]
    job = await anext(scripted.jobs("unknown"))
    assert job.key == caught.value.key


async def test_queries_are_counted_and_written_down_with_the_next_change(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    running = [task_json("queued"), error(500), task_json("processing"), task_json("processing")]
    api.queries = [*running, DONE]
    task = await scripted.submit(request_)
    seen = [(await anext(scripted.jobs())).polls async for _ in task.updates()]
    assert seen == [0, 3, 5]
    assert api.count("GET") == 5


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422])
async def test_a_refused_create_is_sent_once(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, status: int
) -> None:
    api.creates = [error(status, "no such thing")]
    with pytest.raises(SeedanceError, match="no such thing"):
        await scripted.submit(request_)
    assert api.count("POST") == 1
    assert await states(scripted) == [("failed", None)]


async def test_an_answer_cut_short_is_lost(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(body)
        assert request.transport
        request.transport.close()
        return response

    whole = json.dumps(task_json("queued")).encode()
    body = whole[:-20]
    api.creates = [cut]
    with pytest.raises(SubmissionUnknown):
        await scripted.submit(request_)
    # Headers that lie about the end lose nothing that has arrived.
    body = whole
    assert (await scripted.submit(request_)).id == TASK_ID


async def test_an_answer_without_end_is_bounded(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [plain(200, b"x" * (2 << 20))]
    with pytest.raises(SubmissionUnknown, match="more than 1 MiB"):
        await scripted.submit(request_)


async def test_a_wrong_key_is_told_as_such(emulator: Emulator, request_: VideoRequest) -> None:
    async with SeedanceSession("wrong", base_url=emulator.base_url) as session:
        with pytest.raises(AuthenticationError):
            await session.submit(request_)


async def test_an_unknown_id_is_told_at_once_by_refresh_and_soon_by_wait(
    session: SeedanceSession,
) -> None:
    task = session.task("video_nobody_knows")
    with pytest.raises(RequestRefused) as caught:
        await task.refresh()
    assert caught.value.http_status == 404
    with pytest.raises(RequestRefused):
        await task.wait()
    assert now() < 60


@pytest.mark.parametrize("wrong", ["", " ", "a b", "../x", "a/b", "..", "a?b", "a#b", "a%2Fb"])
async def test_what_cannot_be_an_id_is_refused(session: SeedanceSession, wrong: str) -> None:
    with pytest.raises(ValueError, match="task's id"):
        session.task(wrong)


async def test_what_a_private_host_refuses_is_checked_at_a_public_one_only(
    session: SeedanceSession, emulator: Emulator
) -> None:
    request = VideoRequest(
        model="seedance_2_0_pro", prompt="x", first_image="http://127.0.0.1/media/640x480.png"
    )
    await session.submit(request)
    async with SeedanceSession("key", base_url="https://api.example.com/x") as public:
        with pytest.raises(InvalidRequest, match=r"media\.public"):
            await public.submit(request)
        assert await states(public) == []


async def test_the_key_goes_to_the_api_alone_and_is_shown_nowhere(
    api: ScriptedApi, request_: VideoRequest, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-a-secret-of-some-length"
    caplog.set_level(logging.DEBUG)
    api.creates = [error(400, f"the key {key} is not for this"), error(401, f"bad key {key}")]
    async with SeedanceSession(key, base_url=api.base_url) as session:
        shown = [repr(session), repr(vars(session).get("_opened"))]
        for _ in range(2):
            with pytest.raises(SeedanceError) as caught:
                await session.submit(request_)
            shown += [repr(caught.value), str(caught.value), repr(vars(caught.value))]
        shown += [repr(job) async for job in session.jobs()]
    assert api.headers[0]["Authorization"] == f"Bearer {key}"
    for text in [*shown, caplog.text]:
        assert key not in text
        assert request_.prompt not in text


@pytest.mark.parametrize("key", ["", "  ", "a b", "schlüssel", "a\nb", "a\x00b"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        SeedanceSession(key)
    assert not key.strip() or key not in str(caught.value)


def test_the_environment_gives_key_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthenticationError, match="SEEDANCE_API_KEY"):
        SeedanceSession()
    monkeypatch.setenv("SEEDANCE_API_KEY", "key\n")
    assert "zcbservice.aizfw.cn" in repr(SeedanceSession())
    monkeypatch.setenv("SEEDANCE_BASE_URL", "http://gateway:8080/seedance/")
    assert repr(SeedanceSession()) == "<SeedanceSession at http://gateway:8080/seedance>"
    assert "other" in repr(SeedanceSession(base_url="https://other.example"))


@pytest.mark.parametrize(
    "url", ["", "gateway", "ftp://h", "http://", "http://u:p@h", "http://h?x=1", "http://h:99999"]
)
def test_a_base_url_that_cannot_be_one_is_refused(url: str) -> None:
    if url:
        with pytest.raises(ValueError, match="base_url"):
            SeedanceSession("key", base_url=url)


def test_a_create_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match=r"timeout\.total"):
        SeedanceSession("key", timeout=aiohttp.ClientTimeout(total=None))


async def test_the_callers_aiohttp_session_is_used_and_left_open(
    emulator: Emulator, request_: VideoRequest
) -> None:
    async with aiohttp.ClientSession(raise_for_status=True, headers={"X-Mine": "1"}) as http:
        async with SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, http=http, pacing=Backoff()
        ) as session:
            await session.generate(request_)
        assert not http.closed
    async with SeedanceSession(emulator.api_key, base_url=emulator.base_url, http=http) as session:
        with pytest.raises(SeedanceError, match="the aiohttp session is closed"):
            await session.task("video_1").refresh()


async def test_a_session_is_used_inside_its_block_alone(request_: VideoRequest) -> None:
    session = SeedanceSession("key", base_url="http://127.0.0.1:9")
    with pytest.raises(SessionClosed, match="async with"):
        await session.submit(request_)
    async with session:
        pass
    with pytest.raises(SessionClosed):
        await session.submit(request_)
    with pytest.raises(SessionClosed):
        await session.task("video_1").wait()
    with pytest.raises(SessionClosed):
        await session.__aenter__()
    await session.close()


async def test_closing_ends_what_is_under_way_and_finishes_what_is_paid_for(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(20)
        return web.json_response(task_json("queued"))

    api.queries = [task_json("processing")]
    api.creates = [task_json("queued"), slow]
    ended: list[Any] = []

    async def caught(work: Any) -> None:
        try:
            ended.append(await work)
        except SessionClosed as exc:
            ended.append(exc)

    session = SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5))
    async with session, anyio.create_task_group() as group:
        group.start_soon(caught, session.generate(request_))
        await anyio.sleep(3)
        group.start_soon(caught, session.submit(request_))
        await anyio.sleep(3)
        await session.close()
        assert now() == pytest.approx(23, abs=0.5)
    waited, submitted = ended
    assert isinstance(waited, SessionClosed)
    assert waited.task_id == submitted.id == TASK_ID
    assert await states(session) == [("submitted", TASK_ID)] * 2


async def test_limits_space_creates_and_polls(api: ScriptedApi, request_: VideoRequest) -> None:
    limits = Limits(creates_per_minute=6, polls_per_second=0.5)
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(0.1), limits=limits
    ) as session:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(session.submit, request_)
        creates = [at for method, at in api.seen if method == "POST"]
        assert creates == pytest.approx([0, 10, 20, 30], abs=0.1)
        api.queries = [*[task_json("processing")] * 3, DONE]
        await session.task(TASK_ID).wait()
    polls = [at for method, at in api.seen if method == "GET"]
    assert [later - polls[0] for later in polls] == pytest.approx([0, 2, 4, 6], abs=0.2)


async def test_events_tell_the_life_of_a_job(
    session: SeedanceSession, request_: VideoRequest
) -> None:
    events: list[Event] = []
    with session.subscribe(events.append):
        video = await session.generate(request_)
    assert [type(event).__name__ for event in events] == [
        *("Planned", "Submitted", "StateChanged", "StateChanged", "Completed")
    ]
    assert {event.task_id for event in events[1:]} == {video.id}
    assert all(isinstance(event.key, str) for event in events)
    assert "A cat" not in repr(events)
    assert video.url not in repr(events)
    assert isinstance(events[1], Submitted)
    assert isinstance(events[2], StateChanged)


async def test_jobs_are_listed_by_state(session: SeedanceSession, request_: VideoRequest) -> None:
    await session.submit(request_, key="a")
    done = await session.generate(request_)
    assert [job.key async for job in session.jobs(JobState.SUBMITTED)] == ["a"]
    assert [job.task_id async for job in session.jobs("completed")] == [done.id]
    with pytest.raises(ValueError, match="nonsense"):
        session.jobs("nonsense")


async def test_a_video_outlives_its_session_but_not_its_downloads(
    emulator: Emulator, request_: VideoRequest, tmp_path: Path
) -> None:
    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5)
    ) as session:
        video = await session.generate(request_)
    with pytest.raises((SessionClosed, DownloadError)):
        await video.download(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


async def test_arguments_of_the_wrong_type_are_named(session: SeedanceSession) -> None:
    with pytest.raises(TypeError, match="request must be a VideoRequest, not str"):
        await session.generate("A cat")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="task_id must be a str"):
        session.task(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout must be a ClientTimeout, not int"):
        SeedanceSession("key", timeout=30)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="limits must be a Limits"):
        SeedanceSession("key", limits=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="api_key must be text"):
        SeedanceSession(5)  # type: ignore[arg-type]


async def slow_create(_: web.Request) -> web.Response:
    await asyncio.sleep(20)
    return web.json_response(task_json("queued"))


async def test_closing_inside_ones_own_batch_finishes_what_is_paid_for(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [slow_create]
    async with scripted.batch([request_] * 3, max_in_flight=3):
        await anyio.sleep(5)
        await scripted.close()
    assert await states(scripted) == [("submitted", TASK_ID)] * 3


async def test_a_second_cancellation_does_not_cut_the_closing_short(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [slow_create]
    session = SeedanceSession("key", base_url=api.base_url)
    await session.__aenter__()
    submitting = asyncio.ensure_future(session.submit(request_))
    await anyio.sleep(5)
    closing = asyncio.ensure_future(session.close())
    for _ in range(3):
        await anyio.sleep(1)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (await submitting).id == TASK_ID
    assert await states(session) == [("submitted", TASK_ID)]


async def test_a_cancellation_that_is_under_way_sends_nothing_more(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [slow_create]
    with anyio.move_on_after(5) as scope:
        for _ in range(10):
            await scripted.submit(request_)
    assert scope.cancelled_caught
    assert api.count("POST") == 1

    async def cancelled_before() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await scripted.submit(request_)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(cancelled_before())
    assert api.count("POST") == 1


class WayWardJournal(MemoryJournal):
    """Takes its time, and fails on one state as told."""

    def __init__(self, fails_on: str = "", error: Exception | None = None) -> None:
        super().__init__()
        self.fails_on = fails_on
        self.error = error or JournalError("disk full")

    async def put(self, record: JobRecord) -> None:
        await asyncio.sleep(0.02)
        if record.state == self.fails_on:
            raise self.error
        await super().put(record)

    async def get(self, key: str) -> JobRecord | None:
        await asyncio.sleep(0.02)
        return await super().get(key)


def with_journal(api: ScriptedApi, *args: Any) -> SeedanceSession:
    journal = WayWardJournal(*args)
    return SeedanceSession("key", base_url=api.base_url, journal=journal, pacing=Fixed(5))


async def test_one_key_is_paid_for_once_however_slow_the_journal(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    async with with_journal(api) as session:
        ended = await asyncio.gather(
            *(session.submit(request_, key="order-7") for _ in range(4)), return_exceptions=True
        )
    assert {end.id for end in ended if isinstance(end, VideoTask)} == {TASK_ID}
    assert all(isinstance(end, VideoTask) for end in ended)
    assert api.count("POST") == 1


ANY_ERROR = pytest.mark.parametrize("error", [JournalError("disk full"), OSError("disk full")])


@ANY_ERROR
async def test_an_intent_that_cannot_be_written_down_sends_nothing(
    api: ScriptedApi, request_: VideoRequest, error: Exception
) -> None:
    async with with_journal(api, "submitting", error) as session:
        report = await session.run_batch([request_] * 2)
    assert [outcome.status for outcome in report.outcomes] == ["failed"] * 2
    assert isinstance(report.outcomes[0].error, JournalError)
    assert api.count("POST") == 0


@ANY_ERROR
async def test_an_id_that_cannot_be_written_down_is_in_the_error_the_log_and_the_event(
    api: ScriptedApi,
    request_: VideoRequest,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    async with with_journal(api, "submitted", error) as session:
        with session.subscribe(events.append):
            (outcome,) = (await session.run_batch([request_])).outcomes
    assert (outcome.status, outcome.task_id) == ("unknown", TASK_ID)
    assert TASK_ID in caplog.text
    assert [event.task_id for event in events if isinstance(event, Submitted)] == [TASK_ID]


@ANY_ERROR
async def test_a_lost_answer_stays_unknown_though_it_cannot_be_written_down(
    api: ScriptedApi, request_: VideoRequest, error: Exception
) -> None:
    api.creates = [reset]
    async with with_journal(api, "unknown", error) as session:
        with pytest.raises(SubmissionUnknown):
            await session.submit(request_)


@ANY_ERROR
async def test_a_finished_video_is_not_lost_over_the_journal(
    api: ScriptedApi, request_: VideoRequest, error: Exception
) -> None:
    async with with_journal(api, "completed", error) as session:
        assert (await session.generate(request_)).id == TASK_ID


@pytest.mark.parametrize("wrong", [-1, float("nan"), "5", True])
async def test_a_timeout_that_makes_no_sense_is_told_before_anything_is_paid(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, wrong: Any
) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        await scripted.generate(request_, timeout_s=wrong)
    with pytest.raises(ValueError, match="timeout_s"):
        await scripted.run_batch([request_], timeout_s=wrong)
    assert api.seen == []


FAR_FUTURE = "Mon, 01 Jan 99999999999 00:00:00 GMT"


@pytest.mark.parametrize(
    "accepted",
    [
        plain(200, json.dumps(task_json("queued")), Retry_After=FAR_FUTURE),
        plain(200, "\ufeff" + json.dumps(task_json("queued"))),
        {"id": None, "data": task_json("queued")},
        {"id": "req-1", "code": 0, "data": task_json("queued")},
        task_json("queued", created="2026-01-01"),
    ],
    ids=name,
)
async def test_an_odd_answer_to_an_accepted_create_keeps_its_id(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, accepted: Any
) -> None:
    api.creates = [accepted]
    assert (await scripted.generate(request_)).id == TASK_ID


async def test_a_gateways_failure_in_the_clothes_of_a_success_is_unknown(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [{"code": 504, "message": "gateway timeout"}]
    with pytest.raises(SubmissionUnknown):
        await scripted.submit(request_)


async def test_a_create_that_ends_at_once_is_written_down_as_ended(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [DONE, task_json("failed", error="rejected")]
    await scripted.generate(request_)
    with pytest.raises(VideoFailed, match="rejected"):
        await scripted.generate(request_)
    assert [state for state, _ in await states(scripted)] == ["completed", "failed"]
    assert api.count("GET") == 0


async def test_behind_a_gate_beyond_all_patience_nothing_is_sent(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [error(429, Retry_After="7200")]
    report = await scripted.run_batch([request_] * 30, max_in_flight=1)
    assert [outcome.status for outcome in report.outcomes] == ["failed"] * 30
    assert {type(outcome.error) for outcome in report.outcomes} == {RateLimited}
    assert api.count("POST") == 1


async def test_limits_hold_behind_the_gate_as_well(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [error(429, Retry_After="300"), task_json("queued")]
    limits = Limits(creates_per_minute=6)
    async with (
        SeedanceSession("key", base_url=api.base_url, limits=limits) as session,
        anyio.create_task_group() as group,
    ):
        for _ in range(8):
            group.start_soon(session.submit, request_)
    later = [at for _, at in api.seen[1:]]
    gaps = [after - before for before, after in itertools.pairwise(later)]
    assert later[0] >= 300
    assert min(gaps) >= 9.9


async def test_a_provider_that_echoes_gets_neither_prompt_nor_url_into_an_error(
    scripted: SeedanceSession, api: ScriptedApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = "https://cdn.example.com/a.png?sig=SECRET"
    request = VideoRequest(model="seedance_2_0_pro", prompt="PRIVATE cat prompt", first_image=url)
    echo = f"cannot do {request.prompt} with {url} or https://other.example/x?token=SECRET2"
    api.creates = [error(400, echo), error(502, echo), {"code": 7, "msg": echo}]
    api.creates += [task_json("queued")]
    api.queries = [task_json("failed", error=echo)]
    shown: list[str] = []
    with scripted.subscribe(lambda event: shown.append(repr(event))):
        for _ in range(4):
            with pytest.raises(SeedanceError) as caught:
                await scripted.generate(request)
            shown += [*traceback.format_exception(caught.value), repr(vars(caught.value))]
    shown += [repr(job) async for job in scripted.jobs()]
    shown.append(caplog.text)
    for text in shown:
        assert "PRIVATE" not in text
        assert "SECRET" not in text


def test_a_session_of_another_loop_says_so(request_: VideoRequest) -> None:
    session = SeedanceSession("key", base_url="http://127.0.0.1:9")
    with asyncio.Runner() as home:
        home.run(session.__aenter__())
        with asyncio.Runner() as abroad, pytest.raises(RuntimeError, match="another event loop"):
            abroad.run(session.submit(request_))
        home.run(session.close())


class Untrue(MemoryJournal):
    """Lets a cancellation of its own escape, once."""

    def __init__(self, fails_on: str) -> None:
        super().__init__()
        self.fails_on = fails_on

    async def put(self, record: JobRecord) -> None:
        if record.state == self.fails_on:
            self.fails_on = ""
            raise asyncio.CancelledError
        await super().put(record)


@pytest.mark.parametrize("state", ["planned", "submitting", "submitted", "completed"])
async def test_a_cancellation_that_nobody_asked_for_ends_its_own_job_alone(
    api: ScriptedApi, request_: VideoRequest, state: str
) -> None:
    async with SeedanceSession(
        "key", base_url=api.base_url, journal=Untrue(state), pacing=Fixed(5)
    ) as session:
        report = await session.run_batch([request_] * 8, max_in_flight=2)
    assert len(report.outcomes) == 8
    done = [outcome for outcome in report.outcomes if outcome.status == "completed"]
    assert len(done) >= 7
    for outcome in report.outcomes:
        # What was paid for has its id, whatever became of the record.
        assert outcome.task_id == TASK_ID or outcome.error is not None


@pytest.mark.parametrize(
    "unclear",
    [
        {"error": False, "task_id": "x"},
        {"error": 0, "data": {"taskId": "x"}},
        {"code": "success", "data": "video_x"},
        {"code": 201, "message": "created"},
        {"code": "00000", "message": "ok"},
        {"code": "", "message": "?"},
        {"code": 0.5, "message": "?"},
        {"error": {"code": 502, "message": "bad gateway"}},
        {"status": 504, "error": "Gateway Timeout", "path": "/v1"},
        {"id": 12345, "status": "queued"},
        {"id": ["video_1"], "status": 2, "error": [[]]},
    ],
    ids=name,
)
async def test_a_success_that_says_no_clear_no_is_unknown(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, unclear: Any
) -> None:
    api.creates = [unclear]
    with pytest.raises(SubmissionUnknown):
        await scripted.submit(request_)
    assert await states(scripted) == [("unknown", None)]


@pytest.mark.parametrize(
    "prompt",
    ["PRIVATE cat " * 60, "PRIVATE\n  cat of mine", 'a PRIVATE "cat" of mine', "PRIVATE ü cat"],
)
@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_a_prompt_is_taken_out_however_it_is_quoted(
    api: ScriptedApi, prompt: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    request = VideoRequest(model="seedance_2_0_pro", prompt=prompt)
    quoted = [{"error": {"prompt": prompt}}, {"error": f"cannot make {prompt} now"}]
    shown: list[str] = []
    retries = Retries(create_patience_s=5, query_patience_s=5)
    async with SeedanceSession(
        "a-long-secret-key", base_url=api.base_url, retries=retries, pacing=Fixed(1)
    ) as session:
        with session.subscribe(lambda event: shown.append(repr(event))):
            for body in quoted:
                api.creates = [plain(status, json.dumps({**body, "key": "a-long-secret-key"}))]
                with pytest.raises(SeedanceError) as caught:
                    await session.submit(request)
                shown += [str(caught.value), repr(vars(caught.value))]
                api.creates, api.queries = [task_json("queued")], [plain(status, json.dumps(body))]
                with pytest.raises(SeedanceError) as caught:
                    await session.generate(request)
                shown += [str(caught.value), repr(vars(caught.value))]
        shown += [repr(job) async for job in session.jobs()]
    for text in [*shown, caplog.text]:
        assert "PRIVATE" not in text
        assert "a-long-secret-key" not in text


async def test_a_key_in_a_videos_url_is_left_there(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    url = "https://v.example.com/a.mp4?token=a-long-secret-key"
    api.queries = [{**DONE, "video_url": url}]
    async with SeedanceSession(
        "a-long-secret-key", base_url=api.base_url, pacing=Fixed(1)
    ) as session:
        assert (await session.generate(request_)).url == url


async def test_query_answers_that_are_cut_short_are_an_outage(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(b'{"id": "vid')
        assert request.transport
        request.transport.close()
        return response

    api.queries = [*[cut] * 12, DONE]
    assert (await scripted.generate(request_)).id == TASK_ID


async def test_a_long_pause_for_polls_is_cut_short(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [error(503, Retry_After="3600"), DONE]
    await scripted.generate(request_)
    first, second = (at for method, at in api.seen if method == "GET")
    assert 120 <= second - first <= 122


async def test_who_leaves_the_lane_leaves_no_gap(api: ScriptedApi, request_: VideoRequest) -> None:
    limits = Limits(creates_per_minute=1)
    async with SeedanceSession(
        "key", base_url=api.base_url, limits=limits, pacing=Fixed(5)
    ) as session:
        async with session.batch([request_] * 20, max_in_flight=20):
            await anyio.sleep(5)
        left = now()
        await session.submit(request_)
        assert now() - left <= 60


async def test_closing_in_a_group_within_the_batch_is_quick(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [task_json("processing")]

    async def work() -> None:
        async with scripted.batch([request_] * 3), anyio.create_task_group() as group:
            await anyio.sleep(3)
            group.start_soon(scripted.close)

    started = now()
    with contextlib.suppress(SessionClosed):
        await work()
    assert now() - started <= 10


def test_the_end_of_the_loop_waits_for_what_is_paid_for(
    emulator_in_a_thread: str, request_: VideoRequest
) -> None:
    sessions: list[SeedanceSession] = []

    async def background() -> None:
        async with SeedanceSession("emulator", base_url=emulator_in_a_thread) as session:
            sessions.append(session)
            await session.submit(request_)
            await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(background())
        while not sessions or not sessions[0]._calls.on_the_wire:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not task.done()

    asyncio.run(main())  # ends while the create is on the wire
    jobs = asyncio.run(states(sessions[0]))
    assert [state for state, _ in jobs] == ["submitted"]
    assert jobs[0][1] is not None


@pytest.fixture
def emulator_in_a_thread() -> Iterator[str]:
    started, stop = queue.Queue[str](), threading.Event()

    async def serve() -> None:
        async with Emulator(latency_s=0.3) as emulator:
            started.put(emulator.base_url)
            while not stop.is_set():  # noqa: ASYNC110 -- set by another thread
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield started.get(timeout=10)
    stop.set()
    thread.join()


async def test_a_task_that_is_taken_up_is_as_old_as_it_is(api: ScriptedApi) -> None:
    api.queries = [*[task_json("processing", created=time.time() - 5)] * 2, DONE]
    async with SeedanceSession("key", base_url=api.base_url, pacing=Adaptive()) as session:
        await session.task(TASK_ID).wait()
    first, second, _ = (at for _, at in api.seen)
    assert second - first >= 60  # nobody expects it yet
    api.seen.clear()
    api.queries = [*[task_json("processing", created=time.time() - 200)] * 2, DONE]
    async with SeedanceSession("key", base_url=api.base_url, pacing=Adaptive()) as session:
        await session.task(TASK_ID).wait()
    first, second, _ = (at for _, at in api.seen)
    assert second - first <= 45  # about to end


async def test_the_callers_pool_closed_under_a_create_makes_it_unknown(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [slow_create]
    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    async with SeedanceSession("key", base_url=api.base_url, http=http) as session:
        async with session.batch([request_] * 3, max_in_flight=3) as outcomes:
            await anyio.sleep(5)
            await http.close()
            ended = [outcome.status async for outcome in outcomes]
        assert len(ended) == 3
        assert "completed" not in ended
        assert not [state for state, _ in await states(session) if state == "submitting"]


async def test_a_journal_that_is_empty_is_a_journal_all_the_same(
    emulator: Emulator, request_: VideoRequest
) -> None:
    class Counted(MemoryJournal):
        def __len__(self) -> int:
            return len(self._records)

    journal = Counted()
    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, journal=journal
    ) as session:
        await session.submit(request_)
    assert len(journal) == 1


async def test_a_refresh_keeps_secrets_as_a_wait_does(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    async with SeedanceSession("a-long-secret-key", base_url=api.base_url) as session:
        task = await session.submit(request_)
        api.queries = [error(400, f"no {request_.prompt} for a-long-secret-key")]
        with pytest.raises(RequestRefused) as caught:
            await task.refresh()
    assert request_.prompt not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert api.count("GET") == 1


async def test_an_odd_status_counts_as_odd_however_often_it_is_repeated(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    """An answer that is the one before, byte for byte, is as odd as that was."""
    api.creates = api.queries = [task_json("pondering")]
    with pytest.raises(UnexpectedAnswer, match="pondering"):
        await scripted.generate(request_)
    assert api.count("GET") == 6


async def test_a_failure_with_the_body_of_the_answer_before_is_a_failure(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    running = task_json("processing")
    api.queries = [running, plain(503, json.dumps(running)), running, DONE]
    seen: list[Event] = []
    with scripted.subscribe(seen.append):
        await scripted.generate(request_)
    assert len([event for event in seen if isinstance(event, Throttled)]) == 1


async def test_what_was_read_in_time_counts_though_it_is_written_down_behind_the_deadline(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    class Slow(MemoryJournal):
        async def put(self, record: JobRecord) -> None:
            if record.state is JobState.COMPLETED:
                await anyio.sleep(30)
            await super().put(record)

    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(5), journal=Slow()
    ) as session:
        task = await session.submit(request_)
        assert (await task.wait(timeout_s=6)).id == TASK_ID
        assert await states(session) == [("completed", TASK_ID)]
        assert task.estimate().high_s == 0
