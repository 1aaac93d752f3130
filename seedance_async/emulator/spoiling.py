"""What becomes of an answer on its way to a client: a reply as it was meant, and as it arrives.

Pure functions on replies. Which of them has which name stands in ``mishaps``; ``delivery`` brings
what they make over the wire. Source, where none is named: the contract, "Answers that have been
seen in the wild".
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from email.utils import formatdate
from enum import Enum, auto
from typing import Any

import attrs
from aiohttp import hdrs

from seedance_async import wire
from seedance_async.emulator import answers

_HTTP_OK = range(200, 300)
_PIECES = 10
_INVERTED = bytes(range(255, -1, -1))
_NOBODY = "video_00000000-0000-0000-0000-000000000000"
_PAGE = (
    b"<html>\r\n<head><title>Error</title></head>\r\n<body>\r\n<center><h1>Something went wrong"
    b"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_HTML: Mapping[str, str] = {hdrs.CONTENT_TYPE: "text/html"}
_JSON: Mapping[str, str] = {hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}
_PARTIAL = 206


class End(Enum):
    """What becomes of the connection when all that is to be sent was sent."""

    KEPT = auto()  #: it stands, for the next call
    CLOSED = auto()  #: it is closed in order, whatever was promised
    RESET = auto()  #: it is torn down
    HELD = auto()  #: it stands, and nothing more comes


@attrs.frozen(kw_only=True)
class Reply:
    """What goes over the wire.

    Attributes:
        length_bytes: What ``Content-Length`` says; None for the truth.
        pieces: How many pieces the body is sent in.
        pause_s: Real seconds before each piece.
        is_answered: Whether anything is sent at all.
    """

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    length_bytes: int | None = None
    pieces: int = 1
    pause_s: float = 0.0
    end: End = End.KEPT
    is_answered: bool = True

    def gives(self, task_id: str) -> bool:
        """Tell whether a client can learn *task_id* from this answer to its create."""
        is_whole = self.length_bytes is None or self.length_bytes <= len(self.body)
        if not (self.is_answered and is_whole and self.status in _HTTP_OK):
            return False
        read = wire.read_task(self.body)
        return isinstance(read, wire.TaskState) and read.id == task_id


@attrs.frozen(kw_only=True)
class Scene:
    """What a mishap may look at besides the answer.

    Attributes:
        unix_s: The time on the machine's clock.
        slow_s: Real seconds that what is slow takes.
        retry_after_s: Whole seconds after which clients are told to come again.
        elsewhere: The call's own URL at another host.
        whole: The whole film, of a download.
        other: The answer about another task, of a query; None if there is no other.
    """

    unix_s: float
    slow_s: float
    retry_after_s: int
    elsewhere: str
    whole: bytes = b""
    other: Mapping[str, Any] | None = None


#: Makes a reply of a good one, or None where it would change nothing.
Change = Callable[[Reply, Scene], Reply | None]


# ---- the connection


def ending(end: End) -> Change:
    """Send nothing, and be done with the connection in that way."""
    return lambda _reply, _scene: Reply(end=end, is_answered=False)


def slow(reply: Reply, scene: Scene) -> Reply:
    """Send all of it, later."""
    return attrs.evolve(reply, pause_s=scene.slow_s)


def drip(reply: Reply, scene: Scene) -> Reply:
    """Send all of it, in pieces."""
    return attrs.evolve(reply, pieces=_PIECES, pause_s=scene.slow_s)


def cut(end: End) -> Change:
    """Promise the whole body and send half of it."""

    def cut_off(reply: Reply, scene: Scene) -> Reply:
        size_bytes = len(reply.body)
        return attrs.evolve(half(reply, scene), length_bytes=size_bytes, end=end)

    return cut_off


def miscounted(surplus_bytes: int) -> Change:
    """Promise *surplus_bytes* more than are sent, or fewer where that is negative."""

    def miscount(reply: Reply, _: Scene) -> Reply | None:
        length_bytes = len(reply.body) + surplus_bytes
        if length_bytes <= 0:
            return None
        return attrs.evolve(reply, length_bytes=length_bytes, end=End.CLOSED)

    return miscount


# ---- whole answers of somebody else's making


def page(status: int) -> Change:
    """Send a gateway's page."""
    return lambda _reply, _scene: Reply(status=status, headers=_HTML, body=_PAGE)


def error(status: int, message: str) -> Change:
    """Send an error as the API spells it."""
    body = _dumped(answers.error(message))
    return lambda _reply, _scene: Reply(status=status, headers=_JSON, body=body)


def later(status: int, *, date: bool) -> Change:
    """Ask to come again, in seconds or at an HTTP date (RFC 9110, section 10.2.3)."""

    def put_off(_: Reply, scene: Scene) -> Reply:
        wait_s = scene.retry_after_s
        at = formatdate(math.ceil(scene.unix_s + wait_s), usegmt=True)
        headers = {**_JSON, hdrs.RETRY_AFTER: at if date else str(wait_s)}
        body = _dumped(answers.error("busy, try again later"))
        return Reply(status=status, headers=headers, body=body)

    return put_off


def failure_in_200(_: Reply, __: Scene) -> Reply:
    """Say no as the asset library does."""
    failed = answers.asset_failed(answers.ASSET_REFUSED, "the service is busy")
    return Reply(headers=_JSON, body=_dumped(failed))


def redirect(_: Reply, scene: Scene) -> Reply:
    """Send the client to another host, with the same method and body."""
    return Reply(status=307, headers={hdrs.LOCATION: scene.elsewhere})


# ---- bodies


def empty(reply: Reply, _: Scene) -> Reply:
    """Send the headers alone."""
    return attrs.evolve(reply, body=b"")


def half(reply: Reply, _: Scene) -> Reply:
    """Send half of the body as if it were all."""
    return attrs.evolve(reply, body=reply.body[: len(reply.body) // 2])


def _dumped(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload).encode("ascii")


def in_fields(change: Callable[[dict[str, Any]], Mapping[str, Any] | None]) -> Change:
    """Change the object that the body is."""

    def changed(reply: Reply, _: Scene) -> Reply | None:
        fields = change(json.loads(reply.body))
        return None if fields is None else attrs.evolve(reply, body=_dumped(fields))

    return changed


def wrong_types(fields: dict[str, Any]) -> Mapping[str, Any]:
    """Put values of other types where clients look first."""
    wrong = {"id": [fields["id"]], "status": 2, "created": "yesterday", "error": [[]]}
    return {**fields, **wrong, **({"video_url": 0} if "video_url" in fields else {})}


def error_object(fields: dict[str, Any]) -> Mapping[str, Any]:
    """Make ``error`` an object, whether or not there is one."""
    return {**fields, "error": {"message": fields["error"] or ""}}


def error_string(fields: dict[str, Any]) -> Mapping[str, Any] | None:
    """Make ``error`` a string where there is none."""
    return None if fields["error"] else {**fields, "error": ""}


def result_url(fields: dict[str, Any]) -> Mapping[str, Any]:
    """Call the video's URL otherwise."""
    url = fields.pop("video_url")
    return {**fields, "result_url": url}


def odd_numbers(fields: dict[str, Any]) -> Mapping[str, Any] | None:
    """Make strings of the bill's numbers."""
    if "totalTokens" not in fields:
        return None
    tokens, seconds = str(fields["totalTokens"]), f"{fields['actualDuration']:.6f}"
    return {**fields, "totalTokens": tokens, "actualDuration": seconds}


def without_url(fields: dict[str, Any]) -> Mapping[str, Any] | None:
    """Take the URL away."""
    return {**fields, "video_url": None} if fields.get("video_url") else None


def other_task(reply: Reply, scene: Scene) -> Reply:
    """Send the answer about another task, a made-up one if there is no other."""
    other = scene.other or {**json.loads(reply.body), "id": _NOBODY}
    return attrs.evolve(reply, body=_dumped(other))


# ---- ranges and tags


def _whole(reply: Reply, scene: Scene, headers: Mapping[str, str]) -> Reply:
    kept = {name: value for name, value in reply.headers.items() if name != hdrs.CONTENT_RANGE}
    return attrs.evolve(reply, status=200, headers={**kept, **headers}, body=scene.whole)


def ignored_range(reply: Reply, scene: Scene) -> Reply | None:
    """Send the whole where a part was asked for."""
    return _whole(reply, scene, {}) if reply.status == _PARTIAL else None


def _other_tag(reply: Reply) -> str:
    return f'"{reply.headers[hdrs.ETAG][:0:-1]}' if hdrs.ETAG in reply.headers else '"another"'


def changed_etag(reply: Reply, scene: Scene) -> Reply:
    """Send the whole under another tag."""
    return _whole(reply, scene, {hdrs.ETAG: _other_tag(reply)})


def changed_under_range(reply: Reply, _: Scene) -> Reply | None:
    """Send a part of another file where a part was asked for, whatever the condition."""
    if reply.status != _PARTIAL:
        return None
    headers = {**reply.headers, hdrs.ETAG: _other_tag(reply)}
    return attrs.evolve(reply, headers=headers, body=reply.body.translate(_INVERTED))
