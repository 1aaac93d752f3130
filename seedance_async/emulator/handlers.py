"""The API's calls over HTTP: who asks what, and which answer goes out.

Reads a call, asks the account, the library or the gallery, and sends what ``answers`` spells.
Everything that changes state is synchronous and comes before the first ``await`` that could be
cancelled: who sent a create whole has a task, whether or not they wait for the answer. Starting
and stopping is ``server``'s business.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import json
import math
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import attrs
from aiohttp import hdrs, web

from seedance_async import rules, wire
from seedance_async.emulator import answers, assets, ranges
from seedance_async.emulator.account import Account, Status, Task, TooManyCreates
from seedance_async.emulator.gallery import Gallery, Piece
from seedance_async.emulator.order import Order

MAX_BODY_BYTES = 2**20
#: The published advice on how often to ask. Source: the contract.
POLL_ADVICE_S = 20.0
MIN_IMAGE_PX, MAX_IMAGE_PX = 300, 6000  # Source: contract rule ``image.size``
VIDEOS_PATH, IMAGES_PATH = "/videos", "/media"
_SIGNATURE_CHARACTERS = 32


@attrs.frozen(kw_only=True)
class EmulatorStats:
    """What an emulator has seen so far, at one moment.

    Attributes:
        accepted: Creates that were accepted, each of them a task that would be billed.
        in_flight: Of these, how many have not ended.
        peak_in_flight: The most that were in flight at the same time.
        completed: Tasks that ended with a video.
        failed: Tasks that ended without one.
        refused: Creates that were refused, by HTTP status.
        queries: Queries of a task, with a valid key, for known and unknown ids.
        downloads: GETs that were answered with a video or a part of one.
    """

    accepted: int
    in_flight: int
    peak_in_flight: int
    completed: int
    failed: int
    refused: Mapping[int, int]
    queries: int
    downloads: int


class _Refusal(Exception):
    """A call that is answered with an error."""

    def __init__(
        self, status: int, payload: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.payload = payload
        self.headers = headers


@attrs.define(kw_only=True, eq=False)
class Service:
    """The API's calls, and what they share. ``server`` sets where and since when it is served.

    Attributes:
        clock: The emulator's clock, in seconds.
        started_unix_s: When the clock stood at 0.
        base_url: What the URLs of videos begin with.
        at_work: The tasks that are answering a call now.
    """

    account: Account
    library: assets.Library
    gallery: Gallery
    api_key: str = attrs.field(repr=False)
    speed: float
    latency_s: float
    video_ttl_s: float
    waived: frozenset[str]
    clock: Callable[[], float] = lambda: 0.0
    started_unix_s: float = 0.0
    base_url: str = ""
    at_work: set[asyncio.Task[Any] | None] = attrs.field(init=False, factory=set)
    _refused: Counter[int] = attrs.field(init=False, factory=Counter)
    _queries: int = attrs.field(init=False, default=0)
    _downloads: int = attrs.field(init=False, default=0)
    _secret: bytes = attrs.field(init=False, repr=False, factory=lambda: secrets.token_bytes(16))

    def app(self) -> web.Application:
        """Make the application; one serves one start."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY_BYTES)
        app.router.add_post(wire.CREATE_PATH, self._create)
        app.router.add_get(f"{wire.RESULT_PATH}/{{task_id}}", self._query)
        app.router.add_post(wire.ASSET_UPLOAD_PATH, self._register_asset)
        app.router.add_get(f"{wire.ASSET_PATH}/{{asset_id}}", self._show_asset)
        app.router.add_delete(f"{wire.ASSET_PATH}/{{asset_id}}", self._delete_asset)
        app.router.add_get(f"{VIDEOS_PATH}/{{task_id}}.mp4", self._video)
        size = r"{width:\d{1,5}}x{height:\d{1,5}}"
        app.router.add_get(f"{IMAGES_PATH}/{size}.png", self._image)
        return app

    @property
    def stats(self) -> EmulatorStats:
        """What was seen so far."""
        account = self.account
        account.settle(self.clock())
        return EmulatorStats(
            accepted=account.accepted,
            in_flight=account.in_flight,
            peak_in_flight=account.peak_in_flight,
            completed=account.completed,
            failed=account.failed,
            refused=dict(self._refused),
            queries=self._queries,
            downloads=self._downloads,
        )

    @property
    def _advice(self) -> Mapping[str, str]:
        """Advise when to ask again, in the client's seconds.

        At the real speed there is no advice: the real API has it on its page only.
        """
        if self.speed == 1:
            return {}
        return {hdrs.RETRY_AFTER: f"{POLL_ADVICE_S / self.speed:.6f}".rstrip("0").rstrip(".")}

    def _unix_s(self, now: float) -> int:
        return int(self.started_unix_s + now)

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        """Make every refusal JSON, and every answer of the API as slow as it is to be."""
        task = asyncio.current_task()
        self.at_work.add(task)
        try:
            return await self._answered(request, handler)
        finally:
            self.at_work.discard(task)

    async def _answered(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        answer: web.StreamResponse
        try:
            answer = await handler(request)
        except _Refusal as refusal:
            answer = _json(refusal.payload, refusal.status, refusal.headers)
        except web.HTTPException as http:
            answer = _json(answers.error(http.reason), http.status)
        if self.latency_s and not request.path.startswith((VIDEOS_PATH, IMAGES_PATH)):
            await anyio.sleep(self.latency_s)
        return answer

    # ---- tasks

    async def _create(self, request: web.Request) -> web.Response:
        try:
            body = await self._body(request)
            task, now = self._accept(body)
        except (_Refusal, web.HTTPException) as refusal:
            self._refused[refusal.status] += 1
            raise
        status = task.status(now)
        return _json(
            answers.created(task, status, self._unix_s(task.created_s)), headers=self._advice
        )

    def _accept(self, body: Mapping[str, Any]) -> tuple[Task, float]:
        given, now = wire.given_fields(body), self.clock()
        broken = list(rules.violations(given, waive=self.waived))
        if "media.reference" not in self.waived:
            broken += self.library.violations(given, now)
        if broken:
            raise _Refusal(400, answers.invalid(broken))
        try:
            return self.account.create(Order.of(given), now, body=body), now
        except TooManyCreates as full:
            wait_s = math.ceil(full.wait_s / self.speed)
            headers: dict[str, str] = {hdrs.RETRY_AFTER: str(wait_s)}
            message = f"too many creates: try again in {wait_s} s"
            raise _Refusal(429, answers.error(message), headers) from None

    async def _query(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        self._queries += 1
        task_id, now = request.match_info["task_id"], self.clock()
        task = self.account.find(task_id, now)
        if task is None:
            raise _Refusal(404, answers.error("there is no such task"))
        status = task.status(now)
        unfinished = status in (Status.QUEUED, Status.PROCESSING)
        answer = answers.result(
            task, status, self._unix_s(task.created_s), self._video_url(task_id)
        )
        return _json(answer, headers=self._advice if unfinished else None)

    # ---- assets

    async def _register_asset(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        kind, url, name = body.get("assetType"), body.get("url"), body.get("name")
        problem = assets.problem(kind, url, name)
        if problem is not None:
            return _json(answers.asset_failed(answers.ASSET_REFUSED, problem))
        now = self.clock()
        asset = self.library.register(
            kind=str(kind),
            url=str(url),
            name=name,
            now=now,
            created_at=dt.datetime.fromtimestamp(self._unix_s(now), dt.UTC),
        )
        return _json(answers.asset_done({"assetId": asset.id}))

    async def _show_asset(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        asset = self.library.find(request.match_info["asset_id"])
        if asset is None:
            return _json(answers.asset_failed(answers.ASSET_UNKNOWN, "asset not found"))
        return _json(answers.asset_done(answers.asset(asset, self.clock())))

    async def _delete_asset(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        if not self.library.delete(request.match_info["asset_id"]):
            return _json(answers.asset_failed(answers.ASSET_UNKNOWN, "asset not found"))
        # A string here, and here alone. Source: the contract.
        return _json(answers.asset_done(code="0"))

    # ---- files

    async def _video(self, request: web.Request) -> web.Response:
        task_id, now = request.match_info["task_id"], self.clock()
        signature = request.query.get("signature", "").encode(errors="replace")
        if not hmac.compare_digest(signature, self._signature(task_id).encode()):
            raise _Refusal(403, answers.error("the signature does not match"))
        task = self.account.find(task_id, now)
        if task is None or task.status(now) is not Status.COMPLETED:
            raise _Refusal(404, answers.error("there is no such video"))
        if now >= task.ends_s + self.video_ttl_s:
            raise _Refusal(410, answers.error("the video has expired"))
        answer = _file(request, await self.gallery.film(task.order), "video/mp4")
        self._downloads += request.method == hdrs.METH_GET
        return answer

    async def _image(self, request: web.Request) -> web.Response:
        width_px, height_px = (int(request.match_info[side]) for side in ("width", "height"))
        if not all(MIN_IMAGE_PX <= side <= MAX_IMAGE_PX for side in (width_px, height_px)):
            message = f"images have sides of {MIN_IMAGE_PX} to {MAX_IMAGE_PX} px"
            raise _Refusal(404, answers.error(message))
        return _file(request, await self.gallery.image(width_px, height_px), "image/png")

    def _video_url(self, task_id: str) -> str:
        return f"{self.base_url}{VIDEOS_PATH}/{task_id}.mp4?signature={self._signature(task_id)}"

    def _signature(self, task_id: str) -> str:
        # "surrogatepass": the id in a path that somebody made up need not be valid UTF-8.
        digest = hmac.digest(self._secret, task_id.encode(errors="surrogatepass"), hashlib.sha256)
        return digest.hex()[:_SIGNATURE_CHARACTERS]

    # ---- calls

    def _authenticate(self, request: web.Request) -> None:
        given = request.headers.get(hdrs.AUTHORIZATION, "")
        scheme, _, key = given.partition(" ")
        matches = hmac.compare_digest(
            key.strip().encode(errors="surrogateescape"),
            self.api_key.encode(errors="surrogateescape"),
        )
        if scheme.lower() != "bearer" or not matches:
            raise _Refusal(401, answers.error("the API key is missing or wrong"))

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        self._authenticate(request)
        body = wire.load_object(await request.read())
        if isinstance(body, wire.Unreadable):
            raise _Refusal(400, answers.error(f"the body must be a JSON object, not {body.reason}"))
        return body


def _json(
    payload: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    # ASCII: a lone surrogate of the request may come back in the answer.
    body = json.dumps(payload).encode("ascii")
    return web.Response(
        body=body, status=status, headers=headers, content_type="application/json", charset="utf-8"
    )


def _file(request: web.Request, piece: Piece, content_type: str) -> web.Response:
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
        raise _Refusal(416, answers.error("the file has no such bytes"), headers)
    headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{size_bytes}"
    content = piece.content[part.start : part.stop]
    return web.Response(body=content, status=206, headers=headers, content_type=content_type)
