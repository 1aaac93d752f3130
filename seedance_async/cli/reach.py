"""What ``seedance doctor`` finds on the way to the API: name, connection, certificate, answer.

Makes one call at the most, a query of a task that cannot exist, which costs nothing. The key goes
to the configured address alone, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email.utils
import socket
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
import attrs

from seedance_async import wire
from seedance_async.account import Account
from seedance_async.cli import debugging
from seedance_async.cli.findings import Finding, ok, problem, warning
from seedance_async.transport import Transport
from seedance_async.wire import Answer, NoAnswer

#: A task that no service has: version 0 of a UUID does not exist.
NO_TASK = "video_00000000-0000-0000-0000-000000000000"
_TIMEOUT_S = 15.0
_EXPIRES_SOON = dt.timedelta(days=14)
_CLOCK_OK_S, _CLOCK_BAD_S = 30.0, 300.0  # signatures of S3 are good for 15 minutes; our choice
_REFUSED = frozenset({401, 403})
_SYNC = "let the system set its clock by the network"


async def way(url: str) -> AsyncIterator[Finding]:
    """Look up the host, and connect to it; sends nothing but what TLS needs."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or "no answer"
        hint = "check the spelling of the address, and the network"
        yield problem("DNS", f"{host} is not found: {why}", hint)
        return
    if (first := found[0][4][0]) != host:
        yield ok("DNS", f"{host} is {first}")
    yield await _connected(parts, host, port)


async def _connected(parts: SplitResult, host: str, port: int) -> Finding:
    check = "TLS" if parts.scheme == "https" else "TCP"
    context = ssl.create_default_context() if check == "TLS" else None
    at = time.monotonic()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        hint = (
            "the certificate cannot be trusted: is something between you and the provider? A "
            "company's own authority goes into SSL_CERT_FILE"
        )
        return problem(check, f"{host}:{port}: {error.verify_message}", hint)
    except ssl.SSLError as error:
        hint = "is it https at all? Try http:// for a server of your own"
        return problem(check, f"{host}:{port}: {error.reason}", hint)
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or f"no answer in {_TIMEOUT_S:g} s"
        return problem(check, f"{host}:{port}: {why}", "is the address right, and the network up?")
    spent = f"{(time.monotonic() - at) * 1e3:.0f} ms"
    try:
        secured = writer.get_extra_info("ssl_object")
        if secured is None:
            return ok(check, f"connected to port {port} in {spent}")
        return _certified(secured, spent)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await writer.wait_closed()


def _certified(secured: Any, spent: str) -> Finding:
    until = ssl.cert_time_to_seconds(secured.getpeercert()["notAfter"])
    expires = dt.datetime.fromtimestamp(until, dt.UTC)
    what = f"{secured.version()} in {spent}, its certificate is good until {expires:%Y-%m-%d}"
    if expires - dt.datetime.now(dt.UTC) < _EXPIRES_SOON:
        return warning("TLS", what, "the service has to renew it; nothing to do for you")
    return ok("TLS", what)


async def answer(url: str, key: str) -> AsyncIterator[Finding]:
    """Ask about a task that cannot exist: reads the key's standing and the clock off the answer."""
    account = attrs.evolve(Account.of(key, url), base_url=url)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, connect=_TIMEOUT_S / 2)
    traces = debugging.traces() if debugging.is_on() else []
    async with aiohttp.ClientSession(trace_configs=traces) as http:
        reply = await Transport(http, account, timeout).query(NO_TASK)
    now = dt.datetime.now(dt.UTC)
    yield _judged(reply, key)
    if isinstance(reply, Answer):
        yield _clock(reply.headers.get("date"), now)


def _judged(reply: Answer | NoAnswer, key: str) -> Finding:
    if isinstance(reply, NoAnswer):
        return problem("API", f"no answer: {reply.reason}", "see the lines above")
    words = debugging.clean(wire.failure_message(reply, (key,)))
    if reply.status in _REFUSED:
        return problem("API", f"the key is refused ({words})", "take the right key, or a new one")
    if 300 <= reply.status < 400:  # noqa: PLR2004
        hint = "write the address that it leads to; a key is not sent along"
        return problem("API", f"HTTP {reply.status}: the address leads elsewhere", hint)
    if reply.status == 429 or reply.status >= 500:  # noqa: PLR2004
        return warning("API", words, "the service is busy or has trouble: try again later")
    if reply.status == 402:  # noqa: PLR2004
        return warning("API", f"the key is taken ({words})", "top up the account")
    loaded = wire.load_object(reply.body)
    if isinstance(loaded, wire.Unreadable):
        hint = "is the base URL the whole of what stands before /v1, and nothing more?"
        return problem("API", f"HTTP {reply.status} with {loaded.reason}: not the API", hint)
    return ok("API", f"the key is taken (a task that cannot exist: {words})")


def _clock(date: str | None, now: dt.datetime) -> Finding:
    try:
        theirs = email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return ok("clock", "not compared: the answer has no date")
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=dt.UTC)
    ahead_s = (now - theirs).total_seconds()
    how = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the service's"
    if abs(ahead_s) <= _CLOCK_OK_S:
        return ok("clock", "as the service's")
    if abs(ahead_s) <= _CLOCK_BAD_S:
        return warning("clock", how, _SYNC)
    hint = f"{_SYNC}: signatures and certificates are judged by it"
    return problem("clock", how, hint)
