"""The API's calls over HTTP: who asks what, and which answer goes out.

Reads a call, asks the account, the library or the gallery, and sends what ``answers`` spells.
Everything that changes state is synchronous and comes before the first ``await`` that could be
cancelled: who sent a create whole has a task, whether or not they wait for the answer. Starting
and stopping is ``server``'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import hmac
import math
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import anyio
import attrs
from aiohttp import hdrs, web

from seedance_async import rules, wire
from seedance_async.asset import AssetStatus
from seedance_async.emulator import answers, assets, delivery
from seedance_async.emulator.account import Account, Status, Task, TooMany
from seedance_async.emulator.faults import Choice, Decider
from seedance_async.emulator.gallery import Gallery, Piece
from seedance_async.emulator.mishaps import Call
from seedance_async.emulator.order import Order
from seedance_async.emulator.responses import Refusal, file_answer, json_answer
from seedance_async.emulator.shelf import MAX_FILE_BYTES, Shelf, Shelved, ratio_of
from seedance_async.emulator.spoiling import Reply, Scene
from seedance_async.references import ASSET_SCHEME

MAX_BODY_BYTES = 2**20
#: The published advice on how often to ask. Source: the contract.
POLL_ADVICE_S = 20.0
MIN_IMAGE_PX, MAX_IMAGE_PX = 300, 6000  # Source: contract rule ``image.size``
VIDEOS_PATH, IMAGES_PATH, FILES_PATH = "/videos", "/media", "/files"
_SIGNATURE_CHARACTERS = 32
_VIDEO_ROUTE = f"{VIDEOS_PATH}/{{task_id}}.mp4"
# By the route's pattern, as aiohttp gives it back. Faults come upon these and nothing else.
_CALLS = {
    wire.CREATE_PATH: Call.CREATE,
    f"{wire.RESULT_PATH}/{{task_id}}": Call.QUERY,
    _VIDEO_ROUTE: Call.DOWNLOAD,
    wire.ASSET_UPLOAD_PATH: Call.ASSET,
    f"{wire.ASSET_PATH}/{{asset_id}}": Call.ASSET,
}
_FILES = (VIDEOS_PATH, IMAGES_PATH, FILES_PATH)
_FILE_ROUTE = f"{FILES_PATH}/{{name:[A-Za-z0-9._-]{{1,80}}}}"
_MAX_RETIRED = 20_000
_HTTP_OK = range(200, 300)

#: Takes a task's id, its prompt, and whether a fault kept the id from the client.
OnAccept = Callable[[str, str, bool], None]

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        faults: How many calls each fault came upon, by its name. Of these, a call that was not
            carried out is counted nowhere else.
        redirected: Calls that came to the other host, to which the fault ``redirect`` sends.
        leaked_keys: Of these, how many brought an ``Authorization`` header along.
    """

    accepted: int
    in_flight: int
    peak_in_flight: int
    completed: int
    failed: int
    refused: Mapping[int, int]
    queries: int
    downloads: int
    faults: Mapping[str, int]
    redirected: int
    leaked_keys: int


@attrs.define(kw_only=True, eq=False)
class Service:
    """The API's calls, and what they share. ``server`` sets where and since when it is served.

    Attributes:
        clock: The emulator's clock, in seconds.
        started_unix_s: When the clock stood at 0.
        base_url: What the URLs of videos begin with.
        other_url: The same of the other host, if there is one.
        on_accept: Told of each create that was accepted; see ``Emulator``.
        at_work: The tasks that are answering a call now, each with its connection.
    """

    account: Account
    library: assets.Library
    gallery: Gallery
    api_key: str = attrs.field(repr=False)
    speed: float
    latency_s: float
    retry_after: bool
    video_ttl_s: float
    waived: frozenset[str]
    faults: Decider
    clock: Callable[[], float] = lambda: 0.0
    started_unix_s: float = 0.0
    base_url: str = ""
    other_url: str = ""
    on_accept: OnAccept | None = None
    at_work: dict[asyncio.Task[Any] | None, object] = attrs.field(init=False, factory=dict)
    _shelf: Shelf = attrs.field(init=False, repr=False, factory=Shelf)
    _accepted: dict[asyncio.Task[Any] | None, tuple[str, str]] = attrs.field(
        init=False, repr=False, factory=dict
    )
    _refused: Counter[int] = attrs.field(init=False, factory=Counter)
    _queries: int = attrs.field(init=False, default=0)
    _downloads: int = attrs.field(init=False, default=0)
    _redirected: int = attrs.field(init=False, default=0)
    _leaked_keys: int = attrs.field(init=False, default=0)
    _retired: dict[str, int] = attrs.field(init=False, factory=dict)
    _secret: bytes = attrs.field(init=False, repr=False, factory=lambda: secrets.token_bytes(16))

    def app(self) -> web.Application:
        """Make the application; one serves one start."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY_BYTES)
        app.router.add_post(wire.CREATE_PATH, self._create)
        app.router.add_get(f"{wire.RESULT_PATH}/{{task_id}}", self._query)
        app.router.add_post(wire.ASSET_UPLOAD_PATH, self._register_asset)
        app.router.add_get(f"{wire.ASSET_PATH}/{{asset_id}}", self._show_asset)
        app.router.add_delete(f"{wire.ASSET_PATH}/{{asset_id}}", self._delete_asset)
        app.router.add_get(_VIDEO_ROUTE, self._video)
        size = r"{width:\d{1,5}}x{height:\d{1,5}}"
        app.router.add_get(f"{IMAGES_PATH}/{size}.png", self._image)
        app.router.add_put(_FILE_ROUTE, self._shelve)
        app.router.add_get(_FILE_ROUTE, self._shelved)
        return app

    def other_app(self) -> web.Application:
        """Make the other host's application, which has the videos too, and watches for keys."""
        app = web.Application(middlewares=[self._answer_elsewhere])
        app.router.add_get(_VIDEO_ROUTE, self._video)
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
            faults=dict(self.faults.counts),
            redirected=self._redirected,
            leaked_keys=self._leaked_keys,
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
    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Make every refusal JSON, every answer of the API as slow as it is to be, and faults."""
        with self._working(request):
            choice, reply, is_through = self._choose(request), None, False
            is_carried_out = choice is None or choice.mishap.is_carried_out
            try:
                answer = await self._plain(request, handler if is_carried_out else _read)
                reply = None if choice is None else await self._spoil(request, choice, answer)
                is_through = True
            finally:  # the client may be gone by now
                self._report(is_through, reply)
            if self.latency_s and not request.path.startswith(_FILES):
                await anyio.sleep(self.latency_s)
            return answer if reply is None else await delivery.send(request, reply)

    def _report(self, is_through: bool, reply: Reply | None) -> None:
        accepted = self._accepted.pop(asyncio.current_task(), None)
        if accepted is not None and self.on_accept is not None:
            task_id, prompt = accepted
            is_given = is_through and (reply is None or reply.gives(task_id))
            self.on_accept(task_id, prompt, not is_given)

    @web.middleware
    async def _answer_elsewhere(
        self, request: web.Request, handler: _Handler
    ) -> web.StreamResponse:
        self._redirected += 1
        self._leaked_keys += hdrs.AUTHORIZATION in request.headers
        with self._working(request):
            return await self._plain(request, handler)

    @contextlib.contextmanager
    def _working(self, request: web.Request) -> Iterator[None]:
        task = asyncio.current_task()
        self.at_work[task] = request.protocol
        try:
            yield
        finally:
            del self.at_work[task]

    async def _plain(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer as the API does when all is well."""
        try:
            return await handler(request)
        except Refusal as refusal:
            return json_answer(refusal.payload, refusal.status, refusal.headers)
        except web.HTTPException as http:
            return json_answer(answers.error(http.reason), http.status)

    # ---- faults

    def _choose(self, request: web.Request) -> Choice | None:
        resource = request.match_info.route.resource
        call = None if resource is None else _CALLS.get(resource.canonical)
        if call is None or request.method == hdrs.METH_HEAD:
            return None
        return self.faults.choose(call, request.match_info.get("task_id"))

    async def _spoil(
        self, request: web.Request, choice: Choice, answer: web.StreamResponse
    ) -> Reply | None:
        """Make of an answer what the fault makes of it; None where nothing changes.

        What was refused stays refused: a fault after acceptance needs an acceptance.
        """
        task_id = request.match_info.get("task_id", "")
        reply = None
        if isinstance(answer, web.Response) and answer.status in _HTTP_OK:
            scene = await self._scene(request, task_id, answer)
            reply = choice.mishap.change(delivery.reply_of(answer), scene)
        if reply is None:
            self.faults.give_back(choice)
            return None
        self.faults.note(choice)
        if choice.mishap.retires_url:
            self._retire_url(task_id)
        return reply

    async def _scene(self, request: web.Request, task_id: str, answer: web.Response) -> Scene:
        plan, now = self.faults.plan, self.clock()
        task = self.account.find(task_id, now)
        is_part = task is not None and hdrs.ETAG in answer.headers
        ids = reversed(self.account.accepted_ids)
        other = self.account.find(next((id_ for id_ in ids if id_ != task_id), ""), now)
        return Scene(
            unix_s=time.time(),
            slow_s=plan.slow_s,
            retry_after_s=plan.retry_after_s,
            elsewhere=self.other_url + request.raw_path,
            whole=(await self._film(task)).content if task and is_part else b"",
            other=self._result(other, now) if other else None,
        )

    def _retire_url(self, task_id: str) -> None:
        if self.account.find(task_id, self.clock()) is not None:
            self._retired[task_id] = self._retired.get(task_id, 0) + 1
        if len(self._retired) > _MAX_RETIRED:
            del self._retired[next(iter(self._retired))]

    # ---- tasks

    async def _create(self, request: web.Request) -> web.Response:
        try:
            body = await self._body(request)
            task, now = self._accept(body)
        except (Refusal, web.HTTPException) as refusal:
            self._refused[refusal.status] += 1
            raise
        self._accepted[asyncio.current_task()] = (task.id, str(body.get("prompt", "")))
        status = task.status(now)
        return json_answer(
            answers.created(task, status, self._unix_s(task.created_s)), headers=self._advice
        )

    def _accept(self, body: Mapping[str, Any]) -> tuple[Task, float]:
        given, now = wire.given_fields(body), self.clock()
        broken = list(rules.violations(given, waive=self.waived))
        if "media.reference" not in self.waived:
            broken += self.library.violations(given, now)
        if broken:
            raise Refusal(400, answers.invalid(broken))
        media = rules.media_references(given)
        try:
            lost = next((field for field, url in media if not self._is_there(url, now)), None)
            failure = None if lost is None else f"{lost} cannot be fetched"
            return self.account.create(self._order(given), now, body=body, failure=failure), now
        except TooMany as full:
            wait_s = math.ceil(full.wait_s / self.speed)
            headers: dict[str, str] = {}
            if self.retry_after:
                headers[hdrs.RETRY_AFTER] = str(wait_s)
            when = f"in {wait_s} s" if self.retry_after else "later"
            message = f"too many {full.what}: try again {when}"
            raise Refusal(429, answers.error(message), headers) from None

    def _order(self, given: Mapping[str, Any]) -> Order:
        first, last = (self._shelf_name(self._source(given.get(field))) for field in rules.FRAMES)
        shown = None if first is None else self._shelf.find(first)
        ratio = None if shown is None else shown.ratio
        return Order.of(given, stills=(first, last), first_ratio=ratio)

    async def _film(self, task: Task) -> Piece:
        shelved = (name and self._shelf.find(name) for name in task.order.stills)
        first, last = (file.piece.content if file else None for file in shelved)
        return await self.gallery.film(task.order, (first, last))

    async def _query(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        self._queries += 1
        task_id, now = request.match_info["task_id"], self.clock()
        task = self.account.find(task_id, now)
        if task is None:
            raise Refusal(404, answers.error("there is no such task"))
        unfinished = task.status(now) in (Status.QUEUED, Status.PROCESSING)
        return json_answer(self._result(task, now), headers=self._advice if unfinished else None)

    def _result(self, task: Task, now: float) -> Mapping[str, Any]:
        created_unix_s, video_url = self._unix_s(task.created_s), self._video_url(task.id)
        return answers.result(task, task.status(now), created_unix_s, video_url)

    # ---- assets

    async def _register_asset(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        kind, url, name = body.get("assetType"), body.get("url"), body.get("name")
        problem = assets.problem(kind, url, name)
        if problem is not None:
            return json_answer(answers.asset_failed(answers.ASSET_REFUSED, problem))
        now = self.clock()
        asset = self.library.register(
            body,
            fetchable=self._is_there(url, now),
            now=now,
            created_at=dt.datetime.fromtimestamp(self._unix_s(now), dt.UTC),
        )
        return json_answer(answers.asset_done({"assetId": asset.id}))

    async def _show_asset(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        asset = self.library.find(request.match_info["asset_id"])
        if asset is None:
            return json_answer(answers.asset_failed(answers.ASSET_UNKNOWN, "asset not found"))
        now = self.clock()
        is_reviewed = asset.status(now) is AssetStatus.ACTIVE
        shown = answers.asset_done(answers.asset(asset, now))
        return json_answer(shown, headers={} if is_reviewed else self._advice)

    async def _delete_asset(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        if not self.library.delete(request.match_info["asset_id"]):
            return json_answer(answers.asset_failed(answers.ASSET_UNKNOWN, "asset not found"))
        # A string here, and here alone. Source: the contract.
        return json_answer(answers.asset_done(code="0"))

    # ---- files

    async def _video(self, request: web.Request) -> web.Response:
        task_id, now = request.match_info["task_id"], self.clock()
        signature = request.query.get("signature", "").encode(errors="replace")
        if not hmac.compare_digest(signature, self._signature(task_id).encode()):
            raise Refusal(403, answers.error("the signature does not match"))
        task = self.account.find(task_id, now)
        if task is None or task.status(now) is not Status.COMPLETED:
            raise Refusal(404, answers.error("there is no such video"))
        if now >= task.ends_s + self.video_ttl_s:
            raise Refusal(410, answers.error("the video has expired"))
        answer = file_answer(request, await self._film(task), "video/mp4")
        self._downloads += request.method == hdrs.METH_GET
        return answer

    async def _image(self, request: web.Request) -> web.Response:
        width_px, height_px = (int(request.match_info[side]) for side in ("width", "height"))
        if not all(MIN_IMAGE_PX <= side <= MAX_IMAGE_PX for side in (width_px, height_px)):
            message = f"images have sides of {MIN_IMAGE_PX} to {MAX_IMAGE_PX} px"
            raise Refusal(404, answers.error(message))
        return file_answer(request, await self.gallery.image(width_px, height_px), "image/png")

    async def _shelve(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        content = bytearray()
        async for chunk in request.content.iter_any():
            content += chunk
            if len(content) > MAX_FILE_BYTES:
                raise Refusal(413, answers.error(f"files have at most {MAX_FILE_BYTES:,} bytes"))
        piece = Piece.of(bytes(content))
        file = Shelved(
            piece=piece,
            content_type=request.content_type,
            until_s=self.clock() + self.video_ttl_s,
            ratio=await asyncio.to_thread(ratio_of, piece.content),
        )
        self._shelf.put(request.match_info["name"], file)
        return json_answer({"lifetime_s": self.video_ttl_s / self.speed}, 201)

    async def _shelved(self, request: web.Request) -> web.Response:
        file = self._shelf.find(request.match_info["name"])
        if file is None:
            raise Refusal(404, answers.error("there is no such file"))
        if self.clock() >= file.until_s:
            raise Refusal(410, answers.error("the file has expired"))
        return file_answer(request, file.piece, file.content_type)

    def _is_there(self, reference: object, now: float) -> bool:
        """Tell whether media can be fetched: those that should be here; others are believed in."""
        name = self._shelf_name(reference)
        return name is None or self._shelf.has(name, now)

    def _shelf_name(self, url: object) -> str | None:
        """Give what a URL calls a file on the shelf; None where it is none of these."""
        files = f"{self.base_url}{FILES_PATH}/"
        is_ours = isinstance(url, str) and url.startswith(files)
        return str(url).removeprefix(files) if is_ours else None

    def _source(self, reference: object) -> object:
        """Give where an asset came from; anything else as it is."""
        if not isinstance(reference, str) or not reference.startswith(ASSET_SCHEME):
            return reference
        asset = self.library.find(reference.removeprefix(ASSET_SCHEME))
        return None if asset is None else asset.url

    def _video_url(self, task_id: str) -> str:
        return f"{self.base_url}{VIDEOS_PATH}/{task_id}.mp4?signature={self._signature(task_id)}"

    def _signature(self, task_id: str) -> str:
        # "surrogatepass": the id in a path that somebody made up need not be valid UTF-8.
        # A space is in no id; how often its URL was retired makes another signature.
        signed = f"{task_id} {self._retired.get(task_id, 0)}".encode(errors="surrogatepass")
        digest = hmac.digest(self._secret, signed, hashlib.sha256)
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
            raise Refusal(401, answers.error("the API key is missing or wrong"))

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        self._authenticate(request)
        body = wire.load_object(await request.read())
        if isinstance(body, wire.Unreadable):
            raise Refusal(400, answers.error(f"the body must be a JSON object, not {body.reason}"))
        return body


async def _read(request: web.Request) -> web.Response:
    """Take a call in, and do nothing about it."""
    await request.read()
    return web.Response()
