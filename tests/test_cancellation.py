"""Every kind of cancellation, at every stage: no paid id is lost, no task is left behind."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from cancelling import by_task, kinds, now
from conftest import DONE, TASK_ID, ScriptedApi, never, task_json

from seedance_async import Fixed, SeedanceSession, SubmissionUnknown, VideoRequest
from seedance_async.paid import finish

CREATE_S = 20


async def slow_create(_: web.Request) -> web.Response:
    await asyncio.sleep(CREATE_S)
    return web.json_response(task_json("queued"))


async def known(session: SeedanceSession) -> list[tuple[str, str | None]]:
    return [(job.state, job.task_id) async for job in session.jobs()]


@kinds
async def test_during_create_the_paid_id_is_kept(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any
) -> None:
    api.creates = [slow_create]
    await cancel(lambda: scripted.submit(request_), 5)
    assert now() == pytest.approx(CREATE_S, abs=1)
    assert await known(scripted) == [("submitted", TASK_ID)]
    assert api.count("POST") == 1


@kinds
async def test_during_create_of_a_batch_the_paid_ids_are_kept(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any
) -> None:
    api.creates = [slow_create]
    await cancel(lambda: scripted.run_batch([request_] * 9, max_in_flight=3), 5)
    assert await known(scripted) == [("submitted", TASK_ID)] * 3
    assert api.count("POST") == 3


@kinds
async def test_during_create_whose_answer_is_lost_the_job_is_unknown(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any
) -> None:
    api.creates = [never]

    async def submit() -> None:
        # A scope lets the paid step tell what became of it.
        with contextlib.suppress(SubmissionUnknown):
            await scripted.submit(request_)

    await cancel(submit, 5)
    assert now() <= 61
    assert await known(scripted) == [("unknown", None)]


@kinds
async def test_while_throttled_nothing_is_sent_any_more(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any
) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "500"})

    api.creates = [busy]
    await cancel(lambda: scripted.submit(request_), 5)
    assert now() < 6
    assert await known(scripted) == [("planned", None)]
    assert api.count("POST") == 1


@kinds
@pytest.mark.parametrize("hangs", [False, True], ids=["between polls", "in a poll"])
async def test_during_a_wait_the_task_lives_on(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any, hangs: bool
) -> None:
    api.queries = [never if hangs else task_json("processing")]
    task = await scripted.submit(request_)
    await cancel(task.wait, 12.5)
    assert now() < 14
    api.queries = [DONE]
    assert (await task.wait()).id == TASK_ID


@kinds
async def test_during_updates_the_task_lives_on(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any
) -> None:
    api.queries = [task_json("processing")]
    task = await scripted.submit(request_)

    async def follow() -> None:
        async for _ in task.updates():
            pass

    await cancel(follow, 12.5)
    api.queries = [DONE]
    assert [state.status async for state in task.updates()][-1] == "completed"


@kinds
async def test_during_the_polls_of_a_batch_every_id_is_known(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any
) -> None:
    api.queries = [task_json("processing")]
    await cancel(lambda: scripted.run_batch([request_] * 9, max_in_flight=3), 33)
    assert now() < 35
    assert await known(scripted) == [("submitted", TASK_ID)] * 3


@kinds
async def test_a_reader_cancelled_in_the_block_ends_the_batch(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest, cancel: Any
) -> None:
    async def read() -> None:
        async with scripted.batch([request_] * 9, max_in_flight=3) as outcomes:
            async for _ in outcomes:
                await anyio.sleep(50_000)

    await cancel(read, 100)
    assert now() < 102
    count = len(api.seen)
    await anyio.sleep(1000)
    assert len(api.seen) == count


@kinds
async def test_during_a_download_nothing_is_left_on_disk(
    api: ScriptedApi, request_: VideoRequest, cancel: Any, tmp_path: Path
) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith(".mp4"):
            url = f"{api.base_url}/a.mp4"
            return web.json_response(task_json("completed", video_url=url))
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 100)
            await asyncio.sleep(1)

    api.queries = [drip]
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5)) as session:
        video = await session.generate(request_)
        await cancel(lambda: video.download(tmp_path / "a.mp4"), 9)
        assert list(tmp_path.iterdir()) == []
        await cancel(lambda: session.run_batch([request_] * 2, out_dir=tmp_path), 30)
        assert list(tmp_path.iterdir()) == []
        assert {state for state, _ in await known(session)} == {"completed"}


async def test_finish_gives_its_result_and_raises_its_failure() -> None:
    async def work(fail: bool) -> int:
        await asyncio.sleep(1)
        if fail:
            raise LookupError
        return 7

    assert await finish(work(fail=False)) == 7
    with pytest.raises(LookupError):
        await finish(work(fail=True))


@kinds
async def test_finish_lets_its_work_end_and_then_honours_the_cancellation(cancel: Any) -> None:
    written: list[str] = []

    async def work() -> None:
        await asyncio.sleep(10)
        written.append("id")

    await cancel(lambda: finish(work()), 3)
    assert written == ["id"]


async def test_finish_leaves_no_failure_unretrieved_behind_a_cancellation() -> None:
    async def work() -> None:
        await asyncio.sleep(10)
        raise LookupError

    await by_task(lambda: finish(work()), 3)


async def test_a_scope_gets_the_paid_tasks_answer_and_cancels_what_comes_after(
    scripted: SeedanceSession, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [slow_create]
    with anyio.move_on_after(5) as scope:
        task = await scripted.submit(request_)
        assert task.id == TASK_ID
        await task.wait()
    assert scope.cancelled_caught
    assert api.count("GET") == 0
