"""What is learned of how long tasks take, from one session to the next."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import ScriptedApi, task_json

from seedance_async import (
    Journal,
    JournalError,
    MemoryJournal,
    SeedanceSession,
    SqliteJournal,
    VideoRequest,
)
from seedance_async.learned import Learned
from seedance_async.turnaround import Seen, Turnarounds

TURNAROUND_S = 20.0  # a fifth of what the provider's estimates say


def requests(count: int) -> list[VideoRequest]:
    return [
        VideoRequest(model="seedance_2_0_fast_pro", prompt=f"a secret cat {number}")
        for number in range(count)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day" / "journal.sqlite"


@pytest.fixture
def quick(api: ScriptedApi) -> ScriptedApi:
    """An API whose every task takes the same time."""
    from aiohttp import web

    accepted: dict[str, float] = {}

    def now() -> float:
        return asyncio.get_running_loop().time()

    async def create(_: web.Request) -> web.Response:
        task_id = f"video_{len(accepted)}"
        accepted[task_id] = now()
        return web.json_response(task_json("queued") | {"id": task_id})

    async def query(request: web.Request) -> web.Response:
        task_id = request.path.rpartition("/")[2]
        is_made = now() - accepted[task_id] >= TURNAROUND_S
        answer = task_json("completed", video_url="https://v.example/a.mp4")
        return web.json_response((answer if is_made else task_json("processing")) | {"id": task_id})

    api.creates, api.queries = [create], [query]
    return api


def at(api: ScriptedApi, journal: Journal | Path | None) -> SeedanceSession:
    return SeedanceSession("key", base_url=api.base_url, journal=journal)


async def lasting(api: ScriptedApi, journal: Journal | Path | None, count: int) -> float:
    """Run a wave of jobs, and give how long it took."""
    began_s = asyncio.get_running_loop().time()
    async with at(api, journal) as session:
        report = await session.run_batch(requests(count), max_in_flight=count)
    assert report.ok
    return asyncio.get_running_loop().time() - began_s


async def renewed(path: Path) -> None:
    """Let the next session meet no job of the last one."""
    async with SqliteJournal(path) as journal:
        await journal.forget([job.key async for job in journal.records()])


async def test_tomorrows_first_wave_starts_wise(quick: ScriptedApi, path: Path) -> None:
    first_s = await lasting(quick, path, 20)
    await renewed(path)
    asked = quick.count("GET")
    second_s = await lasting(quick, path, 20)
    assert second_s < 0.6 * first_s  # nobody knew that it is so fast
    assert quick.count("GET") - asked < 20 * 8


async def test_a_session_that_is_killed_leaves_what_it_had_learned(
    quick: ScriptedApi, path: Path, tmp_path: Path
) -> None:
    async with at(quick, path) as session:
        await session.run_batch(requests(20))
        shutil.copytree(path.parent, tmp_path / "left")
    left = tmp_path / "left" / path.name
    await renewed(left)
    async with at(quick, left) as session:
        task = await session.submit(requests(1)[0])
        assert task.estimate().remaining_s < 80  # 104 before any


async def test_many_ends_share_a_write(quick: ScriptedApi) -> None:
    class Counting(MemoryJournal):
        writes = 0

        async def remember(self, name: str, text: str) -> None:
            self.writes += 1
            await super().remember(name, text)

    journal = Counting()
    await lasting(quick, journal, 300)
    assert 1 <= journal.writes <= 4


async def test_a_session_that_saw_no_end_writes_nothing(quick: ScriptedApi, path: Path) -> None:
    async with at(quick, path) as session:
        await session.submit(requests(1)[0])
    async with SqliteJournal(path, read_only=True) as journal:
        assert await journal.recall("turnarounds") is None


async def test_nothing_of_a_job_is_in_it(quick: ScriptedApi, path: Path) -> None:
    await lasting(quick, path, 3)
    async with SqliteJournal(path, read_only=True) as journal:
        text = await journal.recall("turnarounds")
    assert text is not None
    assert "seedance_2_0_fast_pro" in text
    assert not [word for word in ("secret", "cat", "video_", "key") if word in text]


class Failing(MemoryJournal):
    """Fails on what belongs to no job, as it is told."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how = how

    async def remember(self, name: str, text: str) -> None:
        await self.how()

    async def recall(self, name: str) -> str | None:
        return await self.how()  # type: ignore[no-any-return]


async def full() -> None:
    raise JournalError("disk full")


async def odd() -> None:
    raise ZeroDivisionError


async def untrue() -> None:
    raise asyncio.CancelledError


async def hanging() -> None:
    await anyio.sleep_forever()


@pytest.mark.parametrize("how", [full, odd, untrue, hanging])
async def test_a_journal_that_fails_hurts_no_job(
    quick: ScriptedApi, caplog: pytest.LogCaptureFixture, how: Any
) -> None:
    caplog.set_level(logging.WARNING, "seedance_async")
    took_s = await lasting(quick, Failing(how), 20)
    assert took_s < 100
    assert len([line for line in caplog.messages if "how long tasks take" in line]) == 1


async def test_a_wait_that_ends_in_time_is_not_late_for_a_journal_that_hangs(
    quick: ScriptedApi,
) -> None:
    async with at(quick, Failing(hanging)) as session:
        task = await session.submit(requests(1)[0])
        await anyio.sleep(TURNAROUND_S)
        task = session.task(task.id)
        assert (await task.wait(timeout_s=2)).id == task.id


async def test_a_journal_that_was_written_before_serves_without(quick: ScriptedApi) -> None:
    class Older:
        """Has the methods that journals had to have before."""

        def __init__(self) -> None:
            inner = MemoryJournal()
            for name in ("plan", "put", "get", "by_task", "records", "history"):
                setattr(self, name, getattr(inner, name))

    older: Any = Older()
    assert await lasting(quick, older, 3) < 100


@pytest.mark.parametrize("text", ["", "{", '{"version": 99}', json.dumps([1])])
async def test_what_cannot_be_read_is_as_if_it_had_never_been(
    quick: ScriptedApi, path: Path, text: str
) -> None:
    async with SqliteJournal(path) as journal:
        await journal.remember("turnarounds", text)
    await lasting(quick, path, 2)
    async with SqliteJournal(path, read_only=True) as journal:
        assert Turnarounds.from_json(await journal.recall("turnarounds")).to_json() != text


async def test_a_read_only_journal_is_not_written(
    quick: ScriptedApi, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await lasting(quick, path, 1)
    before = path.read_bytes()
    async with SqliteJournal(path, read_only=True) as journal, at(quick, journal) as session:
        await session.task("video_0").refresh()
    assert path.read_bytes() == before
    assert "not open for writing" in caplog.text


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Journal]:
    async with contextlib.AsyncExitStack() as stack:
        is_memory = request.param == "memory"
        yield MemoryJournal() if is_memory else await stack.enter_async_context(SqliteJournal(path))


async def test_a_journal_keeps_the_last_text_under_each_name(journal: Journal) -> None:
    if isinstance(journal, SqliteJournal):
        await journal.claim("here")
    assert await journal.recall("service") is None  # nor can it be overwritten
    for name, text in (("service", "x"), ("a", "1"), ("a", "2"), ("b", "3")):
        await journal.remember(name, text)
    kept = [await journal.recall(name) for name in ("service", "a", "b", "c")]
    assert kept == ["x", "2", "3", None]
    if isinstance(journal, SqliteJournal):
        await journal.claim("here")


async def test_what_failed_is_tried_again_at_the_end() -> None:
    class Once(MemoryJournal):
        tries = 0

        async def remember(self, name: str, text: str) -> None:
            self.tries += 1
            if self.tries == 1:
                raise JournalError("busy")
            await super().remember(name, text)

    journal = Once()
    learned = Learned(journal)
    learned.turnarounds.course("m", 5).saw(Seen.ENDED, 9)
    await learned.task_ended()
    await learned.task_ended()
    assert journal.tries == 1
    await learned.write()
    await learned.write()
    assert journal.tries == 2
    assert await journal.recall("turnarounds") == learned.turnarounds.to_json()
