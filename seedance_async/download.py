"""A video's bytes to disk: streamed, checked, and renamed into place whole.

The file goes to a temporary name beside its target first. No API key is sent to the video's
host, and its URL, which may be signed, gets into no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import tempfile
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from seedance_async.errors import DownloadError
from seedance_async.paid import finish
from seedance_async.transfer import Transfer

_BOX_HEAD_BYTES = 8
_NAME_CHARS = 40  # of up to four bytes each, of the 255 that a file system gives a name


def file_name(index: int, name: str | None) -> str:
    """Name a batch's file: its place from 1, then what a person calls it, as far as is safe."""
    plain = unicodedata.normalize("NFC", name or "")
    safe = re.sub(r"[\W_]+", "-", plain)[:_NAME_CHARS].strip("-")
    return f"{index + 1:04d}{'-' if safe else ''}{safe}.mp4"


async def fetch(
    http: aiohttp.ClientSession, url: str, path: Path, task_id: str, *, replaces: bool = True
) -> tuple[Path, int]:
    """Stream the MP4 at *url* to *path*; a broken transfer goes on where it stopped.

    Args:
        http: What to fetch it with; no key is sent.
        url: Where it is.
        path: Where to.
        task_id: The task, for errors.
        replaces: Whether a file that is there is replaced; if not, a number is added to the name.

    Returns:
        The file's path, and its size in bytes.

    Raises:
        VideoExpired: The host no longer has it.
        DownloadError: It cannot be fetched, is no MP4, or cannot be written.
    """
    target = _verbatim(url)
    if target is None:
        raise DownloadError("the provider gave a URL that cannot be fetched", task_id)
    if not path.name:
        raise DownloadError(f"cannot write {str(path)!r}: it names no file", task_id)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    opened: list[BinaryIO] = []
    with writing(path, task_id):
        try:
            # To its end, though cancelled: a file that is opened is a file to be closed.
            await finish(asyncio.to_thread(_open, part, opened))
            transfer = Transfer(
                http=http, url=target, task_id=task_id, file=opened[0], is_whole=_is_whole
            )
            await transfer.run()
            await asyncio.to_thread(_sync, opened[0])
            return await asyncio.to_thread(_settle, part, path, replaces), transfer.got_bytes
        finally:
            _discard(opened, part)


@contextlib.contextmanager
def writing(path: Path, task_id: str | None = None) -> Iterator[None]:
    """Turn what a file system may raise in the block into a ``DownloadError`` about *path*."""
    try:
        yield
    except (OSError, ValueError) as exc:  # ValueError: a NUL, or letters that it has no form for
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise DownloadError(f"cannot write {path}: {reason}", task_id) from exc


def prepare_folder(folder: Path) -> None:
    """Make *folder* and see whether files can be written there.

    Raises:
        DownloadError: They cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def _open(part: Path, opened: list[BinaryIO]) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    opened.append(part.open("xb+"))


def _is_whole(file: BinaryIO, size_bytes: int) -> bool:
    """Tell whether a file is an MP4 of which nothing is missing.

    It is a row of boxes, each beginning with its size and type (ISO/IEC 14496-12, 4.2), the first
    of type ``ftyp``; an error page is none, and one that was cut short ends within a box. What
    comes behind the film's index and data (``moov``, ``mdat``) may be anything.
    """
    at, seen = 0, set[bytes]()
    while at < size_bytes:
        file.seek(at)
        head = file.read(16)
        kind, box_bytes = head[4:8], int.from_bytes(head[:4])
        if box_bytes == 1:  # the size did not fit: it follows the type, in eight bytes
            box_bytes = int.from_bytes(head[8:])
        elif box_bytes == 0:  # the last box, to the end of the file
            box_bytes = size_bytes - at
        if at == 0 and kind != b"ftyp":
            return False
        if box_bytes < _BOX_HEAD_BYTES or at + box_bytes > size_bytes:
            return seen >= {b"moov", b"mdat"}
        seen.add(kind)
        at += box_bytes
    return size_bytes > 0


def _sync(file: BinaryIO) -> None:
    """Bring the file to the disk itself, and close it: Windows renames no open file."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _settle(part: Path, path: Path, replaces: bool) -> Path:
    """Give the file its name, in one step that nobody else's file is in the way of."""
    if replaces:
        return part.replace(path)
    for number in itertools.count(1):
        free = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            # A link, unlike a rename, fails where there is a file: it was paid for, and stays.
            os.link(part, free)
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links
            if free.exists():
                continue
            part.replace(free)
        return free
    raise AssertionError  # numbers do not end


def _discard(opened: list[BinaryIO], part: Path) -> None:
    try:
        for file in opened:
            file.close()
    finally:
        part.unlink(missing_ok=True)


def _verbatim(url: str) -> URL | None:
    """Leave a URL as it was signed: quoting it anew could break the signature."""
    try:
        target = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        # Asked for here, because yarl looks at an encoded URL's host and port no sooner.
        fetchable = target.scheme in ("http", "https") and target.host and target.port
    except ValueError:
        return None
    return target if fetchable else None
