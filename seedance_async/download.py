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
import anyio
import attrs
from yarl import URL

from seedance_async.errors import DownloadError, VideoExpired
from seedance_async.paid import finish

# A video is some ten megabytes: half an hour is for a slow line, and an end for one that drips.
_TIMEOUT = aiohttp.ClientTimeout(total=1800, connect=60, sock_connect=15, sock_read=60)
_MAX_BYTES = 4 << 30  # a thousand times a long video; our choice
_TRIES = 4
_PAUSE_S = 1.0
_WRITE_BYTES = 1 << 20  # one hop to a thread a megabyte, our choice
_GONE = frozenset({403, 404, 410})  # what stores of signed files answer after the end
_OK, _PARTIAL = 200, 206
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
            transfer = _Transfer(http=http, url=target, task_id=task_id, file=opened[0])
            await transfer.run()
            await asyncio.to_thread(_check, opened[0], task_id)
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


def _check(file: BinaryIO, task_id: str) -> None:
    """Bring the whole file to the disk, if it is one of the right kind."""
    file.seek(4)
    # Every MP4 begins with a box of this type (ISO/IEC 14496-12); an error page does not.
    if file.read(4) != b"ftyp":
        raise DownloadError("what came for the video is no MP4", task_id)
    file.flush()
    os.fsync(file.fileno())
    file.close()  # Windows renames no open file


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


class _BrokenError(Exception):
    """The transfer stopped in the middle, or did not start; it may be tried again."""


@attrs.define(kw_only=True, eq=False, repr=False)
class _Transfer:
    http: aiohttp.ClientSession
    url: URL
    task_id: str
    file: BinaryIO
    got_bytes: int = 0
    etag: str | None = None
    size_bytes: int | None = None

    async def run(self) -> None:
        for tried in range(1, _TRIES + 1):
            try:
                await self._try()
            except _BrokenError as broken:
                if tried == _TRIES:
                    message = f"the video could not be fetched in {_TRIES} tries: {broken}"
                    raise DownloadError(message, self.task_id) from None
                await anyio.sleep(_PAUSE_S * tried)
            else:
                return

    async def _try(self) -> None:
        if self.http.closed:
            raise DownloadError("the session that brought this video is closed", self.task_id)
        headers = {"Accept-Encoding": "identity"}
        if self.got_bytes and self.etag:
            headers |= {"Range": f"bytes={self.got_bytes}-", "If-Range": self.etag}
        try:
            async with self.http.get(
                self.url, headers=headers, timeout=_TIMEOUT, raise_for_status=False
            ) as response:
                await self._receive(response)
        # aiohttp's own words may hold the URL: only the class is told, and nothing is chained.
        # ValueError: a redirect to a host that has no form in IDNA.
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise _BrokenError(type(exc).__name__) from None

    async def _receive(self, response: aiohttp.ClientResponse) -> None:
        if response.status in _GONE:
            message = f"the provider no longer has the video (HTTP {response.status})"
            raise VideoExpired(message, self.task_id)
        goes_on = self._goes_on(response)
        if response.status == _OK or (response.status == _PARTIAL and not goes_on):
            await self._restart()
        if response.status not in (_OK, _PARTIAL) or (response.status == _PARTIAL and not goes_on):
            raise _BrokenError(f"HTTP {response.status}")
        self.etag = _strong(response.headers.get("ETag"))
        self.size_bytes = _whole_size(response)
        await self._write_all(response)
        if self.size_bytes is not None and self.got_bytes != self.size_bytes:
            raise _BrokenError(f"{self.got_bytes} of {self.size_bytes} bytes came")

    def _goes_on(self, response: aiohttp.ClientResponse) -> bool:
        """Tell whether this is the rest of the very file whose beginning is on disk."""
        start, _, _ = response.headers.get("Content-Range", "").partition("-")
        same_etag = _strong(response.headers.get("ETag")) == self.etag
        same_size = self.size_bytes in (None, _whole_size(response))
        return start == f"bytes {self.got_bytes}" and same_etag and same_size

    async def _restart(self) -> None:
        self.got_bytes, self.size_bytes = 0, None
        self.file.seek(0)
        await asyncio.to_thread(self.file.truncate)

    async def _write_all(self, response: aiohttp.ClientResponse) -> None:
        pending = bytearray()
        try:
            async for chunk in response.content.iter_any():
                pending += chunk
                if len(pending) >= _WRITE_BYTES:
                    await self._write(bytes(pending))
                    pending.clear()
        except (aiohttp.ClientError, TimeoutError):
            await self._write(bytes(pending))  # so that the next try goes on behind it
            raise
        await self._write(bytes(pending))

    async def _write(self, data: bytes) -> None:
        self.got_bytes += len(data)
        if self.got_bytes > _MAX_BYTES:
            raise DownloadError("the video is larger than 4 GiB and was given up", self.task_id)
        await asyncio.to_thread(self.file.write, data)


def _verbatim(url: str) -> URL | None:
    """Leave a URL as it was signed: quoting it anew could break the signature."""
    try:
        target = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        # Asked for here, because yarl looks at an encoded URL's host and port no sooner.
        fetchable = target.scheme in ("http", "https") and target.host and target.port
    except ValueError:
        return None
    return target if fetchable else None


def _strong(etag: str | None) -> str | None:
    return etag if etag is not None and not etag.startswith("W/") else None


def _whole_size(response: aiohttp.ClientResponse) -> int | None:
    if "Content-Encoding" in response.headers:
        return None  # what is counted here is what came out of the decoder
    if response.status == _PARTIAL:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(total) if re.fullmatch(r"\d{1,18}", total, re.ASCII) else None
    return response.content_length
