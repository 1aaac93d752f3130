"""aiohttp: send one call, read its answer whole, map what aiohttp raises. Decides nothing.

The API key lives here and goes to the API's own host only: redirects are not followed.
"""

from __future__ import annotations

import asyncio

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

from seedance_async import wire
from seedance_async.account import Account
from seedance_async.cutoff import Cutoff
from seedance_async.paid import is_ours
from seedance_async.wire import Answer, NoAnswer

# The total bounds the paid step. Connecting has bounds of its own, well below the total, because
# a timeout while connecting proves that nothing was sent, and the total proves nothing.
DEFAULT_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=30, sock_connect=15)
# An answer is a few hundred bytes; our choice of what is no answer of this API any more.
_MAX_BODY_BYTES = 1 << 20
_FOR_EVER_S = 1e9
_NOTHING_SENT = (
    aiohttp.ClientConnectorError,  # DNS, connect, TLS
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,  # the proxy refused to connect us
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
    UnicodeError,  # a host that IDNA has no form for, found by the resolver
)


class Transport:
    """Sends the API's calls over one ``aiohttp.ClientSession``."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        timeout: aiohttp.ClientTimeout,
    ) -> None:
        self.http = http
        self._account = account
        bearer = f"Bearer {account.api_key}"
        headers = {
            "Authorization": bearer,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        # Of the kind that aiohttp would make of it with each call.
        self._headers = CIMultiDict(headers)
        self._json_headers = CIMultiDict(
            {**headers, "Content-Type": "application/json; charset=utf-8"}
        )
        self._timeout = timeout
        # What a query's timeout proves does not matter, so that the cheaper one does.
        self._query_timeout = attrs.evolve(timeout, total=None, connect=None)
        self._queries = Cutoff(timeout.total or _FOR_EVER_S)

    @property
    def longest_s(self) -> float:
        """The longest that a query takes, in seconds."""
        return self._queries.longest_s

    @property
    def api_key(self) -> str:
        """The key, for taking it out of what a provider says."""
        return self._account.api_key

    async def create(self, body: bytes) -> Answer | NoAnswer:
        """Send a create: the call that costs money."""
        return await self._send("POST", wire.CREATE_PATH, self._timeout, body)

    async def query(self, task_id: str) -> Answer | NoAnswer:
        """Ask about a task."""
        path = f"{wire.RESULT_PATH}/{wire.quote_id(task_id)}"
        try:
            with self._queries.call():
                return await self._send("GET", path, self._query_timeout)
        except TimeoutError as exc:
            return NoAnswer(sent=True, reason=_reason(exc))

    async def asset(
        self, method: str, asset_id: str | None, body: bytes | None = None
    ) -> Answer | NoAnswer:
        """Register an asset, where there is no id yet; or look at it, or delete it."""
        path = wire.ASSET_UPLOAD_PATH
        if asset_id is not None:
            path = f"{wire.ASSET_PATH}/{wire.quote_id(asset_id)}"
        return await self._send(method, path, self._timeout, body)

    async def _send(
        self, method: str, path: str, bounds: aiohttp.ClientTimeout, body: bytes | None = None
    ) -> Answer | NoAnswer:
        if self.http.closed:
            return NoAnswer(sent=False, reason="the aiohttp session is closed")
        try:
            response = await self.http.request(
                method,
                URL(self._account.base_url + path, encoded=True),
                data=body,
                headers=self._headers if body is None else self._json_headers,
                timeout=bounds,
                allow_redirects=False,
                raise_for_status=False,
            )
            try:
                return await _read(response)
            finally:
                response.release()  # closes the connection where not all was read
        except _NOTHING_SENT as exc:
            return NoAnswer(sent=False, reason=_reason(exc))
        # Whatever else may be raised by now: nobody knows how far the call got.
        except Exception as exc:  # noqa: BLE001
            return NoAnswer(sent=True, reason=_reason(exc))
        except asyncio.CancelledError as exc:
            if is_ours(exc):
                raise
            return NoAnswer(sent=True, reason="the connection pool was closed")


async def _read(response: aiohttp.ClientResponse) -> Answer:
    body, cut = b"", None
    try:
        while chunk := await response.content.readany():
            body = body + chunk if body else chunk
            if len(body) > _MAX_BODY_BYTES:
                cut = "an answer of more than 1 MiB"
                break
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        # Headers that lie about the body's end must not lose an id that has arrived.
        cut = _reason(exc)
    return Answer(response.status, response.headers, body, cut)


def _reason(exc: BaseException) -> str:
    """Name the failure by its class and the system's words; an URL could be in any others."""
    # ``getattr``: aiohttp's certificate error has the property, and raises in it.
    system = getattr(exc, "os_error", exc)
    words = getattr(system, "strerror", None)
    name = type(exc).__name__
    return f"{name}: {words}" if isinstance(words, str) and words else name
