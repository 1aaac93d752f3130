"""The asset library: registered once, waited for, deleted; odd answers, lost ones, and gates."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from conftest import ScriptedApi, error, never, plain, reset

from seedance_async import (
    AssetFailed,
    AssetKind,
    AssetUnknown,
    AuthenticationError,
    Fixed,
    InvalidRequest,
    JournalError,
    MemoryJournal,
    RequestRefused,
    Retries,
    SeedanceSession,
    ServiceUnavailable,
    SessionClosed,
    SqliteJournal,
    SubmissionUnknown,
    UnexpectedAnswer,
    VideoRequest,
    WaitTimeout,
)
from seedance_async.emulator import Emulator
from seedance_async.errors import AnswerError

URL = "https://media.example.com/cat.png?sig=secret"
ID = "asset-20260330142158-q75m8"


def done(data: Any = None, code: Any = 0) -> dict[str, Any]:
    return {"code": code, "msg": None, "data": data}


def said_no(code: Any, msg: str = "no") -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


def looked(status: str, **more: Any) -> dict[str, Any]:
    data = {"name": "cat", "assetId": ID, "status": status, "assetType": "Image", "url": URL}
    return done({**data, "createTime": "2026-03-30 14:21:58", **more})


@pytest.fixture
async def library(api: ScriptedApi) -> AsyncIterator[SeedanceSession]:
    api.creates = [done({"assetId": ID})]
    api.queries = [looked("Processing")]
    async with SeedanceSession("secret-key", base_url=api.base_url, pacing=Fixed(5)) as session:
        yield session


async def test_an_asset_is_registered_reviewed_used_and_deleted(
    emulator: Emulator, session: SeedanceSession
) -> None:
    asset = await session.assets.register(URL, "Image", "cat")
    assert re.fullmatch(r"asset-\d{14}-[a-z0-9]{5}", asset.id)
    assert (asset.kind, asset.name, asset.status) == ("Image", "cat", "Processing")
    request = VideoRequest(model="seedance_2_0_pro", prompt="A cat", first_image=asset.reference)
    with pytest.raises(RequestRefused, match="not Active"):
        await session.generate(request)
    active = await session.assets.wait_active(asset.id)
    assert (active.id, active.status, active.name, active.url) == (asset.id, "Active", "cat", URL)
    assert active.created_at is not None
    assert (await session.generate(request)).id in emulator.accepted_ids
    await session.assets.delete(asset.id)
    with pytest.raises(RequestRefused, match="asset not found"):
        await session.assets.get(asset.id)
    with pytest.raises(RequestRefused, match="asset not found"):
        await session.assets.delete(asset.id)


async def test_the_same_again_is_the_same_asset(session: SeedanceSession) -> None:
    first = await session.assets.register(URL, "Image", "cat")
    await session.assets.wait_active(first.id)
    again = await session.assets.register(URL, AssetKind.IMAGE, "cat")
    assert (again.id, again.status) == (first.id, "Active")
    for other in ((URL, "Image"), (URL, "Video", "cat"), (f"{URL}x", "Image", "cat")):
        assert (await session.assets.register(*other)).id != first.id
    await session.assets.delete(first.id)
    assert (await session.assets.register(URL, "Image", "cat")).id != first.id


async def test_many_at_once_register_once(session: SeedanceSession) -> None:
    ids = set()

    async def register() -> None:
        ids.add((await session.assets.register(URL, "Image")).id)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(register)
    assert len(ids) == 1


async def test_another_process_knows_it(emulator: Emulator, tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        async with SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, journal=tmp_path / "j.sqlite"
        ) as session:
            ids.append((await session.assets.register(URL, "Image")).id)
    assert ids[0] == ids[1]
    assert b"secret" not in (tmp_path / "j.sqlite").read_bytes()


async def test_one_that_failed_its_review_is_registered_anew(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    asset = await library.assets.register(URL, "Image")
    api.queries = [looked("Processing"), looked("failed")]
    with pytest.raises(AssetFailed, match=ID):
        await library.assets.wait_active(asset.id)
    api.creates = [done({"assetId": "asset-2"})]
    assert (await library.assets.register(URL, "Image")).id == "asset-2"


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        (("cat.png", "Image"), {"media.reference"}),
        (("file:///cat.png", "Image"), {"media.reference"}),
        (("asset://a", "Image"), {"media.reference"}),
        ((URL, "image"), {"asset.kind"}),
        ((URL, "Image", " "), {"name.text"}),
        ((None, None, 5), {"media.reference", "asset.kind", "name.text"}),
    ],
)
async def test_what_cannot_be_right_is_not_sent(
    api: ScriptedApi, library: SeedanceSession, arguments: Any, rules: set[str]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await library.assets.register(*arguments)
    assert {violation.rule for violation in caught.value.violations} == rules
    assert api.seen == []


async def test_at_the_real_api_a_private_url_is_not_sent() -> None:
    async with SeedanceSession("key", base_url="https://api.example.com") as session:
        with pytest.raises(InvalidRequest, match=r"media\.public"):
            await session.assets.register("http://localhost/cat.png", "Image")


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (said_no(1001, "url cannot be fetched"), RequestRefused),
        (said_no("1001"), RequestRefused),
        (error(401), AuthenticationError),
        (error(400), RequestRefused),
    ],
)
async def test_a_no_is_a_no_and_may_be_tried_again(
    api: ScriptedApi, library: SeedanceSession, answer: Any, raised: type[Exception]
) -> None:
    api.creates = [answer, done({"assetId": ID})]
    with pytest.raises(raised):
        await library.assets.register(URL, "Image")
    assert (await library.assets.register(URL, "Image")).id == ID
    assert api.count("POST") == 2


LOST = [
    reset,
    plain(200, json.dumps(done({"assetId": "a b"}))),
    error(500),
    error(502),
    plain(200, ""),
    plain(200, "<html>"),
    plain(200, json.dumps(done(None))),
    plain(200, json.dumps(done({"assetId": 5}))),
    plain(200, json.dumps({"data": {"assetId": ""}})),
    plain(200, json.dumps(said_no(500))),
]


@pytest.mark.parametrize("answer", LOST)
async def test_a_lost_answer_is_never_repeated_blindly(
    api: ScriptedApi, library: SeedanceSession, answer: Any
) -> None:
    api.creates = [answer, done({"assetId": ID})]
    for _ in range(3):
        with pytest.raises(SubmissionUnknown) as caught:
            await library.assets.register(URL, "Image")
        assert "secret" not in str(caught.value)
    assert api.count("POST") == 1
    asset = await library.assets.register(URL, "Image", on_unknown="resubmit")
    assert asset.id == ID
    assert (await library.assets.register(URL, "Image")).id == ID
    assert api.count("POST") == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"code": "0", "data": {"assetId": ID}},
        {"code": 200, "data": {"assetId": ID}},
        {"data": {"assetId": ID}},
        {"code": 0, "assetId": ID},
        {"code": 0, "data": ID},
        {"code": 0, "data": {"id": ID}},
        {"code": 0, "data": {"asset_id": ID}},
    ],
)
async def test_an_id_is_taken_where_it_can_only_be_one(
    api: ScriptedApi, library: SeedanceSession, answer: Any
) -> None:
    api.creates = [answer]
    assert (await library.assets.register(URL, "Image")).id == ID


async def test_an_odd_id_is_told(api: ScriptedApi, library: SeedanceSession) -> None:
    api.creates = [done({"assetId": 12345})]
    with pytest.raises(SubmissionUnknown, match="12345"):
        await library.assets.register(URL, "Image")


@pytest.mark.parametrize(
    "answer", [said_no(1001, "too many requests"), error(404), error(400), error(403)]
)
async def test_a_no_to_a_look_does_not_prove_that_it_is_gone(
    api: ScriptedApi, library: SeedanceSession, answer: Any
) -> None:
    await library.assets.register(URL, "Image")
    api.queries = [answer]
    with pytest.raises(AnswerError):
        await library.assets.register(URL, "Image")
    api.queries = [looked("Active")]
    assert (await library.assets.register(URL, "Image")).id == ID
    assert api.count("POST") == 1


async def test_of_many_who_resubmit_at_once_one_does(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    api.creates = [reset]
    with pytest.raises(SubmissionUnknown):
        await library.assets.register(URL, "Image")

    async def again() -> None:
        with pytest.raises(SubmissionUnknown):
            await library.assets.register(URL, "Image", on_unknown="resubmit")

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(again)
    assert api.count("POST") == 2


async def test_a_person_settles_what_was_lost(api: ScriptedApi, library: SeedanceSession) -> None:
    for said, posts in (({"asset_id": ID}, 1), ({"not_created": True}, 3)):
        api.creates = [reset]
        with pytest.raises(SubmissionUnknown) as lost:
            await library.assets.register(URL, "Image")
        key = lost.value.key
        assert key is not None
        await library.assets.settle(key, **said)
        api.creates = [done({"assetId": ID})]
        assert (await library.assets.register(URL, "Image")).id == ID
        assert api.count("POST") == posts
        with pytest.raises(JournalError, match="not unknown"):
            await library.assets.settle(key, **said)
        api.queries = [said_no(-1)] if posts == 1 else api.queries
    with pytest.raises(ValueError, match="one of the two"):
        await library.assets.settle("asset:1")
    with pytest.raises(JournalError, match="not unknown"):
        await library.assets.settle("turnarounds", not_created=True)


@pytest.mark.parametrize("kept", ['{"asset_id": 5, "at": ""}', "{}", "[", '{"asset_id": "../x"}'])
async def test_a_record_that_cannot_be_read_is_an_error_and_sends_nothing(
    api: ScriptedApi, kept: str
) -> None:
    journal = MemoryJournal()
    await journal.remember("asset:face-1", kept)
    async with SeedanceSession("key", base_url=api.base_url, journal=journal) as session:
        with pytest.raises(JournalError, match="asset:face-1"):
            await session.assets.registered("face-1")
        with pytest.raises(JournalError, match="asset:face-1"):
            await session.assets.register(URL, "Image", key="face-1")
    assert not api.seen


async def test_a_key_stands_for_a_registration_whose_url_changes(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    assert await library.assets.registered("face-1") is None
    first = await library.assets.register(f"{URL}1", "Image", key="face-1")
    assert await library.assets.register(
        f"{URL}2", "Image", key="face-1"
    ) == await library.assets.get(first.id)
    assert await library.assets.registered("face-1") is not None
    assert api.count("POST") == 1
    api.queries = [looked("Failed")]
    failed = await library.assets.registered("face-1")
    assert failed is not None
    assert failed.status == "Failed"
    api.queries = [said_no(-1)]
    assert await library.assets.registered("face-1") is None
    with pytest.raises(ValueError, match="blank"):
        await library.assets.registered(" ")


async def test_an_id_that_cannot_be_written_down_is_told(
    api: ScriptedApi, caplog: pytest.LogCaptureFixture
) -> None:
    class Fills(MemoryJournal):
        async def remember(self, name: str, text: str) -> None:
            if ID in text:
                raise OSError("no space left")
            await super().remember(name, text)

    api.creates = [done({"assetId": ID})]
    async with SeedanceSession("key", base_url=api.base_url, journal=Fills()) as session:
        with pytest.raises(JournalError, match=ID):
            await session.assets.register(URL, "Image")
    assert ID in caplog.text


async def test_a_refusal_after_a_lost_answer_leaves_it_unknown(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    api.creates = [reset, said_no(1001), done({"assetId": ID})]
    with pytest.raises(SubmissionUnknown):
        await library.assets.register(URL, "Image")
    with pytest.raises(RequestRefused):
        await library.assets.register(URL, "Image", on_unknown="resubmit")
    with pytest.raises(SubmissionUnknown):
        await library.assets.register(URL, "Image")


async def test_busy_is_waited_out(api: ScriptedApi, library: SeedanceSession) -> None:
    busy = error(429, Retry_After="30")
    api.creates = [busy, error(503, Retry_After="10"), done({"assetId": ID})]
    assert (await library.assets.register(URL, "Image")).id == ID
    times = [at for method, at in api.seen if method == "POST"]
    assert times[1] - times[0] >= 30
    assert times[2] - times[1] >= 10


async def test_nobody_there_ends_in_an_error_and_nothing_is_unknown(
    library: SeedanceSession,
) -> None:
    retries = Retries(create_patience_s=5, query_patience_s=5)
    async with SeedanceSession("key", base_url="http://127.0.0.1:9", retries=retries) as session:
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await session.assets.register(URL, "Image")
        with pytest.raises(ServiceUnavailable):
            await session.assets.get(ID)


@pytest.mark.parametrize("native", [True, False])
async def test_a_cancellation_while_it_is_on_the_wire_keeps_the_id(
    api: ScriptedApi, library: SeedanceSession, *, native: bool
) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(3)
        return web.json_response(done({"assetId": ID}))

    api.creates = [slow, done({"assetId": "asset-2"})]
    if native:
        task = asyncio.ensure_future(library.assets.register(URL, "Image"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        with anyio.move_on_after(1):
            await library.assets.register(URL, "Image")
    assert (await library.assets.register(URL, "Image")).id == ID
    assert api.count("POST") == 1


async def test_a_process_that_died_while_it_was_on_the_wire_leaves_it_unknown(
    api: ScriptedApi, tmp_path: Path
) -> None:
    path = tmp_path / "j.sqlite"
    api.creates = [never]

    class Dead(SqliteJournal):
        async def remember(self, name: str, text: str) -> None:
            if '"asset_id": null' not in text:
                raise JournalError("this process is dead")
            await super().remember(name, text)

    async with (
        Dead(path) as journal,
        SeedanceSession("key", base_url=api.base_url, journal=journal) as session,
    ):
        with pytest.raises(SubmissionUnknown):
            await session.assets.register(URL, "Image")
    async with SeedanceSession("key", base_url=api.base_url, journal=path) as session:
        with pytest.raises(SubmissionUnknown, match="unknown since"):
            await session.assets.register(URL, "Image")
    assert api.count("POST") == 1


async def test_what_cannot_be_written_down_is_not_sent(api: ScriptedApi) -> None:
    class Full(MemoryJournal):
        async def remember(self, name: str, text: str) -> None:
            raise OSError("no space left")

    async with SeedanceSession("key", base_url=api.base_url, journal=Full()) as session:
        with pytest.raises(JournalError, match="does not keep"):
            await session.assets.register(URL, "Image")
    assert api.count("POST") == 0


async def test_waiting_asks_as_the_pacing_says(api: ScriptedApi, library: SeedanceSession) -> None:
    api.queries = [looked("Processing")] * 3 + [looked("ACTIVE")]
    assert (await library.assets.wait_active(ID)).status == "Active"
    times = [at for method, at in api.seen if method == "GET"]
    assert [round(after - before) for before, after in pairwise(times)] == [5] * 3


async def test_a_wait_has_an_end(library: SeedanceSession) -> None:
    with pytest.raises(WaitTimeout, match="Processing after 30 s"):
        await library.assets.wait_active(ID, timeout_s=30)


@pytest.mark.parametrize("status", ["Deleted", "", None])
async def test_a_status_that_nobody_knows_is_no_success(
    api: ScriptedApi, library: SeedanceSession, status: Any
) -> None:
    api.queries = [looked(status)]
    with pytest.raises(UnexpectedAnswer):
        await library.assets.wait_active(ID)


async def test_a_look_outlasts_trouble(api: ScriptedApi, library: SeedanceSession) -> None:
    api.queries = [
        *(error(500), reset, error(429), plain(200, "<html>"), plain(200, "")),
        looked("Active", createTime="soon"),
    ]
    asset = await library.assets.get(ID)
    assert (asset.status, asset.created_at) == ("Active", None)


async def test_an_answer_about_another_asset_is_not_believed(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    api.queries = [looked("Active", assetId="asset-other")]
    with pytest.raises(UnexpectedAnswer, match="another asset"):
        await library.assets.get(ID)


async def test_an_unknown_asset_is_told_at_once(api: ScriptedApi, library: SeedanceSession) -> None:
    api.queries = [said_no(-1)]
    with pytest.raises(RequestRefused, match="code -1"):
        await library.assets.get(ID)
    with pytest.raises(RequestRefused, match="code -1"):
        await library.assets.wait_active(ID)
    assert api.count("GET") == 2


@pytest.mark.parametrize("zero", [0, "0"])
async def test_deleting_takes_a_zero_of_any_kind(
    api: ScriptedApi, library: SeedanceSession, zero: Any
) -> None:
    api.queries = [looked("Active"), done(code=zero)]
    await library.assets.delete(ID)
    assert api.count("DELETE") == 1


async def test_a_deletion_whose_answer_was_lost_is_done(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    api.queries = [looked("Active"), reset, said_no(-1)]
    await library.assets.delete(ID)
    with pytest.raises(AssetUnknown):
        await library.assets.delete(ID)


async def test_closing_ends_a_wait_at_once(api: ScriptedApi, library: SeedanceSession) -> None:
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(SessionClosed):
                await library.assets.wait_active(ID)

        group.start_soon(wait)
        await anyio.sleep(7)
        await library.close()
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1


async def test_a_wait_of_no_time_looks_once(api: ScriptedApi, library: SeedanceSession) -> None:
    with pytest.raises(WaitTimeout, match="Processing"):
        await library.assets.wait_active(ID, timeout_s=0)
    api.queries = [looked("Active")]
    assert (await library.assets.wait_active(ID, timeout_s=0)).status == "Active"
    assert api.count("GET") == 2


@pytest.mark.parametrize("asset_id", ["", "a/b", "..", "a b", "asset://a", "a?b", None])
async def test_what_cannot_be_an_id_is_not_sent(
    api: ScriptedApi, library: SeedanceSession, asset_id: Any
) -> None:
    for call in (library.assets.get, library.assets.wait_active, library.assets.delete):
        with pytest.raises(ValueError, match="asset-20260330142158"):
            await call(asset_id)
    assert api.seen == []


async def test_assets_share_the_gate_for_queries(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    api.queries = [error(429, Retry_After="30"), looked("Active")]
    async with anyio.create_task_group() as group:
        group.start_soon(library.assets.get, ID)
        await anyio.sleep(1)
        for _ in range(5):
            group.start_soon(library.assets.get, ID)
    times = [at for _, at in api.seen]
    assert times[1] - times[0] >= 30


async def test_a_look_that_was_given_up_does_not_open_the_gate(
    api: ScriptedApi, library: SeedanceSession
) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(2)
        return web.json_response(looked("Active"))

    api.queries = [error(429, Retry_After="30"), never, slow]
    first = asyncio.ensure_future(library.assets.get(ID))
    await asyncio.sleep(40)
    assert api.count("GET") == 2  # the one that goes first when the gate opens
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(library.assets.get, ID)
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        assert api.count("GET") == 3  # one goes first again
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_nothing_tells_a_secret(api: ScriptedApi, library: SeedanceSession) -> None:
    api.creates = [said_no(1001, f"cannot fetch {URL} for secret-key")]
    with pytest.raises(RequestRefused) as caught:
        await library.assets.register(URL, "Image")
    assert "secret" not in str(caught.value)
    api.queries = [looked("Active")]
    assert "secret" not in repr(await library.assets.get(ID))
