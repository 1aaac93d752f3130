"""Preflight: the rules about media, by a look at them, before anything is paid for."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from seedance_async import (
    Fixed,
    InvalidRequest,
    MediaError,
    MediaKind,
    SeedanceSession,
    ServiceUnavailable,
    VideoRequest,
)
from seedance_async.emulator import Emulator


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


class Shelf:
    """A host of pictures by their sizes, that counts who asks for what."""

    def __init__(self) -> None:
        self.base_url = ""
        self.asked: Counter[str] = Counter()

    def __call__(self, name: str) -> str:
        return f"{self.base_url}/{name}?sig=secret"

    async def serve(self, request: web.Request) -> web.Response:
        name = request.path[1:]
        self.asked[name] += 1
        if name == "gone.png":
            raise web.HTTPNotFound
        if name == "page.png":
            return web.Response(text="<html>cat</html>")
        width, height = name.removesuffix(".png").split("-")[0].split("x")
        return web.Response(body=png(int(width), int(height)))


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    running = Shelf()
    app = web.Application()
    app.router.add_get("/{name:.*}", running.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield running
    await runner.cleanup()


def asking(**media: Any) -> VideoRequest:
    return VideoRequest(model="seedance_2_0_pro", prompt="A cat", **media)


async def test_sound_media_are_told(session: SeedanceSession, shelf: Shelf) -> None:
    request = asking(reference_images=[shelf("640x480.png"), shelf("300x300.png")])
    media = await session.preflight(request)
    assert list(media) == ["reference_images[0]", "reference_images[1]"]
    first = media["reference_images[0]"]
    assert (first.kind, first.width, first.height) == (MediaKind.IMAGE, 640, 480)
    assert await session.preflight(asking()) == {}


async def test_all_broken_rules_are_told_at_once(
    session: SeedanceSession, shelf: Shelf, emulator: Emulator
) -> None:
    request = asking(
        reference_images=[shelf("299x300.png"), shelf("3000x500.png"), shelf("gone.png")],
        reference_videos=[shelf("640x480.png")],
        reference_audios=[shelf("page.png"), "asset://asset-unknown"],
    )
    with pytest.raises(InvalidRequest) as caught:
        await session.preflight(request)
    found = {(violation.rule, violation.field) for violation in caught.value.violations}
    assert found == {
        ("image.size", "reference_images[0]"),
        ("image.aspect", "reference_images[1]"),
        ("media.readable", "reference_images[2]"),
        ("video.resolution", "reference_videos[0]"),
        ("media.readable", "reference_audios[0]"),
        ("asset.active", "reference_audios[1]"),
    }
    told = str(caught.value)
    assert "299 x 300 px" in told
    assert "HTTP 404" in told
    assert "secret" not in told
    assert len(emulator.accepted_ids) == 0


async def test_what_is_waived_is_not_told(session: SeedanceSession, shelf: Shelf) -> None:
    request = asking(first_image=shelf("299x300.png"), waive=["image.size"])
    assert (await session.preflight(request))["first_image"].width == 299


async def test_what_only_the_provider_can_reach_is_waived(
    session: SeedanceSession, shelf: Shelf
) -> None:
    request = asking(first_image=shelf("gone.png"), waive=["media.readable"])
    assert await session.preflight(request) == {}


async def test_a_host_that_cannot_be_is_told_as_a_rule(session: SeedanceSession) -> None:
    with pytest.raises(InvalidRequest, match=r"no valid host \[media\.readable\]"):
        await session.preflight(asking(first_image=f"https://{'é' * 62}.com/a.png"))


async def test_an_asset_must_be_active(session: SeedanceSession) -> None:
    asset = await session.assets.register("https://media.example.com/cat.png", "Image")
    request = asking(first_image=asset.reference)
    with pytest.raises(InvalidRequest, match=r"Processing.*asset\.active"):
        await session.preflight(request)
    await session.assets.wait_active(asset.id)
    assert await session.preflight(request) == {}


async def test_500_requests_that_share_20_files_are_20_looks(
    session: SeedanceSession, shelf: Shelf
) -> None:
    urls = [shelf(f"{300 + number}x400.png") for number in range(20)]
    requests = [asking(reference_images=[urls[n % 20], urls[(n + 1) % 20]]) for n in range(500)]
    looked = await session.preflight_all(requests)
    assert [each.request for each in looked] == requests
    assert all(each.ok for each in looked)
    assert len(shelf.asked) == 20
    assert set(shelf.asked.values()) == {1}


async def test_one_request_in_a_batch_that_breaks_a_rule_hurts_no_other(
    session: SeedanceSession, shelf: Shelf, emulator: Emulator
) -> None:
    urls = [shelf("640x480.png"), shelf("100x100.png"), shelf("gone.png"), shelf("500x500.png")]
    requests = [asking(first_image=url) for url in urls]
    report = await session.run_batch(requests, preflight=True)
    told = [outcome.status for outcome in report.outcomes]
    assert told == ["completed", "invalid", "invalid", "completed"]
    assert len(emulator.accepted_ids) == 2
    looked = await session.preflight_all(requests)
    assert [[v.rule for v in each.violations] for each in looked] == [
        [],
        ["image.size"],
        ["media.readable"],
        [],
    ]


@pytest.mark.parametrize("call", [SeedanceSession.submit, SeedanceSession.generate])
async def test_nothing_is_sent_where_a_rule_is_broken_and_it_is_sent_once_mended(
    session: SeedanceSession, shelf: Shelf, emulator: Emulator, call: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidRequest, match=r"image\.size"):
        await call(session, asking(first_image=shelf("100x100.png")), key="cat", preflight=True)
    assert len(emulator.accepted_ids) == 0
    await call(session, asking(first_image=shelf("640x480.png")), key="dog", preflight=True)
    assert len(emulator.accepted_ids) == 1
    # Without being asked to, nobody looks at what is behind a URL.
    await call(session, asking(first_image=shelf("101x101.png")))
    assert "101x101.png" not in shelf.asked


async def test_what_is_made_already_is_not_looked_at_again(
    emulator: Emulator, shelf: Shelf, tmp_path: Path
) -> None:
    request = asking(first_image=shelf("640x480.png"))
    for _ in range(2):
        async with SeedanceSession(
            emulator.api_key,
            base_url=emulator.base_url,
            pacing=Fixed(5),
            journal=tmp_path / "journal",
        ) as session:
            report = await session.run_batch([request], preflight=True)
            assert report.ok
    assert shelf.asked["640x480.png"] == 1


async def test_trouble_with_the_library_is_raised_bare(shelf: Shelf) -> None:
    from seedance_async import Retries

    async with SeedanceSession(
        "key", base_url="http://127.0.0.1:9", retries=Retries(query_patience_s=1)
    ) as session:
        with pytest.raises(ServiceUnavailable):
            await session.preflight(
                asking(reference_images=["asset://a", "asset://b", shelf("640x480.png")])
            )


async def test_without_the_extra_the_way_to_it_is_told(
    session: SeedanceSession, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(MediaError, match=r"pip install 'seedance-async\[media\]'"):
        await session.preflight(asking(first_image=shelf("640x480.png")))


async def test_at_the_real_api_private_hosts_are_not_asked(shelf: Shelf) -> None:
    async with SeedanceSession("key", base_url="https://api.example.com") as session:
        with pytest.raises(InvalidRequest, match="private address"):
            await session.preflight(asking(first_image=shelf("640x480.png")))
    assert not shelf.asked
