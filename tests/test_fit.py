"""Making files fit: every kind of change and refusal, on real files, and what never happens."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import os
import struct
import subprocess
import sys
import threading
import wave
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import anyio
import attrs
import av
import pytest
from media_files import HASTE, looking, picture, png_bomb, sound, video, wait_until
from PIL import Image, ImageCms

from seedance_async import MediaError, MediaInfo, MediaKind, media
from seedance_async.looking import Looker, LookingFailed, _Bounds
from seedance_async.media import oneoff, recode, redraw, worker
from seedance_async.media.problem import Problem
from seedance_async.remedies import Plan, broken, make_plan

SIDEWAYS = 6  # Exif: the top of the picture is on its right
GREEN, WHITE, BLACK, RED = (30, 200, 30), (250, 250, 250), (5, 5, 5), (200, 30, 30)
CORNERS = {(0, 0): GREEN, (1, 0): WHITE, (0, 1): BLACK, (1, 1): RED}


def looked(path: Path) -> MediaInfo:
    with path.open("rb") as file:
        return worker._look(file, path.stat().st_size, is_whole=True)


def fitted(path: Path, *, trim: bool = False) -> tuple[Path, MediaInfo]:
    """Do here what ``media.fit`` has done in a process of its own, which takes its time."""
    plan = make_plan(looked(path), trim=trim)
    assert plan is not None
    out = path.with_name("out")
    out.touch()
    with path.open("rb") as file, out.open("r+b") as to:
        change = redraw.redraw if plan.kind is MediaKind.IMAGE else recode.recode
        assert not change(file, to, plan)
    info = looked(out)
    assert broken(info) == ()
    return out, info


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def flag(width: int, height: int) -> Image.Image:
    """Draw another colour in each corner."""
    quarters = Image.new("RGB", (2, 2))
    for at, colour in CORNERS.items():
        quarters.putpixel(at, colour)
    return quarters.resize((width, height), Image.Resampling.NEAREST)


def corners(image: Image.Image) -> dict[tuple[int, int], tuple[int, ...]]:
    """Name the colours that are in the corners."""
    small, colours = image.convert("RGB"), CORNERS.values()
    spots = {(x, y): (small.width * (1 + 2 * x) // 4, small.height * (1 + 2 * y) // 4)
             for x, y in CORNERS}  # fmt: skip
    seen = {at: small.getpixel(spot) for at, spot in spots.items()}
    near = lambda a, b: sum(abs(m - n) for m, n in zip(a, b, strict=True))  # noqa: E731
    found = {at: min(colours, key=functools.partial(near, rgb)) for at, rgb in seen.items()}
    assert all(near(seen[at], found[at]) < 30 for at in seen)
    return found


# --- images --------------------------------------------------------------------------------------


def psd(path: Path, mode: str) -> Path:
    """Write what Pillow reads and does not write. Source: Adobe's "Photoshop File Formats"."""
    image = flag(400, 320).convert(mode)
    count, kind = len(image.getbands()), {"RGB": 3, "CMYK": 4}[mode]
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, count, 320, 400, 8, kind)
    planes = (band if mode == "RGB" else band.point(lambda n: 255 - n) for band in image.split())
    data = b"".join(plane.tobytes() for plane in planes)
    path.write_bytes(head + bytes(12) + bytes(2) + data)
    return path


@pytest.mark.parametrize(
    ("name", "container"),
    [("a.avif", "jpeg"), ("a.jp2", "jpeg"), ("a.ppm", "png"), ("a.pcx", "png"), ("a.sgi", "png")],
)
def test_an_image_in_another_format(tmp_path: Path, name: str, container: str) -> None:
    flag(400, 320).save(tmp_path / name)
    out, info = fitted(tmp_path / name)
    assert (info.container, info.width, info.height) == (container, 400, 320)
    assert corners(opened(out)) == CORNERS


@pytest.mark.parametrize(("mode", "container"), [("RGB", "png"), ("CMYK", "jpeg")])
def test_a_photoshop_file(tmp_path: Path, mode: str, container: str) -> None:
    out, info = fitted(psd(tmp_path / "a.psd", mode))
    assert (info.container, opened(out).mode) == (container, mode)
    assert corners(opened(out)) == CORNERS


@pytest.mark.parametrize("name", ["a.avif", "a.jp2"])
def test_what_can_be_seen_through_stays_so(tmp_path: Path, name: str) -> None:
    clear = flag(400, 320)
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(tmp_path / name)
    out, info = fitted(tmp_path / name)
    assert info.container == "png"
    assert opened(out).getpixel((10, 310))[3] == pytest.approx(248, abs=4)


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the limit on sides at 600 px, since pixels take time."""
    monkeypatch.setattr("seedance_async.mediarules.MAX_PX", 600)
    monkeypatch.setattr(redraw, "MAX_PX", 600)


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tiff", "a.gif"])
@pytest.mark.parametrize(("size", "made"), [((800, 640), (600, 480)), ((641, 1600), (240, 600))])
def test_an_image_that_is_too_large_keeps_shape_and_format(
    tmp_path: Path, name: str, size: tuple[int, int], made: tuple[int, int], monkeypatch: Any
) -> None:
    monkeypatch.setattr("seedance_async.mediarules.MIN_PX", 200)
    flag(*size).save(tmp_path / name)
    out, info = fitted(tmp_path / name)
    assert info.container == looked(tmp_path / name).container
    assert (info.width, info.height) == made
    assert corners(opened(out)) == CORNERS


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff"])
def test_a_photo_is_turned_upright_once(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    flag(800, 640).transpose(Image.Transpose.ROTATE_90).save(tmp_path / name, exif=exif)
    out, info = fitted(tmp_path / name)
    assert (info.width, info.height) == (600, 480)
    image = opened(out)
    assert image.size == (600, 480)
    assert image.getexif().get(0x0112, 1) == 1
    assert corners(image) == CORNERS


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff"])
def test_the_colour_profile_stays(tmp_path: Path, name: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    flag(800, 640).save(tmp_path / name, icc_profile=profile)
    assert opened(fitted(tmp_path / name)[0]).info["icc_profile"] == profile


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize(
    ("name", "mode", "made"),
    [
        ("a.png", "1", "L"),
        ("a.png", "P", "RGB"),
        ("a.png", "LA", "LA"),
        ("a.png", "I;16", "I;16"),
        ("a.tiff", "I;16", "I;16"),
        ("a.tiff", "F", "F"),
        ("a.tiff", "CMYK", "CMYK"),
        ("a.jpg", "L", "L"),
        ("a.jpg", "CMYK", "CMYK"),
    ],
)
def test_unusual_pixels_stay_as_deep_as_they_were(
    tmp_path: Path, name: str, mode: str, made: str
) -> None:
    grey = Image.new("L", (800, 640), 80)
    deep = {"I;16": lambda: grey.convert("I").point(lambda n: n * 257).convert("I;16")}
    deep.get(mode, lambda: grey.convert("RGB" if mode == "P" else "L").convert(mode))().save(
        tmp_path / name
    )
    image = opened(fitted(tmp_path / name)[0])
    assert image.mode == made
    if mode == "I;16":
        assert image.getpixel((300, 200)) == 80 * 257


@pytest.mark.usefixtures("low")
def test_a_palette_with_a_hole_in_it(tmp_path: Path) -> None:
    holed = flag(800, 640).quantize(8)
    holed.info["transparency"] = holed.getpixel((10, 10))
    for name in ("a.png", "a.gif"):
        holed.save(tmp_path / name)
        image = opened(fitted(tmp_path / name)[0]).convert("RGBA")
        assert (image.getpixel((10, 10))[3], image.getpixel((590, 10))[3]) == (0, 255)


@pytest.mark.usefixtures("low")
def test_pages_are_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    flag(800, 640).save(path, save_all=True, append_images=[flag(800, 640)])
    with pytest.raises(Problem, match="has 2 pictures: which of them to keep"):
        fitted(path)


def test_pixels_that_no_image_of_the_contract_has(tmp_path: Path) -> None:
    Image.new("F", (400, 320), 0.5).save(tmp_path / "a.pfm")
    with pytest.raises(Problem, match=r"pixels of a kind \(F\) that a png has not"):
        redrawn(tmp_path / "a.pfm")


def redrawn(path: Path) -> None:
    with path.open("rb") as file:
        redraw.redraw(file, io.BytesIO(), Plan(kind=MediaKind.IMAGE))


def test_a_header_of_a_billion_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bomb(30_000, 30_000))
    with pytest.raises(Problem, match="more than 200,000,000 pixels are not decoded"):
        redrawn(path)


# --- videos --------------------------------------------------------------------------------------


def film(
    path: Path,
    *,
    size: tuple[int, int] = (1280, 960),
    ticks: Any = range(10),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    full_range: bool = False,
    shape: Fraction | None = None,
) -> Path:
    """Film a flag, five ticks a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=5, width=size[0], height=size[1])
        stream.pix_fmt, stream.codec_context.options = pix_fmt, HASTE.get(codec, {})
        stream.codec_context.color_range = 2 if full_range else 1
        if shape is not None:
            stream.codec_context.sample_aspect_ratio = shape
        still = av.VideoFrame.from_image(flag(*size))
        still = still.reformat(format=pix_fmt, dst_color_range=2 if full_range else 1)
        for tick in ticks:
            still.pts, still.time_base = tick, Fraction(1, 5)
            container.mux(stream.encode(still))
        container.mux(stream.encode(None))
    return path


def shown(path: Path) -> Image.Image:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_image()


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]


def test_a_video_that_is_too_large(tmp_path: Path) -> None:
    out, info = fitted(film(tmp_path / "a.mp4"))
    assert (info.container, info.codec, info.width, info.height) == ("mp4", "h264", 960, 720)
    assert info.duration_s == pytest.approx(2.0, abs=0.01)
    assert corners(shown(out)) == CORNERS
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("size", "made"),
    [((1920, 1080), (1280, 720)), ((1080, 2340), (720, 1560)), ((2702, 1082), (1798, 720))],
)
def test_720p_is_by_lines_in_even_sides(
    tmp_path: Path, size: tuple[int, int], made: tuple[int, int]
) -> None:
    _, info = fitted(film(tmp_path / "a.mp4", size=size))
    assert (info.width, info.height) == made


@pytest.mark.parametrize("signs", [(1, 0, 0, 1), *recode._TURNS])
def test_a_video_stands_as_it_was_shown(tmp_path: Path, signs: tuple[int, ...]) -> None:
    data = bytearray(film(tmp_path / "a.mp4").read_bytes())
    a, b, c, d = signs
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", *(n << 16 for n in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    (tmp_path / "b.mp4").write_bytes(data)
    out, info = fitted(tmp_path / "b.mp4")
    assert (info.width, info.height) == ((960, 720) if a else (720, 960))
    turned = {
        ((a * x + c * y + 1) // 2, (b * x + d * y + 1) // 2): CORNERS[(x + 1) // 2, (y + 1) // 2]
        for x in (-1, 1)
        for y in (-1, 1)
    }
    assert corners(shown(out)) == turned


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"full_range": True}),
        ("a.avi", "mjpeg", {"pix_fmt": "yuvj420p", "full_range": True}),
        ("a.mkv", "ffv1", {"pix_fmt": "bgr0"}),
        ("a.mkv", "ffv1", {"pix_fmt": "yuv422p10le"}),
        ("a.h264", "libx264", {}),  # without times
    ],
)
def test_colours_stay_as_they_were(
    tmp_path: Path, name: str, codec: str, options: dict[str, Any]
) -> None:
    out, info = fitted(film(tmp_path / name, codec=codec, **options))
    assert (info.container, info.codec) == ("mp4", "h264")
    assert corners(shown(out)) == CORNERS
    assert len(times(out)) == 10


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    out, _ = fitted(film(tmp_path / "a.mp4", size=(1440, 1080), shape=Fraction(4, 3)))
    with av.open(str(out)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_a_variable_frame_rate_stays_so(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", ticks=[0, 1, 5, 6, 7, 12])
    out, _ = fitted(path)
    assert times(out) == times(path) == [0.0, 0.2, 1.0, 1.2, 1.4, 2.4]


def test_sound_stays_with_the_pictures(tmp_path: Path) -> None:
    out, _ = fitted(video(tmp_path / "a.mkv", size=(1280, 960), rate=5, sound_s=1.5))
    with av.open(str(out)) as container:
        (heard,) = container.streams.audio
        assert (heard.codec_context.name, heard.codec_context.layout.name) == ("aac", "mono")
        assert float(heard.duration * heard.time_base) == pytest.approx(1.5, abs=0.03)


def test_a_video_is_cut_within_15_seconds_and_its_sound_too(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mkv", size=(640, 480), seconds=16.0, rate=7, sound_s=16.0)
    with pytest.raises(MediaError, match="trim=True keeps the first 15 s"):
        fitted(path)
    out, info = fitted(path, trim=True)
    assert (info.width, info.height) == (640, 480)
    assert 14.8 < info.duration_s <= 15.0
    with av.open(str(out)) as container:
        assert container.duration <= 15 * av.time_base


def test_a_picture_that_is_shown_for_long_is_cut_too(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", size=(640, 480), ticks=[0, 1, 2, 50, 90, 91])
    out, info = fitted(path, trim=True)
    assert times(out) == [0.0, 0.2, 0.4, 10.0]
    assert info.duration_s == pytest.approx(15.0, abs=0.001)


def test_sides_of_a_video_that_no_h264_has(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", size=(853, 481), ticks=range(80), pix_fmt="yuv444p")
    _, info = fitted(path, trim=True)
    assert (info.width, info.height) == (852, 480)


def test_what_is_damaged_in_the_middle_is_left_out_and_counted(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        at = [packet.pos for packet in container.demux() if packet.size][4]
    data = bytearray(path.read_bytes())
    data[at : at + 4] = b"\xff" * 4  # the length of what follows
    path.write_bytes(data)
    plan = make_plan(looked(path), trim=False)
    (tmp_path / "out").touch()
    with path.open("rb") as file, (tmp_path / "out").open("r+b") as to:
        assert recode.recode(file, to, plan) == 1
    assert times(tmp_path / "out") == [0.0, 0.2, 0.4, 0.6, 1.0, 1.2, 1.4, 1.6, 1.8]


# --- sound ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.flac", "flac", 44_100),
        ("a.ogg", "libopus", 48_000),
        ("a.m4a", "aac", 22_050),
        ("a.au", "pcm_mulaw", 8_000),
        ("a.aiff", "pcm_s16be", 96_000),
    ],
)
def test_sound_in_another_format(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    _, info = fitted(sound(tmp_path / name, 2.5, codec, rate=rate))
    assert (info.kind, info.container) == (MediaKind.AUDIO, "mp3")
    assert info.duration_s == pytest.approx(2.5, abs=0.1)


def waves(path: Path, seconds: float, channels: int = 2) -> Path:
    with wave.open(str(path), "wb") as to:
        to.setnchannels(channels)
        to.setsampwidth(2)
        to.setframerate(8_000)
        to.writeframes(bytes(round(seconds * 8_000) * channels * 2))
    return path


@pytest.mark.parametrize("channels", [2, 6])
def test_a_wav_of_too_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    monkeypatch.setattr("seedance_async.mediarules.MAX_AUDIO_BYTES", 90_000)
    _, info = fitted(waves(tmp_path / "a.wav", 3.0, channels))
    assert info.container == "mp3"


@pytest.mark.parametrize(
    ("name", "codec", "made"),
    [
        ("a.wav", "pcm_s16le", ("wav", "pcm_s16le")),
        ("a.wav", "pcm_f32le", ("wav", "pcm_f32le")),
        ("a.wav", "pcm_u8", ("wav", "pcm_u8")),
        ("a.wav", "adpcm_ms", ("mp3", "mp3")),  # whose decoder tells no times
        ("a.mp3", "libmp3lame", ("mp3", "mp3")),
        ("a.flac", "flac", ("mp3", "mp3")),
    ],
)
def test_sound_is_cut_within_15_seconds(
    tmp_path: Path, name: str, codec: str, made: tuple[str, str]
) -> None:
    _, info = fitted(sound(tmp_path / name, 16.0, codec, rate=8_000), trim=True)
    assert (info.container, info.codec) == made
    assert 14.9 <= info.duration_s <= 15.0


def test_a_wav_keeps_its_channels(tmp_path: Path) -> None:
    out, _ = fitted(waves(tmp_path / "a.wav", 16.0, 6), trim=True)
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.layout.nb_channels == 6


# --- as users call it ----------------------------------------------------------------------------


async def test_the_result_is_beside_the_original_which_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "my cat.png"
    picture(6400, 2560).save(path, format="JPEG", quality=30)
    before = path.read_bytes()
    made = await media.fit(path)
    assert made == media.Fitted(
        path=tmp_path / "my cat.fit.jpg",
        info=await media.look(made.path),
        changes=("scaled down to 6000 x 2400 px (was 6400 x 2560 px)",),
    )
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [made.path, path]
    assert made.path.stat().st_mode == path.stat().st_mode
    assert broken(made.info) == ()


async def test_a_file_that_fits_is_returned_and_nothing_is_written(tmp_path: Path) -> None:
    path = video(tmp_path / "a.webm", codec="libvpx-vp9", rate=5)
    made = await media.fit(str(path), tmp_path / "b.mp4", trim=True)
    assert (made.path, made.changes) == (path, ())
    assert [*tmp_path.iterdir()] == [path]


async def test_a_result_gets_its_name_when_it_is_done_and_never_the_originals(
    tmp_path: Path,
) -> None:
    path = sound(tmp_path / "a.flac", 2.5, "flac")
    (tmp_path / "link.mp3").symlink_to(path)
    for same in (str(path), tmp_path / "link.mp3"):
        with pytest.raises(MediaError, match=r"^a\.flac is never written over"):
            await media.fit(path, same)
    with pytest.raises(MediaError, match="cannot be written: No such file or directory"):
        await media.fit(path, tmp_path / "none" / "a.mp3")
    (tmp_path / "b.mp3").write_bytes(b"something else")
    made = await media.fit(path, tmp_path / "b.mp3")
    assert made.path == tmp_path / "b.mp3"
    assert made.changes == ("re-encoded as mp3 (was flac)",)
    assert {each.name for each in tmp_path.iterdir()} == {"a.flac", "b.mp3", "link.mp3"}
    with pytest.raises(MediaError, match="cannot be written: Is a directory"):
        await media.fit(path, tmp_path)


async def test_a_refusal_names_the_file_and_the_rule_and_writes_nothing(tmp_path: Path) -> None:
    picture(200, 200).save(tmp_path / "cat.png")
    with pytest.raises(MediaError) as caught:
        await media.fit(tmp_path / "cat.png")
    assert str(caught.value) == (
        "cat.png cannot be made to fit without guessing:\n"
        "  is 200 x 200 px: each side must have 300 to 6000 px; making it larger would be a guess: "
        "do it yourself, or give a larger one [image.size]"
    )
    assert len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n"])
async def test_what_is_no_media_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MediaError, match=r"^a\.png "):
        await media.fit(tmp_path / "a.png")
    with pytest.raises(MediaError, match=r"^none cannot be read: No such file"):
        await media.fit(tmp_path / "none")


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, int], None]:
    def bound(seconds: float, addresses_bytes: int) -> None:
        bounds = _Bounds("made to fit", seconds, addresses_bytes, addresses_bytes)
        monkeypatch.setattr("seedance_async.looking._MADE_TO_FIT", bounds)

    return bound


async def test_bombs_end_in_a_clear_error(tmp_path: Path, bounds: Any) -> None:
    bounds(60.0, 1 << 29)
    for sides, words in (((14_000, 13_000), "takes more memory"), ((7000, 7000), "cannot be read")):
        (tmp_path / "a.png").write_bytes(png_bomb(*sides))
        with pytest.raises(MediaError, match=words):
            await media.fit(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png_bomb(30_000, 30_000))
    with pytest.raises(MediaError, match="200,000,000 pixels"):
        await media.fit(tmp_path / "a.png")
    assert [*tmp_path.iterdir()] == [tmp_path / "a.png"]


@pytest.mark.parametrize("name", ["front.mp4", "a.mkv", "a.jp2"])
async def test_damage_ends_in_an_answer_or_a_clear_error(tmp_path: Path, name: str) -> None:
    if name == "a.jp2":
        picture(600, 400).save(tmp_path / name)
    else:
        more = {"movflags": "faststart"} if name == "front.mp4" else {}
        video(tmp_path / name, size=(1280, 960), rate=5, sound_s=2.0, **more)
    data = bytearray((tmp_path / name).read_bytes())
    (tmp_path / "cut").write_bytes(data[: len(data) * 2 // 3])
    for spot in range(60):
        data[hash((name, spot)) % len(data)] = spot * 4
    (tmp_path / "damaged").write_bytes(data)
    for path in (tmp_path / "cut", tmp_path / "damaged"):
        with contextlib.suppress(MediaError):
            assert broken((await media.fit(path, tmp_path / "made")).info) == ()
    assert {path.name for path in tmp_path.iterdir()} <= {name, "cut", "damaged", "made"}


async def test_a_file_may_take_only_so_long(tmp_path: Path, bounds: Any) -> None:
    bounds(0.01, 1 << 31)
    path = video(tmp_path / "a.mp4", size=(1280, 960), rate=5)
    with pytest.raises(MediaError, match=r"^a\.mp4 cannot be made to fit within 0\.01 s$"):
        await media.fit(path)
    assert [*tmp_path.iterdir()] == [path]


async def by_scope(fit: Callable[[], Awaitable[Any]], begun: asyncio.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(fit)
        await begun.wait()
        group.cancel_scope.cancel()


async def by_task(fit: Callable[[], Awaitable[Any]], begun: asyncio.Event) -> None:
    task = asyncio.ensure_future(fit())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_timeout(fit: Callable[[], Awaitable[Any]], begun: asyncio.Event) -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012
        async with asyncio.timeout(None) as timeout:
            watch = asyncio.ensure_future(begun.wait())
            watch.add_done_callback(lambda _: timeout.reschedule(0))
            await fit()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("cancelled", [by_scope, by_task, by_timeout])
async def test_a_fit_that_is_given_up_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_video: Path, cancelled: Any
) -> None:
    monkeypatch.setenv("SEEDANCE_API_KEY", "the-secret-key")
    path = tmp_path / "a.mp4"
    path.write_bytes(long_video.read_bytes())
    others, begun, seen = set(looking()), asyncio.Event(), list[bytes]()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        wait_until(lambda: any(writes(own, tmp_path) for own in set(looking()) - others))
        seen.extend((own / "environ").read_bytes() for own in set(looking()) - others)
        loop.call_soon_threadsafe(begun.set)

    watcher = threading.Thread(target=watch)
    watcher.start()
    await cancelled(lambda: media.fit(path), begun)
    await asyncio.to_thread(watcher.join)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == long_video.read_bytes()
    await asyncio.to_thread(wait_until, lambda: set(looking()) <= others)
    assert len(seen) == 2
    assert not any(b"the-secret-key" in environment for environment in seen)


def writes(process: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        files = [each.readlink() for each in (process / "fd").iterdir()]
        return any(file.parent == folder and file.suffix == ".part" for file in files)
    return False


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video(tmp_path_factory.mktemp("long") / "a.mp4", size=(1280, 960), seconds=8.0)


async def test_what_was_made_is_not_trusted() -> None:
    good = MediaInfo(
        kind=MediaKind.AUDIO, container="mp3", codec="mp3", duration_s=9.0, size_bytes=99
    )
    plan = Plan(kind=MediaKind.AUDIO, container="mp3", codec="libmp3lame")
    oneoff._check(good, good, plan)
    for changed, words in (({"duration_s": 3.0}, "only 3.00 s"), ({"container": "ogg"}, "ogg")):
        with pytest.raises(MediaError, match=words):
            oneoff._check(good, attrs.evolve(good, **changed), plan)


# --- one look ------------------------------------------------------------------------------------


async def test_one_look_at_a_path_or_at_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture(600, 400).save(path)
    info = await media.look(path)
    assert (info.container, info.width, info.size_bytes) == ("png", 600, path.stat().st_size)
    assert await media.look(str(path)) == await media.look(path.read_bytes()) == info


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("http://127.0.0.1/a.png?sig=secret", "^what is behind the URL leads to a private address"),
        ("HTTPS://169.254.169.254/", "private address"),
        ("no/such/cat.png", r"^cat\.png cannot be read: No such file"),
        (b"", "^what was given is empty$"),
    ],
)
async def test_one_look_that_fails(source: str | bytes, words: str) -> None:
    with pytest.raises(MediaError, match=words) as caught:
        await media.look(source)
    assert "secret" not in str(caught.value)


async def test_one_look_closes_what_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Watched(Looker):
        async def close(self) -> None:
            closed.append(self)
            await super().close()

    monkeypatch.setattr(oneoff, "Looker", Watched)
    picture().save(tmp_path / "a.png")
    with pytest.raises(MediaError):
        await media.look(b"")
    with anyio.move_on_after(0):
        await media.look(tmp_path / "a.png")
    await media.fit(tmp_path / "a.png")
    assert len(closed) == 3


async def test_without_the_extra_and_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save(tmp_path / "a.png")
    monkeypatch.setattr("seedance_async.looking._NEEDED", ("av", "no_such_module"))
    for call in (media.look, media.fit):
        with pytest.raises(
            MediaError, match=r"needs no_such_module: pip install 'seedance-async\["
        ):
            await call(tmp_path / "a.png")
    monkeypatch.undo()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for call in (media.look, media.fit):
        with pytest.raises(LookingFailed, match=r"^cannot start"):
            await call(tmp_path / "a.png")


def test_the_public_names() -> None:
    assert set(media.__all__) <= set(dir(media))
    for name in media.__all__:
        assert getattr(media, name).__module__ == "seedance_async.media"
        assert getattr(media, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = media.nonsense


def test_the_process_starts_without_aiohttp_and_the_caller_without_decoders() -> None:
    names = "print(sorted({'aiohttp', 'av', 'PIL'} & set(sys.modules)))"
    assert python(f"import sys, seedance_async.media.worker; {names}") == "['PIL', 'av']"
    assert python(f"import sys; from seedance_async import media; {names}") == "[]"
    assert python(f"import sys; from seedance_async.media import fit; {names}") == "['aiohttp']"


def python(code: str) -> str:
    env = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    return ran.stdout.strip()
