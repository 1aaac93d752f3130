"""Media as other people's programs make them: what each is, how it is made, which rules it breaks.

None of it comes from the libraries that look at it. ImageMagick and FFmpeg make a file when it is
first asked for; what Python's own packages bring along is taken as it is.
"""

from __future__ import annotations

import importlib.util
import random
import re
import shlex
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
from programs import tool

from seedance_async.mediainfo import MediaInfo, MediaKind


@attrs.frozen
class Piece:
    """One file of the corpus.

    Attributes:
        name: Of the file; says what is special about it.
        how: The command that makes it, or what is in it. In a command ``{}`` is the file, and
            ``<name>`` another piece; what ends in ``-`` is printed, by a program that cannot go
            back to a header.
        what: What a look finds, but for its bytes; None where a look raises.
        breaks: The rules that it breaks where its kind belongs.
        size_bytes: How large it is made by padding, if at all.
    """

    name: str
    how: str | bytes
    what: MediaInfo | None
    breaks: tuple[str, ...] = ()
    size_bytes: int | None = None


def image(
    name: str,
    how: str,
    *breaks: str,
    size: str = "640x480",
    told: str = "",
    animated: bool = False,
) -> Piece:
    """Say what ImageMagick makes; *told* is container and codec, where the suffix is neither."""
    container, codec = _both(told or Path(name).suffix[1:].replace("jpg", "jpeg"))
    width, height = map(int, size.split("x"))
    info = MediaInfo(
        kind=MediaKind.IMAGE,
        container=container,
        codec=codec,
        width=width,
        height=height,
        animated=animated,
    )
    return Piece(name, _command(how, "convert"), info, breaks)


def solid(name: str, *breaks: str, how: str = "") -> Piece:
    """Say what a picture of one colour is, whose name is its size."""
    size = Path(name).stem
    return image(name, f"-size {size} xc:navy {how}", *breaks, size=size)


def video(
    name: str,
    told: str,
    how: str,
    *breaks: str,
    size: str = "640x480",
    seconds: float = 2.0,
    rate: int = 10,
) -> Piece:
    """Say what FFmpeg films."""
    container, codec = _both(told)
    shown = sideways(size) if "rotat" in how else size
    width, height = map(int, shown.split("x"))
    info = MediaInfo(
        kind=MediaKind.VIDEO,
        container=container,
        codec=codec,
        width=width,
        height=height,
        duration_s=seconds,
    )
    filming = (
        f"ffmpeg -f lavfi -i color=navy:s={size}:r={rate}:d={seconds},format=rgb24 -pix_fmt yuv420p"
    )
    return Piece(name, _command(how, filming), info, breaks)


def sound(
    name: str,
    told: str,
    how: str,
    *breaks: str,
    seconds: float = 2.0,
    size_bytes: int | None = None,
) -> Piece:
    """Say what FFmpeg hums."""
    container, codec = _both(told)
    info = MediaInfo(kind=MediaKind.AUDIO, container=container, codec=codec, duration_s=seconds)
    command = _command(how, f"ffmpeg -f lavfi -i sine=d={seconds}")
    return Piece(name, command, info, breaks, size_bytes)


def unreadable(name: str, how: str | bytes) -> Piece:
    return Piece(name, how if isinstance(how, bytes) else _command(how, "convert"), None)


def _both(told: str) -> tuple[str, str]:
    container, _, codec = told.partition(" ")
    return container, codec or container


def _command(how: str, begin: str) -> str:
    command = how if how.startswith("ffmpeg") else f"{begin} {how}"
    return command if "{}" in command or command.endswith(" -") else f"{command} {{}}"


def sideways(size: str) -> str:
    width, _, height = size.partition("x")
    return f"{height}x{width}"


CARD = "-f lavfi -i testsrc=s=640x480:r=10"
HASTY = "-c:v libx264 -preset ultrafast -threads 1 -pix_fmt yuv420p"
# Each pixel has a colour of its own, so that sides may be odd.
ODD = f"{HASTY} -pix_fmt yuv444p"
# For three seconds pictures come a third as often.
UNEVEN = f"""{HASTY} -vf "setpts='if(lt(N,10),N*3,N+20)/10/TB'\""""
AV1 = "-c:v libsvtav1 -preset 10 -pix_fmt yuv420p"
VP8 = "-c:v libvpx -deadline realtime -cpu-used -16 -threads 1"
# ImageMagick takes its time for as many pixels.
WHITE, FRAME = "-f lavfi -i color=white", "-frames:v 1 -pix_fmt gray"
UPRIGHT = "-profile app1:<sideways.exif>"

PICTURES = (
    image("photo.jpg", "logo:"),
    image("progressive.jpg", "logo: -interlace JPEG"),
    image("grey.jpg", "wizard: -colorspace Gray", size="480x640"),
    image("cmyk.jpg", "logo: -colorspace CMYK"),
    image("portrait.jpg", f"logo: {UPRIGHT}", size="480x640"),
    image("photo.png", "logo:"),
    image("16 bit.png", "logo: -depth 16 PNG48:{}"),
    image("interlaced with alpha.png", "logo: -alpha set -interlace PNG"),
    image("one bit.png", "logo: -monochrome"),
    image("portrait.png", "<portrait.jpg>", size="480x640"),
    image("photo.webp", "logo:"),
    image("lossless.webp", "logo: -define webp:lossless=true"),
    image("alpha.webp", "logo: -alpha set -channel A -evaluate set 50%"),
    image("portrait.webp", "<portrait.jpg>", size="480x640"),
    image("photo.bmp", "logo:"),
    image("old.bmp", "logo: BMP2:{}"),
    image("run lengths.bmp", "logo: -colors 16 -compress RLE BMP3:{}"),
    image("photo.tiff", "logo: -compress None"),
    image("lzw.tiff", "logo: -compress LZW"),
    image("jpeg within.tiff", "logo: -compress JPEG"),
    image("fax.tiff", "logo: -monochrome -compress Group4"),
    image("tiles.tiff", "logo: -define tiff:tile-geometry=128x128"),
    image("big endian.tiff", "logo: -endian MSB"),
    image("64 bit offsets.tiff", "logo: TIFF64:{}"),
    image("16 bit.tiff", "logo: -depth 16 -compress Zip"),
    image("cmyk.tiff", "logo: -colorspace CMYK"),
    image("two pages.tiff", "logo: wizard:"),
    image("portrait.tiff", "logo: -orient RightTop", size="480x640"),
    image("photo.gif", "logo:"),
    image("old.gif", "logo: GIF87:{}"),
    image("see-through.gif", "logo: -transparent white"),
    image("moving.gif", "-delay 10 logo: ( +clone -flip )", animated=True),
    image("moving.webp", f"ffmpeg {CARD}:d=0.4", animated=True),
    image("moving.png", f"ffmpeg {CARD}:d=0.4 -f apng", animated=True),
)

# So few bytes that a look can be had at each of its beginnings.
TINY = tuple(
    image(f"tiny.{suffix}", "-size 4x4 xc:navy -strip", "image.size", size="4x4")
    for suffix in ("jpg", "png", "webp", "bmp", "tiff", "gif")
)

PICTURES_AT_THE_BOUNDS = (
    solid("300x300.png"),
    solid("299x300.png", "image.size"),
    solid("300x299.gif", "image.size"),
    image("6000x6000.png", f"ffmpeg {WHITE}:s=6000x6000,format=gray {FRAME}", size="6000x6000"),
    solid("6000x2400.jpg"),
    solid("6001x2401.png", "image.size"),
    image(
        "2401x6001.tiff",
        f"ffmpeg {WHITE}:s=2401x6001,format=gray {FRAME}",
        "image.size",
        size="2401x6001",
    ),
    solid("400x1000.webp"),
    solid("399x1000.bmp", "image.aspect"),
    solid("2500x1000.tiff"),
    solid("2501x1000.jpg", "image.aspect"),
    # In the file it lies on its side, which is as much too long.
    image(
        "751x300 upright.jpg", f"-size 751x300 xc:navy {UPRIGHT}", "image.aspect", size="300x751"
    ),
)

OTHER_PICTURES = (
    image("layers.psd", "logo: -type TrueColor", "image.format"),
    image(
        "icon.ico",
        "logo: -resize 256x256!",
        "image.format",
        "image.size",
        size="256x256",
        told="ico bmp",
    ),
    image("photo.avif", f"ffmpeg {CARD} -frames:v 1 {AV1}", "image.format", told="avif av1"),
    image("photo.jp2", "logo:", "image.format", told="j2k jpeg2000"),
    image("photo.ppm", "logo:", "image.format"),
    image("photo.pcx", "logo:", "image.format"),
    image("texture.dds", "logo:", "image.format"),
    image("photo.sgi", "logo:", "image.format"),
    image("layers named.jpg", "logo: -type TrueColor PSD:{}", "image.format", told="psd"),
    image("png named.psd", "logo: PNG:{}", told="png"),
)

VIDEOS = (
    video("film.mp4", "mp4 h264", HASTY),
    video("index first.mp4", "mp4 h264", f"{HASTY} -movflags faststart"),
    video("reordered.mp4", "mp4 h264", "-c:v libx264 -preset veryfast -bf 3"),
    video("hevc.mp4", "mp4 hevc", "-c:v libx265 -preset ultrafast -x265-params log-level=none"),
    video("av1.mp4", "mp4 av1", AV1),
    video("film.mov", "mov h264", HASTY),
    video("film.mkv", "matroska h264", HASTY),
    video("vp8.webm", "webm vp8", VP8),
    video("vp9.webm", "webm vp9", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
    video("film.avi", "avi mpeg4", ""),
    video("film.ogv", "ogg theora", f"ffmpeg {CARD}:d=2"),
    video("film.mpg", "mpeg mpeg1video", "-c:v mpeg1video", rate=25),
    video("with longer sound.mp4", "mp4 h264", f"ffmpeg -f lavfi -i sine=d=3 {CARD}:d=2 {HASTY}"),
    video("phone.mp4", "mp4 h264", "ffmpeg {rotating} -i <film.mp4> -c copy {rotated}"),
    video("uneven.mp4", "mp4 h264", f"ffmpeg {CARD}:d=2 {UNEVEN}", seconds=4.0),
    video("uneven.mkv", "matroska h264", f"ffmpeg {CARD}:d=2 {UNEVEN}", seconds=4.0),
    # Nobody went back to write the duration into the header, or there is no place for it.
    video("live.mkv", "matroska h264", f"{HASTY} -f matroska -"),
    video("live.webm", "webm vp8", f"{VP8} -f webm -"),
    video("live.mp4", "mp4 h264", f"{HASTY} -movflags frag_keyframe+empty_moov -f mp4 -"),
    video("live.flv", "flv h264", f"{HASTY} -flvflags no_duration_filesize -f flv -"),
    video("live.ts", "mpegts h264", HASTY),
    # More than is read to its end behind a URL.
    video("large live.mkv", "matroska rawvideo", "-c:v rawvideo -f matroska -"),
    video("film named.avi", "mp4 h264", f"{HASTY} -f mp4"),
)

VIDEOS_AT_THE_BOUNDS = (
    video("1.9 s.mp4", "mp4 h264", HASTY, "video.duration", seconds=1.9),
    video("15 s.mp4", "mp4 h264", HASTY, seconds=15.0, rate=2),
    video("15.1 s.mp4", "mp4 h264", HASTY, "video.duration", seconds=15.1),
    video("15 s.webm", "webm vp8", VP8, seconds=15.0, rate=2),
    # 480p and 720p by lines ...
    video("854x480.mp4", "mp4 h264", HASTY, size="854x480"),
    video("832x479.mp4", "mp4 h264", ODD, "video.resolution", size="832x479"),
    video("720x1280.mp4", "mp4 h264", HASTY, size="720x1280"),
    video("1800x720.mp4", "mp4 h264", HASTY, size="1800x720", rate=5),
    video("721x1336.mp4", "mp4 h264", ODD, "video.resolution", size="721x1336", rate=5),
    # ... and by pixels.
    video("960x416.mp4", "mp4 h264", HASTY, size="960x416"),
    video("958x416.mp4", "mp4 h264", HASTY, "video.resolution", size="958x416"),
    video("981x981.mp4", "mp4 h264", ODD, size="981x981", rate=5),
    video("982x982.mp4", "mp4 h264", HASTY, "video.resolution", size="982x982", rate=5),
    video("720x1801.mp4", "mp4 h264", ODD, "video.aspect", size="720x1801", rate=5),
    video("1801x720.mp4", "mp4 h264", ODD, "video.aspect", size="1801x720", rate=5),
    video("300x300.mp4", "mp4 h264", HASTY, "video.resolution", size="300x300"),
    video("299x300.mp4", "mp4 h264", ODD, "video.resolution", "video.size", size="299x300"),
    video(
        "6000x600.mp4",
        "mp4 h264",
        HASTY,
        "video.aspect",
        size="6000x600",
        rate=1,
    ),
    # One picture of it takes more memory than a look is worth.
    video(
        "6001x2401.mp4",
        "mp4 h264",
        ODD,
        "video.resolution",
        "video.size",
        size="6001x2401",
        rate=1,
    ),
)

SOUNDS = (
    sound("hum.wav", "wav pcm_s16le", ""),
    sound("float.wav", "wav pcm_f32le", "-c:a pcm_f32le"),
    sound("six channels.wav", "wav pcm_s24le", "-c:a pcm_s24le -ac 6"),
    sound("64 bit lengths.wav", "wav pcm_s16le", "-rf64 always"),
    sound("live.wav", "wav pcm_s16le", "-f wav -"),
    sound("hum.mp3", "mp3", ""),
    sound("variable.mp3", "mp3", "-q:a 5"),
    sound("low.mp3", "mp3", "-ar 22050 -b:a 32k"),
    sound("live.mp3", "mp3", "-f mp3 -"),
    sound(
        "with cover.mp3",
        "mp3",
        "-i <photo.jpg> -map 0 -map 1 -c:v copy -disposition:v attached_pic",
    ),
    sound("mp3 named.wav", "mp3", "-f mp3"),
    sound("wav named.mp3", "wav pcm_s16le", "-f wav"),
    sound("vorbis named.mp3", "ogg vorbis", "-c:a libvorbis -f ogg", "audio.format"),
    sound("layer 2 named.mp3", "mp2", "-c:a mp2 -f mp2", "audio.format"),
    sound("hum.opus", "ogg opus", "-c:a libopus", "audio.format"),
    sound("hum.flac", "flac", "", "audio.format"),
    sound("hum.m4a", "mp4 aac", "", "audio.format"),
    sound("hum.aiff", "aiff pcm_s16be", "", "audio.format"),
    sound("hum.mka", "matroska pcm_s16le", "-c:a pcm_s16le", "audio.format"),
)

SOUNDS_AT_THE_BOUNDS = (
    sound("1.9 s.wav", "wav pcm_s16le", "", "audio.duration", seconds=1.9),
    sound("1.9 s.mp3", "mp3", "", "audio.duration", seconds=1.9),
    sound("15 s.wav", "wav pcm_s16le", "", seconds=15.0),
    sound("15 s.mp3", "mp3", "", seconds=15.0),
    sound("15.1 s.wav", "wav pcm_s16le", "", "audio.duration", seconds=15.1),
    sound("15.1 s.mp3", "mp3", "", "audio.duration", seconds=15.1),
    sound("15 MB.mp3", "mp3", "-metadata_header_padding {pad}", size_bytes=15_000_000),
    sound(
        "15 MB and a byte.mp3",
        "mp3",
        "-metadata_header_padding {pad}",
        "audio.bytes",
        size_bytes=15_000_001,
    ),
    # To be taken together.
    sound("5 s.wav", "wav pcm_s16le", "", seconds=5.0),
    sound("5.3 s.wav", "wav pcm_s16le", "", seconds=5.3),
    video("7.5 s.mp4", "mp4 h264", HASTY, seconds=7.5, rate=2),
    video("7.7 s.mp4", "mp4 h264", HASTY, seconds=7.7),
)

NO_MEDIA = (
    unreadable("photo.tga", "logo:"),
    unreadable("photo.xbm", "logo:"),
    unreadable("photo.jng", "logo:"),
    unreadable("photo.fits", "logo:"),
    unreadable("pixels.txt", "rose:"),
    unreadable("letter.txt", b"Dear cat,\n" * 400),
    unreadable("page.html", b"<!DOCTYPE html><html><head><title>Cats</title></head></html>\n"),
    unreadable("page named.jpg", b"<!DOCTYPE html><html><head><title>404</title></head></html>\n"),
    unreadable("noise named.mp3", random.Random(0).randbytes(100_000)),
    unreadable("noise named.png", random.Random(0).randbytes(100_000)),
    unreadable("cats.json", b'{"cats": [1, 2, 3]}\n'),
    unreadable(
        "drawing.svg",
        b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480">'
        b'<rect width="640" height="480" fill="navy"/></svg>\n',
    ),
    unreadable(
        "paper.pdf",
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]"
        b"/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 640 480]>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF\n",
    ),
    # Exif and no picture; it says that the top of one is on its right.
    unreadable(
        "sideways.exif",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH4x", 0x0112, 3, 1, 6, 0),
    ),
)

KINDS = (*PICTURES, *OTHER_PICTURES, *VIDEOS, *SOUNDS)
BOUNDS = (*PICTURES_AT_THE_BOUNDS, *VIDEOS_AT_THE_BOUNDS, *SOUNDS_AT_THE_BOUNDS)
MEDIA = {piece.name: piece for piece in (*KINDS, *BOUNDS, *TINY)}
CORPUS = MEDIA | {piece.name: piece for piece in NO_MEDIA}


@attrs.frozen
class Corpus:
    """The files in *folder*, each of which is made when it is first asked for."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            self._make(CORPUS[name], path)
        return path

    def _make(self, piece: Piece, path: Path) -> None:
        if isinstance(piece.how, bytes):
            path.write_bytes(piece.how)
            return
        if alike := _alike(piece):
            made = (f"{options} {shlex.quote(str(self.folder / name))}" for name, options in alike)
            _run(f"{_input(piece)} {' '.join(made)}", path, 0)
            return
        how = re.sub("<(.*?)>", lambda found: shlex.quote(str(self[found[1]])), piece.how)
        pad = 10
        _run(how, path, pad)
        if piece.size_bytes is not None:
            _run(how, path, pad + piece.size_bytes - path.stat().st_size)


_FILMED = re.compile(r"(ffmpeg -f lavfi -i \S+)((?:(?! -i )[^<{])*) {}")


def _input(piece: Piece) -> str:
    filmed = _FILMED.fullmatch(piece.how) if isinstance(piece.how, str) else None
    return filmed[1] if filmed and piece.size_bytes is None else ""


def _alike(piece: Piece) -> list[tuple[str, str]]:
    """Name what FFmpeg makes of the same input, with its options: most of its time is its start."""
    begin = _input(piece)
    alike = [each for each in CORPUS.values() if begin and _input(each) == begin]
    return [(each.name, str(each.how)[len(begin) :].removesuffix("{}")) for each in alike]


def _run(how: str, path: Path, pad: int) -> None:
    filled = {"{}": shlex.quote(str(path)), "{pad}": str(pad)}
    if "{rotating}" in how:
        filled |= _rotation()
    name, *words = shlex.split(re.sub(r"{\w*}", lambda found: filled[found[0]], how))
    options = ("-v", "error", "-nostdin", "-y") if name == "ffmpeg" else ()
    done = subprocess.run([*tool(name), *options, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    if how.endswith(" -"):
        path.write_bytes(done.stdout)


def _rotation() -> dict[str, str]:
    """Give what turns a film that is copied: before version 6 of FFmpeg it is a tag."""
    told = subprocess.run([*tool("ffmpeg"), "-h", "full"], capture_output=True, check=True).stdout
    if b"-display_rotation" in told:
        return {"{rotating}": "-display_rotation 90", "{rotated}": ""}
    return {"{rotating}": "", "{rotated}": "-metadata:s:v:0 rotate=90"}


def brought_along() -> Iterator[Path]:
    """Give the pictures and sounds that come with Python's own tests and with Sphinx, each once."""
    different: dict[bytes, Path] = {}
    for package in ("test", "sphinx"):
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix.lower() in _SUFFIXES:
                    different.setdefault(path.read_bytes(), path)
    yield from different.values()


_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tiff", ".wav", ".aifc", ".au"}
