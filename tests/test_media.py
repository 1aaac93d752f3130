"""Looking at media: real files of every kind, and files that lie, end early or mean harm."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import av
import pytest
from aiohttp import web
from media_files import beep, looking, mono, picture, png_bomb, sound, video, wait_until
from media_host import Handler, Host
from PIL import Image

from seedance_async import behind
from seedance_async.errors import MediaError
from seedance_async.looking import Looker, LookingFailed
from seedance_async.mediainfo import MediaInfo, MediaKind

SIDEWAYS = 6  # Exif: the top of the picture is on its right


@pytest.fixture(scope="module")
def looker() -> Iterator[Looker]:
    running = Looker()
    yield running
    asyncio.run(running.close())


def essence(info: MediaInfo) -> tuple[Any, ...]:
    return info.kind, info.container, info.width, info.height, info.animated


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tiff", "a.gif"])
async def test_images_of_the_contract(looker: Looker, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    picture(600, 450).save(path)
    container = {"jpg": "jpeg"}.get(name[2:], name[2:])
    info = await looker.look(path)
    assert essence(info) == (MediaKind.IMAGE, container, 600, 450, False)
    assert (info.size_bytes, info.duration_s) == (path.stat().st_size, None)


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "CMYK"), ("a.png", "I;16"), ("a.tiff", "F")])
async def test_unusual_pixels(looker: Looker, tmp_path: Path, name: str, mode: str) -> None:
    kind = "L" if mode in ("I;16", "F") else "RGB"
    picture().convert(kind).convert(mode).save(tmp_path / name)
    info = await looker.look(tmp_path / name)
    assert (info.width, info.height) == (640, 480)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exact": True}])
async def test_every_kind_of_webp(looker: Looker, tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.webp"
    with_alpha = picture(640, 481)
    with_alpha.putalpha(128)
    with_alpha.save(path, **options)
    info = await looker.look(path)
    assert essence(info) == (MediaKind.IMAGE, "webp", 640, 481, False)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff"])
async def test_exif_turns_a_picture(looker: Looker, tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    picture().save(tmp_path / name, exif=exif)
    info = await looker.look(tmp_path / name)
    assert (info.width, info.height) == (480, 640)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
async def test_moving_pictures(looker: Looker, tmp_path: Path, name: str) -> None:
    first, *others = (picture().rotate(90 * turn) for turn in range(3))
    first.save(tmp_path / name, save_all=True, append_images=others, duration=100)
    info = await looker.look(tmp_path / name)
    assert essence(info) == (MediaKind.IMAGE, name[2:], 640, 480, True)


@pytest.mark.parametrize(
    ("name", "container"),
    [("a.avif", "avif"), ("a.ico", "ico"), ("a.jp2", "j2k"), ("a.ppm", "ppm"), ("a.pcx", "pcx")],
)
async def test_images_that_the_api_does_not_take_are_named(
    looker: Looker, tmp_path: Path, name: str, container: str
) -> None:
    picture(256, 256).save(tmp_path / name)
    info = await looker.look(tmp_path / name)
    assert (info.kind, info.container) == (MediaKind.IMAGE, container)


async def test_content_decides_and_not_the_name(looker: Looker, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    picture().save(path, format="PNG")
    assert (await looker.look(path)).container == "png"
    wrong = sound(tmp_path / "a.ogg", 2.0, "libopus", rate=48_000).rename(tmp_path / "b.mp3")
    info = await looker.look(wrong)
    assert (info.kind, info.container, info.codec) == (MediaKind.AUDIO, "ogg", "opus")


@pytest.mark.parametrize(
    ("name", "codec", "told"),
    [
        ("a.mp4", "libx264", ("mp4", "h264")),
        ("a.mp4", "libx265", ("mp4", "hevc")),
        ("a.mov", "libx264", ("mov", "h264")),
        ("a.webm", "libvpx-vp9", ("webm", "vp9")),
        ("a.mkv", "libx264", ("matroska", "h264")),
        ("a.avi", "mpeg4", ("avi", "mpeg4")),
        ("a.ts", "mpeg2video", ("mpegts", "mpeg2video")),
    ],
)
async def test_videos(
    looker: Looker, tmp_path: Path, name: str, codec: str, told: tuple[str, str]
) -> None:
    info = await looker.look(video(tmp_path / name, codec=codec, seconds=2.5))
    assert (info.kind, info.container, info.codec) == (MediaKind.VIDEO, *told)
    assert (info.width, info.height) == (640, 480)
    assert info.duration_s == pytest.approx(2.5, abs=0.05)


@pytest.mark.parametrize(("rotation", "turned"), [(90, True), (180, False), (-90, True)])
async def test_a_phones_video_stands_as_it_is_shown(
    looker: Looker, tmp_path: Path, rotation: int, *, turned: bool
) -> None:
    info = await looker.look(video(tmp_path / "a.mp4", rotation=rotation))
    assert (info.width, info.height) == ((480, 640) if turned else (640, 480))


async def test_a_variable_frame_rate(looker: Looker, tmp_path: Path) -> None:
    uneven = video(tmp_path / "a.mp4", seconds=6.0, gaps=lambda index: 1 + index % 5)
    assert (await looker.look(uneven)).duration_s == pytest.approx(6.0, abs=0.2)


async def test_a_video_is_as_long_as_its_pictures(looker: Looker, tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", seconds=3.0, sound_s=5.0)
    assert (await looker.look(path)).duration_s == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
async def test_no_duration_in_the_header(looker: Looker, tmp_path: Path, name: str) -> None:
    path = video(tmp_path / name, seconds=4.0, **({"live": "1"} if name == "a.mkv" else {}))
    assert (await looker.look(path)).duration_s == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    ("name", "codec", "told"),
    [
        ("a.wav", "pcm_s16le", ("wav", "pcm_s16le")),
        ("a.wav", "pcm_f32le", ("wav", "pcm_f32le")),
        ("a.mp3", "libmp3lame", ("mp3", "mp3")),
        ("a.flac", "flac", ("flac", "flac")),
        ("a.m4a", "aac", ("mp4", "aac")),
    ],
)
async def test_sounds(
    looker: Looker, tmp_path: Path, name: str, codec: str, told: tuple[str, str]
) -> None:
    for seconds in (2.0, 15.0):
        info = await looker.look(sound(tmp_path / name, seconds, codec))
        assert (info.kind, info.container, info.codec) == (MediaKind.AUDIO, *told)
        assert (info.width, info.height) == (None, None)
        assert info.duration_s == pytest.approx(seconds, abs=0.07)


async def test_an_mp3_without_a_header_of_its_own(looker: Looker, tmp_path: Path) -> None:
    path = sound(tmp_path / "a.mp3", 9.0, "libmp3lame", write_xing="0")
    assert (await looker.look(path)).duration_s == pytest.approx(9.0, abs=0.1)


async def test_a_cover_picture_makes_no_video_of_a_song(looker: Looker, tmp_path: Path) -> None:
    cover = io.BytesIO()
    picture(64, 64).save(cover, "JPEG")
    picture_frame = b"\0image/jpeg\0\3\0" + cover.getvalue()
    frame = b"APIC" + struct.pack(">IH", len(picture_frame), 0) + picture_frame
    size = len(frame)
    synchsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    song = sound(tmp_path / "a.mp3", 3.0, "libmp3lame", write_id3v2="0").read_bytes()
    path = tmp_path / "b.mp3"
    path.write_bytes(b"ID3\3\0\0" + synchsafe + frame + song)
    info = await looker.look(path)
    assert (info.kind, info.container) == (MediaKind.AUDIO, "mp3")


# --- files that are broken or mean harm ---------------------------------------------------------


def whole_files(folder: Path) -> Iterator[Path]:
    for name in ("a.jpg", "a.png", "a.webp", "a.bmp", "a.tiff", "a.gif"):
        picture().save(folder / name)
        yield folder / name
    picture().save(folder / "lzw.tiff", compression="tiff_lzw")
    yield folder / "lzw.tiff"
    yield video(folder / "a.mp4", seconds=3.0)
    yield video(folder / "front.mp4", seconds=3.0, movflags="faststart")


async def test_a_file_that_is_cut_short(looker: Looker, tmp_path: Path) -> None:
    for path in whole_files(tmp_path):
        assert await looker.look(path)
        data = path.read_bytes()
        for share in (0.3, 0.7):
            cut = tmp_path / f"cut {path.name}"
            cut.write_bytes(data[: int(len(data) * share)])
            with pytest.raises(MediaError):
                await looker.look(cut)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"hello " * 1000,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"RIFF\xff\xff\xff\xffWEBPVP8X",
        b"RIFF\x04\0\0\0WEBP",
        b"II*\0\xff\xff\xff\x7f",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        bytes(range(256)) * 4000,
    ],
)
async def test_what_is_no_media_is_told(looker: Looker, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        await looker.look(path)
    assert "crash" not in str(caught.value)


async def test_random_damage_ends_in_an_answer_or_a_clear_error(
    looker: Looker, tmp_path: Path
) -> None:
    path = tmp_path / "damaged"
    for whole in [*whole_files(tmp_path)]:
        for seed in range(6):
            data = bytearray(whole.read_bytes())
            for spot in range(40):
                data[hash((seed, spot)) % min(len(data), 600)] = spot * 6
            path.write_bytes(data)
            assert "crash" not in await told(looker, path)


async def told(looker: Looker, path: Path) -> str:
    try:
        return str(await looker.look(path))
    except MediaError as error:
        return str(error)


@pytest.mark.parametrize("sides", [(30_000, 30_000), (100_000, 10_000), (6000, 6000)])
async def test_a_bomb_is_not_set_off(
    looker: Looker, tmp_path: Path, sides: tuple[int, int]
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(*sides))
    info = await looker.look(path)
    assert (info.width, info.height) == sides


async def test_a_webp_may_claim_its_billion_pixels(looker: Looker, tmp_path: Path) -> None:
    body = b"VP8X" + struct.pack("<IB3x", 10, 2) + b"\xff\xff\x3f" * 2
    path = tmp_path / "a.webp"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)
    info = await looker.look(path)
    assert (info.width, info.height) == (1 << 22, 1 << 22)


async def test_a_video_that_claims_hours(looker: Looker, tmp_path: Path) -> None:
    data = bytearray(video(tmp_path / "a.mp4", seconds=2.0).read_bytes())
    for box, at in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = data.index(box) + at
        data[place : place + 4] = struct.pack(">I", 0x7FFFFFFF)
    path = tmp_path / "b.mp4"
    path.write_bytes(data)
    assert (await looker.look(path)).duration_s == pytest.approx(2.0, abs=0.1)


async def test_a_file_that_is_not_there_or_is_a_folder(looker: Looker, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        await looker.look(tmp_path / "none.png")
    with pytest.raises(MediaError, match="cannot be read"):
        await looker.look(tmp_path)


async def test_bytes_are_looked_at_like_a_file(looker: Looker, tmp_path: Path) -> None:
    for path in whole_files(tmp_path):
        assert await looker.look(path.read_bytes()) == await looker.look(path)
    with pytest.raises(MediaError, match="empty"):
        await looker.look(b"")


# --- behind a URL -------------------------------------------------------------------------------


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def distant() -> AsyncIterator[Looker]:
    running = Looker(to_private=True)
    yield running
    await running.close()


@pytest.mark.parametrize("in_parts", [True, False])
async def test_what_is_behind_a_url(
    distant: Looker, looker: Looker, host: Host, tmp_path: Path, *, in_parts: bool
) -> None:
    for path in whole_files(tmp_path):
        async with host.serving(host.file(path.read_bytes(), in_parts=in_parts)) as base:
            assert await distant.look_behind(f"{base}/a?sig=secret") == await looker.look(path)
    assert not {"Authorization", "Cookie"} & set(host.headers[0])


async def test_of_a_large_video_a_small_part_is_fetched(
    distant: Looker, host: Host, tmp_path: Path
) -> None:
    data = video(tmp_path / "a.mp4", seconds=3.0).read_bytes()
    index = data.rindex(b"moov") - 4
    filling = struct.pack(">I4s", 100_000_008, b"free") + bytes(100_000_000)
    large = data[:index] + filling + data[index:]
    async with host.serving(host.file(large)) as base:
        info = await distant.look_behind(base)
    assert (info.kind, info.width, info.size_bytes) == (MediaKind.VIDEO, 640, len(large))
    assert info.duration_s == pytest.approx(3.0, abs=0.05)
    assert host.sent_bytes < 500_000


async def test_a_large_video_that_comes_whole_or_not_at_all_is_given_up(
    distant: Looker, host: Host, tmp_path: Path
) -> None:
    data = video(tmp_path / "a.mp4", seconds=3.0).read_bytes()
    index = data.rindex(b"moov") - 4
    filling = struct.pack(">I4s", 100_000_008, b"free") + bytes(100_000_000)
    large = data[:index] + filling + data[index:]
    async with host.serving(host.file(large, in_parts=False)) as base:
        with pytest.raises(MediaError, match="Range"):
            await distant.look_behind(base)
    assert host.sent_bytes < 20_000_000  # what sockets hold


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(bytes(1 << 16))
    return response


async def drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"\0")
            await anyio.sleep(0.5)
    return response


async def silent(_: web.Request) -> web.StreamResponse:
    await anyio.sleep_forever()
    raise AssertionError


async def round_and_round(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.url)


async def away(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("ftp://h.example/a.png")


async def gone(_: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


async def swapped(request: web.Request) -> web.StreamResponse:
    """Serve a beginning, and no part after it."""
    if request.http_range.start:
        return web.Response(text="no")
    head = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".ljust(1 << 16, b"\0")
    return web.Response(status=206, body=head, headers={"Content-Range": "bytes 0-65535/9000000"})


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (endless, r"does not show what it is|no image"),
        (round_and_round, "redirects more than 5 times"),
        (away, r"no http\(s\) URL"),
        (gone, "HTTP 404"),
        (swapped, r"in parts: HTTP 200|no image"),
    ],
)
async def test_odd_hosts_end_in_a_clear_error(
    distant: Looker, host: Host, handler: Handler, words: str
) -> None:
    async with host.serving(handler) as base:
        with pytest.raises(MediaError, match=words) as caught:
            await distant.look_behind(f"{base}/cat.mp4?sig=secret")
    assert "secret" not in str(caught.value)
    assert host.asked <= 10


@pytest.mark.parametrize("handler", [drip, silent])
async def test_slow_hosts_end_in_time(
    host: Host, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert behind.LOOK_S < 5
    monkeypatch.setattr(behind, "LOOK_S", 0.5)

    def look() -> float:
        async def main() -> float:
            looker = Looker(to_private=True)
            async with host.serving(handler) as base:
                began = time.monotonic()
                with pytest.raises(MediaError, match=r"cannot be fetched|takes longer"):
                    await looker.look_behind(base)
                lasted = time.monotonic() - began
            await looker.close()
            return lasted

        return asyncio.run(main())  # a deadline for hosts is in real time

    assert await asyncio.to_thread(look) < 5.0  # of which most is a busy machine's


async def test_a_host_may_give_less_than_was_asked_for(
    distant: Looker, host: Host, tmp_path: Path
) -> None:
    data = video(tmp_path / "a.mp4", seconds=3.0).read_bytes()

    async def stingy(request: web.Request) -> web.StreamResponse:
        first = request.http_range.start
        piece = data[first : min(request.http_range.stop, first + 1000)]
        told = f"bytes {first}-{first + len(piece) - 1}/{len(data)}"
        return web.Response(status=206, body=piece, headers={"Content-Range": told})

    async with host.serving(stingy) as base:
        assert (await distant.look_behind(base)).kind is MediaKind.VIDEO


async def test_a_bad_moment_of_a_host_is_outlasted(
    distant: Looker, host: Host, tmp_path: Path
) -> None:
    picture().save(tmp_path / "a.png")
    good = host.file((tmp_path / "a.png").read_bytes())

    async def shaky(request: web.Request) -> web.StreamResponse:
        if host.asked == 1:
            raise web.HTTPServiceUnavailable
        return await good(request)

    async with host.serving(shaky) as base:
        assert (await distant.look_behind(base)).width == 640


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4"])
async def test_behind_a_url_too_a_video_is_as_long_as_its_pictures(
    distant: Looker, host: Host, tmp_path: Path, name: str
) -> None:
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = video(tmp_path / name, codec=codec, seconds=3.0)
    longer = tmp_path / f"longer {name}"
    remux_with_sound(path, longer, 5.0, "libopus" if name == "a.webm" else "aac")
    async with host.serving(host.file(longer.read_bytes())) as base:
        info = await distant.look_behind(base)
    assert info.duration_s == pytest.approx(3.0, abs=0.1)


def remux_with_sound(path: Path, to: Path, seconds: float, codec: str) -> None:
    with av.open(str(path)) as old, av.open(str(to), "w") as new:
        pictures = new.add_stream_from_template(old.streams.video[0])
        tone = mono(new.add_stream(codec, rate=48_000))
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = pictures
                new.mux(packet)
        beep(new, tone, seconds)


@pytest.mark.parametrize(
    "url", [f"https://{'é' * 62}.com/a.png", "https://[::1].example.com/a.png", "https://[::1"]
)
async def test_a_url_without_a_valid_host(looker: Looker, url: str) -> None:
    with pytest.raises(MediaError):
        await looker.look_behind(url)


async def test_the_current_folder_s_modules_are_not_run_and_the_key_stays_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save(tmp_path / "a.png")
    for name in ("av.py", "json.py", "PIL.py"):
        (tmp_path / name).write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDANCE_API_KEY", "the-secret-key")
    others = set(looking())
    own = Looker()
    assert await own.look(tmp_path / "a.png")
    assert not (tmp_path / "run").exists()
    for process in set(looking()) - others:
        assert b"the-secret-key" not in (process / "environ").read_bytes()
    await own.close()


async def test_what_looks_may_die_between_two_looks(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    others = set(looking())
    own = Looker()
    for _ in range(3):
        assert await own.look(tmp_path / "a.png")
        for process in set(looking()) - others:
            os.kill(int(process.name), signal.SIGKILL)
            await asyncio.to_thread(gone_now, process)
    await own.close()


def gone_now(process: Path) -> None:
    while (process / "stat").exists() and "Z" not in (process / "stat").read_text().split()[2]:
        time.sleep(0.01)


async def test_trouble_of_ours_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save(tmp_path / "a.png")
    own = Looker()
    for program in ("/nowhere/python", "/bin/true"):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(LookingFailed, match="cannot start"):
            await own.look(tmp_path / "a.png")
    monkeypatch.undo()
    assert await own.look(tmp_path / "a.png")
    await own.close()


async def test_nobody_at_the_url(distant: Looker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        unused_port = taken.getsockname()[1]
    with pytest.raises(MediaError, match="cannot be fetched"):
        await distant.look_behind(f"http://127.0.0.1:{unused_port}/a.png")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a.png", "http://169.254.169.254/latest", "http://localhost/a.png"]
)
async def test_private_addresses_are_not_asked(looker: Looker, url: str) -> None:
    with pytest.raises(MediaError, match="private address"):
        await looker.look_behind(url)


async def test_nor_by_a_name_that_leads_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: Any, **__: Any) -> list[dict[str, Any]]:
        return [
            {"hostname": "h", "host": "127.0.0.1", "port": 1, "family": 2, "proto": 0, "flags": 0}
        ]

    monkeypatch.setattr("seedance_async.behind.DefaultResolver.resolve", resolve)
    looker = Looker()
    with pytest.raises(MediaError, match="private address"):
        await looker.look_behind("http://public.example.com/a.png")
    await looker.close()


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/a.png",
        "//localhost/a.png",
        "http://10.0.0.1/a.png",
        "http://169.254.169.254/latest",
        "http://[::1]/a.png",
        "http://[::ffff:127.0.0.1]/a.png",
        "http://2130706433/a.png",
        "http://0x7f.1/a.png",
    ],
)
async def test_a_redirect_does_not_lead_into_our_network(host: Host, target: str) -> None:
    class OneIsHere(behind._PublicOnly):
        async def resolve(self, name: str, port: int, **how: int) -> list[Any]:  # type: ignore[override]
            if name != "public.example.com":
                return await super().resolve(name, port, **how)
            here = {"hostname": name, "host": "127.0.0.1", "port": port}
            return [here | {"family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def into(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(target)

    looker = Looker()
    looker._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=OneIsHere()))
    async with host.serving(into) as base:
        with pytest.raises(MediaError, match="private address"):
            await looker.look_behind(base.replace("127.0.0.1", "public.example.com"))
    assert host.asked == 1
    await looker.close()


async def test_looks_that_nobody_waits_for_leave_nothing_behind(
    distant: Looker, host: Host, tmp_path: Path
) -> None:
    picture().save(tmp_path / "a.png")
    async with host.serving(silent) as base:
        with anyio.move_on_after(1):
            await distant.look_behind(base)
    with anyio.move_on_after(0) as scope:
        scope.cancel()
        await distant.look(tmp_path / "a.png")
    assert await distant.look(tmp_path / "a.png")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_memory_stays_small_and_processes_end(tmp_path: Path) -> None:
    others = set(looking())
    looker = Looker()
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(20_000, 20_000))
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(looker.look, path)
    running = [pid for pid in looking() if pid not in others]
    told = [(pid / "status").read_text() for pid in running]
    peaks_kib = [int(text.partition("VmHWM:")[2].split()[0]) for text in told]
    assert 1 <= len(running) <= 2
    assert sum(peaks_kib) < 200_000
    await looker.close()  # kills them, and does not wait for their end
    await asyncio.to_thread(wait_until, lambda: not set(running) & set(looking()))
