"""Limits at work: a session's batches and single calls, accounts that refuse, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import attrs
import pytest
from aiohttp import web
from conftest import DONE, ScriptedApi, error, never, reset, task_json
from test_cancellation import kinds

from seedance_async import (
    Fixed,
    Limits,
    RateLimited,
    Retries,
    SeedanceError,
    SeedanceSession,
    ServiceUnavailable,
    SessionClosed,
    VideoRequest,
    WaitTimeout,
)
from seedance_async.emulator import Emulator
from seedance_async.events import Event, LimitsAdapted, Submitted, Throttled

FAST, STANDARD = "seedance_2_0_fast_pro", "seedance_2_0_pro"


def now() -> float:
    return asyncio.get_running_loop().time()


def requests(count: int, model: str = FAST) -> list[VideoRequest]:
    return [VideoRequest(model=model, prompt=f"Cat number {n}", duration=4) for n in range(count)]


@attrs.define
class Log:
    """What the session said, and when."""

    events: list[tuple[float, Event]] = attrs.field(factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append((now(), event))

    def times(self, kind: type[Event], since: float = 0.0) -> list[float]:
        return [at for at, event in self.events if isinstance(event, kind) and at >= since]


def made(number: int) -> str:
    return f"video_{number}"


@attrs.define
class Many:
    """Answers for many tasks: creates number them, queries tell what ``status`` says."""

    status: Callable[[str], str] = lambda _: "processing"
    created: list[float] = attrs.field(factory=list)
    prompts: list[str] = attrs.field(factory=list)

    async def create(self, request: web.Request) -> web.Response:
        self.created.append(now())
        self.prompts.append((await request.json())["prompt"])
        return web.json_response({**task_json("queued"), "id": made(len(self.created))})

    async def query(self, request: web.Request) -> web.Response:
        task_id = request.path.rpartition("/")[2]
        status = self.status(task_id)
        answer = DONE if status == "completed" else task_json(status)
        return web.json_response({**answer, "id": task_id})


@pytest.fixture
def many(api: ScriptedApi) -> Many:
    answers = Many()
    api.creates, api.queries = [answers.create], [answers.query]
    return answers


# ---- what an account takes


@pytest.mark.parametrize(
    ("account", "model", "count"),
    [
        pytest.param({"concurrency": 7}, STANDARD, 80, id="queues"),
        pytest.param({"concurrency": 7, "max_queued": 0}, STANDARD, 140, id="refuses"),
        pytest.param(
            {"concurrency": 7, "max_queued": 0, "retry_after": False},
            STANDARD,
            140,
            id="refuses without a word",
        ),
        pytest.param({}, FAST, 400, id="the rate binds"),
        pytest.param({"retry_after": False}, FAST, 400, id="the rate binds without a word"),
    ],
)
async def test_who_asks_for_fifty_gets_what_the_account_allows(
    account: dict[str, Any], model: str, count: int
) -> None:
    log, limits = Log(), Limits(max_in_flight=50)
    # Where a task's end makes room, it has to be noticed.
    pacing = Fixed(5 if "max_queued" in account else 20)
    async with (
        Emulator(creates_per_minute=30, **account) as emulator,
        SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, pacing=pacing, limits=limits
        ) as session,
    ):
        with session.subscribe(log):
            report = await session.run_batch(requests(count, model))
        tasks = [emulator._account._tasks[task_id] for task_id in emulator.accepted_ids]
    assert report.ok
    assert len(tasks) == count
    assert {outcome.task_id for outcome in report.outcomes} == set(emulator.accepted_ids)
    refused, accepted = len(log.times(Throttled, 60)), len(log.times(Submitted, 60))
    assert refused <= 0.02 * (refused + accepted)
    last = max(task.created_s for task in tasks)
    if "concurrency" in account:
        used_s = sum(
            max(min(task.ends_s, last) - max(task.starts_s, task.created_s), 0) for task in tasks
        )
        queued_s = 0.0 if account.get("max_queued") is None else 4.0 * count  # with a slot taken
        assert used_s + queued_s >= 0.95 * 7 * last
    else:
        later = sum(task.created_s >= 60 for task in tasks)
        assert later >= 0.95 * 30 * (last - 60) / 60
    if account != {"concurrency": 7}:
        assert any(isinstance(event, LimitsAdapted) for _, event in log.events)


@pytest.mark.parametrize(
    "bad_moments",
    [
        pytest.param([error(429)], id="refused without a word"),
        pytest.param([error(429, Retry_After="5")], id="refused for a moment"),
        pytest.param([error(503, Retry_After="1")] * 3, id="busy"),
    ],
)
async def test_a_bad_moment_of_the_provider_slows_nobody_down(
    api: ScriptedApi, many: Many, bad_moments: list[Any]
) -> None:
    log = Log()
    api.creates = [many.create] * 3 + bad_moments + [many.create]
    many.status = lambda task_id: "completed" if now() > 0 else "processing"
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(1)) as session:
        with session.subscribe(log):
            assert (await session.run_batch(requests(40), max_in_flight=8)).ok
    assert log.times(Throttled)
    assert not log.times(LimitsAdapted)
    assert now() < 30


async def test_every_change_of_the_limits_is_told() -> None:
    log = Log()
    async with (
        Emulator(concurrency=3, max_queued=0) as emulator,
        SeedanceSession(emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5)) as session,
    ):
        with session.subscribe(log):
            assert (await session.run_batch(requests(12))).ok
    changes = [event for _, event in log.events if isinstance(event, LimitsAdapted)]
    assert changes[0].max_in_flight == 3
    assert changes[0].key is changes[0].task_id is None
    assert changes[0].reason == "refused at 3 in flight, 3 a minute"
    told = [(change.max_in_flight, change.creates_per_minute) for change in changes]
    assert all(one != other for one, other in itertools.pairwise(told))
    assert all(1 <= change.max_in_flight <= 20 for change in changes)
    assert emulator.stats.peak_in_flight == 3


async def test_an_account_that_is_lifted_is_found_out(api: ScriptedApi, many: Many) -> None:
    running: dict[str, float] = {}
    allowed = 4

    async def create(request: web.Request) -> web.StreamResponse:
        if sum(end > now() for end in running.values()) >= allowed:
            return await error(429)(request)
        answer = await many.create(request)
        running[made(len(many.created))] = now() + 100
        return answer

    api.creates = [create]
    many.status = lambda task_id: "completed" if now() >= running[task_id] else "processing"
    async with (
        SeedanceSession("key", base_url=api.base_url, pacing=Fixed(10)) as session,
        session.batch(requests(1000)) as outcomes,
    ):
        ended = 0
        async for _ in outcomes:
            ended += 1
            if ended == 50:
                allowed = 15
            if ended == 300:
                break
        peak = sum(end > now() for end in running.values())
    assert peak >= 14


# ---- gates


async def test_a_refused_poll_stops_all_polls_and_no_create(api: ScriptedApi, many: Many) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return await error(429, "slow down", Retry_After="30")(request)

    api.queries = [many.query, many.query, busy, many.query]
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(3)) as session:
        with anyio.move_on_after(100):
            async with anyio.create_task_group() as group:
                group.start_soon(session.run_batch, requests(5))
                group.start_soon(session.generate, requests(1)[0])
                task = await session.submit(requests(1)[0])
                group.start_soon(task.wait)
                await anyio.sleep(10)
                group.start_soon(task.refresh)
                await session.submit(requests(1)[0])
    polls = [at for method, at in api.seen if method == "GET"]
    creates = [at for method, at in api.seen if method == "POST"]
    refused = polls[2]
    # Those that were on their way when the first answer came could not know.
    assert not [at for at in polls if refused + 0.5 < at < refused + 30]
    again = [at for at in polls if at >= refused + 30]
    assert again[0] <= refused + 31.5
    assert len(again) > 10
    assert len(creates) == 8
    assert refused < creates[-1] < refused + 30


async def test_a_refused_create_stops_all_creates_and_no_poll(api: ScriptedApi, many: Many) -> None:
    api.creates = [many.create, error(429, Retry_After="300"), many.create]
    many.status = lambda _: "completed" if now() >= 250 else "processing"
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5)) as session:
        task = await session.submit(requests(1)[0])
        with anyio.move_on_after(400):
            async with anyio.create_task_group() as group:
                group.start_soon(task.wait)
                group.start_soon(session.run_batch, requests(5))
                group.start_soon(session.submit, requests(1)[0])
                await anyio.sleep(20)
                group.start_soon(session.submit, requests(1)[0])
    creates = [at for method, at in api.seen if method == "POST"]
    polls = [at for method, at in api.seen if method == "GET"]
    assert next(at for at in creates if at >= 1) >= 300
    assert len([at for at in polls if at < 250]) >= 50


async def test_after_a_pause_creates_come_one_two_four_at_a_time(
    api: ScriptedApi, many: Many
) -> None:
    began: list[float] = []

    async def slow(request: web.Request) -> web.StreamResponse:
        began.append(now())
        await asyncio.sleep(10)
        return await many.create(request)

    async def full(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)  # all are on their way by then
        return await error(429, Retry_After="60")(request)

    api.creates = [*[full] * 16, slow]
    limits = Limits(max_in_flight=16)
    async with SeedanceSession("key", base_url=api.base_url, limits=limits) as session:
        # The gate alone is looked at: with no place but one there would be nothing to see.
        session._turns._learned.refused = lambda *_: None  # type: ignore[method-assign]
        with anyio.move_on_after(130):
            await session.run_batch(requests(16))
    assert api.count("POST") == 32
    waves = [len(list(wave)) for _, wave in itertools.groupby(began, key=lambda at: round(at, -1))]
    assert waves == [1, 2, 4, 8, 1]


async def test_nobody_is_stuck_behind_a_probe_that_fails_or_is_cancelled(
    api: ScriptedApi, many: Many
) -> None:
    api.creates = [error(429, Retry_After="10"), error(400), error(502), reset, many.create]
    async with SeedanceSession("key", base_url=api.base_url) as session:
        with anyio.move_on_after(5):
            await session.submit(requests(1)[0])
        errors = []
        for _ in range(3):
            try:
                await session.submit(requests(1)[0])
            except SeedanceError as failed:
                errors.append(type(failed).__name__)
        await session.submit(requests(1)[0])
    assert errors == ["RequestRefused", "SubmissionUnknown", "SubmissionUnknown"]


async def test_refusals_without_a_word_are_tried_ever_more_seldom_by_one(
    api: ScriptedApi,
) -> None:
    api.creates = [error(429)]
    retries = Retries(create_patience_s=300)
    async with SeedanceSession("key", base_url=api.base_url, retries=retries) as session:
        report = await session.run_batch(requests(10))
        assert now() < 900
    assert {type(outcome.error) for outcome in report.outcomes} == {RateLimited}
    later = [at for _, at in api.seen if at > 60]
    assert min(after - before for before, after in itertools.pairwise(later)) >= 15


# ---- patience of those in the line


async def ends_of(session: SeedanceSession, count: int) -> list[tuple[float, SeedanceError]]:
    ends: list[tuple[float, SeedanceError]] = []

    async def submit(request: VideoRequest) -> None:
        try:
            await session.submit(request)
        except SeedanceError as failed:
            ends.append((now(), failed))

    async with anyio.create_task_group() as group:
        for request in requests(count):
            group.start_soon(submit, request)
    return ends


async def test_nobody_waits_behind_a_gate_that_opens_after_all_patience(api: ScriptedApi) -> None:
    api.creates = [error(429, Retry_After="86400")]
    async with SeedanceSession(
        "key", base_url=api.base_url, limits=Limits(max_in_flight=1)
    ) as session:
        ends = await ends_of(session, 3)
        states = [(job.state, job.task_id) async for job in session.jobs()]
    assert now() < 5
    assert [type(failed) for _, failed in ends] == [RateLimited] * 3
    assert all("not sent" in failed.message for _, failed in ends[1:])
    assert api.count("POST") == 1
    assert states == [("failed", None)] * 3


async def test_patience_ends_for_all_who_wait_at_once(free_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}"
    async with SeedanceSession("key", base_url=url) as session:
        ends = await ends_of(session, 200)
        assert len(session._turns._to_create.line) == 0
        assert session._turns._to_create._timer is None
    assert len(ends) == 200
    assert {type(failed) for _, failed in ends} == {ServiceUnavailable}
    assert all("cannot reach" in failed.message for _, failed in ends)
    assert 1800 <= min(at for at, _ in ends) <= max(at for at, _ in ends) <= 1835


async def test_who_looks_after_others_is_turned_away_as_well(api: ScriptedApi, many: Many) -> None:
    async def refuse_late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return await error(429, Retry_After="86400")(request)

    api.creates = [many.create, refuse_late]
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(5), limits=Limits(max_in_flight=2)
    ) as session:
        await session.submit(requests(1)[0])
        ends = await ends_of(session, 4)
    assert len(ends) == 4
    assert all(30 <= at <= 40 for at, _ in ends)


async def test_who_waits_for_a_place_alone_has_no_end_of_patience(
    api: ScriptedApi, many: Many
) -> None:
    many.status = lambda _: "completed" if now() >= 1000 else "processing"
    api.creates = [many.create, error(429, Retry_After="10"), many.create]
    async with SeedanceSession(
        "key", base_url=api.base_url, retries=Retries(create_patience_s=60), pacing=Fixed(5)
    ) as session:
        await session.submit(requests(1)[0])
        assert await ends_of(session, 3) == []
    assert now() >= 1000


# ---- places in flight


async def test_a_hundred_submitted_tasks_go_through_though_nobody_waits() -> None:
    limits = Limits(max_in_flight=20)
    async with (
        Emulator() as emulator,
        SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5), limits=limits
        ) as session,
    ):
        tasks = [await session.submit(request) for request in requests(100)]
        assert emulator.stats.peak_in_flight == 20
        assert now() < 5 * 200
        videos = [await task.wait() for task in tasks]
    assert {video.id for video in videos} == set(emulator.accepted_ids)


async def test_concurrent_submits_without_a_wait_share_the_looking_after() -> None:
    limits = Limits(max_in_flight=5)
    async with (
        Emulator() as emulator,
        SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5), limits=limits
        ) as session,
        anyio.create_task_group() as group,
    ):
        for request in requests(30):
            group.start_soon(session.submit, request)
        await anyio.sleep(1000)
        assert emulator.stats.accepted == 30
        assert emulator.stats.peak_in_flight == 5
        assert emulator.stats.queries < 30 * 40


async def test_the_bound_holds_over_batches_and_single_calls() -> None:
    limits = Limits(max_in_flight=6)
    async with (
        Emulator() as emulator,
        SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5), limits=limits
        ) as session,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(session.run_batch, requests(15))
            group.start_soon(session.run_batch, requests(15))
            for request in requests(5):
                group.start_soon(session.generate, request)
        assert emulator.stats.accepted == emulator.stats.completed == 35
        assert emulator.stats.peak_in_flight == 6


async def test_a_batch_may_ask_for_more_than_the_default_and_not_for_more_than_the_limits() -> None:
    for limits, peak in ((Limits(), 30), (Limits(max_in_flight=10), 10)):
        async with (
            Emulator() as emulator,
            SeedanceSession(
                emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5), limits=limits
            ) as session,
        ):
            assert (await session.run_batch(requests(40), max_in_flight=30)).ok
            assert emulator.stats.peak_in_flight == peak


@pytest.mark.parametrize("end", ["failed", "timeout", "odd", "refused", "lost", "cancelled"])
async def test_a_place_is_free_again_however_a_job_ends(
    api: ScriptedApi, many: Many, end: str
) -> None:
    ends = {"failed": "failed", "odd": "teleported", "cancelled": "processing"}
    many.status = lambda task_id: ends.get(end, "processing") if task_id == made(1) else "completed"
    first = {"refused": error(402), "lost": reset}.get(end, many.create)
    api.creates = [first, many.create]
    if end in ("refused", "lost"):
        many.status = lambda _: "completed"
    limits = Limits(max_in_flight=1)
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(5), limits=limits
    ) as session:
        if end == "cancelled":
            with anyio.move_on_after(20):
                await session.generate(requests(1)[0])
            many.status = lambda _: "completed"
        else:
            with pytest.raises(SeedanceError):
                await session.generate(requests(1)[0], timeout_s=60 if end == "timeout" else None)
        for _ in range(3):
            await session.generate(requests(1)[0])


async def test_tasks_of_an_earlier_run_count_and_wait_for_no_place(
    api: ScriptedApi, many: Many, tmp_path: Any
) -> None:
    journal, ended = tmp_path / "jobs.sqlite", 0.0
    many.status = lambda _: "completed" if now() >= ended else "processing"
    ended = 1e9
    async with (
        SeedanceSession("key", base_url=api.base_url, journal=journal) as session,
        session.batch(requests(6), max_in_flight=6),
    ):
        await anyio.sleep(1)
    assert len(many.created) == 6
    ended = now() + 100
    limits = Limits(max_in_flight=2)
    began = now()
    async with (
        SeedanceSession(
            "key", base_url=api.base_url, journal=journal, pacing=Fixed(5), limits=limits
        ) as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: session.run_batch(requests(6), max_in_flight=6))
        await anyio.sleep(1)
        assert api.count("GET") == 6
        await session.submit(VideoRequest(model=FAST, prompt="another"))
    assert many.created[6] >= began + 100


async def test_a_looked_after_task_that_cannot_be_asked_about_hurts_nobody(
    api: ScriptedApi, many: Many
) -> None:
    class Moody:
        def delay_s(self, waiting: Any) -> float:
            return 1 / 0 if waiting.polls else 5

    limits = Limits(max_in_flight=1)
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Moody(), limits=limits
    ) as session:
        await session.submit(requests(1)[0])
        await session.submit(requests(1)[0])
    assert len(many.created) == 2


async def test_who_left_a_batch_leaves_tasks_that_are_looked_after(
    api: ScriptedApi, many: Many
) -> None:
    many.status = lambda _: "completed" if now() > 200 else "processing"
    limits = Limits(max_in_flight=4)
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(10), limits=limits
    ) as session:
        async with session.batch(requests(9)):
            await anyio.sleep(15)
        assert len(many.created) == 4
        await session.submit(requests(1)[0])
    assert 200 <= many.created[4] <= 215


# ---- whose turn it is


async def test_a_single_call_beside_two_batches_waits_for_one_place_at_the_most() -> None:
    log, limits = Log(), Limits(max_in_flight=8)
    async with (
        Emulator() as emulator,
        SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5), limits=limits
        ) as session,
        anyio.create_task_group() as group,
    ):
        with session.subscribe(log):
            group.start_soon(session.run_batch, requests(60))
            group.start_soon(session.run_batch, requests(60))
            await anyio.sleep(300)
            asked = now()
            await session.submit(requests(1)[0], key="mine")
            got = now()
            group.cancel_scope.cancel()
    others = [
        at
        for at, event in log.events
        if isinstance(event, Submitted) and asked < at < got and event.key != "mine"
    ]
    assert others == []
    assert got - asked < 60


async def test_two_batches_share_the_places(api: ScriptedApi, many: Many) -> None:
    ends: dict[str, float] = {}
    many.status = lambda task_id: (
        "completed" if now() >= ends.setdefault(task_id, now() + 50) else "processing"
    )
    limits = Limits(max_in_flight=10)
    cats = requests(200)
    dogs = [VideoRequest(model=FAST, prompt=f"Dog number {n}") for n in range(200)]
    async with (
        SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5), limits=limits) as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(session.run_batch, cats)
        await anyio.sleep(30)
        group.start_soon(session.run_batch, dogs)
        await anyio.sleep(600)
        group.cancel_scope.cancel()
    later = many.prompts[-60:]
    assert 25 <= sum("Dog" in prompt for prompt in later) <= 35


async def test_priority_goes_first_and_is_checked(api: ScriptedApi, many: Many) -> None:
    many.status = lambda _: "completed"
    limits = Limits(creates_per_minute=6)
    low = [VideoRequest(model=FAST, prompt=f"low {n}") for n in range(8)]
    async with (
        SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5), limits=limits) as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: session.run_batch(low, priority=-1))
        await anyio.sleep(15)
        for n in range(2):
            request = VideoRequest(model=FAST, prompt=f"high {n}")
            group.start_soon(lambda request=request: session.generate(request, priority=1))
        with pytest.raises(TypeError, match="priority must be an int, not float"):
            await session.generate(low[0], priority=1.0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="priority must be an int, not bool"):
            session.batch([], priority=True)
    assert many.prompts[:4] == ["low 0", "low 1", "high 0", "high 1"]


async def test_polls_of_a_single_call_are_not_stuck_behind_a_batchs(
    api: ScriptedApi, many: Many
) -> None:
    limits = Limits(polls_per_second=1, max_in_flight=100)
    async with (
        SeedanceSession("key", base_url=api.base_url, pacing=Fixed(1), limits=limits) as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(session.run_batch, requests(60))
        await anyio.sleep(120)
        asked = now()
        await session.task(made(1)).refresh()
        assert now() - asked <= 2.1
        group.cancel_scope.cancel()


# ---- at run time


async def test_new_limits_hold_at_once(api: ScriptedApi, many: Many) -> None:
    async with SeedanceSession(
        "key", base_url=api.base_url, limits=Limits(max_in_flight=2)
    ) as session:
        assert session.limits == Limits(max_in_flight=2)
        async with session.batch(requests(100), timeout_s=None):
            await anyio.sleep(10)
            assert len(many.created) == 2
            session.limits = Limits(max_in_flight=40)
            await anyio.sleep(10)
            assert len(many.created) == 40
            session.limits = Limits(max_in_flight=5)
            await anyio.sleep(10)
            assert len(many.created) == 40
            session.limits = Limits(max_in_flight=100, creates_per_minute=6)
            await anyio.sleep(35)
            assert len(many.created) in (43, 44)
            session.limits = Limits(max_in_flight=100)
            await anyio.sleep(1)
            assert len(many.created) == 100
        with pytest.raises(TypeError, match="limits must be a Limits"):
            session.limits = 5  # type: ignore[assignment]


async def test_lower_limits_let_what_is_under_way_end(api: ScriptedApi, many: Many) -> None:
    ends: dict[str, float] = {}
    many.status = lambda task_id: (
        "completed" if now() >= ends.setdefault(task_id, now() + 50) else "processing"
    )
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5)) as session:

        async def lower() -> None:
            await anyio.sleep(10)
            session.limits = Limits(max_in_flight=1)

        async with anyio.create_task_group() as group:
            group.start_soon(lower)
            report = await session.run_batch(requests(24))
    assert report.ok
    gaps = [after - before for before, after in itertools.pairwise(many.created[20:])]
    assert min(gaps) >= 50


# ---- cancelled while waiting


@kinds
@pytest.mark.parametrize("waits_for", ["a place", "the rate", "the gate", "a place, asking"])
async def test_who_is_cancelled_while_waiting_takes_nothing(
    api: ScriptedApi, many: Many, cancel: Any, waits_for: str
) -> None:
    limits = Limits(max_in_flight=1) if "place" in waits_for else Limits(creates_per_minute=1)
    if waits_for == "the gate":
        limits = Limits()
        api.creates = [error(429, Retry_After="60"), many.create]
    elif waits_for == "a place, asking":
        api.queries = [never, many.query]
    async with (
        SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5), limits=limits) as session,
        anyio.create_task_group() as group,
    ):
        began = now()
        if waits_for == "the gate":
            group.start_soon(session.submit, requests(1)[0])
            await anyio.sleep(0.5)
        else:
            task = await session.submit(requests(1)[0])
            if waits_for == "a place":
                group.start_soon(task.wait)
        for _ in range(3):
            await cancel(lambda: session.submit(requests(1)[0]), 7)
        assert now() - began < 25
        assert session._turns._places.taken == (waits_for != "the gate")
        many.status = lambda _: "completed"
        await session.submit(requests(1)[0])
        assert now() - began <= 62
        await session.submit(requests(1)[0])
        states = [job.state async for job in session.jobs()]
    assert states.count("planned") == 3
    assert session._turns._to_create._timer is None
    assert len(session._turns._to_create.line) == 0


@kinds
async def test_who_is_cancelled_while_waiting_to_ask_leaves_no_gap(
    api: ScriptedApi, many: Many, cancel: Any
) -> None:
    api.queries = [error(429, Retry_After="30"), many.query]
    limits = Limits(polls_per_second=0.1)
    async with SeedanceSession("key", base_url=api.base_url, limits=limits) as session:
        with pytest.raises(RateLimited):
            await session.task("video_1").refresh()
        for _ in range(3):
            await cancel(lambda: session.task("video_1").refresh(), 5)
        await session.task("video_1").refresh()
        assert 30 <= now() <= 31.5
        assert session._turns._to_ask._timer is None


async def test_a_permission_that_comes_with_the_cancellation_is_passed_on(
    api: ScriptedApi, many: Many
) -> None:
    limits = Limits(creates_per_minute=6)
    async with SeedanceSession("key", base_url=api.base_url, limits=limits) as session:
        began = now()
        await session.submit(requests(1)[0])
        async with anyio.create_task_group() as group:
            doomed = asyncio.ensure_future(session.submit(requests(1)[0]))
            await anyio.sleep(0.1)
            group.start_soon(session.submit, requests(1)[0])
            # The turn comes at ten: both fall into the same pass of the event loop.
            asyncio.get_running_loop().call_at(began + 10, doomed.cancel)
            await asyncio.wait([doomed])
        assert doomed.cancelled()
        assert many.created[1] - many.created[0] == pytest.approx(10, abs=0.01)
        assert session._turns._places.taken == 2


async def test_closing_ends_all_who_wait(api: ScriptedApi, many: Many) -> None:
    ended: list[str] = []

    async def submit(session: SeedanceSession) -> None:
        try:
            await session.submit(requests(1)[0])
        except SessionClosed:
            ended.append("closed")

    async with (
        SeedanceSession(
            "key", base_url=api.base_url, pacing=Fixed(5), limits=Limits(max_in_flight=1)
        ) as session,
        anyio.create_task_group() as group,
    ):
        for _ in range(4):
            group.start_soon(submit, session)
        await anyio.sleep(12)
        await session.close()
    assert ended == ["closed"] * 3
    assert now() < 20


async def test_a_task_that_is_waited_for_is_not_asked_about_by_others(
    api: ScriptedApi, many: Many
) -> None:
    many.status = lambda _: "completed" if now() >= 100 else "processing"
    async with (
        SeedanceSession(
            "key", base_url=api.base_url, pacing=Fixed(10), limits=Limits(max_in_flight=1)
        ) as session,
        anyio.create_task_group() as group,
    ):
        task = await session.submit(requests(1)[0])
        group.start_soon(task.wait)
        await session.submit(requests(1)[0])
        assert api.count("GET") == 10


async def test_updates_that_nobody_reads_on_do_not_hold_a_place_for_ever(
    api: ScriptedApi, many: Many
) -> None:
    many.status = lambda _: "completed" if now() >= 100 else "processing"

    async def first(updates: AsyncIterator[Any]) -> Any:
        return await anext(updates)

    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(10), limits=Limits(max_in_flight=1)
    ) as session:
        task = await session.submit(requests(1)[0])
        updates = task.updates()
        assert (await first(updates)).status == "queued"
        await session.submit(requests(1)[0])
        assert 100 <= now() <= 111
        assert (await first(updates)).status == "completed"


async def test_a_wait_that_times_out_frees_the_place_and_may_be_taken_up_again(
    api: ScriptedApi, many: Many
) -> None:
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(10), limits=Limits(max_in_flight=1)
    ) as session:
        task = await session.submit(requests(1)[0])
        with pytest.raises(WaitTimeout):
            await task.wait(50)
        await session.submit(requests(1)[0])
        assert many.created[1] == pytest.approx(50, abs=0.1)
        many.status = lambda _: "completed"
        assert (await task.wait()).id == made(1)


async def test_a_wait_that_times_out_keeps_the_place_while_somebody_else_waits(
    api: ScriptedApi, many: Many
) -> None:
    many.status = lambda _: "completed" if now() >= 200 else "processing"
    async with (
        SeedanceSession(
            "key", base_url=api.base_url, pacing=Fixed(10), limits=Limits(max_in_flight=1)
        ) as session,
        anyio.create_task_group() as group,
    ):
        task = await session.submit(requests(1)[0])
        group.start_soon(task.wait)
        with pytest.raises(WaitTimeout):
            await task.wait(50)
        await session.submit(requests(1)[0])
    assert many.created[1] >= 200


@pytest.mark.parametrize("by", ["submit", "batch"])
async def test_a_renewed_wait_takes_a_place_again(api: ScriptedApi, many: Many, by: str) -> None:
    many.status = lambda _: "completed" if now() >= 200 else "processing"
    async with (
        SeedanceSession(
            "key", base_url=api.base_url, pacing=Fixed(10), limits=Limits(max_in_flight=1)
        ) as session,
        anyio.create_task_group() as group,
    ):
        if by == "submit":
            task = await session.submit(requests(1)[0])
            with pytest.raises(WaitTimeout):
                await task.wait(50)
        else:
            await session.run_batch(requests(1), timeout_s=50)
            task = session.task(made(1))
        places = session._turns._places
        assert places.taken == session._turns.singles.in_flight == 0
        group.start_soon(task.wait)
        await anyio.sleep(1)
        assert places.taken == 1
        await session.submit(requests(1)[0])
        assert many.created[1] >= 200
        assert places.taken == 1
        await task.wait()
        assert places.taken == 1
        assert not places._given_up


async def test_a_batch_that_gives_up_leaves_the_place_to_who_waits(
    api: ScriptedApi, many: Many
) -> None:
    many.status = lambda _: "completed" if now() >= 200 else "processing"
    async with (
        SeedanceSession(
            "key", base_url=api.base_url, pacing=Fixed(10), limits=Limits(max_in_flight=1)
        ) as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: session.run_batch(requests(1), timeout_s=50))
        await anyio.sleep(5)
        group.start_soon(session.task(made(1)).wait)
        await session.submit(requests(1)[0])
    assert many.created[1] >= 200


async def test_tasks_that_become_neglected_are_asked_about_when_they_are_due(
    api: ScriptedApi, many: Many
) -> None:
    class ByModel:
        def delay_s(self, waiting: Any) -> float:
            return 1000 if waiting.model == STANDARD else 10

    many.status = lambda task_id: (
        "completed" if task_id == made(2) and now() >= 60 else "processing"
    )
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=ByModel(), limits=Limits(max_in_flight=2)
    ) as session:
        await session.submit(requests(1, STANDARD)[0])
        second = await session.submit(requests(1)[0])

        async def leave() -> None:
            with anyio.move_on_after(30):
                await second.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(leave)
            await anyio.sleep(1)
            await session.submit(requests(1)[0])
    assert 60 <= many.created[2] <= 75


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), asyncio.CancelledError()])
@pytest.mark.parametrize("first", [True, False])
async def test_a_pacing_that_goes_wrong_does_not_reach_who_waits(
    api: ScriptedApi, many: Many, wrong: Any, first: bool
) -> None:
    class Odd:
        def delay_s(self, waiting: Any) -> float:
            if not first and not waiting.polls:
                return 5
            if isinstance(wrong, BaseException):
                raise wrong
            return wrong  # type: ignore[no-any-return]

    limits = Limits(max_in_flight=1)
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Odd(), limits=limits
    ) as session:
        await session.submit(requests(1)[0])
        await session.submit(requests(1)[0])
    assert len(many.created) == 2


async def test_the_first_look_at_thousands_of_tasks_is_taken_in_slices(
    session: SeedanceSession,
) -> None:
    turns, calls = session._turns, session._calls
    for n in range(3000):
        request = requests(1)[0]
        tracked = await calls.ledger.plan(f"key {n}", request, None)
        turns.adopt(tracked, made(n), calls.standing())
    planned = [0]
    async with anyio.create_task_group() as group:
        group.start_soon(calls._look_after)
        while planned[-1] < 3000:
            await asyncio.sleep(0)
            planned.append(sum(place.watch is not None for place in turns.neglected))
        group.cancel_scope.cancel()
    assert max(after - before for before, after in itertools.pairwise(planned)) <= 20


async def test_a_turn_that_is_free_does_not_yield_to_the_loop(session: SeedanceSession) -> None:
    turns, passes = session._turns, []
    asyncio.get_running_loop().call_soon(passes.append, 1)
    await turns.to_ask(session._calls.standing())
    assert passes == []


@pytest.mark.parametrize("seed", range(6))
async def test_no_storm_of_refusals_and_cancellations_leaves_anything_behind(
    api: ScriptedApi, many: Many, seed: int
) -> None:
    chance = random.Random(seed)
    ends: dict[str, float] = {}

    async def create(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(chance.uniform(0, 2))
        luck = chance.random()
        if luck < 0.2:
            told = {"Retry_After": "5"} if luck < 0.1 else {}
            return await error(429, **told)(request)
        return await (error(400) if luck < 0.3 else reset if luck < 0.35 else many.create)(request)

    async def query(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(chance.uniform(0, 1))
        return await (error(429) if chance.random() < 0.1 else many.query)(request)

    async def caller(session: SeedanceSession, number: int) -> None:
        await anyio.sleep(chance.uniform(0, 300))
        request, after_s = requests(1)[0], chance.uniform(0, 150)
        calls: list[Callable[[], Any]] = [
            lambda: session.submit(request, priority=number % 3),
            lambda: session.generate(request),
            lambda: session.run_batch(requests(chance.randrange(5))),
        ]
        work = chance.choice(calls)
        if chance.random() < 0.3:
            with anyio.move_on_after(after_s):
                await work()
        elif chance.random() < 0.5:
            await asyncio.wait_for(work(), after_s)
        else:
            await work()

    async def careless(session: SeedanceSession, number: int) -> None:
        with contextlib.suppress(SeedanceError, TimeoutError):
            await caller(session, number)

    api.creates, api.queries = [create], [query]
    many.status = lambda task_id: (
        "completed" if now() >= ends.setdefault(task_id, now() + 40) else "processing"
    )
    limits = Limits(max_in_flight=6, creates_per_minute=120, polls_per_second=4)
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(5), limits=limits
    ) as session:
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(careless, session, number)
        turns = session._turns
        assert turns._places.taken == turns._places.accepted == len(turns.neglected)
        assert turns.singles.in_flight == sum(
            place.standing.flow is turns.singles for place in turns.neglected
        )
        for queue in (turns._to_create, turns._to_ask):
            assert (len(queue.line), queue._timer) == (0, None)
        api.creates, api.queries = [many.create], [many.query]
        for _ in range(7):
            await session.submit(requests(1)[0])
        assert turns._creates.gate._out == turns._polls.gate._out == 0
