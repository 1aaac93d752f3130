"""A video's bytes to disk: whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import gzip
import logging
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
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
from seedance_async.download import fetch, is_disk_trouble, is_there, prepare_folder
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
        self.url = ""

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
    served.url = f"http://127.0.0.1:{port}/a.mp4?sig=S%2BE%2fCRET"
    api.queries = [task_json("completed", video_url=served.url)]
    yield served
    await runner.cleanup()


async def moved(request: web.Request) -> web.Response:
    raise web.HTTPFound(f"/{request.match_info['name']}")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


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
    (event,) = events
    assert isinstance(event, Downloaded)
    assert (event.task_id, event.size_bytes) == (video.id, len(FILM))


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


# What a killed process leaves behind.

# Fetches a film from a server of its own, and is killed, or stops, at a moment of its way.
PROCESS = """
import asyncio, os, sys
from pathlib import Path
import aiohttp
from aiohttp import web
from seedance_async.download import fetch

target, film, moment, replaces = Path(sys.argv[1]), sys.stdin.buffer, sys.argv[2], sys.argv[3]
film = film.read(int(sys.argv[4]))

async def serve(request):
    response = web.StreamResponse(headers={"Content-Length": str(len(film)), "ETag": '"one"'})
    await response.prepare(request)
    await response.write(film[:3_000_000])
    while moment in ("middle", "held") and not any(
        part.stat().st_size for part in target.parent.glob(".*.part")
    ):
        await asyncio.sleep(0.01)
    if moment == "middle":
        os._exit(9)
    if moment == "held":
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.buffer.readline)
    await response.write(film[3_000_000:])
    return response

def link(*names, link=os.link):
    link(*names)
    os._exit(9)

async def main():
    app = web.Application()
    app.router.add_get("/a.mp4", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/a.mp4"
    async with aiohttp.ClientSession() as http:
        how = {"replaces": replaces == "replaces", "is_again": True}
        print(await fetch(http, url, target, "video_1", **how))
    if moment == "settled":
        os._exit(9)
    await runner.cleanup()

if moment == "linked":
    os.link = link
asyncio.run(main())
"""


def process(target: Path, moment: str, replaces: bool = False) -> subprocess.Popen[bytes]:
    words = [str(target), moment, "replaces" if replaces else "", str(len(FILM))]
    pipe = subprocess.PIPE
    started = subprocess.Popen([sys.executable, "-c", PROCESS, *words], stdin=pipe, stdout=pipe)
    assert started.stdin
    started.stdin.write(FILM)
    started.stdin.flush()
    return started


def killed(target: Path, moment: str, replaces: bool = False) -> None:
    with process(target, moment, replaces) as started:
        assert started.wait() == 9


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("replaces", [False, True])
async def test_a_killed_download_is_taken_over_and_started_again(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path, replaces: bool
) -> None:
    target = tmp_path / "cat.mp4"
    for _ in range(2):
        killed(target, "middle", replaces)
        assert len(names(tmp_path)) == 1
    part = tmp_path / names(tmp_path)[0]
    assert part.stat().st_size > 1_000_000
    part.write_bytes(bytes(len(FILM) + 9))
    assert await fetch(http, host.url, target, "video_1", replaces=replaces) == (target, len(FILM))
    assert target.read_bytes() == FILM
    assert names(tmp_path) == ["cat.mp4"]
    assert "Range" not in host.asked[0].headers  # a power cut may have left holes in it


@pytest.mark.parametrize(("moment", "left"), [("linked", 2), ("settled", 1)])
async def test_a_file_whose_path_was_not_written_down_is_not_made_again(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path, moment: str, left: int
) -> None:
    target = tmp_path / "cat.mp4"
    killed(target, moment)
    assert len(names(tmp_path)) == left
    before = target.stat()
    got = await fetch(http, host.url, target, "video_1", replaces=False, is_again=True)
    assert got == (target, len(FILM))
    assert names(tmp_path) == ["cat.mp4"]
    assert target.read_bytes() == FILM
    assert (target.stat().st_ino, target.stat().st_mtime) == (before.st_ino, before.st_mtime)


async def test_another_process_at_the_same_video_is_left_alone(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    target = tmp_path / "cat.mp4"
    with process(target, "held") as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        held = names(tmp_path)
        got = await fetch(http, host.url, target, "video_1", replaces=False, is_again=True)
        assert got == (target, len(FILM))
        assert names(tmp_path) == [*held, "cat.mp4"]
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert repr(got).encode() in other.stdout.read()
    assert other.returncode == 0
    assert target.read_bytes() == FILM
    assert names(tmp_path) == ["cat.mp4"]


@pytest.mark.parametrize("content", [b"mine", None])
async def test_a_link_that_somebody_put_in_the_parts_place_is_not_followed(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path, content: bytes | None
) -> None:
    folder, precious = tmp_path / "videos", tmp_path / "precious"
    folder.mkdir()
    if content is not None:
        precious.write_bytes(content)
    killed(folder / "cat.mp4", "middle")
    part = folder / names(folder)[0]
    part.unlink()
    part.symlink_to(precious)
    await fetch(http, host.url, folder / "cat.mp4", "video_1")
    assert (precious.read_bytes() if precious.exists() else None) == content
    assert (folder / "cat.mp4").read_bytes() == FILM
    assert names(folder) == [part.name, "cat.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="renames no open file")
async def test_a_part_that_was_settled_while_it_was_being_taken_over_is_not_touched(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    target = tmp_path / "cat.mp4"
    killed(target, "middle")
    part = tmp_path / names(tmp_path)[0]
    part.write_bytes(FILM)

    def after_its_holder(file: Any, how: int, flock: Any = fcntl.flock) -> None:
        part.rename(target)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", after_its_holder)
    made = part.stat().st_ino
    got = await fetch(http, host.url, target, "video_1", replaces=False, is_again=True)
    assert got == (target, len(FILM))
    assert target.read_bytes() == FILM
    assert target.stat().st_ino == made
    assert names(tmp_path) == ["cat.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="syncs no folders")
async def test_a_part_of_the_next_download_is_not_removed(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[str] = []

    def next_one_begins(handle: int, fsync: Any = os.fsync) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            (tmp_path / parts[0]).touch()
        else:
            parts.extend(names(tmp_path))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", next_one_begins)
    await fetch(http, host.url, tmp_path / "cat.mp4", "video_1")
    assert names(tmp_path) == [*parts, "cat.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no flock")
async def test_a_file_system_without_locks_will_do(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    target = tmp_path / "cat.mp4"
    await asyncio.gather(*(fetch(http, host.url, target, "video_1") for _ in range(3)))
    assert target.read_bytes() == FILM
    assert names(tmp_path) == ["cat.mp4"]


async def test_a_cancelled_download_leaves_nothing(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    halfway = asyncio.Event()

    async def stalls(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=host.head(0))
        await response.prepare(request)
        await response.write(FILM[:3_000_000])
        halfway.set()
        await asyncio.Event().wait()
        return response

    host.script = [stalls]
    running = asyncio.create_task(fetch(http, host.url, tmp_path / "cat.mp4", "video_1"))
    await halfway.wait()
    assert len(names(tmp_path)) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert names(tmp_path) == []


async def test_a_cancellation_does_not_cut_the_last_step_in_two(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, at_it, may_go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slow_sync(handle: int, fsync: Any = os.fsync) -> None:
        loop.call_soon_threadsafe(at_it.set)
        may_go_on.wait()
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow_sync)
    running = asyncio.create_task(fetch(http, host.url, tmp_path / "cat.mp4", "video_1"))
    await at_it.wait()
    running.cancel()
    await asyncio.sleep(0)
    left = names(tmp_path)
    may_go_on.set()
    assert [name.endswith(".part") for name in left] == [True]
    with pytest.raises(asyncio.CancelledError):
        await running
    assert names(tmp_path) == ["cat.mp4"]
    assert (tmp_path / "cat.mp4").read_bytes() == FILM


async def test_a_name_as_long_as_the_file_system_takes_will_do(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    target = tmp_path / f"{'x' * 251}.mp4"
    await fetch(http, host.url, target, "video_1")
    assert names(tmp_path) == [target.name]


# What is there already.


async def test_another_file_of_the_name_is_kept_and_a_number_added(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    target = tmp_path / "cat.mp4"
    target.write_bytes(FILM[:-1] + b"\0")
    for _ in range(2):  # the second finds what the first one fetched
        path, _ = await fetch(http, host.url, target, "video_1", replaces=False, is_again=True)
        assert path == tmp_path / "cat-2.mp4"
    assert path.read_bytes() == FILM
    assert target.read_bytes() == FILM[:-1] + b"\0"
    assert names(tmp_path) == ["cat-2.mp4", "cat.mp4"]


async def test_two_videos_of_the_same_content_have_a_file_each(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    target = tmp_path / "cat.mp4"
    for task_id in ("video_1", "video_2"):
        await fetch(http, host.url, target, task_id, replaces=False)
    assert names(tmp_path) == ["cat-2.mp4", "cat.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such things")
@pytest.mark.parametrize("has_links", [True, False])
async def test_what_is_no_file_keeps_its_name_too(
    host: Host,
    http: aiohttp.ClientSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_links: bool,
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "cat.mp4").mkdir()
    os.mkfifo(tmp_path / "cat-2.mp4")
    (tmp_path / "cat-3.mp4").symlink_to(tmp_path / "nowhere")
    path, _ = await fetch(http, host.url, tmp_path / "cat.mp4", "video_1", replaces=False)
    assert path == tmp_path / "cat-4.mp4"
    assert path.read_bytes() == FILM
    target = tmp_path / "cat.mp4"
    again = await fetch(http, host.url, target, "video_1", replaces=False, is_again=True)
    assert again == (path, len(FILM))
    assert names(tmp_path) == ["cat-2.mp4", "cat-3.mp4", "cat-4.mp4", "cat.mp4"]


def test_a_file_is_there_if_it_is_whole_and_of_its_size(tmp_path: Path) -> None:
    path = tmp_path / "cat.mp4"
    assert not is_there(path, len(FILM))
    path.write_bytes(FILM)
    assert is_there(path, len(FILM))
    assert not is_there(path, len(FILM) - 1)
    path.write_bytes(FILM[4:] + FILM[:4])
    assert not is_there(path, len(FILM))
    path.write_bytes(b"")
    assert not is_there(path, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such things")
def test_what_is_no_file_is_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "pipe" / "x", Path("a\0b")):
        assert not is_there(path, 0)


# A disk that takes nothing more, and a single odd file.


@pytest.mark.parametrize(
    ("number", "is_trouble"),
    [(getattr(errno, name), True) for name in "ENOSPC EDQUOT EROFS EACCES EPERM EIO".split()]
    + [(getattr(errno, name), False) for name in "EISDIR ENAMETOOLONG EFBIG ENOENT".split()],
)
def test_trouble_is_what_the_next_file_would_meet_too(number: int, is_trouble: bool) -> None:
    error = DownloadError("cannot write", "video_1")
    error.__cause__ = OSError(number, os.strerror(number))
    assert is_disk_trouble(error) is is_trouble


def test_a_file_that_a_virus_scanner_has_open_is_no_trouble_of_the_disk() -> None:
    error, busy = DownloadError("cannot write", "video_1"), PermissionError(errno.EACCES, "busy")
    busy.winerror = 32  # type: ignore[attr-defined, unused-ignore]
    error.__cause__ = busy
    assert not is_disk_trouble(error)


async def test_a_host_that_cannot_be_reached_is_no_trouble_of_the_disk(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match="could not be fetched") as caught:
        await fetch(http, "http://127.0.0.1:9/a.mp4", tmp_path / "cat.mp4", "video_1")
    assert not is_disk_trouble(caught.value)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or not shutil.which("mount"):
        pytest.skip("a disk is made with Linux's mount")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"cannot make a disk: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_trouble_and_nothing_is_left_on_it(
    host: Host, http: aiohttp.ClientSession, disk: Path
) -> None:
    with pytest.raises(DownloadError, match="No space left") as caught:
        await fetch(http, host.url, disk / "cat.mp4", "video_1")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert caught.value.task_id == "video_1"
    assert is_disk_trouble(caught.value)
    assert names(disk) == []
    assert shutil.disk_usage(disk).used == 0


async def test_a_cancellation_on_a_full_disk_is_a_cancellation(
    host: Host, http: aiohttp.ClientSession, disk: Path
) -> None:
    again = asyncio.Event()

    async def stalls(request: web.Request) -> web.StreamResponse:
        again.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def cut_early(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=host.head(0))
        await response.prepare(request)
        await response.write(FILM[:3000])  # stays in Python's buffer until the file is closed
        await asyncio.sleep(1)
        assert request.transport
        request.transport.close()
        return response

    with pytest.raises(OSError, match="No space left"):
        (disk / "full").write_bytes(bytes(3 << 20))
    host.script = [cut_early, stalls]
    running = asyncio.create_task(fetch(http, host.url, disk / "cat.mp4", "video_1"))
    await again.wait()
    assert host.asked[1].headers["Range"] == "bytes=3000-"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert names(disk) == ["full"]


async def test_a_disk_that_is_read_only_is_trouble_before_anything_is_fetched(
    host: Host, http: aiohttp.ClientSession, disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)  # noqa: ASYNC221
    with pytest.raises(DownloadError, match="Read-only") as caught:
        await fetch(http, host.url, disk / "cat.mp4", "video_1")
    assert is_disk_trouble(caught.value)
    with pytest.raises(DownloadError, match="Read-only") as caught:
        prepare_folder(disk)
    assert is_disk_trouble(caught.value)
    assert host.asked == []


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in which even root may make no file."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        closed = subprocess.run(["chattr", "+i", folder], capture_output=True, check=False)
        if closed.returncode:
            pytest.skip(f"cannot close a folder to root: {closed.stderr.decode().strip()}")
    yield folder
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-i", folder], check=True)
    folder.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="closes no folder by its mode")
async def test_a_folder_that_is_closed_is_trouble(
    host: Host, http: aiohttp.ClientSession, closed_folder: Path
) -> None:
    with pytest.raises(DownloadError, match=r"not permitted|denied") as caught:
        await fetch(http, host.url, closed_folder / "cat.mp4", "video_1")
    assert is_disk_trouble(caught.value)
    assert host.asked == []


async def test_a_folder_whose_place_a_file_took_is_trouble(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="Not a directory") as caught:
        await fetch(http, host.url, tmp_path / "file" / "videos" / "cat.mp4", "video_1")
    assert is_disk_trouble(caught.value)


async def test_a_single_file_that_is_too_large_is_no_trouble_of_the_disk(
    host: Host, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="sets the limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(DownloadError, match="too large") as caught:
            await fetch(http, host.url, tmp_path / "cat.mp4", "video_1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not is_disk_trouble(caught.value)
    assert names(tmp_path) == []
