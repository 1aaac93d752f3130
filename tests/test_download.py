"""A video's bytes to disk: whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import ScriptedApi, task_json

from seedance_async import (
    DownloadError,
    Fixed,
    SeedanceSession,
    Video,
    VideoExpired,
    VideoRequest,
)
from seedance_async.download import file_name
from seedance_async.events import Downloaded, Event


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


FILM = box(b"ftyp", b"isom\0\0\2\0isom") + box(b"mdat", bytes(range(256)) * 20_000)  # 5 MB


class Host:
    """Serves one file, badly as told; remembers what it was asked."""

    def __init__(self) -> None:
        self.script: list[Any] = [self.whole]
        self.asked: list[web.Request] = []
        self.etag: str | None = '"one"'

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(entry, int):
            return web.Response(status=entry, text="<html>gone</html>")
        response: web.StreamResponse = await entry(request)
        return response

    def head(self, start: int) -> dict[str, str]:
        headers = {"Content-Length": str(len(FILM) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(FILM) - 1}/{len(FILM)}"
        return headers | ({"ETag": self.etag} if self.etag else {})

    async def whole(self, request: web.Request, cut_at: int | None = None) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        response = web.StreamResponse(status=206 if start else 200, headers=self.head(start))
        await response.prepare(request)
        await response.write(FILM[start:cut_at])
        if cut_at is not None:
            assert request.transport
            request.transport.close()
        return response

    async def cut(self, request: web.Request) -> web.StreamResponse:
        return await self.whole(request, cut_at=3_000_000)

    async def ignores_range(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=FILM, headers={"ETag": '"two"'})

    async def wrong_range(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=206, body=b"xx", headers={"Content-Range": f"bytes 7-8/{len(FILM)}"}
        )

    async def page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>this is no film at all</html>")


@pytest.fixture
async def host(api: ScriptedApi) -> AsyncIterator[Host]:
    served = Host()
    app = web.Application()
    app.router.add_get("/{name}", served.answer)
    app.router.add_get("/moved/{name}", moved)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    url = f"http://127.0.0.1:{port}/a.mp4?sig=S%2BE%2fCRET"
    api.queries = [task_json("completed", video_url=url)]
    yield served
    await runner.cleanup()


async def moved(request: web.Request) -> web.Response:
    raise web.HTTPFound(f"/{request.match_info['name']}")


@pytest.fixture
async def video(scripted: SeedanceSession, host: Host, request_: VideoRequest) -> Video:
    return await scripted.generate(request_)


async def test_a_file_arrives_whole_under_its_name(
    video: Video, host: Host, scripted: SeedanceSession, tmp_path: Path
) -> None:
    events: list[Event] = []
    target = tmp_path / "new" / "folder" / "cat.mp4"
    with scripted.subscribe(events.append):
        assert await video.download(target) == target
    assert target.read_bytes() == FILM
    assert [path.name for path in target.parent.iterdir()] == ["cat.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    assert events == [Downloaded(key=None, task_id=video.id, size_bytes=len(FILM))]


async def test_the_key_is_not_sent_to_the_videos_host_and_the_url_is_left_as_signed(
    video: Video, host: Host, tmp_path: Path
) -> None:
    await video.download(str(tmp_path / "cat.mp4"))
    assert "Authorization" not in host.asked[0].headers
    assert host.asked[0].raw_path == "/a.mp4?sig=S%2BE%2fCRET"


async def test_a_redirect_is_followed(
    api: ScriptedApi, host: Host, scripted: SeedanceSession, request_: VideoRequest, tmp_path: Path
) -> None:
    url = api.queries[0]["video_url"].replace("/a.mp4", "/moved/a.mp4")
    api.queries = [task_json("completed", video_url=url)]
    await (await scripted.generate(request_)).download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").stat().st_size == len(FILM)


async def test_a_broken_transfer_goes_on_where_it_stopped(
    video: Video, host: Host, tmp_path: Path
) -> None:
    host.script = [host.cut, host.whole]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM
    again = host.asked[1].headers
    assert again["If-Range"] == '"one"'
    assert int(again["Range"].removeprefix("bytes=").removesuffix("-")) > 1_000_000


@pytest.mark.parametrize("second", ["ignores_range", "wrong_range"])
async def test_a_host_that_cannot_go_on_starts_again(
    video: Video, host: Host, tmp_path: Path, second: str
) -> None:
    host.script = [host.cut, getattr(host, second), host.whole]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM


async def test_without_a_strong_etag_a_transfer_starts_again(
    video: Video, host: Host, tmp_path: Path
) -> None:
    host.etag = 'W/"weak"'
    host.script = [host.cut, host.whole]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM
    assert "Range" not in host.asked[1].headers


@pytest.mark.parametrize("first", [500, 429, 503])
async def test_a_host_in_trouble_is_tried_again(
    video: Video, host: Host, tmp_path: Path, first: int
) -> None:
    host.script = [first, host.whole]
    await video.download(tmp_path / "cat.mp4")
    assert len(host.asked) == 2


async def test_a_transfer_that_never_gets_through_is_an_error_and_leaves_nothing(
    video: Video, host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host.script = [host.cut]
    host.etag = None
    (tmp_path / "cat.mp4").write_bytes(b"an older film")
    started = asyncio.get_running_loop().time()
    with pytest.raises(DownloadError, match="could not be fetched") as caught:
        await video.download(tmp_path / "cat.mp4")
    assert caught.value.task_id == video.id
    assert 300 <= asyncio.get_running_loop().time() - started <= 340
    assert [path.name for path in tmp_path.iterdir()] == ["cat.mp4"]
    assert (tmp_path / "cat.mp4").read_bytes() == b"an older film"
    assert "CRET" not in caplog.text + str(caught.value) + repr(caught.value) + repr(video)


async def test_what_is_no_mp4_is_not_kept(video: Video, host: Host, tmp_path: Path) -> None:
    host.script = [host.page]
    with pytest.raises(DownloadError, match="no MP4"):
        await video.download(tmp_path / "cat.mp4")
    assert list(tmp_path.iterdir()) == []
    host.script = [host.page, host.whole]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM


@pytest.mark.parametrize(
    "content",
    [b"", FILM[:-1], FILM + b"\0", FILM[:24], FILM[4:], b"\0\0\0\x08moov", box(b"ftyp", b"")[:7]],
)
async def test_a_file_of_which_something_is_missing_is_not_kept(
    video: Video, host: Host, tmp_path: Path, content: bytes
) -> None:
    async def spoilt(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content)

    host.script = [spoilt]
    with pytest.raises(DownloadError):
        await video.download(tmp_path / "cat.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "last", [b"\0\0\0\x01mdat" + (16 + 9).to_bytes(8) + b"123456789", b"\0\0\0\0mdat12345"]
)
async def test_boxes_with_sizes_of_other_kinds_are_read(
    video: Video, host: Host, tmp_path: Path, last: bytes
) -> None:
    film = box(b"ftyp", b"isom\0\0\2\0") + last

    async def other(_: web.Request) -> web.StreamResponse:
        return web.Response(body=film)

    host.script = [other]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == film


@pytest.mark.parametrize("trailing", [b"\0\0\0\0", b"\n", b"\r\n--boundary--", b"\0" * 40])
async def test_what_comes_behind_a_whole_film_does_no_harm(
    video: Video, host: Host, tmp_path: Path, trailing: bytes
) -> None:
    film = box(b"ftyp", b"isom") + box(b"moov", b"x" * 40) + box(b"mdat", b"y" * 90) + trailing

    async def other(_: web.Request) -> web.StreamResponse:
        return web.Response(body=film)

    host.script = [other]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == film


@pytest.mark.parametrize("refused", [400, 401])
async def test_a_host_that_refuses_is_not_asked_for_long(
    video: Video, host: Host, tmp_path: Path, refused: int
) -> None:
    host.script = [refused]
    with pytest.raises(DownloadError, match=f"HTTP {refused}"):
        await video.download(tmp_path / "cat.mp4")
    assert len(host.asked) == 4


async def test_a_host_that_promised_more_than_there_is_has_given_all(
    video: Video, host: Host, tmp_path: Path
) -> None:
    async def promises_more(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Length": str(len(FILM) + 99), "ETag": '"one"'}
        )
        await response.prepare(request)
        await response.write(FILM)
        assert request.transport
        request.transport.close()
        return response

    async def no_such_range(_: web.Request) -> web.StreamResponse:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(FILM)}"})

    host.script = [promises_more, no_such_range]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM


async def test_a_busy_host_is_waited_for_as_told(video: Video, host: Host, tmp_path: Path) -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": "90"})

    host.script = [busy, host.whole]
    started = asyncio.get_running_loop().time()
    await video.download(tmp_path / "cat.mp4")
    assert 90 <= asyncio.get_running_loop().time() - started <= 92


@pytest.mark.parametrize("gone", [403, 404, 410])
async def test_an_expired_url_is_asked_for_once_more(
    video: Video, host: Host, api: ScriptedApi, tmp_path: Path, gone: int
) -> None:
    host.script = [gone, host.whole]
    fresh = api.queries[0]["video_url"].replace("sig=", "fresh=1&sig=")
    api.queries = [task_json("completed", video_url=fresh)]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM
    assert "fresh=1" in str(host.asked[1].rel_url)


async def test_a_video_that_is_gone_is_expired(
    video: Video, host: Host, api: ScriptedApi, tmp_path: Path
) -> None:
    asked = api.count("GET")
    host.script = [410]
    with pytest.raises(VideoExpired) as caught:
        await video.download(tmp_path / "cat.mp4")
    assert caught.value.task_id == video.id
    assert api.count("GET") == asked + 1
    assert list(tmp_path.iterdir()) == []


async def test_a_place_that_cannot_be_written_is_told_before_anything_is_fetched(
    video: Video, host: Host, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="cannot write"):
        await video.download(tmp_path / "file" / "cat.mp4")
    assert host.asked == []
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(DownloadError, match="cannot write"):
        await video.download(tmp_path / "folder.mp4")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.mp4"}


async def test_two_downloads_to_one_place_do_not_mix(
    video: Video, host: Host, tmp_path: Path
) -> None:
    await asyncio.gather(*(video.download(tmp_path / "cat.mp4") for _ in range(3)))
    assert (tmp_path / "cat.mp4").read_bytes() == FILM
    assert len(list(tmp_path.iterdir())) == 1


async def test_two_versions_of_a_file_are_never_mixed(
    video: Video, host: Host, tmp_path: Path
) -> None:
    async def another_version(_: web.Request) -> web.StreamResponse:
        start = int(host.asked[-1].headers["Range"][6:-1])
        headers = {"ETag": '"two"', "Content-Range": f"bytes {start}-{len(FILM) - 1}/{len(FILM)}"}
        return web.Response(status=206, body=b"B" * (len(FILM) - start), headers=headers)

    host.script = [host.cut, another_version, host.whole]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM


async def test_a_size_that_nobody_could_have_is_no_size(
    video: Video, host: Host, tmp_path: Path
) -> None:
    async def huge(_: web.Request) -> web.StreamResponse:
        headers = {"Content-Range": f"bytes 0-31/{'9' * 5000}"}
        return web.Response(status=206, body=FILM, headers=headers)

    host.script = [huge, host.whole]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM


async def test_a_host_that_compresses_all_the_same_is_read(
    video: Video, host: Host, tmp_path: Path
) -> None:
    async def compressed(_: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(FILM), headers={"Content-Encoding": "gzip"})

    host.script = [compressed]
    await video.download(tmp_path / "cat.mp4")
    assert (tmp_path / "cat.mp4").read_bytes() == FILM


@pytest.mark.parametrize("target", ["", ".", "/", "a\0b"])
async def test_a_path_that_names_no_file_is_told(
    video: Video, host: Host, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DownloadError, match="cannot write"):
        await video.download(target)
    assert host.asked == []


@pytest.mark.parametrize(
    "url",
    ["ftp://h.example/a", "nonsense", "http://", "http://h:99999/a", "https://a..b/x.mp4"]
    + [f"https://{'a' * 64}.example/x.mp4"],
)
async def test_a_url_that_is_none_is_an_error_that_does_not_show_it(
    api: ScriptedApi, request_: VideoRequest, tmp_path: Path, url: str
) -> None:
    api.queries = [task_json("completed", video_url=url)]
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(1)) as session:
        video = await session.generate(request_)
        with pytest.raises(DownloadError) as caught:
            await video.download(tmp_path / "cat.mp4")
    assert url not in str(caught.value)


async def test_a_video_made_by_hand_has_no_session(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="without a session"):
        await Video(id="video_1", url="https://v.example/a").download(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "0001.mp4"),
        ("", "0001.mp4"),
        ("cat", "0001-cat.mp4"),
        ("../../etc/passwd", "0001-etc-passwd.mp4"),
        ("..", "0001.mp4"),
        ("a/b\\c:d*e?f", "0001-a-b-c-d-e-f.mp4"),
        ("\x00\n ", "0001.mp4"),
        ("猫が踊る", "0001-猫が踊る.mp4"),
        ("CON.mp4", "0001-CON-mp4.mp4"),
        ("x" * 500, f"0001-{'x' * 40}.mp4"),
    ],
)
def test_a_name_cannot_leave_its_folder(name: str | None, expected: str) -> None:
    assert file_name(0, name) == expected
    assert len(file_name(99_999, name).encode()) < 200
