"""A file behind a URL, of which no more is fetched than a look at it needs.

Whoever may name a URL must not reach into the network that this runs in: redirects are followed
here, one by one, and names that lead to private addresses are not connected to. No key and no
cookie goes along, and no URL into an error.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from seedance_async import hosts, references, wire
from seedance_async.errors import MediaError

#: How long one look behind a URL may take, in seconds. Our choice.
LOOK_S = 4.5
#: How much of a file may be fetched, in bytes. Our choice.
MAX_BYTES = 1_900_000
_BLOCK_BYTES = 1 << 16
_MAX_REDIRECTS = 5
_PAUSE_S = 1.0  # before a host is asked once more
_OK, _PARTIAL, _NO_SUCH_RANGE, _TOO_MANY, _SERVER_ERROR = 200, 206, 416, 429, 500
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def connections(*, to_private: bool) -> aiohttp.ClientSession:
    """Make what looks behind URLs; to be closed by the caller.

    Args:
        to_private: Whether private addresses may be reached, as where the API is an emulator.
    """
    connector = aiohttp.TCPConnector(resolver=None if to_private else _PublicOnly())
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


class _PublicOnly(AbstractResolver):
    """Finds the public addresses of a name only."""

    def __init__(self) -> None:
        self._inner = DefaultResolver()

    async def resolve(self, host: str, *args: int, **kwargs: int) -> list[ResolveResult]:
        found = await self._inner.resolve(host, *args, **kwargs)  # type: ignore[arg-type]
        public = [address for address in found if hosts.is_public(address["host"])]
        if found and not public:
            raise MediaError("leads to a private address, where the provider cannot reach it")
        return public

    async def close(self) -> None:
        await self._inner.close()


class Behind:
    """A file behind a URL, open for reading in parts.

    Attributes:
        size: How long it is, in bytes; None where the server does not tell.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, *, to_private: bool) -> None:
        self._http = http
        self._given = url
        self._url = URL()
        self._to_private = to_private
        self._blocks: dict[int, bytes] = {}
        self._rest: aiohttp.ClientResponse | None = None
        self._head = bytearray()  # of a server that serves no parts
        self._got = 0
        self._left_s = LOOK_S
        self._loop = asyncio.get_running_loop()
        self.size: int | None = None

    async def __aenter__(self) -> Self:
        """Fetch its beginning.

        Raises:
            MediaError: It cannot be fetched.
        """
        began = self._loop.time()
        try:
            async with asyncio.timeout(LOOK_S):
                await self._open()
        except TimeoutError:
            raise MediaError(f"cannot be fetched: no answer for {LOOK_S} s") from None
        self._left_s -= self._loop.time() - began
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Give the connection up where not all was read."""
        if self._rest is not None:
            self._rest.close()

    def read(self, offset: int, count: int) -> bytes:
        """Give *count* bytes from *offset*, fewer only at the end; for a thread.

        Raises:
            MediaError: They cannot be fetched, or it is too much or too late.
        """
        began = time.monotonic()
        future = asyncio.run_coroutine_threadsafe(self._part(offset, count), self._loop)
        try:
            return future.result(self._left_s)
        except (TimeoutError, concurrent.futures.CancelledError):
            future.cancel()
            raise MediaError(f"cannot be fetched: it takes longer than {LOOK_S} s") from None
        finally:  # fetching is what has a limit; waiting for a process to look is no host's fault
            self._left_s = max(0.0, self._left_s - (time.monotonic() - began))

    async def _open(self) -> None:
        with _mapped():
            self._url = URL(self._given)
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._get_patiently()
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                break
            response.close()
            try:
                self._url = self._url.join(URL(location))
            except ValueError:
                raise MediaError("cannot be fetched: it redirects to no valid URL") from None
        else:
            raise MediaError(f"cannot be fetched: it redirects more than {_MAX_REDIRECTS} times")
        if response.status == _OK:
            self._rest, self.size = response, response.content_length
            return
        try:
            if response.status == _NO_SUCH_RANGE:
                self.size = 0
            elif response.status == _PARTIAL:
                self.size = wire.size_in_range(response.headers)
                self._blocks[0] = await self._received(response, _BLOCK_BYTES)
            else:
                raise MediaError(f"cannot be fetched: HTTP {response.status}")
        finally:
            response.release()

    async def _get_patiently(self) -> aiohttp.ClientResponse:
        """Get the beginning; once more where a host has a bad moment."""
        try:
            response = await self._get(0)
            if response.status != _TOO_MANY and response.status < _SERVER_ERROR:
                return response
            response.close()
        except _LineError:
            pass
        await asyncio.sleep(_PAUSE_S)
        return await self._get(0)

    async def _get(self, first: int) -> aiohttp.ClientResponse:
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise MediaError("cannot be fetched: it redirects to what is no http(s) URL")
        if not self._to_private and not references.may_be_public(str(self._url)):
            raise MediaError("leads to a private address, where the provider cannot reach it")
        bytes_range = f"bytes={first}-{first + _BLOCK_BYTES - 1}"
        headers = {"Range": bytes_range, "Accept-Encoding": "identity"}
        with _mapped():
            return await self._http.get(self._url, headers=headers, allow_redirects=False)

    async def _part(self, offset: int, count: int) -> bytes:
        if self._rest is not None:
            await self._read_on(offset + count)
            return bytes(self._head[offset : offset + count])
        blocks = range(offset // _BLOCK_BYTES, (offset + count - 1) // _BLOCK_BYTES + 1)
        data = b"".join([await self._block(index) for index in blocks])
        begin = offset - blocks.start * _BLOCK_BYTES
        return data[begin : begin + count]

    async def _read_on(self, end: int) -> None:
        assert self._rest is not None  # noqa: S101 - asked by the caller
        while len(self._head) < end and not self._rest.content.at_eof():
            self._head += await self._received(self._rest, _BLOCK_BYTES)

    async def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            self._blocks[index] = b""
        data, first = self._blocks[index], index * _BLOCK_BYTES
        # A host may give less than was asked for.
        while len(data) < _BLOCK_BYTES and not self._is_end(first + len(data)):
            part = await self._from(first + len(data), _BLOCK_BYTES - len(data))
            if not part:
                break
            data = self._blocks[index] = data + part
        return data

    def _is_end(self, offset: int) -> bool:
        return self.size is not None and offset >= self.size

    async def _from(self, first: int, most: int) -> bytes:
        response = await self._get(first)
        try:
            if response.status == _NO_SUCH_RANGE:
                return b""
            begins = response.headers.get("Content-Range", "").startswith(f"bytes {first}-")
            if response.status != _PARTIAL or not begins:
                raise MediaError(f"cannot be fetched in parts: HTTP {response.status}")
            return await self._received(response, most)
        finally:
            response.release()

    async def _received(self, response: aiohttp.ClientResponse, most: int) -> bytes:
        """Read so much, or to the end."""
        data = bytearray()
        while len(data) < most:
            with _mapped():
                chunk = await response.content.read(most - len(data))
            if not chunk:
                break
            data += chunk
            self._got += len(chunk)
            if self._got > MAX_BYTES:
                more = "" if self._rest is None else ": its host should answer Range requests"
                raise MediaError(f"does not show what it is within {MAX_BYTES:,} bytes{more}")
        return bytes(data)


class _LineError(MediaError):
    """The host could not be reached, or broke off."""


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    # Their own words may hold the URL: only the class is told, and nothing is chained.
    except aiohttp.ClientConnectorDNSError:
        raise MediaError("cannot be fetched: nobody knows its host") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        raise _LineError(f"cannot be fetched ({type(exc).__name__})") from None
    except ValueError:  # a host that has no form in IDNA, or brackets in odd places
        raise MediaError("cannot be fetched: its URL has no valid host") from None
