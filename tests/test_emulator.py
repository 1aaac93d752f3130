"""The emulator over HTTP, on loopback. Times are short in real time, and exact in virtual."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import av
import pytest
from PIL import Image

from seedance_async import wire
from seedance_async.emulator import Emulator, EmulatorStats, film
from seedance_async.emulator.gallery import Cache, Gallery

GOLDEN = Path(__file__).parent / "golden" / "requests.jsonl"
CASES = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
PRO = {"model": "seedance_2_0_pro", "prompt": "A cat dancing in the rain"}
KEY = {"Authorization": "Bearer emulator"}


class Answer:
    """An answer that was read to its end."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json; charset=utf-8"
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class Client:
    """What a client of the API does, as plainly as can be."""

    def __init__(self, http: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.http, self.emulator = http, emulator

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        url = path if path.startswith("http") else self.emulator.base_url + path
        options = {"headers": KEY, **options}
        async with self.http.request(method, url, **options) as response:
            return Answer(response, await response.read())

    async def create(self, **fields: Any) -> Answer:
        return await self.send("POST", wire.CREATE_PATH, json={**PRO, **fields})

    async def query(self, task_id: str) -> Answer:
        return await self.send("GET", f"{wire.RESULT_PATH}/{task_id}")

    async def ended(self, **fields: Any) -> Any:
        """Create a task, and ask until it has ended, as often as is advised."""
        created = await self.create(**fields)
        assert created.status == 200, created.body
        while True:
            answer = await self.query(created.json["id"])
            if answer.json["status"] in ("completed", "failed"):
                return answer.json
            await anyio.sleep(float(answer.headers["Retry-After"]))

    async def asset(self, method: str, asset_id: str = "", **body: Any) -> Any:
        if method == "POST":
            answer = await self.send("POST", wire.ASSET_UPLOAD_PATH, json=body)
        else:
            answer = await self.send(method, f"{wire.ASSET_PATH}/{asset_id}")
        assert answer.status == 200
        return answer.json


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
async def client(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    async with Emulator(speed=10_000) as emulator:
        yield Client(http, emulator)


# ---- creates


async def test_a_create_is_answered_as_the_page_says(client: Client) -> None:
    answer = await client.create()
    assert answer.status == 200
    created = answer.json
    assert list(created) == ["id", "object", "created", "model", "status", "error"]
    assert re.fullmatch(r"video_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", created["id"])
    assert type(created["created"]) is int
    assert created["created"] > 1_700_000_000
    assert {**created, "id": "", "created": 0} == {
        "id": "",
        "object": "video",
        "created": 0,
        "model": "seedance_2_0_pro",
        "status": "queued",
        "error": None,
    }


async def test_every_golden_case_breaks_the_rules_that_it_should(client: Client) -> None:
    for case in CASES:
        answer = await client.send("POST", wire.CREATE_PATH, json=case["wire"])
        broken: list[Any] = [] if answer.status == 200 else answer.json["error"]["violations"]
        assert {each["rule"] for each in broken} == set(case["rules"]), case["name"]
        assert answer.status == (400 if case["rules"] else 200)
    good = sum(not case["rules"] for case in CASES)
    assert client.emulator.stats.accepted == good
    assert client.emulator.stats.refused == {400: len(CASES) - good}


async def test_a_refusal_lists_everything_in_the_wires_spelling(client: Client) -> None:
    answer = await client.create(duration=99, generateAudio="yes", referenceImages=[])
    violations = answer.json["error"]["violations"]
    assert [(each["rule"], each["field"]) for each in violations] == [
        ("duration.range", "duration"),
        ("generate_audio.boolean", "generateAudio"),
        ("reference_images.count", "referenceImages"),
    ]
    assert all(each["message"] in answer.message for each in violations)


async def test_null_frames_and_unknown_fields_are_let_through(client: Client) -> None:
    assert (await client.create(first_image=None, referenceVideos=None, watermark=1)).status == 200


async def test_a_waived_rule_is_not_checked(http: aiohttp.ClientSession) -> None:
    waive = ("model.needs_reference_video", "model.known", "duration.range", "prompt.required")
    async with Emulator(waive=waive) as emulator:
        client = Client(http, emulator)
        assert (await client.create(model="seedance_2_0")).status == 200
        odd = await client.create(model="next\ud800", duration=None, prompt="\ud800")
        assert odd.json["model"] == "next\ud800"
        assert (await client.create(aspect_ratio="2:1")).status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"<html>", b"\xff", b"[" * 10_000])
async def test_a_body_that_is_no_object_is_refused(client: Client, body: bytes) -> None:
    answer = await client.send("POST", wire.CREATE_PATH, data=body)
    assert (answer.status, client.emulator.stats.refused) == (400, {400: 1})
    assert "JSON object" in answer.message


async def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    body = io.BytesIO(json.dumps({**PRO, "prompt": "x" * 2**20}).encode())
    answer = await client.send("POST", wire.CREATE_PATH, data=body)
    assert (answer.status, client.emulator.stats.refused) == (413, {413: 1})
    assert answer.message


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "emulator"},
        {"Authorization": "Basic emulator"},
        {"Authorization": "Bearer emulatör"},
    ],
)
async def test_without_the_key_nothing_goes(client: Client, headers: Mapping[str, str]) -> None:
    calls = [
        ("POST", wire.CREATE_PATH),
        ("GET", f"{wire.RESULT_PATH}/video_1"),
        ("POST", wire.ASSET_UPLOAD_PATH),
        ("GET", f"{wire.ASSET_PATH}/asset-1"),
        ("DELETE", f"{wire.ASSET_PATH}/asset-1"),
    ]
    for method, path in calls:
        answer = await client.send(method, path, headers=headers)
        assert answer.status == 401
        assert "emulator" not in answer.message
    stats = client.emulator.stats
    assert (stats.refused, stats.queries, stats.accepted) == ({401: 1}, 0, 0)


async def test_another_key_can_be_asked_for(http: aiohttp.ClientSession) -> None:
    async with Emulator(api_key="schlüssel") as emulator:
        client = Client(http, emulator)
        assert (await client.create()).status == 401
        headers = {"Authorization": "bearer  schlüssel"}
        answer = await client.send("POST", wire.CREATE_PATH, json=PRO, headers=headers)
        assert answer.status == 200


async def test_the_rate_is_limited_in_the_clients_seconds(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=10, creates_per_minute=3) as emulator:
        client = Client(http, emulator)
        statuses = [(await client.create()).status for _ in range(3)]
        full = await client.create()
        assert statuses == [200] * 3
        assert (full.status, full.headers["Retry-After"]) == (429, "6")
        assert full.message == "too many creates: try again in 6 s"
        assert emulator.stats.refused == {429: 1}
        assert emulator.stats.accepted == 3


@pytest.mark.parametrize("says_when", [True, False])
async def test_a_full_account_refuses_creates(http: aiohttp.ClientSession, says_when: bool) -> None:
    settings: dict[str, Any] = {"concurrency": 1, "max_queued": 1, "retry_after": says_when}
    async with Emulator(speed=0.001, **settings) as emulator:
        client = Client(http, emulator)
        assert [(await client.create()).status for _ in range(2)] == [200] * 2
        full = await client.create()
        assert full.status == 429
        assert ("Retry-After" in full.headers) is says_when
        assert full.message.startswith("too many tasks under way: try again ")
        assert full.message.endswith(" later") is not says_when
        assert emulator.stats.refused == {429: 1}


async def test_after_the_wait_the_rate_allows_more(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=10_000, creates_per_minute=1) as emulator:
        client = Client(http, emulator)
        assert (await client.create()).status == 200
        await anyio.sleep(0.01)
        assert (await client.create()).status == 200


async def test_a_create_is_accepted_before_its_answer_takes_its_time(
    http: aiohttp.ClientSession,
) -> None:
    async with Emulator(latency_s=30) as emulator:
        client = Client(http, emulator)
        with anyio.move_on_after(0.1) as gone:
            await client.create()
        assert gone.cancelled_caught
        await anyio.sleep(0.01)
        assert emulator.stats.accepted == len(emulator.accepted_ids) == 1
        assert emulator.stats.in_flight == 1


async def test_every_answer_of_the_api_takes_its_time(http: aiohttp.ClientSession) -> None:
    async with Emulator(latency_s=0.02, api_key="other") as emulator:
        client = Client(http, emulator)
        for path in (wire.RESULT_PATH + "/video_1", "/nowhere"):
            began = anyio.current_time()
            await client.send("GET", path)
            assert anyio.current_time() - began >= 0.02


# ---- queries


async def test_a_task_is_walked_through_its_states(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=50) as emulator:
        client = Client(http, emulator)
        task_id = (await client.create()).json["id"]
        queued = await client.query(task_id)
        await anyio.sleep(6 / 50)
        processing = await client.query(task_id)
        assert [queued.json["status"], processing.json["status"]] == ["queued", "processing"]
        for unfinished in (queued, processing):
            assert unfinished.json["video_url"] is None
            assert not {"actualDuration", "totalTokens"} & set(unfinished.json)
            assert unfinished.headers["Retry-After"] == "0.4"


async def test_a_completed_task_has_its_video_and_its_bill(client: Client) -> None:
    result = await client.ended(duration=4)
    assert list(result) == [
        *("id", "object", "created", "model", "status", "error"),
        *("video_url", "actualDuration", "totalTokens"),
    ]
    assert (result["status"], result["error"]) == ("completed", None)
    assert (result["actualDuration"], result["totalTokens"]) == (4, 40_594)
    base = re.escape(f"{client.emulator.base_url}/videos/{result['id']}.mp4?signature=")
    assert re.fullmatch(rf"{base}[0-9a-f]{{32}}", result["video_url"])
    assert "Retry-After" not in (await client.query(result["id"])).headers


async def test_a_failed_task_says_why(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=10_000, failures=1.0) as emulator:
        result = await Client(http, emulator).ended()
        assert result["status"] == "failed"
        assert isinstance(result["error"], str)
        assert result["error"]
        assert result["video_url"] is None
        assert not {"actualDuration", "totalTokens"} & set(result)


async def test_a_callable_chooses_what_fails(http: aiohttp.ClientSession) -> None:
    def judge(body: Mapping[str, Any]) -> str | None:
        return "no dogs" if "dog" in body["prompt"] and body["generateAudio"] else None

    async with Emulator(speed=10_000, failures=judge) as emulator:
        client = Client(http, emulator)
        good = await client.ended(generateAudio=True)
        bad = await client.ended(prompt="A dog", generateAudio=True)
        assert (good["status"], good["error"]) == ("completed", None)
        assert (bad["status"], bad["error"]) == ("failed", "no dogs")
        stats = emulator.stats
        assert (stats.completed, stats.failed, stats.in_flight) == (1, 1, 0)


async def test_a_task_that_never_was_is_not_found(client: Client) -> None:
    answer = await client.query("video_00000000-0000-0000-0000-000000000000")
    assert (answer.status, answer.message) == (404, "there is no such task")
    assert client.emulator.stats.queries == 1


async def test_at_the_real_speed_there_is_no_advice(http: aiohttp.ClientSession) -> None:
    async with Emulator() as emulator:
        client = Client(http, emulator)
        created = await client.create()
        queried = await client.query(created.json["id"])
        assert "Retry-After" not in created.headers
        assert "Retry-After" not in queried.headers


@pytest.mark.parametrize(
    ("speed", "advice"), [(60, "0.333333"), (2, "10"), (0.5, "40"), (10_000, "0.002")]
)
async def test_the_advice_follows_the_speed(
    http: aiohttp.ClientSession, speed: float, advice: str
) -> None:
    async with Emulator(speed=speed) as emulator:
        created = await Client(http, emulator).create()
        assert created.headers["Retry-After"] == advice
        assert wire.retry_after_s({"retry-after": advice}, None) == float(advice)  # type: ignore[arg-type]


async def test_unknown_routes_and_methods_are_refused_in_json(client: Client) -> None:
    assert (await client.send("GET", "/nowhere")).json["error"]["message"] == "Not Found"
    assert (await client.send("GET", wire.CREATE_PATH)).status == 405
    assert (await client.send("GET", "/kyyReactApiServer" + wire.CREATE_PATH)).status == 404


async def test_counts_are_right_with_many_at_once(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=10_000, concurrency=10, failures=0.3) as emulator:
        client = Client(http, emulator)
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(client.ended)
        stats = emulator.stats
        assert (stats.accepted, stats.in_flight) == (40, 0)
        assert stats.completed + stats.failed == 40
        assert 10 <= stats.peak_in_flight <= 40
        assert len(set(emulator.accepted_ids)) == 40
        assert stats.queries >= 40
        assert (stats.refused, stats.downloads) == ({}, 0)


async def test_ids_stand_in_the_order_of_acceptance(client: Client) -> None:
    ids = [(await client.create()).json["id"] for _ in range(5)]
    assert client.emulator.accepted_ids == tuple(ids)


# ---- videos


@pytest.mark.parametrize(
    ("fields", "ratio", "audio"),
    [
        ({"duration": 4, "aspect_ratio": "9:16"}, 9 / 16, True),
        ({"duration": 5, "generateAudio": False}, 16 / 9, False),
        (
            {
                "duration": 4,
                "aspect_ratio": "adaptive",
                "first_image": "http://h/media/600x300.png",
            },
            2.0,
            True,
        ),
    ],
)
async def test_the_video_is_what_was_ordered(
    client: Client, fields: dict[str, Any], ratio: float, audio: bool
) -> None:
    result = await client.ended(**fields)
    answer = await client.send("GET", result["video_url"], headers={})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "video/mp4")
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert answer.headers["Accept-Ranges"] == "bytes"
    with av.open(io.BytesIO(answer.body), "r") as movie:
        video = movie.streams.video[0]
        assert movie.duration == pytest.approx(fields["duration"] * 1e6, rel=0.02)
        assert video.width / video.height == pytest.approx(ratio, rel=0.01)
        assert bool(movie.streams.audio) == audio
    assert client.emulator.stats.downloads == 1


async def test_parts_of_a_video_can_be_fetched(client: Client) -> None:
    url = (await client.ended(duration=4))["video_url"]
    whole = await client.send("GET", url)
    size, etag = len(whole.body), whole.headers["ETag"]
    assert re.fullmatch('"[0-9a-f]{32}"', etag)

    async def part(wanted: str, **headers: str) -> Answer:
        return await client.send("GET", url, headers={"Range": wanted, **headers})

    for wanted, start, stop in (
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size * 2}", 5, size),
    ):
        answer = await part(wanted)
        assert (answer.status, answer.body) == (206, whole.body[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["ETag"] == etag
    assert (await part("bytes=0-9", **{"If-Range": etag})).status == 206
    for other in ('"other"', f"W/{etag}", "Mon, 30 Mar 2026 14:21:58 GMT"):
        changed = await part("bytes=0-9", **{"If-Range": other})
        assert (changed.status, len(changed.body)) == (200, size)
    for beyond in (f"bytes={size}-", "bytes=-0"):
        answer = await part(beyond)
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
        assert answer.message


async def test_head_tells_the_length_and_sends_nothing(client: Client) -> None:
    url = (await client.ended(duration=4))["video_url"]
    head = await client.send("HEAD", url, headers={"Range": "bytes=0-9"})
    assert client.emulator.stats.downloads == 0
    whole = await client.send("GET", url)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(whole.body)
    assert head.headers["ETag"] == whole.headers["ETag"]


async def test_a_wrong_signature_is_refused(client: Client) -> None:
    url = (await client.ended())["video_url"]
    bare = url.partition("?")[0]
    other = (await client.ended())["video_url"].partition("?")[2]
    for wrong in (bare, f"{bare}?signature=", f"{bare}?signature=%ff%c3%a4", f"{bare}?{other}"):
        assert (await client.send("GET", wrong)).status == 403


async def test_there_is_no_video_before_the_end(http: aiohttp.ClientSession) -> None:
    async with Emulator() as emulator:
        client = Client(http, emulator)
        task_id = (await client.create()).json["id"]
        service = emulator._service  # only the emulator itself can sign a URL so early
        assert (await client.send("GET", service._video_url(task_id))).status == 404
        assert (await client.send("GET", service._video_url("video_1"))).status == 404


async def test_a_failed_task_has_no_video(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=10_000, failures=1.0) as emulator:
        client = Client(http, emulator)
        task_id = (await client.ended())["id"]
        assert (await client.send("GET", emulator._service._video_url(task_id))).status == 404


async def test_a_video_expires(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=10_000, video_ttl_s=500) as emulator:
        client = Client(http, emulator)
        result = await client.ended()
        await anyio.sleep(600 / 10_000)
        answer = await client.send("GET", result["video_url"])
        assert (answer.status, answer.message) == (410, "the video has expired")
        assert (await client.query(result["id"])).json["status"] == "completed"


async def test_one_film_is_rendered_once_for_all_and_even_if_the_first_goes_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[film.Film] = []
    render = film.render

    def counting(wanted: film.Film) -> bytes:
        rendered.append(wanted)
        return render(wanted)

    monkeypatch.setattr(film, "render", counting)
    url = (await client.ended(duration=4, prompt="Once"))["video_url"]
    bodies: list[bytes] = []

    async def fetch() -> None:
        bodies.append((await client.send("GET", url)).body)

    async with anyio.create_task_group() as group, anyio.create_task_group() as first:
        first.start_soon(fetch)
        await anyio.lowlevel.checkpoint()
        for _ in range(5):
            group.start_soon(fetch)
        first.cancel_scope.cancel()
    await fetch()
    assert len(bodies) == 6
    assert len(set(bodies)) == len(rendered) == 1
    assert rendered[0].caption == ("seedance_2_0_pro", "4 s", "16:9", "audio on")
    assert client.emulator.stats.downloads >= 6


# ---- images


async def test_images_of_any_allowed_size_can_be_had(client: Client) -> None:
    answer = await client.send("GET", "/media/640x300.png", headers={})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.body)) as image:
        assert (image.format, image.size) == ("PNG", (640, 300))
    part = await client.send("GET", "/media/640x300.png", headers={"Range": "bytes=0-7"})
    assert (part.status, part.body) == (206, b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("size", ["299x300", "300x6001", "0x0", "99999x300", "ax300", "300"])
async def test_other_images_are_not_found(client: Client, size: str) -> None:
    assert (await client.send("GET", f"/media/{size}.png")).status == 404


async def test_the_gallery_keeps_what_was_asked_for_last() -> None:
    gallery = Gallery(Cache(1))
    first = await gallery.image(300, 300)
    roomy = Gallery(Cache(len(first.content) * 3))
    again = await gallery.image(300, 300)
    kept = await roomy.image(300, 300)
    for side in range(301, 310):
        await roomy.image(300, side)
        assert await roomy.image(300, 300) is kept
    assert again == first
    assert again is not first
    for opened in (gallery, roomy):
        opened.close()


# ---- assets


async def test_an_asset_lives_and_is_deleted(http: aiohttp.ClientSession) -> None:
    async with Emulator(speed=50) as emulator:
        client = Client(http, emulator)
        url = "https://example.com/cat.png"
        registered = await client.asset("POST", assetType="Image", url=url, name="cat")
        assert (registered["code"], registered["msg"]) == (0, None)
        asset_id = registered["data"]["assetId"]
        assert re.fullmatch(r"asset-\d{14}-[a-z0-9]{5}", asset_id)
        fresh = await client.asset("GET", asset_id)
        assert list(fresh["data"]) == [
            *("name", "assetId", "status", "assetType", "url", "createTime")
        ]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", fresh["data"]["createTime"])
        assert fresh["data"]["status"] == "Processing"
        refused = await client.create(first_image=f"asset://{asset_id}")
        assert refused.status == 400
        assert [each["rule"] for each in refused.json["error"]["violations"]] == ["media.reference"]
        await anyio.sleep(10.1 / 50)
        assert (await client.asset("GET", asset_id))["data"]["status"] == "Active"
        assert (await client.create(first_image=f"asset://{asset_id}")).status == 200
        assert await client.asset("DELETE", asset_id) == {"code": "0", "msg": None, "data": None}
        assert (await client.create(referenceImages=[f"asset://{asset_id}"])).status == 400
        for method in ("GET", "DELETE"):
            gone = await client.asset(method, asset_id)
            assert (gone["code"], gone["data"]) == (-1, None)


async def test_an_asset_that_was_never_seen_is_taken_in_a_create(client: Client) -> None:
    assert (await client.create(first_image="asset://asset-20260330142158-q75m8")).status == 200


async def test_an_asset_that_cannot_be_registered_is_a_failure_inside_a_200(
    client: Client,
) -> None:
    for body in ({}, {"assetType": "image", "url": "https://h/1"}, {"assetType": "Image"}):
        answer = await client.asset("POST", **body)
        assert (answer["code"], answer["data"]) == (1001, None)
        assert answer["msg"]


# ---- starting and stopping


async def test_stopping_does_not_wait_for_anybody(http: aiohttp.ClientSession) -> None:
    emulator = Emulator(latency_s=3_600)
    await emulator.start()
    client = Client(http, emulator)
    async with anyio.create_task_group() as group:

        async def cut_off() -> None:
            with pytest.raises(aiohttp.ClientError):
                await client.create()

        group.start_soon(cut_off)
        while not emulator.stats.accepted:
            await anyio.lowlevel.checkpoint()
        began = anyio.current_time()
        await emulator.stop()
        assert anyio.current_time() - began < 0.5
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.create()
    await emulator.stop()


async def test_stopping_leaves_no_task_behind_even_of_clients_that_went_away(
    http: aiohttp.ClientSession,
) -> None:
    before = asyncio.all_tasks()
    emulator = Emulator(latency_s=3_600)
    await emulator.start()
    with anyio.move_on_after(0.05):
        await Client(http, emulator).create()
    await emulator.stop()
    assert not asyncio.all_tasks() - before


async def test_stopping_lets_go_of_a_film_in_the_making(client: Client) -> None:
    url = (await client.ended(duration=15, prompt="Stopped"))["video_url"]
    async with anyio.create_task_group() as group:

        async def cut_off() -> None:
            with pytest.raises(aiohttp.ClientError):
                await client.send("GET", url)

        group.start_soon(cut_off)
        while not client.emulator._service.gallery._making:
            await anyio.lowlevel.checkpoint()
        await client.emulator.stop()


async def test_an_outage_ends_on_the_same_port_with_the_tasks_gone_on(client: Client) -> None:
    url, task_id = client.emulator.base_url, (await client.create()).json["id"]
    await client.emulator.stop()
    await anyio.sleep(310 / 10_000)
    await client.emulator.start()
    assert client.emulator.base_url == url
    assert (await client.query(task_id)).json["status"] == "completed"


async def test_it_cannot_be_started_twice(client: Client) -> None:
    with pytest.raises(RuntimeError, match="listening already"):
        await client.emulator.start()
    assert (await client.create()).status == 200


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing(client: Client) -> None:
    port = int(client.emulator.base_url.rpartition(":")[2])
    other = Emulator(port=port)
    with pytest.raises(OSError, match="address already in use"):
        await other.start()
    await client.emulator.stop()
    async with other:
        assert other.base_url.endswith(f":{port}")


async def test_before_the_start_there_are_counts_and_no_address() -> None:
    emulator = Emulator()
    assert emulator.api_key == "emulator"
    assert emulator.accepted_ids == ()
    assert isinstance(emulator.stats, EmulatorStats)
    assert emulator.stats.in_flight == 0
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = emulator.base_url


@pytest.mark.parametrize(
    ("host", "base"),
    [("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://")],
)
async def test_the_address_can_be_reached_whatever_the_host(
    http: aiohttp.ClientSession, host: str, base: str
) -> None:
    async with Emulator(host=host) as emulator:
        assert emulator.base_url.startswith(base)
        assert (await Client(http, emulator).create()).status == 200


async def test_an_ipv6_address_stands_in_brackets(http: aiohttp.ClientSession) -> None:
    emulator = Emulator(host="::1")
    try:
        await emulator.start()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with http.get(emulator.base_url) as answer:
        assert answer.status == 404
    assert emulator.base_url.startswith("http://[::1]:")
    await emulator.stop()


async def test_a_missing_extra_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "av" else find_spec(name)
    )
    emulator = Emulator()
    with pytest.raises(ImportError, match=r"needs av: pip install 'seedance-async\[emulator\]'"):
        await emulator.start()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("speed", value) for value in (0, -1, float("nan"), float("inf"))),
        *(("concurrency", value) for value in (0, -1, True, 1.5)),
        *(("creates_per_minute", value) for value in (0, -1, True)),
        *(("max_queued", value) for value in (-1, True, 1.5)),
        ("max_queued", 7),  # without a concurrency
        *(("failures", value) for value in (-0.1, 1.1, float("nan"))),
        *(("latency_s", value) for value in (-1, float("nan"), float("inf"))),
        *(("video_ttl_s", value) for value in (0, -1, float("nan"))),
        *(("port", value) for value in (-1, 65_536)),
        *((name, "") for name in ("host", "api_key")),
        ("waive", ("prompt.requird",)),
    ],
)
def test_a_bad_setting_is_named(name: str, value: object) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        Emulator(**settings)
