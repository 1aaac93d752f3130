"""Brings a reply over the wire, whole or broken: what an HTTP server would never do by itself.

Decides nothing: the reply says it all.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct

import anyio
from aiohttp import hdrs, web

from seedance_async.emulator.spoiling import End, Reply

# aiohttp tells a handler nothing when its client goes away; our choice of how long one that
# sleeps for ever then stays.
_LOOK_S = 1.0
# Many clients (aiohttp's is one) forget what they have not read yet when a connection ends: as
# if it had been cut earlier. Our choice of how long they have for it.
_READING_S = 0.05
_LINGER = struct.pack("ii", 1, 0)  # closing such a socket resets the connection, socket(7)


def reply_of(answer: web.Response) -> Reply:
    """Read what an answer would send."""
    body = answer.body
    headers = {str(name): value for name, value in answer.headers.items()}
    headers.pop(hdrs.CONTENT_LENGTH, None)
    return Reply(
        status=answer.status,
        headers=headers,
        body=bytes(body) if isinstance(body, bytes | bytearray) else b"",
    )


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send *reply*, as far as its client stays to take it."""
    if not reply.is_answered:
        await _end(request, reply.end)
        return web.Response()
    plain = reply.length_bytes is None and reply.pieces == 1 and reply.end is End.KEPT
    if plain:
        await anyio.sleep(reply.pause_s)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    return await _send_in_pieces(request, reply)


async def _send_in_pieces(request: web.Request, reply: Reply) -> web.StreamResponse:
    size_bytes = len(reply.body)
    length_bytes = size_bytes if reply.length_bytes is None else reply.length_bytes
    headers = {**reply.headers, hdrs.CONTENT_LENGTH: str(length_bytes)}
    response = web.StreamResponse(status=reply.status, headers=headers)
    stops = [size_bytes * number // reply.pieces for number in range(reply.pieces + 1)]
    try:
        for start, stop in itertools.pairwise(stops):
            await anyio.sleep(reply.pause_s)
            await response.prepare(request)
            await response.write(reply.body[start:stop])
        if request.transport is not None:
            # aiohttp itself would not let more out than was promised.
            request.transport.write(reply.body[length_bytes:])
    except ConnectionError:
        return response
    if reply.end is not End.KEPT:
        response.force_close()
        await anyio.sleep(_READING_S)
    await _end(request, reply.end)
    return response


async def _end(request: web.Request, end: End) -> None:
    if end is End.RESET:
        _reset(request.transport)
    while end is End.HELD and not _is_gone(request.transport):  # noqa: ASYNC110 -- no event
        await anyio.sleep(_LOOK_S)


def _is_gone(transport: asyncio.Transport | None) -> bool:
    return transport is None or transport.is_closing()


def _reset(transport: asyncio.Transport | None) -> None:
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    transport.abort()
