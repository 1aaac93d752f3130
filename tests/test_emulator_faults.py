"""Faults: each on the wire as its name says, in the order of the plan, and what the library does.

Virtual time over real sockets; a raw aiohttp client, and at the end the library's own session.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import errno
import functools
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import anyio
import attrs
import pytest

from seedance_async import (
    Fixed,
    SeedanceError,
    SeedanceSession,
    SubmissionUnknown,
    UnexpectedAnswer,
    VideoExpired,
    VideoRequest,
    wire,
)
from seedance_async.emulator import Emulator, Fault, FaultPlan, film
from seedance_async.emulator.faults import Decider
from seedance_async.emulator.mishaps import FAULTS, MISHAPS, Call
from seedance_async.lifecycle import JobState

PRO = {"model": "seedance_2_0_pro", "prompt": "A cat dancing in the rain", "duration": 4}
KEY = {"Authorization": "Bearer emulator"}
SPEED = 100
GUIDE = Path(__file__).parent.parent / "docs" / "guide" / "emulator.md"


@pytest.fixture(autouse=True)
def one_film(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render what is asked for again and again once."""
    monkeypatch.setattr(film, "render", _render)


_render = functools.cache(film.render)


@attrs.frozen(kw_only=True)
class Seen:
    """What came back of a call, as far as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: Exception | None
    took_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@attrs.frozen
class Client:
    """A client that keeps no connection, follows nothing and tries nothing again."""

    http: aiohttp.ClientSession
    emulator: Emulator

    async def send(self, method: str, path: str, **options: Any) -> Seen:
        url = path if path.startswith("http") else self.emulator.base_url + path
        began, status, headers, body, error = anyio.current_time(), 0, {}, bytearray(), None
        options = {"headers": KEY, "allow_redirects": False, **options}
        try:
            async with self.http.request(method, url, **options) as response:
                status, headers = response.status, response.headers
                async for chunk in response.content.iter_any():
                    body += chunk
        except (aiohttp.ClientError, TimeoutError) as exc:
            error = exc
        took_s = anyio.current_time() - began
        return Seen(status=status, headers=headers, body=bytes(body), error=error, took_s=took_s)

    async def create(self) -> Seen:
        return await self.send("POST", wire.CREATE_PATH, json=PRO)

    async def query(self, task_id: str) -> Seen:
        return await self.send("GET", f"{wire.RESULT_PATH}/{task_id}")

    async def completed(self) -> str:
        """Make a task, and wait as long as it takes, without asking."""
        created = await self.create()
        await anyio.sleep(400 / SPEED)
        return str(created.json["id"])

    async def call(self, call: Call, task_id: str, **headers: str) -> Seen:
        match call:
            case Call.CREATE:
                return await self.create()
            case Call.QUERY:
                return await self.query(task_id)
            case Call.ASSET:
                asset = {"assetType": "Image", "url": "https://example.com/cat.png"}
                return await self.send("POST", wire.ASSET_UPLOAD_PATH, json=asset)
            case Call.DOWNLOAD:
                service = self.emulator._service  # it alone can sign without being asked
                return await self.send("GET", service._video_url(task_id), headers=headers)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=100)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        # aiohttp sends a GET whose connection was lost once more by itself.
        session._retry_connection = False
        yield session


# ---- on the wire


def is_reset(seen: Seen) -> bool:
    return isinstance(seen.error, OSError) and seen.error.errno == errno.ECONNRESET


def is_held(seen: Seen) -> bool:
    return isinstance(seen.error, TimeoutError) and seen.took_s == pytest.approx(100, abs=1)


def is_page(status: int) -> Callable[[Seen, Seen], bool]:
    def check(seen: Seen, _: Seen) -> bool:
        return (seen.status, seen.headers["Content-Type"]) == (status, "text/html") and (
            seen.body.startswith(b"<html>") and seen.error is None
        )

    return check


def tells_to_come_again(status: int, date: bool) -> Callable[[Seen, Seen], bool]:
    def check(seen: Seen, _: Seen) -> bool:
        told = seen.headers["Retry-After"]
        if date:
            wait = parsedate_to_datetime(told) - dt.datetime.now(dt.UTC)
            return seen.status == status and 0 < wait.total_seconds() <= 3
        return (seen.status, told) == (status, "2")

    return check


def is_cut(seen: Seen, good: Seen) -> bool:
    promised = int(seen.headers["Content-Length"])
    return isinstance(seen.error, aiohttp.ClientPayloadError) and len(seen.body) == promised // 2


def differs(**fields: Any) -> Callable[[Seen, Seen], bool]:
    return lambda seen, good: seen.json == {**good.json, "id": seen.json["id"], **fields}


#: What must be seen of each kind, beside an answer to the same call when all is well.
CHECKS: dict[str, Callable[[Seen, Seen], Any]] = {
    **dict.fromkeys(
        ("reset", "reset_before_accept", "reset_after_accept"), lambda seen, _: is_reset(seen)
    ),
    **dict.fromkeys(("hang", "hang_after_accept"), lambda seen, _: is_held(seen)),
    "slow": lambda seen, good: 5 <= seen.took_s < 5.1 and len(seen.body) == len(good.body),
    **{
        f"retry_{status}_{form}": tells_to_come_again(status, form == "date")
        for status in (429, 503)
        for form in ("seconds", "date")
    },
    "bare_503": lambda seen, _: seen.status == 503 and "Retry-After" not in seen.headers,
    **{f"html_{status}": is_page(status) for status in (200, 500, 502, 504)},
    **{f"html_{status}_after_accept": is_page(status) for status in (500, 502, 504)},
    "redirect": lambda seen, _: seen.status == 307 and seen.headers["Location"],
    "empty_body": lambda seen, _: (seen.status, seen.body, seen.error) == (200, b"", None),
    "cut_body": is_cut,
    "half_body": lambda seen, good: not seen.error and len(seen.body) == len(good.body) // 2,
    "failure_in_200": lambda seen, _: (seen.status, seen.json["code"]) == (200, 1001),
    "wrong_types": lambda seen, _: (type(seen.json["id"]), seen.json["status"]) == (list, 2),
    "number_id": lambda seen, _: type(seen.json["id"]) is int,
    "wrapped": lambda seen, good: (
        (list(seen.json), list(seen.json["data"])) == (["data"], list(good.json))
    ),
    "error_object": differs(error={"message": ""}),
    "error_string": differs(error=""),
    "capital_status": lambda seen, good: seen.json["status"] == good.json["status"].upper(),
    "result_url": lambda seen, good: (
        "video_url" not in seen.json and seen.json["result_url"] == good.json["video_url"]
    ),
    "odd_numbers": differs(totalTokens="40594", actualDuration="4.000000"),
    "unknown_status": differs(status="archived"),
    "completed_without_url": differs(video_url=None),
    "other_task": lambda seen, good: seen.json["id"] != good.json["id"],
    "not_found": lambda seen, _: seen.status == 404,
    "string_code": lambda seen, _: seen.json["code"] == "0",
    "cut": is_cut,
    "stall": lambda seen, good: is_held(seen) and len(seen.body) == len(good.body) // 2,
    "length_too_long": lambda seen, good: (
        isinstance(seen.error, aiohttp.ClientPayloadError)
        and seen.body == good.body
        and int(seen.headers["Content-Length"]) == len(good.body) + 1000
    ),
    "length_too_short": lambda seen, good: seen.error is None and seen.body == good.body[:-1000],
    "drip": lambda seen, good: seen.body == good.body and 50 <= seen.took_s < 50.1,
    **{
        f"expired_{code}": lambda seen, _, code=code: seen.status == code
        for code in (403, 404, 410)
    },
    "expired_url": lambda seen, _: seen.status == 403,
    "ignored_range": lambda seen, good: (seen.status, seen.body) == (200, good.body),
    "changed_etag": lambda seen, good: (
        seen.body == good.body and seen.headers["ETag"] != good.headers["ETag"]
    ),
    "changed_under_range": lambda seen, good: (
        seen.status == 206
        and seen.headers["ETag"] != good.headers["ETag"]
        and seen.body == bytes(255 - byte for byte in good.body[1000:])
    ),
}


def test_every_kind_is_checked_and_stands_in_the_guide() -> None:
    assert set(CHECKS) == {mishap.kind for mishap in MISHAPS}
    page = GUIDE.read_text("utf-8")
    for mishap in MISHAPS:
        row = f"| `{mishap.kind}` | {', '.join(mishap.calls)} | {mishap.words} |"
        assert row in page, row


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_on_the_wire_what_its_name_says(
    http: aiohttp.ClientSession, name: str
) -> None:
    call, _, kind = name.partition(".")
    is_create = call == Call.CREATE
    part = {"Range": "bytes=1000-"} if kind in ("ignored_range", "changed_under_range") else {}
    # The first create is for the task that is asked about.
    async with Emulator(speed=SPEED, faults=[Fault(name, nth=1 + is_create)]) as emulator:
        client = Client(http, emulator)
        await client.completed()
        if not is_create:
            await client.completed()
        task_id, before = emulator.accepted_ids[0], emulator.stats.accepted
        seen = await client.call(Call(call), task_id, **part)
        good = await client.call(Call(call), task_id)
        assert good.status == 200
        assert CHECKS[kind](seen, good), seen
        stats = emulator.stats
        assert stats.faults == {name: 1}
        expected = 1 + FAULTS[name].is_carried_out if is_create else 0
        assert stats.accepted - before == expected
        assert stats.refused == {}


async def test_what_is_more_than_the_length_is_really_sent(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=SPEED, faults=["download.length_too_short"]) as emulator:
        client = Client(http, emulator)
        url = emulator._service._video_url(await client.completed())
        host, _, path = url.removeprefix("http://").partition("/")
        reader, writer = await asyncio.open_connection(*host.split(":"))
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        whole = await client.send("GET", url)
        assert body == whole.body
        assert f"Content-Length: {len(body) - 1000}".encode() in head


async def test_a_retired_url_stays_dead_and_a_query_gives_another(
    http: aiohttp.ClientSession,
) -> None:
    async with Emulator(speed=SPEED, faults=["download.expired_url"]) as emulator:
        client = Client(http, emulator)
        task_id = await client.completed()
        old = (await client.query(task_id)).json["video_url"]
        assert [(await client.send("GET", old)).status for _ in range(2)] == [403, 403]
        new = (await client.query(task_id)).json["video_url"]
        assert (await client.send("GET", new)).status == 200


async def test_another_task_is_a_real_one_or_made_up(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=SPEED, faults=[Fault("query.other_task", times=2)]) as emulator:
        client = Client(http, emulator)
        first = await client.completed()
        made_up = (await client.query(first)).json
        second = await client.completed()
        assert made_up["id"] not in (first, second)
        assert (await client.query(first)).json["id"] == second
        assert (await client.query(first)).json["id"] == first


@pytest.mark.parametrize("leaks", [False, True])
async def test_the_other_host_watches_for_keys(http: aiohttp.ClientSession, leaks: bool) -> None:
    async with Emulator(speed=SPEED, faults=["download.redirect"]) as emulator:
        client = Client(http, emulator)
        task_id = await client.completed()
        sent = await client.call(Call.DOWNLOAD, task_id)
        assert not sent.headers["Location"].startswith(emulator.base_url)
        headers = KEY if leaks else {}
        there = await client.send("GET", sent.headers["Location"], headers=headers)
        assert there.body[4:8] == b"ftyp"
        assert (emulator.stats.redirected, emulator.stats.leaked_keys) == (1, leaks)


async def test_a_head_and_other_paths_meet_no_fault(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=SPEED, faults=[Fault("download.reset", times=None)]) as emulator:
        client = Client(http, emulator)
        url = emulator._service._video_url(await client.completed())
        assert (await client.send("HEAD", url)).status == 200
        assert (await client.send("GET", "/media/300x300.png")).status == 200
        assert (await client.send("GET", "/nowhere")).status == 404
        assert emulator.stats.faults == {}


async def test_what_is_refused_stays_refused_and_the_fault_waits(
    http: aiohttp.ClientSession,
) -> None:
    async with Emulator(faults=["create.html_502_after_accept"]) as emulator:
        client = Client(http, emulator)
        bad = await client.send("POST", wire.CREATE_PATH, json={})
        assert (bad.status, emulator.stats.faults) == (400, {})
        assert [(await client.create()).status for _ in range(2)] == [502, 200]
        assert emulator.stats.refused == {400: 1}
        assert emulator.stats.accepted == 2


async def test_the_times_are_those_of_the_plan(http: aiohttp.ClientSession) -> None:
    script = ["create.slow", "create.retry_429_seconds"]
    plan = FaultPlan(script=script, slow_s=30, retry_after_s=7)
    async with Emulator(faults=plan, latency_s=1) as emulator:
        client = Client(http, emulator)
        assert (await client.create()).took_s == pytest.approx(31, abs=0.1)
        assert (await client.create()).headers["Retry-After"] == "7"


# ---- outages


async def test_while_refusing_nobody_gets_through_and_the_port_stays() -> None:
    async with (
        aiohttp.ClientSession() as http,  # keeps its connections
        Emulator(speed=SPEED) as emulator,
    ):
        client, url = Client(http, emulator), emulator.base_url
        task_id = (await client.create()).json["id"]
        async with emulator.refusing():
            for _ in range(2):
                refused = (await client.create()).error
                assert isinstance(refused, aiohttp.ClientConnectorError)
                assert refused.errno == errno.ECONNREFUSED
                await anyio.sleep(1)
        assert emulator.base_url == url
        assert (await client.query(task_id)).json["status"] == "completed"
        assert emulator.stats.accepted == 1


async def test_a_call_under_way_is_answered_while_others_are_refused(
    http: aiohttp.ClientSession,
) -> None:
    async with Emulator(faults=["create.slow"]) as emulator:
        client, answers = Client(http, emulator), []

        async def create() -> None:
            answers.append(await client.create())

        async with anyio.create_task_group() as group:
            group.start_soon(create)
            await anyio.sleep(1)
            async with emulator.refusing():
                assert (await client.create()).error
                await anyio.sleep(10)
        assert [answer.status for answer in answers] == [200]


async def test_an_outage_survives_a_stop_and_needs_a_start(http: aiohttp.ClientSession) -> None:
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="not listening"):
        async with emulator.refusing():
            pass
    await emulator.start()
    async with emulator.refusing():
        with pytest.raises(RuntimeError, match="not listening"):
            async with emulator.refusing():
                pass
        await emulator.stop()
    assert (await Client(http, emulator).create()).error
    await emulator.start()
    assert (await Client(http, emulator).create()).status == 200
    await emulator.stop()


@pytest.mark.parametrize(
    "name",
    ["create.hang_after_accept", "query.hang", "create.slow", "download.drip", "download.stall"],
)
@pytest.mark.parametrize("gone", [False, True])
async def test_stopping_is_clean_while_calls_hang(name: str, gone: bool) -> None:
    call = Call(name.partition(".")[0])
    plan = FaultPlan(script=[Fault(name, nth=1 + (call == Call.CREATE))], slow_s=3_600)
    async with aiohttp.ClientSession() as http:
        before = asyncio.all_tasks()
        emulator = Emulator(speed=SPEED, faults=plan)
        await emulator.start()
        client = Client(http, emulator)
        task_id = await client.completed()
        async with anyio.create_task_group() as group:
            group.start_soon(client.call, call, task_id)
            while not emulator.stats.faults:  # noqa: ASYNC110 -- it tells nobody
                await anyio.sleep(0.01)
            if gone:
                group.cancel_scope.cancel()
            began = anyio.current_time()
            with anyio.CancelScope(shield=True):
                await emulator.stop()
                assert anyio.current_time() - began < 0.5
        assert not asyncio.all_tasks() - before


async def test_a_hanging_call_ends_with_its_client(http: aiohttp.ClientSession) -> None:
    async with Emulator(faults=["create.hang_after_accept"]) as emulator:
        with anyio.move_on_after(5):
            await Client(http, emulator).create()
        await anyio.sleep(2)
        assert not emulator._service.at_work


# ---- what comes when


async def statuses(emulator: Emulator, http: aiohttp.ClientSession, calls: int) -> list[int]:
    async with emulator:
        return [(await Client(http, emulator).create()).status for _ in range(calls)]


async def test_chance_comes_from_the_seed(http: aiohttp.ClientSession) -> None:
    rates = {"create.html_502": 0.3, "create.bare_503": 0.2, "query.html_504": 1.0}
    once, again, other = [
        await statuses(Emulator(seed=seed, faults=rates), http, 60) for seed in (1, 1, 2)
    ]
    assert once == again != other
    assert {status: once.count(status) for status in (200, 502, 503)}.keys() == {200, 502, 503}
    assert 8 <= once.count(502) <= 28
    assert 4 <= once.count(503) <= 20


async def test_how_often_a_client_asks_moves_no_create(http: aiohttp.ClientSession) -> None:
    rates = {"create.html_502": 0.5, "query.html_504": 0.5}
    quiet = await statuses(Emulator(faults=rates), http, 20)
    async with Emulator(faults=rates) as emulator:
        client, busy = Client(http, emulator), []
        for _ in range(20):
            busy.append((await client.create()).status)
            await client.query("video_1")
    assert busy == quiet


def decisions(plan: FaultPlan, calls: str, tasks: str = "") -> list[str]:
    """Decide about calls, one a letter: c, q, d; the task's number beside it."""
    decider = Decider(plan, Random(0), nth_task=str)
    named = {call[0]: call for call in Call}
    chosen = [
        decider.choose(named[letter], tasks[place] if tasks else None)
        for place, letter in enumerate(calls)
    ]
    return ["" if each is None else each.name.partition(".")[2] for each in chosen]


def test_a_script_goes_in_order_and_calls_do_not_wait_for_other_kinds() -> None:
    plan = FaultPlan(
        script=["query.html_502", "create.bare_503", Fault("query.reset", times=2), "query.hang"]
    )
    assert decisions(plan, "cqcqqqq") == (
        ["bare_503", "html_502", "", "reset", "reset", "hang", ""]
    )


@pytest.mark.parametrize(
    ("fault", "calls", "tasks", "hit"),
    [
        (Fault("create.html_502", nth=3), "ccqcc", "", [3]),
        (Fault("create.html_502", nth=2, times=2), "ccccc", "", [1, 2]),
        (Fault("query.reset", times=2, task=1), "qqqqq", "21211", [1, 3]),
        (Fault("query.reset", nth=2, task=2), "qqqqq", "12122", [3]),
        (Fault("download.cut", each=True), "dddqd", "11213", [0, 2, 4]),
        (Fault("query.reset", nth=2, times=None, each=True), "qqqqq", "12121", [2, 3, 4]),
        (Fault("query.reset", times=None), "qcq", "1 2", [0, 2]),
    ],
)
def test_a_step_says_which_calls(fault: Fault, calls: str, tasks: str, hit: list[int]) -> None:
    chosen = decisions(FaultPlan(script=[fault]), calls, tasks)
    assert [place for place, name in enumerate(chosen) if name] == hit


def test_a_script_goes_before_chance_and_there_is_one_fault_a_call() -> None:
    plan = FaultPlan(rates={"create.html_502": 1.0}, script=[Fault("create.slow", nth=2)])
    assert decisions(plan, "ccc") == ["html_502", "slow", "html_502"]


async def test_a_fault_that_would_change_nothing_waits_for_a_call_that_it_fits(
    http: aiohttp.ClientSession,
) -> None:
    async with Emulator(faults=["query.completed_without_url"]) as emulator:
        client = Client(http, emulator)
        task_id = (await client.create()).json["id"]
        assert (await client.query(task_id)).json["status"] == "queued"
        assert emulator.stats.faults == {}
        await anyio.sleep(400)
        urls = [(await client.query(task_id)).json["video_url"] for _ in range(2)]
        assert urls[0] is None
        assert urls[1]
        assert emulator.stats.faults == {"query.completed_without_url": 1}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: {"query.html_52": 0.1}, "'query.html_52'.*nearest is 'query.html_502'"),
        (lambda: ["download.reset_after_accept"], "fits create, not download; .*'create.reset_aft"),
        (lambda: {"wrapped": 0.1}, "'wrapped'"),
        (lambda: {"create.slow": 1.1}, "create.slow must be a share .* not 1.1"),
        (lambda: {"create.slow": -0.1}, "create.slow must be a share"),
        (lambda: {"create.slow": float("nan")}, "create.slow must be a share"),
        (lambda: {"create.slow": "1"}, "create.slow must be a share"),
        (lambda: {"create.slow": 0.6, "create.html_502": 0.6}, "all faults of create are 1.2"),
        (lambda: [Fault("create.slow", nth=0)], "nth must be"),
        (lambda: [Fault("create.slow", times=0)], "times must be"),
        (lambda: [Fault("query.slow", task=0)], "task must be"),
        (lambda: [Fault("create.slow", task=1)], "create.slow: task and each are for queries"),
        (lambda: [Fault("asset.slow", each=True)], "asset.slow: task and each are for queries"),
        (lambda: FaultPlan(slow_s=-1), "slow_s must be"),
        (lambda: FaultPlan(retry_after_s=1.5), "retry_after_s must be"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_named(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Emulator(faults=make())


def test_shares_may_add_up_to_one() -> None:
    names = [name for name in FAULTS if name.startswith("query.")][:10]
    assert FaultPlan(rates=dict.fromkeys(names, 0.1)).names == set(names)


# ---- the command


def command(*options: str) -> subprocess.Popen[str]:
    args = [sys.executable, "-m", "seedance_async", "emulator", "--port", "0", *options]
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_takes_faults_and_counts_them() -> None:
    options = ("--fault", "create.html_502_after_accept=1", "--fault", "query.bare_503=0.5")
    with command(*options) as process:
        assert process.stdout is not None
        url = process.stdout.readline().partition("=")[2].strip()
        asked = urllib.request.Request(url + wire.CREATE_PATH, json.dumps(PRO).encode(), KEY)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(asked, timeout=30)
        caught.value.close()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert caught.value.code == 502
    assert process.returncode == 0
    assert re.search(r" UTC  video_[0-9a-f-]{36} \(answer lost\)  ", told)
    assert "stopped: 1 task accepted, " in told
    assert "fault create.html_502_after_accept: 1 call\n" in told


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("create.html_52=1", "create.html_502"),
        ("create.html_502", "NAME=SHARE"),
        ("create.html_502=many", "NAME=SHARE"),
        ("create.html_502=2", "from 0.0 to 1.0"),
    ],
)
def test_a_fault_that_cannot_be_is_bad_usage(option: str, words: str) -> None:
    with command("--fault", option) as process:
        _, told = process.communicate(timeout=30)
    assert process.returncode == 2
    assert words in told
    assert "Traceback" not in told


# ---- the library's own session

# Who is told that a video is gone believes it; the emulator alone knows better.
GONE = {f"download.expired_{status}" for status in (403, 404, 410)}


def names_of(call: Call) -> list[Any]:
    return [name for name in FAULTS if name.startswith(f"{call}.")]


@attrs.frozen
class Shop:
    """The library at an emulator whose calls go wrong."""

    emulator: Emulator
    session: SeedanceSession

    async def check_that_nothing_paid_is_lost(self) -> None:
        jobs = [job async for job in self.session.jobs()]
        accepted = set(self.emulator.accepted_ids)
        known = {job.task_id for job in jobs if job.task_id}
        unknown = [job for job in jobs if job.state is JobState.UNKNOWN]
        assert known <= accepted
        assert len(accepted - known) <= len(unknown)
        assert len(accepted) <= len(jobs)
        assert all(job.state is not JobState.SUBMITTING for job in jobs)
        assert self.emulator.stats.leaked_keys == 0

    async def whole(self, task_id: str) -> bytes:
        """Give the film as it is, by no call that a fault could come upon."""
        service = self.emulator._service
        task = service.account.find(task_id, service.clock())
        assert task is not None
        return (await service.gallery.film(task.order)).content


@contextlib.asynccontextmanager
async def shop(*script: str | Fault) -> AsyncIterator[Shop]:
    async with (
        Emulator(speed=100, faults=script) as emulator,
        SeedanceSession(emulator.api_key, base_url=emulator.base_url, pacing=Fixed(1)) as session,
    ):
        yield Shop(emulator, session)


REQUEST = VideoRequest(**PRO)  # type: ignore[arg-type]


class TestSession:
    @pytest.mark.parametrize("name", names_of(Call.CREATE))
    async def test_no_create_is_lost_or_paid_twice(self, name: str) -> None:
        async with shop(name) as at:
            try:
                video = await at.session.generate(REQUEST)
            except SeedanceError as error:
                is_told = isinstance(error, SubmissionUnknown) or not at.emulator.accepted_ids
            else:
                is_told = at.emulator.accepted_ids == (video.id,)
            assert is_told
            await at.check_that_nothing_paid_is_lost()
            assert at.emulator.stats.faults == {name: 1}

    @pytest.mark.parametrize("name", names_of(Call.QUERY))
    async def test_a_passing_fault_of_queries_costs_no_video(
        self, name: str, tmp_path: Path
    ) -> None:
        async with shop(Fault(name, times=3)) as at:
            video = await at.session.generate(REQUEST)
            path = await video.download(tmp_path / "a.mp4")
            assert path.read_bytes() == await at.whole(video.id)
            await at.check_that_nothing_paid_is_lost()
            assert set(at.emulator.stats.faults) == {name}

    @pytest.mark.parametrize("name", names_of(Call.DOWNLOAD))
    async def test_a_passing_fault_of_downloads_leaves_a_whole_file_or_none(
        self, name: str, tmp_path: Path
    ) -> None:
        needs_part = name in ("download.ignored_range", "download.changed_under_range")
        async with shop(*["download.cut"] * needs_part, name) as at:
            video = await at.session.generate(REQUEST)
            path = tmp_path / "a.mp4"
            if name in GONE:
                with pytest.raises(VideoExpired):
                    await video.download(path)
                assert list(tmp_path.iterdir()) == []
            else:
                await video.download(path)
                assert path.read_bytes() == await at.whole(video.id)
            assert at.emulator.stats.faults[name] == 1
            await at.check_that_nothing_paid_is_lost()

    async def test_completed_without_a_url_for_ever_ends_with_the_id(self) -> None:
        async with shop(Fault("query.completed_without_url", times=None)) as at:
            task = await at.session.submit(REQUEST)
            with pytest.raises(UnexpectedAnswer, match="without a video URL") as caught:
                await task.wait()
            assert caught.value.task_id == task.id == at.emulator.accepted_ids[0]
            await at.check_that_nothing_paid_is_lost()

    async def test_an_outage_before_a_create_is_waited_out(self) -> None:
        async with shop() as at, anyio.create_task_group() as group, at.emulator.refusing():
            group.start_soon(at.session.generate, REQUEST)
            await anyio.sleep(60)
            assert at.emulator.accepted_ids == ()
        assert at.emulator.stats.completed == at.emulator.stats.accepted == 1

    async def test_a_batch_among_all_faults_pays_for_nothing_twice(self, tmp_path: Path) -> None:
        rates = dict.fromkeys(FAULTS, 0.02)
        async with (
            Emulator(speed=100, faults=FaultPlan(rates=rates, slow_s=1)) as emulator,
            SeedanceSession(
                emulator.api_key, base_url=emulator.base_url, pacing=Fixed(1)
            ) as session,
        ):
            report = await session.run_batch([REQUEST] * 60, out_dir=tmp_path)
            await Shop(emulator, session).check_that_nothing_paid_is_lost()
            whole = await Shop(emulator, session).whole(emulator.accepted_ids[-1])
            for outcome in report.outcomes:
                assert outcome.path is None or outcome.path.read_bytes() == whole
            assert len({name.partition(".")[0] for name in emulator.stats.faults}) == 3
