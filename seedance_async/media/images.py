"""Look at an image: what it is, how large, and whether all of it is there. Decodes no picture.

A picture of a billion pixels fits into a few kilobytes, so that only headers are read and the
structure around the pixels is walked. Takes files that can seek; runs in ``worker``'s process.
"""

from __future__ import annotations

import contextlib
import struct
from typing import IO, Any, cast

# A plugin that is not imported by name brings all of them along when it is first asked for.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
)

from seedance_async.media.problem import Problem
from seedance_async.mediainfo import MediaInfo, MediaKind

# Pillow's reader of WebP takes memory for two whole pictures before anybody asks for one.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF")
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274  # Source: TIFF 6.0, section 8; Exif 2.32, table 4
_ON_ITS_SIDE = range(5, 9)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_DATA = ((273, 279), (324, 325))  # offsets and counts of strips, of tiles; TIFF 6.0
_SCAN_BYTES = 1 << 20
# We decode nothing; a rule tells the user how large is too large.
Image.MAX_IMAGE_PIXELS = None


def look(file: IO[bytes], size_bytes: int | None, *, is_whole: bool) -> MediaInfo | None:
    """Look at an image.

    Args:
        file: Its content, from the beginning.
        size_bytes: How long that is, if it is known.
        is_whole: Whether all of it may be read, to find out whether all is there.

    Returns:
        What it is; None if it is none of the images that the API takes.

    Raises:
        Problem: It is one, and broken.
    """
    head = file.read(16)
    file.seek(0)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(file, size_bytes, is_whole=is_whole)
    try:
        image = Image.open(file, formats=_FORMATS)
    except OSError as exc:
        if _begins_as_an_image(head):
            raise Problem(f"begins as an image and cannot be read: {_reason(exc)}") from None
        return None
    except Exception as exc:  # noqa: BLE001 - a hostile header may raise anything
        raise Problem(f"begins as an image and cannot be read: {_reason(exc)}") from None
    container = "jpeg" if image.format == "MPO" else str(image.format).lower()
    orientation = 1
    if container == "png":
        exif = _walk_png(file) if is_whole else image.info.get("exif")
        orientation = _orientation(exif)
    else:
        with contextlib.suppress(Exception):  # damaged Exif is no Exif
            orientation = image.getexif().get(_ORIENTATION, 1)
    if is_whole and (problem := _missing(image, container, file, size_bytes)):
        raise Problem(problem)
    is_animated = False
    # To tell of a GIF, Pillow reads through its first picture.
    if container == "png" or (container == "gif" and is_whole):
        with contextlib.suppress(Exception):
            is_animated = bool(getattr(image, "is_animated", False))
    return _info(container, _stored_size(image), orientation, size_bytes, is_animated)


def _stored_size(image: Any) -> tuple[int, int]:
    """Give the sides before any rotation, which Pillow has applied already to a TIFF."""
    tags = getattr(image, "tag_v2", None)
    return image.size if tags is None else (int(tags[_WIDTH]), int(tags[_HEIGHT]))


def _info(
    container: str,
    size: tuple[int, int],
    orientation: Any,
    size_bytes: int | None,
    is_animated: bool,
) -> MediaInfo:
    width, height = size
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    return MediaInfo(
        kind=MediaKind.IMAGE,
        container=container,
        codec=container,
        width=width,
        height=height,
        size_bytes=size_bytes,
        animated=is_animated,
    )


def _begins_as_an_image(head: bytes) -> bool:
    starts = (b"\xff\xd8\xff", _PNG_SIGNATURE, b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
    return head.startswith(starts)


def _orientation(exif: bytes | None) -> Any:
    with contextlib.suppress(Exception):  # damaged Exif is no Exif
        if exif:
            read = Image.Exif()
            read.load(exif)
            return read.get(_ORIENTATION, 1)
    return 1


def _missing(image: Any, container: str, file: IO[bytes], size: int | None) -> str | None:
    """Say that a part of the file is missing; None where nothing tells so."""
    end: int | None = None
    if container == "jpeg" and not _has_end_of_image(file):
        return "is cut short: a JPEG without an end"
    if container == "gif":
        return _cut_gif(file)
    if container == "bmp" and image.tile and image.tile[0][0] == "raw":
        _, (_, _, _, height), offset, args = image.tile[0]
        end = offset + args[1] * height
    if container == "tiff":
        ends = (
            offset + count
            for offsets, counts in _TIFF_DATA
            for offset, count in zip(
                _numbers(image, offsets), _numbers(image, counts), strict=False
            )
        )
        end = max(ends, default=None)
    if end is not None and size is not None and end > size:
        return f"is cut short: its pixels end at byte {end:,}, and the file at {size:,}"
    return None


def _numbers(image: Any, tag: int) -> tuple[int, ...]:
    with contextlib.suppress(Exception):
        value = image.tag_v2.get(tag, ())
        return tuple(value) if isinstance(value, tuple | list) else (int(value),)
    return ()


def _has_end_of_image(file: IO[bytes]) -> bool:
    """Tell whether an end-of-image marker comes after the last start of picture data."""
    file.seek(0)
    last_scan, last_end, at, tail = -1, -1, 0, b""
    while chunk := file.read(_SCAN_BYTES):
        data = tail + chunk
        last_scan = max(last_scan, _found(data, b"\xff\xda", at - len(tail)))
        last_end = max(last_end, _found(data, b"\xff\xd9", at - len(tail)))
        at += len(chunk)
        tail = data[-1:]
    return last_end > last_scan >= 0


def _found(data: bytes, marker: bytes, at: int) -> int:
    index = data.rfind(marker)
    return -1 if index < 0 else index + at


def _cut_gif(file: IO[bytes]) -> str | None:
    """Walk a GIF's blocks to its trailer. Source: GIF89a, sections 18 to 27."""
    file.seek(10)
    packed = _exactly(file, 3)
    file.seek(13 + _table_bytes(packed[0]))
    cut = "is cut short: a GIF without its trailer"
    with contextlib.suppress(Problem):
        while (kind := _exactly(file, 1)) != b";":
            if kind == b"!":
                file.seek(1, 1)
            elif kind == b",":
                packed = _exactly(file, 9)
                file.seek(_table_bytes(packed[8]) + 1, 1)
            else:
                return None  # rubbish between blocks, which viewers skip
            while count := _exactly(file, 1)[0]:
                file.seek(count, 1)
        return None
    return cut


def _table_bytes(packed: int) -> int:
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0


def _walk_png(file: IO[bytes]) -> bytes | None:
    """Walk the chunks to the last, and give the Exif among them. Source: PNG 3, 4.8 and 5.3."""
    file.seek(len(_PNG_SIGNATURE))
    exif = None
    while True:
        length, name = struct.unpack(">I4s", _exactly(file, 8))
        if name == b"IEND":
            return exif
        if name == b"eXIf" and length < _SCAN_BYTES:
            exif = _exactly(file, length)
            file.seek(4, 1)
        else:
            file.seek(length + 3, 1)
            _exactly(file, 1)


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise Problem("is cut short: it ends within its structure")
    return data


def _webp(file: IO[bytes], size_bytes: int | None, *, is_whole: bool) -> MediaInfo:
    """Read a WebP's header. Source: RFC 9649, sections 2.3 to 2.7; RFC 6386, 9.1."""
    length = struct.unpack("<4sI", _exactly(file, 8))[1] + 8
    if size_bytes is not None and length > size_bytes:
        raise Problem(f"is cut short: it has {size_bytes:,} of {length:,} bytes")
    file.seek(12)
    size: tuple[int, int] | None = None
    is_animated, orientation = False, cast(int | None, 1)
    while size is None or orientation is None:
        head = file.read(8)
        if len(head) < 8:  # noqa: PLR2004
            break
        name, count = struct.unpack("<4sI", head)
        begin = file.tell()
        if name == b"VP8X":
            data = _exactly(file, 10)
            is_animated = bool(data[0] & 0x02)
            size = _int24(data[4:7]) + 1, _int24(data[7:10]) + 1
            if data[0] & 0x08 and is_whole:
                orientation = None  # stands at the end
        elif name == b"VP8L":
            bits = struct.unpack("<xI", _exactly(file, 5))[0]
            size = size or ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        elif name == b"VP8 ":
            across, down = struct.unpack("<6xHH", _exactly(file, 10))
            size = size or (across & 0x3FFF, down & 0x3FFF)
        elif name == b"EXIF":
            orientation = _orientation(_exactly(file, min(count, _SCAN_BYTES)))
        file.seek(begin + count + count % 2)
    if size is None:
        raise Problem("begins as a WebP and has no picture in it")
    return _info("webp", size, orientation, size_bytes, is_animated)


def _int24(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _reason(exc: BaseException) -> str:
    # Pillow's own words may quote the file's name.
    return type(exc).__name__
