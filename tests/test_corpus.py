"""Looks at media that other programs made, beside what those programs say of them."""

from __future__ import annotations

import asyncio
import json
import operator
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from corpus import KINDS, MEDIA, NO_MEDIA, TINY, Corpus, Piece, brought_along
from media_files import chunk, looking
from media_host import Host
from programs import tool

from seedance_async.errors import MediaError
from seedance_async.looking import Looker
from seedance_async.mediainfo import MediaInfo, MediaKind
from seedance_async.rules import Stage, violations

PLACES = {
    MediaKind.IMAGE: "first_image",
    MediaKind.VIDEO: "reference_videos[0]",
    MediaKind.AUDIO: "reference_audios[0]",
}
# How far a duration may be off, in seconds: an MP3 has its decoder's delay in it, which our FFmpeg
# takes off and older ones do not.
NEAR_S = 0.06
# What ImageMagick and FFmpeg call otherwise.
FORMATS = {"bmp2": "bmp", "bmp3": "bmp", "tiff64": "tiff", "jp2": "j2k", "w64": "wav"}
ON_ITS_SIDE = {"LeftTop", "RightTop", "RightBottom", "LeftBottom"}

#: The fields in which the other program may differ from us, and why it is not us who are wrong.
DIFFERENCES: Mapping[str, set[str]] = {
    # ImageMagick 6 takes the rotation of a JPEG and a TIFF only.
    "portrait.png": {"width", "height"},
    "portrait.webp": {"width", "height"},
    # Pages do not move.
    "two pages.tiff": {"animated"},
    # Nor do layers.
    "layers.psd": {"animated"},
    "layers named.jpg": {"animated"},
    # FFmpeg has one name for all layers.
    "layer 2 named.mp3": {"container"},
    # The delay in it is the longer the lower its rate; see NEAR_S.
    "low.mp3": {"duration_s"},
    # ImageMagick sees the first picture of a PNG alone; FFmpeg is asked below.
    "moving.png": {"animated"},
    # FFmpeg knows no images.
    "photo.avif": {"kind", "duration_s"},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def looker() -> Iterator[Looker]:
    running = Looker()
    yield running
    asyncio.run(running.close())


def broken(looked: Mapping[str, MediaInfo]) -> tuple[str, ...]:
    return tuple(violation.rule for violation in violations(looked, stage=Stage.MEDIA))


@pytest.mark.parametrize("piece", MEDIA.values(), ids=MEDIA.keys())
async def test_a_look_finds_what_was_made_and_what_another_program_finds(
    looker: Looker, corpus: Corpus, piece: Piece
) -> None:
    path = corpus[piece.name]
    info = await looker.look(path)
    assert piece.what is not None
    made = attrs.evolve(piece.what, size_bytes=piece.size_bytes or path.stat().st_size)
    assert differing(info, made) == set()
    assert broken({PLACES[info.kind]: info}) == piece.breaks
    assert differing(info, told_of(path, info)) <= DIFFERENCES.get(piece.name, set())


def differing(info: MediaInfo, other: MediaInfo) -> set[str]:
    """Name the fields that are not the same; durations may be nearly so."""
    fields = {name for name in attrs.asdict(info) if getattr(info, name) != getattr(other, name)}
    if info.duration_s is not None and info.duration_s == pytest.approx(
        other.duration_s, abs=NEAR_S
    ):
        fields.discard("duration_s")
    return fields


def told_of(path: Path, info: MediaInfo) -> MediaInfo:
    # Not every ImageMagick reads AVIF, which is a film of one picture.
    if info.kind is MediaKind.IMAGE and info.container != "avif":
        return identified(path, info)
    return probed(path, info)


def identified(path: Path, info: MediaInfo) -> MediaInfo:
    """Ask ImageMagick, which has no word for how an image is coded."""
    asked = "%m|%w|%h|%[orientation]|%n|%B\n"
    told = printed("identify", "-ping", "-format", asked, str(path)).splitlines()[0]
    name, width, height, orientation, frames, size_bytes = told.split("|")
    if orientation in ON_ITS_SIDE:
        width, height = height, width
    container = FORMATS.get(name.lower(), name.lower())
    return MediaInfo(
        kind=MediaKind.IMAGE,
        container=container,
        codec=container if info.codec == info.container else info.codec,
        width=int(width),
        height=int(height),
        animated=int(frames) > 1,
        size_bytes=int(size_bytes),
    )


def probed(path: Path, info: MediaInfo) -> MediaInfo:
    """Ask FFmpeg, which has one name for what may be one of several containers."""
    shown = "-show_format -show_streams -show_packets -of json".split()
    told = json.loads(printed("ffprobe", "-v", "error", *shown, str(path)))
    streams = [each for each in told["streams"] if not each["disposition"]["attached_pic"]]
    stream = min(streams, key=lambda each: each["codec_type"] != "video")
    is_video = stream["codec_type"] == "video"
    size = (stream["width"], stream["height"]) if is_video else (None, None)
    if any(side.get("rotation", 0) % 180 for side in stream.get("side_data_list", ())):
        size = size[::-1]
    return MediaInfo(
        kind=MediaKind.VIDEO if is_video else MediaKind.AUDIO,
        container=container_of(told["format"], info),
        codec=stream["codec_name"],
        width=size[0],
        height=size[1],
        duration_s=lasting(told, stream),
        size_bytes=int(told["format"]["size"]),
    )


def container_of(told: Mapping[str, Any], info: MediaInfo) -> str:
    brand = told.get("tags", {}).get("major_brand", "").strip()
    if brand in ("qt", "avif"):
        return brand.replace("qt", "mov")
    names = [FORMATS.get(name, name) for name in told["format_name"].split(",")]
    return info.container if info.container in names else names[0]


def lasting(told: Mapping[str, Any], stream: Mapping[str, Any]) -> float:
    """Count the packets: a header may lie. What a format does not tell is the usual."""
    mine = [packet for packet in told["packets"] if packet["stream_index"] == stream["index"]]
    usual_s = 1 / Fraction(stream["r_frame_rate"]) if "width" in stream else 0.0
    begins = [float(packet.get("pts_time") or packet["dts_time"]) for packet in mine]
    lengths = [float(packet.get("duration_time", usual_s)) for packet in mine]
    return max(map(operator.add, begins, lengths)) - min(begins)


def printed(name: str, *words: str) -> str:
    command = [*tool(name), *words]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


async def test_a_png_that_moves_does_so_for_ffmpeg_too(looker: Looker, corpus: Corpus) -> None:
    for name, pictures in (("moving.png", 4), ("photo.png", 1)):
        shown = "-v error -count_packets -show_entries stream=nb_read_packets -of csv=p=0".split()
        assert int(printed("ffprobe", *shown, str(corpus[name]))) == pictures
        assert (await looker.look(corpus[name])).animated is (pictures > 1)


async def test_what_is_no_media_is_told(looker: Looker, corpus: Corpus) -> None:
    for piece in NO_MEDIA:
        with pytest.raises(MediaError, match=r"that can be read|that nobody here can read"):
            await looker.look(corpus[piece.name])


async def test_durations_count_together(looker: Looker, corpus: Corpus) -> None:
    for names, rules in (
        (["5 s.wav"] * 3, ()),
        (["5 s.wav", "5 s.wav", "5.3 s.wav"], ("audio.total_duration",)),
        (["7.5 s.mp4"] * 2, ()),
        (["7.5 s.mp4", "7.7 s.mp4"], ("video.total_duration",)),
    ):
        looked = [await looker.look(corpus[name]) for name in names]
        field = PLACES[looked[0].kind].removesuffix("[0]")
        found = broken({f"{field}[{index}]": info for index, info in enumerate(looked)})
        assert found == rules


async def test_the_end_of_a_name_is_no_hint(looker: Looker, corpus: Corpus, tmp_path: Path) -> None:
    for name in ("film.mpg", "live.mp3", "photo.ppm", "live.ts"):
        for ending in (".jpg", ".mp3", ".txt"):
            path = tmp_path / f"{name}{ending}"
            path.write_bytes(corpus[name].read_bytes())
            assert await looker.look(path) == await looker.look(corpus[name])


async def test_behind_a_url_is_what_is_in_the_file(looker: Looker, corpus: Corpus) -> None:
    distant = Looker(to_private=True)
    for piece in KINDS:
        info = await looker.look(corpus[piece.name])
        host = Host()
        async with host.serving(host.file(corpus[piece.name].read_bytes())) as base:
            behind = await distant.look_behind(f"{base}/{piece.name}")
        # All of it would have to be fetched to tell how long it is.
        unknown = {"duration_s"} if piece.name == "large live.mkv" else set()
        assert differing(behind, info) == unknown
        assert behind.duration_s is None or not unknown
    await distant.close()


async def test_what_packages_bring_along_is_read_as_other_programs_read_it(looker: Looker) -> None:
    for path in brought_along():
        info = await looker.look(path)
        assert differing(info, told_of(path, info)) == set(), path


# --- files that are cut short -------------------------------------------------------------------


async def test_what_is_cut_short_is_told_or_is_what_is_left(
    looker: Looker, corpus: Corpus, tmp_path: Path
) -> None:
    path = tmp_path / "cut"
    for piece in KINDS:
        data = corpus[piece.name].read_bytes()
        whole = await looker.look(corpus[piece.name])
        for end in (7, 100, len(data) // 4, len(data) // 2, len(data) * 9 // 10, -1):
            path.write_bytes(data[:end])
            left = await told(looker, path)
            if isinstance(left, MediaInfo):
                assert differing(left, whole) <= {"duration_s", "size_bytes"}, (piece.name, end)
                assert (left.duration_s or 0.0) <= (whole.duration_s or 0.0) + NEAR_S


async def told(looker: Looker, source: Path | bytes) -> MediaInfo | MediaError:
    """Look at what may be broken: either is an answer, and in time."""
    try:
        return await looker.look(source)
    except MediaError as error:
        if re.search("crash|cannot start", str(error)):
            raise
        return error


async def test_a_picture_is_told_to_be_cut_short_wherever_it_ends(
    looker: Looker, corpus: Corpus
) -> None:
    # What follows the pixels may be missed by nobody: a checksum, the white point.
    spare = {"tiny.png": 4, "tiny.tiff": 64}
    for piece in TINY:
        data = corpus[piece.name].read_bytes()
        for end in range(len(data) - 1, 0, -2):
            left = await told(looker, data[:end])
            is_told = isinstance(left, MediaError)
            assert is_told or len(data) - end <= spare.get(piece.name, 0), (piece.name, end)


async def test_what_is_left_of_a_stream_is_as_long_as_another_program_says(
    looker: Looker, corpus: Corpus, tmp_path: Path
) -> None:
    path = tmp_path / "cut"
    for name in ("hum.wav", "hum.mp3", "film.avi", "live.mkv", "live.ts"):
        data = corpus[name].read_bytes()
        path.write_bytes(data[: len(data) * 9 // 10])
        info = await looker.look(path)
        assert differing(info, probed(path, info)) == set(), name
        assert info.duration_s is not None
        assert info.duration_s < 1.95


# --- files that mean harm -----------------------------------------------------------------------

MUCH = 100_000_000


def cover(song: bytes, path: Path) -> None:
    """Put a cover before a song, and a large one."""
    about = b"\0image/jpeg\0\3\0"
    with path.open("wb") as file:
        file.write(
            b"ID3\4\0\0" + synchsafe(MUCH + 10) + b"APIC" + synchsafe(MUCH) + b"\0\0" + about
        )
        file.seek(MUCH - len(about), 1)
        file.write(song)


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def claims(image: bytes, at: int, form: str, path: Path) -> None:
    """Say of an image that it has billions of pixels."""
    sides = struct.pack(form, 65_000, 65_000)
    path.write_bytes(image[:at] + sides + image[at + len(sides) :])


def chunk_within(image: bytes, name: bytes, data: bytes, path: Path) -> None:
    path.write_bytes(image[:33] + chunk(name, data) + image[33:])


@pytest.fixture
def hostile(corpus: Corpus, tmp_path: Path) -> list[Path]:
    made = {
        name: corpus[name].read_bytes()
        for name in ("hum.mp3", "photo.jpg", "photo.gif", "photo.bmp", "tiny.png")
    }
    cover(made["hum.mp3"], tmp_path / "large cover.mp3")
    start = made["photo.jpg"].index(b"\xff\xc0")
    claims(made["photo.jpg"], start + 5, ">HH", tmp_path / "claims.jpg")
    claims(made["photo.gif"], 6, "<HH", tmp_path / "claims.gif")
    claims(made["photo.bmp"], 18, "<II", tmp_path / "claims.bmp")
    inflated = zlib.compress(bytes(MUCH), 9)
    for name, head in ((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"eXIf", b"")):
        path = tmp_path / f"{name.decode()}.png"
        chunk_within(made["tiny.png"], name, head + inflated, path)
    with (tmp_path / "nothing.mp4").open("wb") as file:
        file.truncate(2_000_000_000)
    names = ("6000x6000.png", "6001x2401.mp4", "15 MB.mp3")
    return [*tmp_path.iterdir(), *(corpus[name] for name in names)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_whatever_is_looked_at_takes_less_than_200_mb_in_all(hostile: list[Path]) -> None:
    others = set(looking())
    looker = Looker()
    answers: list[str] = []

    async def look(path: Path) -> None:
        answers.append(f"{path.name} {await told(looker, path)}")

    async with anyio.create_task_group() as group:
        for path in hostile * 2:
            group.start_soon(look, path)
    assert not [answer for answer in answers if "takes longer" in answer]
    # None of them died, and took its peak along.
    running = set(looking()) - others
    assert len(running) == 2
    statuses = [(process / "status").read_text() for process in running]
    peaks_kib = [int(text.partition("VmHWM:")[2].split()[0]) for text in statuses]
    assert sum(peaks_kib) * 1024 < 200_000_000
    await looker.close()
