"""A URL's bytes into an open file: resumed after a break, started again where that cannot be.

No API key is sent, and the URL, which may be signed, gets into no message.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import BinaryIO

import aiohttp
import anyio
import attrs
from yarl import URL

from seedance_async.errors import DownloadError, VideoExpired
from seedance_async.retry import Again, Patience, Retries
from seedance_async.wire import retry_after_s, size_in_range

# A video is some ten megabytes: half an hour is for a slow line, and an end for one that drips.
_TIMEOUT = aiohttp.ClientTimeout(total=1800, connect=60, sock_connect=15, sock_read=60)
_MAX_BYTES = 4 << 30  # a thousand times a long video; our choice
# Without any progress; a video waits for 24 hours, but other downloads wait behind this one.
_PATIENCE_S = 300.0
_RETRIES = Retries(odd_answers=4)
_JITTER = 0.5
_WRITE_BYTES = 1 << 20  # one hop to a thread a megabyte, our choice
_GONE = frozenset({403, 404, 410})  # what stores of signed files answer after the end
_REFUSALS = frozenset(range(400, 500)) - {408, 416, 425, 429}
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416


class _BrokenError(Exception):
    """The transfer stopped in the middle, or did not start; it may be tried again."""

    def __init__(self, reason: str, *, wait_s: float | None = None, outage: bool = True) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.outage = outage


@attrs.define(kw_only=True, eq=False, repr=False)
class Transfer:
    """One file on its way from a URL into an open file.

    Attributes:
        is_whole: Tells whether so many bytes of the file are all of it; may move its position.
        most_bytes: The most that has been there: less than that is no progress.
    """

    http: aiohttp.ClientSession
    url: URL
    task_id: str
    file: BinaryIO
    is_whole: Callable[[BinaryIO, int], bool]
    got_bytes: int = 0
    most_bytes: int = 0
    etag: str | None = None
    size_bytes: int | None = None

    async def run(self) -> None:
        """Fetch until the file is whole.

        Raises:
            VideoExpired: The host no longer has it.
            DownloadError: There was no progress for too long.
        """
        patience = Patience(_RETRIES, _PATIENCE_S)
        while True:
            try:
                return await self._try()
            except _BrokenError as broken:
                message = f"the video could not be fetched: {broken}"
                error = DownloadError(message, self.task_id)
                again = Again(error=error, wait_s=broken.wait_s, outage=broken.outage)
            if self.got_bytes > self.most_bytes:
                self.most_bytes = self.got_bytes
                patience.reset()
            await anyio.sleep(patience.failed(again, anyio.current_time(), _JITTER))

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
        if response.status == _NO_SUCH_RANGE and size_in_range(response.headers) == self.got_bytes:
            await self._check()  # the whole file is here; the host had promised more
            return
        goes_on = response.status == _PARTIAL and self._goes_on(response)
        if response.status in (_OK, _PARTIAL, _NO_SUCH_RANGE) and not goes_on:
            await self._restart()
        if response.status != _OK and not goes_on:
            wait_s = retry_after_s(response.headers, dt.datetime.now(dt.UTC))
            heals = response.status not in _REFUSALS
            raise _BrokenError(f"HTTP {response.status}", wait_s=wait_s, outage=heals)
        encoded = "Content-Encoding" in response.headers  # then a range is of other bytes
        self.etag = None if encoded else _strong(response.headers.get("ETag"))
        self.size_bytes = _whole_size(response)
        await self._write_all(response)
        if self.size_bytes is not None and self.got_bytes != self.size_bytes:
            raise _BrokenError(f"{self.got_bytes} of {self.size_bytes} bytes came")
        await self._check()

    async def _check(self) -> None:
        if not await asyncio.to_thread(self.is_whole, self.file, self.got_bytes):
            await self._restart()
            raise _BrokenError("what came is no MP4, or not a whole one", outage=False)

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


def _strong(etag: str | None) -> str | None:
    return etag if etag is not None and not etag.startswith("W/") else None


def _whole_size(response: aiohttp.ClientResponse) -> int | None:
    if "Content-Encoding" in response.headers:
        return None  # what is counted here is what came out of the decoder
    return (
        size_in_range(response.headers) if response.status == _PARTIAL else response.content_length
    )
