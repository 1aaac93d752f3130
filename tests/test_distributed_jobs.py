"""One worker and its clients in this process, on SQLite: what each job comes to, and who says so.

Real time: the engine has threads of its own, which know no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import sqlalchemy as sa
from conftest import ScriptedApi

from seedance_async import (
    DownloadError,
    Fixed,
    InvalidRequest,
    Job,
    JobState,
    JournalError,
    OutcomeStatus,
    RequestRefused,
    SqliteJournal,
    SubmissionUnknown,
    Video,
    VideoFailed,
    VideoRequest,
    WaitTimeout,
    errors,
)
from seedance_async.distributed import (
    Account,
    DistributedClient,
    DistributedWorker,
    LocalFolder,
    Sink,
    database,
    engine,
    problems,
    sharing,
    work,
    worker,
)
from seedance_async.emulator import Emulator, Fault
from seedance_async.errors import Violation
from seedance_async.events import Event, Submitted
from seedance_async.learned import RATES, TURNAROUNDS
from seedance_async.rates import Rates
from seedance_async.turnaround import Seen, Turnarounds

SPEED = 600
KEY = "emulator-key-of-37-letters-to-be-found"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at once a second or so is looked at more often here."""
    monkeypatch.setattr(engine, "_POLL_S", 0.05)
    monkeypatch.setattr(work, "_LOOK_S", 0.1)
    monkeypatch.setattr(work, "_FIRST_PAUSE_S", 0.1)


@pytest.fixture(autouse=True)
async def no_task_left_behind(anyio_backend: object) -> AsyncIterator[None]:
    """As everywhere, but for one of the engine's, which ends by itself within a second."""
    before = asyncio.all_tasks()
    yield
    left = [repr(task.get_coro()) for task in asyncio.all_tasks() - before if not task.done()]
    assert not [name for name in left if "TestRunner" not in name and "Watcher" not in name]


@pytest.fixture
def failing() -> list[str]:
    """Prompts of which the provider makes no video."""
    return []


@pytest.fixture
async def emulator(failing: list[str]) -> AsyncIterator[Emulator]:
    def why(body: Mapping[str, Any]) -> str | None:
        return "it may not be" if body["prompt"] in failing else None

    async with Emulator(speed=SPEED, api_key=KEY, failures=why) as running:
        yield running


@attrs.define
class Place:
    """One folder with all that a worker has."""

    folder: Path

    @property
    def dsn(self) -> str:
        return f"sqlite:///{self.folder / 'jobs.db'}"

    def worker(self, at: Emulator | str, out: Sink | None = None, **more: Any) -> DistributedWorker:
        base_url = at if isinstance(at, str) else at.base_url
        account = {"max_in_flight": 5, **more.pop("account", {})}
        return DistributedWorker(
            self.dsn,
            accounts=[Account("main", api_key=KEY, base_url=base_url, **account)],
            out=LocalFolder(self.folder / "videos") if out is None else out,
            spool=self.folder / "spool",
            pacing=Fixed(0.05),
            **more,
        )

    def client(self) -> DistributedClient:
        return DistributedClient(self.dsn)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextlib.asynccontextmanager
async def both(
    place: Place, at: Emulator | str, out: Sink | None = None, **more: Any
) -> AsyncIterator[DistributedClient]:
    async with place.worker(at, out, **more), place.client() as client:
        yield client


def film(number: int = 1) -> VideoRequest:
    return VideoRequest(model="seedance_2_0_fast_pro", prompt=f"film {number}")


async def comes_true(check: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(20):
        while not await check():  # noqa: ASYNC110 -- nobody tells of it
            await anyio.sleep(0.02)


async def state(client: DistributedClient, key: str, *states: JobState) -> None:
    async def is_so() -> bool:
        return (await client.status(key)).state in states

    await comes_true(is_so)


async def test_a_batch_has_the_outcomes_of_one_machine(
    emulator: Emulator, place: Place, failing: list[str]
) -> None:
    failing.append("film 3")
    items = [
        film(1),
        Job(request=film(2), key="a", name="two"),
        film(3),
        {"prompt": "?"},
        Job(request=film(4), key="a"),
    ]
    async with both(place, emulator) as client:
        async with client.batch(items) as outcomes:
            first = {outcome.index: outcome async for outcome in outcomes}
        async with client.batch(items) as outcomes:
            again = {outcome.index: outcome async for outcome in outcomes}
    status = [first[index].status for index in range(5)]
    assert status == [
        OutcomeStatus.COMPLETED,
        OutcomeStatus.COMPLETED,
        OutcomeStatus.FAILED,
        OutcomeStatus.INVALID,
        OutcomeStatus.INVALID,
    ]
    assert first[1].name == "two"
    for index in (0, 1):
        path = first[index].path
        assert path is not None
        assert path.read_bytes()[4:8] == b"ftyp"
        assert again[index].status is OutcomeStatus.SKIPPED
        assert again[index].path == path
    assert isinstance(first[2].error, VideoFailed)
    assert first[2].task_id == again[2].task_id is not None
    assert emulator.stats.accepted == 3


async def test_what_the_source_raises_comes_behind_its_jobs(
    emulator: Emulator, place: Place
) -> None:
    def source():
        yield film(1)
        raise OSError("the file ends here")

    async with both(place, emulator) as client:
        async with client.batch(source()) as outcomes:
            assert (await anext(outcomes)).status is OutcomeStatus.COMPLETED
            with pytest.raises(OSError, match="the file ends here"):
                await anext(outcomes)
        with pytest.raises(ZeroDivisionError):
            async with client.batch([film(2)]):
                _ = 1 / 0


async def test_a_refusal_is_the_error_of_one_machine(api: ScriptedApi, place: Place) -> None:
    from aiohttp import web

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": "the prompt is not allowed"}, status=400)

    api.creates = [refuse]
    async with both(place, api.base_url) as client:
        job = await client.submit(film(), key="a")
        with pytest.raises(RequestRefused, match="not allowed") as caught:
            await job.result(20)
        assert caught.value.http_status == 400
        record = await job.status()
    assert record.state is JobState.FAILED
    assert record.task_id is None
    assert api.count("POST") == 1


async def test_a_lost_answer_is_unknown_until_somebody_adopts_it(place: Place) -> None:
    accepted: list[str] = []
    faults = [Fault("create.reset_after_accept")]
    async with Emulator(
        speed=SPEED,
        api_key=KEY,
        faults=faults,
        on_accept=lambda task_id, *_: accepted.append(task_id),
    ) as emulator:
        async with both(place, emulator) as client:
            job = await client.submit(film(), key="a")
            with pytest.raises(SubmissionUnknown, match="a"):
                await job.result(20)
            other = await (await client.submit(film(2), key="b")).result(20)
            with pytest.raises(JournalError, match="belongs to job b"):
                await client.adopt("a", str(other.task_id))
            with pytest.raises(JournalError, match="only unknown"):
                await client.adopt("b", accepted[0])
            with pytest.raises(ValueError, match="cannot be a task's id"):
                await client.adopt("a", "not an id")
            await client.adopt("a", accepted[0])
            made = await job.result(20)
            states = [move.state.value for move in await client.history("a")]
        assert emulator.stats.accepted == 2
    assert made.task_id == accepted[0]
    assert Path(str(made.path)).exists()
    assert [*dict.fromkeys(states)] == [
        "planned",
        "submitting",
        "unknown",
        "submitted",
        "completed",
    ]


async def test_an_unknown_job_keeps_its_place_and_then_is_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work.AccountWork, "_hold_s", lambda *_: 1.0)
    faults = [Fault("create.reset_after_accept")]
    async with Emulator(speed=SPEED, api_key=KEY, faults=faults) as emulator:
        async with both(place, emulator, account={"max_in_flight": 1}) as client:
            await client.submit(film(), key="a")
            await state(client, "a", JobState.UNKNOWN)
            await client.submit(film(2), key="b")
            await anyio.sleep(0.4)
            assert (await client.status("b")).state is JobState.PLANNED
            assert (await client.job("b").result(20)).state is JobState.COMPLETED
            assert (await client.status("a")).state is JobState.UNKNOWN
            with pytest.raises(ValueError, match="say why"):
                await client.resubmit("a", reason=" ")
            await client.resubmit("a", reason="not in the billing")
            assert (await client.job("a").result(20)).attempts == 2
            history = await client.history("a")
        assert emulator.stats.accepted == 3
    assert any(move.error == "resubmitted: not in the billing" for move in history)


async def test_a_failed_job_goes_again_only_when_somebody_says_so(
    emulator: Emulator, place: Place, failing: list[str]
) -> None:
    failing.append("film 1")
    async with both(place, emulator) as client:
        job = await client.submit(film(), key="a")
        with pytest.raises(VideoFailed):
            await job.result(20)
        with pytest.raises(VideoFailed):
            await (await client.submit(film(), key="a")).result(20)
        assert emulator.stats.accepted == 1
        failing.clear()
        await client.resubmit("a", reason="the provider was down")
        made = await job.result(20)
        before = await client.status("a~1")
        assert before.state is JobState.FAILED
        assert before.task_id not in (None, made.task_id)
        with pytest.raises(JournalError, match="is completed"):
            await client.resubmit("a", reason="more")
    assert emulator.stats.accepted == 2


async def test_cancelling(emulator: Emulator, place: Place) -> None:
    slow = Emulator(speed=40, api_key=KEY)
    async with slow, both(place, slow, account={"max_in_flight": 1}) as client:
        await client.submit(film(1), key="sent")
        await state(client, "sent", JobState.SUBMITTED)
        await client.submit(film(2), key="waits")
        assert (await client.cancel("waits")).state is JobState.FAILED
        with pytest.raises(VideoFailed, match="before it was sent") as caught:
            await client.job("waits").result(20)
        assert caught.value.status == "cancelled"
        # It goes on at the provider: its place is kept, and its video not fetched.
        await client.cancel("sent")
        await client.submit(film(3), key="next")
        await anyio.sleep(0.5)
        assert (await client.status("next")).state is JobState.PLANNED
        with pytest.raises(VideoFailed, match="cancelled"):
            await client.job("sent").result(20)
        assert (await client.status("sent")).state is JobState.COMPLETED
        assert (await client.status("sent")).path is None
        await state(client, "next", JobState.SUBMITTED)
        await client.submit(film(4), key="last")
        await client.cancel("next", force=True)
        with pytest.raises(VideoFailed, match="goes on at the provider"):
            await client.job("next").result(20)
        await client.job("last").result(20)
        with pytest.raises(JournalError, match="no job"):
            await client.cancel("nobody")
    assert slow.stats.accepted == 3


async def test_prune_forgets_what_has_ended_and_nothing_else(place: Place) -> None:
    faults = [Fault("create.reset_after_accept")]
    async with Emulator(speed=SPEED, api_key=KEY, faults=faults) as emulator:
        async with both(place, emulator) as client:
            with pytest.raises(SubmissionUnknown):
                await (await client.submit(film(1), key="unknown")).result(20)
            await (await client.submit(film(2), key="made")).result(20)
            with sqlite3.connect(place.folder / "jobs.db") as database:
                database.execute("UPDATE seedance_jobs SET changed_at = changed_at - 864000")
            await client.submit(film(3), key="new")
            assert await client.prune(30) == 0
            assert await client.prune(7) == 1
            assert {record.key async for record in client.jobs()} == {"unknown", "new"}
            assert await client.history("made") == ()
            with pytest.raises(ValueError, match="above 0"):
                await client.prune(0)
            await (await client.submit(film(2), key="made")).result(20)
        assert emulator.stats.accepted == 4


async def test_limits_are_followed_while_workers_run(
    place: Place, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SILENCE_S", 0.3)
    async with place.worker(emulator, account={"creates_per_minute": 60}) as working:  # noqa: SIM117
        async with place.client() as client:
            assert (await client.set_limit("main")).max_in_flight == 5
            limits = await client.set_limit("main", max_in_flight=9, creates_per_minute=600)
            assert (limits.max_in_flight, limits.creates_per_minute) == (9, 600)

            async def is_followed() -> bool:
                return working._work["main"].session.limits.max_in_flight == 9

            await comes_true(is_followed)
            assert working._work["main"].session.limits.creates_per_minute == 600
            with pytest.raises(ValueError, match="at least 1"):
                await client.set_limit("main", max_in_flight=0)
            with pytest.raises(JournalError, match="other"):
                await client.set_limit("other", max_in_flight=1)
    # They hold for those that come, whatever they were started with.
    async with place.worker(emulator) as working:
        assert working._work["main"].session.limits.max_in_flight == 9


async def test_what_cannot_be_handed_in(emulator: Emulator, place: Place) -> None:
    with pytest.raises(JournalError, match="seedance worker migrate"):
        await place.client().__aenter__()
    async with both(place, emulator) as client:
        with pytest.raises(
            ValueError, match="no worker was ever started for the account 'x': main"
        ):
            await client.submit(film(), account="x")
        with pytest.raises(TypeError, match="VideoRequest"):
            await client.submit({"prompt": "?"})  # type: ignore[arg-type]
        picture = place.folder / "cat.png"
        picture.write_bytes(b"png")
        local = VideoRequest(model="seedance_2_0_pro", prompt="a", first_image=str(picture))
        with pytest.raises(InvalidRequest, match="first_image"):
            await client.submit(local)
        signed = VideoRequest(
            model="seedance_2_0_pro",
            prompt="a",
            first_image="https://b.s3.amazonaws.com/cat.png?X-Amz-Signature=abc",
        )
        with pytest.raises(InvalidRequest, match="signed URL") as caught:
            await client.submit(signed)
        assert caught.value.violations[0].field == "first_image"
        await client.submit(film(1), key="a")
        with pytest.raises(InvalidRequest, match="key of another request"):
            await client.submit(film(2), key="a")
        with pytest.raises(JournalError, match="no job b"):
            await client.job("b").result(20)
        with pytest.raises(ValueError, match="'nonsense' is no state: choose one of planned"):
            [record async for record in client.jobs("nonsense")]
        await client.job("a").result(20)
    with pytest.raises(JournalError, match="not open"):
        await client.job("a").result()
    with pytest.raises(ValueError, match="dsn"):
        DistributedClient("mysql://host/name")
    with pytest.raises(ValueError, match="dsn"):
        DistributedClient("sqlite://")


async def test_waits_that_are_over_before_the_task(place: Place) -> None:
    slow = Emulator(speed=60, api_key=KEY)
    async with slow:
        async with both(place, slow, account={"timeout_s": 0.3}) as client:
            job = await client.submit(film(), key="a")
            with pytest.raises(WaitTimeout, match="after 0 s"):
                await job.result(0)
            with pytest.raises(WaitTimeout, match="the task lives on") as caught:
                await job.result(20)
            record = await job.status()
            assert record.state is JobState.SUBMITTED
            assert caught.value.task_id == record.task_id
        async with both(place, slow) as client:
            await client.adopt("a", str(record.task_id))
            assert (await client.job("a").result(20)).state is JobState.COMPLETED
    assert slow.stats.accepted == 1


async def test_a_worker_that_leaves_leaves_its_jobs_to_the_next(place: Place) -> None:
    slow = Emulator(speed=60, api_key=KEY, latency_s=0.2)

    async def three() -> bool:
        return slow.stats.accepted >= 3

    async with slow:
        async with both(place, slow) as client:
            for number in range(8):
                await client.submit(film(number), key=f"job {number}")
            await comes_true(three)
        async with place.client() as client:
            states = [record.state async for record in client.jobs()]
            assert JobState.UNKNOWN not in states
            assert JobState.SUBMITTING not in states
            assert await client.workers() == {}
        async with both(place, slow) as client:
            for number in range(8):
                await client.job(f"job {number}").result(30)
    assert slow.stats.accepted == 8
    assert slow.stats.peak_in_flight <= 5


async def test_a_lost_database_costs_no_id(place: Place, emulator: Emulator) -> None:
    slow = Emulator(speed=60, api_key=KEY)
    async with slow:
        async with both(place, slow) as client:
            await client.submit(film(), key="a", name="a cat")
            await state(client, "a", JobState.SUBMITTED)
            task_id = (await client.status("a")).task_id
        for path in place.folder.glob("jobs.db*"):
            path.unlink()
        async with both(place, slow) as client:
            made = await client.job("a").result(20)
    assert (made.task_id, made.name) == (task_id, "a cat")
    assert slow.stats.accepted == 1


async def test_an_older_copy_of_the_database_is_mended_from_the_spool(place: Place) -> None:
    slow, gone = Emulator(speed=40, api_key=KEY), JobState.UNKNOWN
    async with slow:
        async with both(place, slow) as client:
            await client.submit(film(), key="a")
            await state(client, "a", JobState.SUBMITTED)
            task_id = (await client.status("a")).task_id
        with sqlite3.connect(place.folder / "jobs.db") as database:
            database.execute(
                "UPDATE seedance_jobs SET state = ?, task_id = NULL, answer = NULL", (gone.value,)
            )
            database.execute("UPDATE workflow_status SET status = 'SUCCESS'")
            database.execute("UPDATE seedance_jobs SET is_over = 1")
        async with both(place, slow) as client:
            assert (await client.job("a").status()).task_id == task_id

            async def is_there() -> bool:
                return (await client.status("a")).path is not None

            await comes_true(is_there)
    assert slow.stats.accepted == 1


@attrs.define
class Clumsy:
    """A sink that fails some times."""

    failures: int
    kept: list[str] = attrs.field(factory=list)

    async def keep(self, video: Video, name: str) -> tuple[str, int]:
        if self.failures:
            self.failures -= 1
            raise DownloadError("the disk is full", video.id)
        self.kept.append(name)
        return f"somewhere/{name}", 7


async def test_a_video_that_cannot_be_kept_is_fetched_again(
    place: Place, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Clumsy(failures=2)
    async with both(place, emulator, sink) as client:
        made = await (await client.submit(film(), key="tg:1/2")).result(20)
        assert made.path == f"somewhere/tg-1-2-{made.task_id}.mp4"
        assert made.size_bytes == 7
        assert made.downloaded_at is not None
        # Until the provider would have dropped it.
        monkeypatch.setattr(work, "KEPT", dt.timedelta(seconds=0.3))
        sink.failures = 1000
        with pytest.raises(DownloadError, match="the disk is full"):
            await (await client.submit(film(2), key="b")).result(20)
        assert (await client.status("b")).state is JobState.COMPLETED
        sink.failures = 0
        await client.adopt("b", str((await client.status("b")).task_id))
        assert (await client.job("b").result(20)).size_bytes == 7


async def test_events_are_those_of_one_machine(place: Place, emulator: Emulator) -> None:
    events: list[Event] = []
    async with both(place, emulator, subscriber=events.append) as client:
        await (await client.submit(film(), key="a")).result(20)
    names = [type(event).__name__ for event in events]
    assert [*dict.fromkeys(names)] == [
        "Planned",
        "Submitted",
        "StateChanged",
        "Completed",
        "Downloaded",
    ]
    assert [event.key for event in events if isinstance(event, Submitted)] == ["a"]


async def test_sqlite_is_for_one_worker(place: Place, emulator: Emulator) -> None:
    async with place.worker(emulator):
        with pytest.raises(JournalError, match="SQLite takes one process"):
            await place.worker(emulator).__aenter__()
    with pytest.raises(JournalError, match=r"made at a private address, not at example\.com"):
        await place.worker("https://example.com").__aenter__()
    # What was opened of those is closed again.
    async with place.worker(emulator):
        pass


async def test_what_was_learned_is_shared(place: Place, emulator: Emulator) -> None:
    async with both(place, emulator) as client:
        for number in range(3):
            await (await client.submit(film(number))).result(20)
    with sqlite3.connect(place.folder / "jobs.db") as database:
        facts = dict(database.execute("SELECT name, value FROM seedance_facts"))
    assert json.loads(facts[TURNAROUNDS])["kinds"][0][0] == "seedance_2_0_fast_pro"
    before = facts[RATES]
    async with both(place, emulator) as client:
        await (await client.submit(film(9))).result(20)
    with sqlite3.connect(place.folder / "jobs.db") as database:
        facts = dict(database.execute("SELECT name, value FROM seedance_facts"))
    assert json.loads(before)[0][2] == 3
    assert json.loads(facts[RATES])[0][2] == 4


def rates(*tokens: int) -> Rates:
    learned = Rates()
    for each in tokens:
        learned.note(film(), each)
    return learned


def test_two_workers_add_what_they_learned() -> None:
    before = rates(100).to_json()
    ours, theirs = rates(100, 90), rates(100, 200, 300)
    merged = sharing.together(RATES, theirs.to_json(), ours.to_json(), before)
    assert json.loads(merged) == json.loads(rates(100, 200, 300, 90).to_json())
    assert sharing.together(RATES, None, before, None) == before

    def seen(*ages: float) -> Turnarounds:
        learned = Turnarounds()
        for age in ages:
            course = learned.course("seedance_2_0_pro", 5)
            course.saw(Seen.RUNNING, age / 2)
            course.saw(Seen.ENDED, age)
        return learned

    alone, both_ = seen(100.0), seen(100.0, 100.0)
    merged = sharing.together(TURNAROUNDS, alone.to_json(), alone.to_json(), None)
    told = Turnarounds.from_json(merged).course("seedance_2_0_pro", 5)
    expected = Turnarounds.from_json(both_.to_json()).course("seedance_2_0_pro", 5)
    assert told.jobs == pytest.approx(expected.jobs, rel=0.1)  # the evidence fades as it comes
    same = sharing.together(TURNAROUNDS, both_.to_json(), alone.to_json(), alone.to_json())
    kept = Turnarounds.from_json(same).course("seedance_2_0_pro", 5)
    assert kept.jobs == pytest.approx(expected.jobs, rel=0.01)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest([Violation("duration.range", "duration", "is too long")]),
        RequestRefused("no", None, 400),
        errors.RateLimited("busy", None, 429, 3.5),
        SubmissionUnknown("lost", None, None, "key", "digest"),
        VideoFailed("no", "video_1", "why", "cancelled"),
        WaitTimeout("late", "video_1", "queued"),
        DownloadError("full", "video_1"),
        errors.BudgetExceeded("too much"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_through_the_database_as_it_was(error: errors.SeedanceError) -> None:
    read = problems.load(problems.dump(error))
    assert type(read) is type(error)
    assert (str(read), vars(read)) == (str(error), vars(error))


def test_an_error_of_a_newer_version_is_one_all_the_same() -> None:
    read = problems.load('{"type": "Newer", "message": "what", "task_id": "video_1"}')
    assert (type(read), str(read)) == (errors.SeedanceError, "what (task video_1)")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": ""},
        {"name": "x" * 61},
        {"name": "main", "max_in_flight": 0},
        {"name": "main", "max_in_flight": None},
        {"name": "main", "creates_per_minute": 0},
        {"name": "main", "timeout_s": -1},
        {"name": "main", "base_url": "nonsense"},
    ],
    ids=str,
)
def test_an_account_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|account's name|base_url"):
        Account(**{"api_key": "k", **wrong})


def test_an_account_keeps_its_key_to_itself(place: Place) -> None:
    account = Account("main", api_key=KEY)
    assert KEY not in repr(account)
    with pytest.raises(ValueError, match="a name of its own"):
        DistributedWorker(place.dsn, accounts=[account, account], out=place.folder)
    with pytest.raises(ValueError, match="a name of its own"):
        DistributedWorker(place.dsn, accounts=[], out=place.folder)


async def test_nothing_that_is_secret_is_written_down_or_logged(
    place: Place, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    prompt = "a most secret film"
    async with both(place, emulator) as client:
        request = VideoRequest(model="seedance_2_0_fast_pro", prompt=prompt)
        await (await client.submit(request, key="a")).result(20)
    ours = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("aiosqlite"))
    assert prompt not in ours
    assert KEY not in caplog.text
    assert "signature=" not in caplog.text
    with sqlite3.connect(place.folder / "jobs.db") as database:
        dump = "\n".join(database.iterdump())
    assert prompt in dump  # so that what follows means something
    assert KEY not in dump
    assert "signature=" not in dump
    assert emulator.base_url not in dump


async def test_a_spool_that_another_worker_has_is_left_alone(
    place: Place, emulator: Emulator
) -> None:
    async with SqliteJournal(place.folder / "spool" / "main.0.db"):
        async with both(place, emulator) as client:
            await (await client.submit(film(), key="a")).result(20)
        assert (place.folder / "spool" / "main.1.db").exists()


async def test_the_loop_is_as_it_was_behind_a_worker(place: Place, emulator: Emulator) -> None:
    async with place.worker(emulator):
        assert await asyncio.to_thread(lambda: 1) == 1
    assert await asyncio.to_thread(lambda: 2) == 2


async def test_stop_ends_run_forever(place: Place, emulator: Emulator) -> None:
    async with place.worker(emulator) as working:
        asyncio.get_running_loop().call_later(0.1, working.stop)
        with anyio.fail_after(10):
            await working.run_forever()


async def test_a_database_that_is_away_for_long_when_an_id_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PATIENCE_S", 0.2)
    is_away: list[float] = []

    def sometimes(usual: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if is_away and time.monotonic() < is_away[0]:
                raise sa.exc.OperationalError("", {}, Exception("the server is gone"))
            return usual(*arguments)

        return call

    for name in ("_in_transaction", "_alone"):
        usual = getattr(database.Database, name)
        monkeypatch.setattr(database.Database, name, sometimes(usual))
    fast = Emulator(
        speed=SPEED,
        api_key=KEY,
        latency_s=0.1,
        on_accept=lambda *_: is_away.append(time.monotonic() + 1.0),
    )
    async with fast, place.worker(fast), place.client() as client:
        await client.submit(film(), key="a")

        async def is_back() -> bool:
            return bool(is_away) and time.monotonic() > is_away[0]

        await comes_true(is_back)
        made = await client.job("a").result(20)
        history = await client.history("a")
    assert made.state is JobState.COMPLETED
    assert fast.stats.accepted == 1
    assert JobState.UNKNOWN not in {move.state for move in history}


async def test_a_program_that_runs_the_engine_itself(place: Place, emulator: Emulator) -> None:
    from dbos import DBOS

    of_app = {"name": "an-app", "application_version": "app-1", "log_level": "ERROR"}
    DBOS(config={**of_app, "system_database_url": place.dsn, "executor_id": "app-1"})  # type: ignore[typeddict-item]
    DBOS.launch()
    try:
        async with both(place, emulator, attach=True) as client:
            made = await (await client.submit(film(), key="a")).result(20)
        assert made.state is JobState.COMPLETED
        assert DBOS.executor_id == "app-1"  # it goes on
    finally:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        await asyncio.to_thread(DBOS.destroy)


async def test_a_bug_of_somebody_elses_ends_one_job(place: Place, emulator: Emulator) -> None:
    class Broken:
        async def keep(self, video: Video, name: str) -> tuple[str, int]:
            raise ZeroDivisionError(name)

    async with both(place, emulator, Broken()) as client:
        with pytest.raises(errors.SeedanceError, match="unexpected ZeroDivisionError"):
            await (await client.submit(film(), key="a")).result(20)
        assert (await client.status("a")).state is JobState.COMPLETED


async def test_an_old_copy_of_the_database_pays_for_nothing_again(
    place: Place, emulator: Emulator
) -> None:
    kept, copy = place.folder / "jobs.db", place.folder / "copy"
    async with place.worker(emulator):
        pass
    async with place.client() as client:
        for number in range(3):
            await client.submit(film(number), key=f"job {number}")
    copy.write_bytes(kept.read_bytes())
    async with both(place, emulator) as client:
        before = [await client.job(f"job {number}").result(20) for number in range(3)]
    for path in place.folder.glob("jobs.db*"):
        path.unlink()
    kept.write_bytes(copy.read_bytes())
    async with both(place, emulator) as client:
        after = [await client.job(f"job {number}").result(20) for number in range(3)]
    assert [record.task_id for record in after] == [record.task_id for record in before]
    assert [record.path for record in after] == [record.path for record in before]
    assert emulator.stats.accepted == 3
    assert emulator.stats.downloads == 3


async def test_a_limit_that_is_not_named_stays_as_it_is(place: Place, emulator: Emulator) -> None:
    async with both(place, emulator, account={"creates_per_minute": 7}) as client:
        first = await client.set_limit("main", max_in_flight=6)
        for most in (7, 8, 9):
            limits = await client.set_limit("main", max_in_flight=most)
        assert limits.creates_per_minute == first.creates_per_minute
        assert limits.max_in_flight == 9


async def test_a_video_in_a_bucket_has_no_path_in_its_outcome(
    place: Place, emulator: Emulator
) -> None:
    class Bucket:
        async def keep(self, video: Video, name: str) -> tuple[str, int]:
            return f"s3://bucket/{name}", 7

    async with both(place, emulator, Bucket()) as client:
        async with client.batch([Job(request=film(), key="a")]) as outcomes:
            (outcome,) = [outcome async for outcome in outcomes]
        assert outcome.ok
        assert outcome.path is None
        assert str((await client.status("a")).path).startswith("s3://bucket/a-video_")


async def test_the_sign_of_life_waits_behind_no_job(
    place: Place, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SILENCE_S", 0.3)
    beats, usual = list[float](), worker.SignOfLife.beat

    def beat(its: Any) -> bool:
        beats.append(time.monotonic())
        return usual(its)

    monkeypatch.setattr(worker.SignOfLife, "beat", beat)
    async with place.worker(emulator) as working:
        # More than there are threads, each taking longer than silence may.
        slow = [working._database.thread(lambda: time.sleep(0.5)) for _ in range(24)]
        began = time.monotonic()
        await asyncio.gather(*slow)
        assert time.monotonic() - began > 1
        assert len([at for at in beats if at < began + 1]) >= 4
