"""A host of files on this machine, some of them odd."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Host:
    """A host of files, some of them odd."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.asked = 0
        self.headers: list[Any] = []

    @contextlib.asynccontextmanager
    async def serving(self, handler: Handler) -> AsyncIterator[str]:
        async def counted(request: web.Request) -> web.StreamResponse:
            self.asked += 1
            self.headers.append(request.headers)
            return await handler(request)

        app = web.Application()
        app.router.add_get("/{name:.*}", counted)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    def file(self, data: bytes, *, in_parts: bool = True) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not in_parts:
                response = web.StreamResponse(headers={"Content-Length": str(len(data))})
                await response.prepare(request)
                for at in range(0, len(data), 1 << 16):
                    await response.write(data[at : at + (1 << 16)])
                    self.sent_bytes += 1 << 16
                return response
            part = request.http_range
            piece = data[part.start : part.stop]
            self.sent_bytes += len(piece)
            told = f"bytes {part.start}-{part.start + len(piece) - 1}/{len(data)}"
            return web.Response(status=206, body=piece, headers={"Content-Range": told})

        return handle
