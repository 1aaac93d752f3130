"""Answers as aiohttp sends them: JSON, files and parts of files, and calls that are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from seedance_async.emulator import answers, ranges
from seedance_async.emulator.gallery import Piece


class Refusal(Exception):
    """A call that is answered with an error."""

    def __init__(
        self, status: int, payload: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.payload = payload
        self.headers = headers


def json_answer(
    payload: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with JSON."""
    # ASCII: a lone surrogate of the request may come back in the answer.
    body = json.dumps(payload).encode("ascii")
    return web.Response(
        body=body, status=status, headers=headers, content_type="application/json", charset="utf-8"
    )


def file_answer(request: web.Request, piece: Piece, content_type: str) -> web.Response:
    """Answer with a file or, to a GET, the part of it that was asked for."""
    headers: dict[str, str] = {hdrs.ACCEPT_RANGES: "bytes", hdrs.ETAG: piece.etag}
    size_bytes = len(piece.content)
    # Only a strong tag makes a condition; a date never matches, as the files have none.
    same = request.headers.get(hdrs.IF_RANGE, piece.etag) == piece.etag
    wanted = request.headers.get(hdrs.RANGE) if same and request.method == hdrs.METH_GET else None
    part = ranges.select(wanted, size_bytes)
    if part is None:
        return web.Response(body=piece.content, headers=headers, content_type=content_type)
    if not part:
        headers[hdrs.CONTENT_RANGE] = f"bytes */{size_bytes}"
        raise Refusal(416, answers.error("the file has no such bytes"), headers)
    headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{size_bytes}"
    content = piece.content[part.start : part.stop]
    return web.Response(body=content, status=206, headers=headers, content_type=content_type)
