"""Jobs' whole lives, played out by hypothesis: a provider that misbehaves, and power cuts.

One machine drives sessions through their public names against a real server in virtual time. The
server's own books are held against the journal after every step: what was paid for is paid for
once, and on record.

A power cut is the journal's files as they are on disk at one moment, under a new name, and a
process that is never heard of again: its connections break, and whatever it still writes goes to
files that nobody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import json
import shutil
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import aiosqlite
import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs
import pytest
from aiohttp import web
from conftest import ScriptedApi, error, plain, task_json
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from virtual_loop import VirtualLoop

from seedance_async import (
    DownloadError,
    Fixed,
    Job,
    JobRecord,
    JobState,
    JournalError,
    OutcomeStatus,
    RequestRefused,
    SeedanceError,
    SeedanceSession,
    SubmissionUnknown,
    Video,
    VideoFailed,
    VideoRequest,
)
from seedance_async.lifecycle import MOVES, Move

PLANNED, SUBMITTING, SUBMITTED = JobState.PLANNED, JobState.SUBMITTING, JobState.SUBMITTED
COMPLETED, FAILED, UNKNOWN = JobState.COMPLETED, JobState.FAILED, JobState.UNKNOWN
LIFE_HEADER = "X-Life"
# One without a key of its own: a batch makes one from the request.
NAMES = ("ant", "bee", "cat", "anonymous")
_LONG_S = 20_000.0  # longer than any patience of the session's
_MOMENT_S = 0.001
_POLL_S = 60.0


# ---- the provider


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@attrs.frozen
class Fate:
    """What becomes of a create.

    Attributes:
        means: The state that it brings the job to; None where it may be sent again.
        is_paid: Whether the provider accepts it, and bills.
        answer: Makes the answer from what says that it was accepted; None for a broken connection.
        lacking: How many bytes more are promised than come.
        is_silent: Whether nothing at all is answered.
    """

    name: str
    means: JobState | None
    answer: Callable[[dict[str, Any]], Answer] | None = None
    is_paid: bool = False
    lacking: int = 0
    is_silent: bool = False


_PAID = functools.partial(Fate, is_paid=True)
_NO = {"error": {"message": "no"}}
_FATES = (
    _PAID("accepted", SUBMITTED, lambda task: (200, task)),
    _PAID("accepted, wrapped", SUBMITTED, lambda task: (200, {"code": 0, "data": task})),
    _PAID("accepted, with a length that lies", SUBMITTED, lambda task: (200, task), lacking=40),
    _PAID("accepted, half a body", UNKNOWN, lambda task: (200, json.dumps(task)[:30]), lacking=40),
    _PAID("accepted, no answer", UNKNOWN),
    _PAID("accepted, silence", UNKNOWN, is_silent=True),
    _PAID("accepted, a gateway's page", UNKNOWN, lambda _: (504, "<html>504</html>")),
    _PAID("accepted, no id", UNKNOWN, lambda _: (200, {"status": "queued"})),
    Fate("lost before", UNKNOWN),
    Fate("HTML 500", UNKNOWN, lambda _: (500, "<html>500</html>")),
    Fate("503", UNKNOWN, lambda _: (503, "")),
    Fate("503 with Retry-After", None, lambda _: (503, "", {"Retry-After": "7"})),
    Fate("429", None, lambda _: (429, _NO)),
    Fate("429 with Retry-After", None, lambda _: (429, "", {"Retry-After": "90"})),
    Fate("422", FAILED, lambda _: (422, _NO)),
    Fate("a business failure", FAILED, lambda _: (200, {"code": 1001, "msg": "no", "data": None})),
)
FATES = {fate.name: fate for fate in _FATES}
ACCEPTED = FATES["accepted"]

# What the provider says of a task, answer by answer, the last one for ever.
COURSES = (
    ("queued", "processing", "completed"),
    ("queued", "COMPLETED"),
    ("wrapped", "completed"),
    ("completed",),
    ("processing", "failed"),
    ("cancelled",),
    ("processing",),
    ("completed without a URL",),
    ("half done",),
    ("404",),
    ("processing", "429", "HTML 500", "reset", "completed"),
    ("another task", "completed"),
)

_ERRORS = {"404": (404, _NO), "429": (429, _NO), "HTML 500": (500, "<html>500</html>")}


@attrs.define(eq=False)
class Create:
    """A create that came, as the provider's books have it.

    Attributes:
        life: The life of the session that sent it.
        fate: What becomes of it; None while that is being thought over.
        task_id: Set once it is accepted: from here on it is paid for.
        is_answered: Whether the whole answer went out.
        is_kept: Whether a session that lived on had the time to write the answer down.
        is_given_up: Whether a person let the job be sent again while its end was unknown.
    """

    name: str
    life: int
    fate: Fate | None = None
    task_id: str | None = None
    is_answered: bool = False
    is_kept: bool = False
    is_given_up: bool = False


def film(task_id: str) -> bytes:
    """Give the smallest MP4 that passes for a whole one, each with its task's id in it."""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4) + kind + content

    return box(b"ftyp", b"isom") + box(b"moov", b"") + box(b"mdat", task_id.encode())


class Provider:
    """A real server that keeps books of everything that it was asked for and has answered."""

    def __init__(self, intent: Callable[[Create], str | None]) -> None:
        self.creates: list[Create] = []
        self.fates: dict[str, list[Fate]] = {}
        self.courses: dict[str, list[str]] = {}
        self.ponders: set[str] = set()  # whose next create is thought over
        self.thoughts: list[asyncio.Future[Fate]] = []
        self.expired: set[str] = set()
        self.renewed: set[str] = set()
        self.complaints: list[str] = []
        self._intent = intent
        self._ids: dict[str, str] = {}
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/kyyvideo2/videos", self._create)
        app.router.add_get("/v1/result/{id}", self._result)
        app.router.add_get("/films/{id}", self._film)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await self.listen()

    async def listen(self) -> None:
        assert self._runner is not None
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Refuse connections until ``listen``; none is kept alive, so that nobody gets through."""
        assert self._runner is not None
        for site in tuple(self._runner.sites):
            await site.stop()

    async def stop(self) -> None:
        self._closing.set()
        for thought in self.thoughts:
            thought.cancel()
        assert self._runner is not None
        await self._runner.cleanup()

    def of(self, name: str) -> list[Create]:
        return [create for create in self.creates if create.name == name]

    def paid(self, name: str) -> list[Create]:
        return [create for create in self.of(name) if create.task_id is not None]

    def is_undecided(self, name: str) -> bool:
        return any(create.fate is None for create in self.of(name))

    # -- creates

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        create = Create(body["prompt"], int(request.headers[LIFE_HEADER]))
        if complaint := self._intent(create):
            self.complaints.append(complaint)
        self.creates.append(create)
        create.fate = fate = await self._fate(create.name)
        if fate.is_paid:
            create.task_id = f"video_{len(self._ids):08}-{create.name}"
            self._ids[create.task_id] = create.name
        response = await self._answered(request, create)
        create.is_answered = request.transport is not None
        return response

    async def _fate(self, name: str) -> Fate:
        if name in self.ponders:
            self.ponders.remove(name)
            self.thoughts.append(asyncio.get_running_loop().create_future())
            return await self.thoughts[-1]
        await self._sleep(1)
        fates = self.fates.get(name)
        return fates.pop(0) if fates else ACCEPTED

    async def _answered(self, request: web.Request, create: Create) -> web.StreamResponse:
        fate = create.fate
        assert fate is not None
        if fate.is_silent:
            await self._closing.wait()
        if fate.answer is None:
            return _broken(request)
        task = {"id": create.task_id, "status": "queued", "error": None}
        return await _send(request, *fate.answer(task), lacking=fate.lacking)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    # -- tasks and films

    async def _result(self, request: web.Request) -> web.StreamResponse:
        task_id = request.match_info["id"]
        if task_id not in self._ids:
            return await _send(request, 404, {"error": {"message": "no such task"}})
        course = self.courses.setdefault(self._ids[task_id], list(COURSES[0]))
        said = course.pop(0) if len(course) > 1 else course[0]
        if said == "reset":
            return _broken(request)
        if said in _ERRORS:
            return await _send(request, *_ERRORS[said])
        return await _send(request, 200, self._state(task_id, said))

    def _state(self, task_id: str, said: str) -> dict[str, Any]:
        state: dict[str, Any] = {"id": task_id, "status": said.lower(), "error": None}
        if said.lower() == "completed":
            version = 2 if task_id in self.renewed else 1
            state["video_url"] = f"{self.base_url}/films/{task_id}?version={version}"
        match said:
            case "wrapped":
                return {"data": {**state, "status": "processing"}}
            case "another task":
                return {**state, "id": "video_of-somebody-else"}
            case "completed without a URL":
                return {**state, "status": "completed"}
        return state

    async def _film(self, request: web.Request) -> web.StreamResponse:
        task_id = request.match_info["id"]
        is_old = task_id in self.renewed and request.query["version"] == "1"
        if is_old or task_id in self.expired:
            return web.Response(status=404)
        return web.Response(body=film(task_id), content_type="video/mp4")


async def _send(
    request: web.Request,
    status: int,
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    lacking: int = 0,
) -> web.StreamResponse:
    """Answer, and return when it has gone out; *lacking* bytes more are promised than come."""
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(data) + lacking
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write(data)
    if lacking:
        await asyncio.sleep(_MOMENT_S)  # what was written goes out before the connection breaks
        return _broken(request)
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response


def _broken(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


# ---- sessions, and how they die


class InStep:
    """Awaits a call of SQLite's thread; the loop stands until the thread is through with it.

    What happens after what must not depend on how fast a disk is, or no failure could be repeated.
    """

    def __init__(self, connection: Any, work: Coroutine[Any, Any, Any]) -> None:
        self._connection = connection
        self._work = work

    def __await__(self) -> Iterator[Any]:
        try:
            wanted = self._work.send(None)
            through = threading.Event()
            self._connection._tx.put_nowait((None, through.set))
            through.wait()
            while True:
                try:
                    given = yield wanted
                except BaseException as exc:  # noqa: BLE001 -- passed on
                    wanted = self._work.throw(exc)
                else:
                    wanted = self._work.send(given)
        except StopIteration as stop:
            return stop.value


class SteadyLoop(VirtualLoop):
    """Runs what is for other threads at once, for the same reason."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 -- passed on
            future.set_exception(exc)
        return future


async def run_sync(func: Callable[..., Any], *args: Any, **_: Any) -> Any:
    """Stand in for ``anyio.to_thread.run_sync``, likewise."""
    await anyio.lowlevel.checkpoint()
    return func(*args)


class PowerCut:
    """Cuts the power just before SQLite gets its so-manieth statement."""

    def __init__(self) -> None:
        self.statements_left = 0
        self.life: Life | None = None

    def is_now(self) -> bool:
        if self.life is None or not self.statements_left:
            return False
        self.statements_left -= 1
        return not self.statements_left

    def install(self, patch: pytest.MonkeyPatch) -> None:
        execute = aiosqlite.Connection._execute

        @functools.wraps(execute)
        async def call(connection: Any, fn: Any, *args: Any, **options: Any) -> Any:
            life = self.life
            if life is None or not self.is_now():
                return await InStep(connection, execute(connection, fn, *args, **options))

            # In SQLite's own thread, so that nothing is being written meanwhile.
            def after_the_cut(*given: Any, **more: Any) -> Any:
                life.leave_files()
                return fn(*given, **more)

            try:
                return await InStep(
                    connection, execute(connection, after_the_cut, *args, **options)
                )
            finally:
                await life.break_off()

        patch.setattr(aiosqlite.Connection, "_execute", call)


CUT = PowerCut()


class Life:
    """A session from its opening to its end, and what is left of it behind a power cut."""

    def __init__(self, number: int, folder: Path, base_url: str) -> None:
        self.number = number
        self.is_cut = False
        self._folder = folder
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), headers={LIFE_HEADER: str(number)}
        )
        self.session = SeedanceSession(
            "key", base_url=base_url, pacing=Fixed(_POLL_S), journal=self.journal, http=self._http
        )

    @property
    def journal(self) -> Path:
        return self._folder / f"{self.number}.db"

    def leave_files(self) -> None:
        """Leave the next life what is on disk at this moment, locks and all."""
        for file in self._folder.glob(f"{self.journal.name}*"):
            rest = file.name.removeprefix(str(self.number))
            shutil.copy(file, self._folder / f"{self.number + 1}{rest}")

    async def break_off(self) -> None:
        """Break all connections; nothing that is done from now on is heard of."""
        self.is_cut = True
        await self._http.close()

    async def end(self) -> None:
        await self.session.close()
        await self._http.close()

    def stored(self, key: str) -> tuple[str, int] | None:
        """Read a job's state and attempts as another process would: what is committed."""
        with contextlib.closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True)) as db:
            query = "SELECT state, attempts FROM jobs WHERE key = ?"
            found: tuple[str, int] | None = db.execute(query, (key,)).fetchone()
            return found


@attrs.define(eq=False)
class Running:
    """Work that has begun and has not ended."""

    task: asyncio.Task[Any]
    scope: anyio.CancelScope
    names: Sequence[str]


@attrs.frozen
class Cancellation:
    """When and how a caller loses patience; after no time at all it never gets to anything."""

    how: str
    after_s: float

    async def over(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self.how == "timeout":
            async with asyncio.timeout(self.after_s):
                return await work
        if self.how == "scope":
            with anyio.fail_after(self.after_s):
                return await work
        task = asyncio.ensure_future(work)
        await asyncio.wait({task}, timeout=self.after_s)
        task.cancel()
        return await task


class Stopped(Exception):
    """The work was cancelled."""


def job_request(name: str) -> VideoRequest:
    return VideoRequest(model="seedance_2_0_pro", prompt=name)


def job_key(name: str) -> str:
    return f"{job_request(name).digest[:16]}-1" if name == "anonymous" else name


def job(name: str) -> Job:
    return Job(request=job_request(name), key=None if name == "anonymous" else name)


# ---- the machine

names = st.sampled_from(NAMES)
fates = st.lists(st.sampled_from(tuple(FATES)), max_size=3)
courses = st.sampled_from(COURSES)
words = st.sampled_from(["leave", "leave", "resubmit"])
moments = st.sampled_from([0.0, 0.5, 1.5, 4.0, 50.0])
cancellations = st.none() | st.builds(
    Cancellation, st.sampled_from(["timeout", "scope", "task"]), moments
)


class JobLives(RuleBasedStateMachine):
    """The model: the provider's books, and the little that persons said and did."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SteadyLoop()
        self.folder = tempfile.TemporaryDirectory(prefix="job-life-")
        self.running: list[Running] = []
        self.seen: dict[str, JobRecord] = {}
        self.told: dict[str, Sequence[Move]] = {}
        self.released: Counter[str] = Counter()  # how often a person let an unknown job go again
        self.resubmitted: Counter[str] = Counter()
        self.are_unknown: set[str] = set()  # resubmitted, and not known to be accepted
        self.mistyped: set[str] = set()
        self.lives = 0

    @initialize()
    def begin(self) -> None:
        self.provider = self.do(self._new_provider())
        self.do(self._begin_life())

    async def _new_provider(self) -> Provider:
        provider = Provider(self._intent)
        await provider.start()
        return provider

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    # -- lives

    async def _begin_life(self) -> None:
        while True:
            self.life = Life(self.lives, Path(self.folder.name), self.provider.base_url)
            CUT.life = self.life
            await self.life.session.__aenter__()
            if not self.life.is_cut:
                return
            await self._bury()

    async def _bury(self) -> None:
        """End what a dead process left in this one, and count the life."""
        CUT.life, CUT.statements_left = None, 0
        await self.life.end()
        await asyncio.gather(*(each.task for each in self.running), return_exceptions=True)
        self.running.clear()
        self.provider.ponders.clear()
        self.lives += 1

    async def _go_on(self) -> None:
        """Go on with what was left, if the power was cut meanwhile."""
        await asyncio.sleep(_MOMENT_S)  # what was on its way arrives
        if self.life.is_cut:
            await self._bury()
            await self._begin_life()
        for each in tuple(self.running):
            if each.task.done():
                self.running.remove(each)
                self._note_end(each.names)
                self.provider.ponders.difference_update(each.names)
                if not each.task.cancelled():
                    each.task.exception()

    def _note_end(self, names: Sequence[str]) -> None:
        """Note that a session had all the time it needs to write its answers down."""
        for create in self.provider.creates:
            is_ours = create.name in names and create.life == self.life.number
            if is_ours and create.is_answered and create.fate and create.fate.means is SUBMITTED:
                create.is_kept = True

    def _intent(self, create: Create) -> str | None:
        """Tell what is wrong about a create that came, in the light of what is on disk."""
        earlier = self.provider.of(create.name)
        if earlier and earlier[-1].task_id and not earlier[-1].is_given_up:
            return f"{create.name} is sent again although it was accepted"
        found = self.life.stored(job_key(create.name))
        if found is None:
            return f"{create.name} is sent and not on disk"
        state, attempts = found
        # What a dead process had sent may arrive after it.
        is_orphan = create.life != self.life.number or self.life.is_cut
        if state != SUBMITTING and not (is_orphan and state == UNKNOWN):
            return f"{create.name} is sent, and is {state} on disk"
        if attempts < len(earlier) + 1:
            return f"{create.name} was sent {len(earlier) + 1} times, and {attempts} are on disk"
        return None

    # -- work

    async def _to_its_end(
        self, work: Coroutine[Any, Any, Any], cancellation: Cancellation | None = None
    ) -> Any:
        """Give what *work* returns or the exception that it raises."""
        task = asyncio.ensure_future(cancellation.over(work) if cancellation else work)
        await asyncio.wait({task}, timeout=_LONG_S)
        assert task.done(), "the work has no end"
        if task.cancelled():
            return Stopped()
        error = task.exception()
        if isinstance(error, TimeoutError) and not isinstance(error, SeedanceError):
            return Stopped()
        return task.result() if error is None else error

    def play(
        self,
        names: Sequence[str],
        work: Coroutine[Any, Any, Any],
        cancellation: Cancellation | None = None,
    ) -> Any:
        """Run *work* on jobs to its end; None where the power was cut."""
        gc.collect()
        life, asked = self.life, len(self.provider.creates)
        result = self.do(self._to_its_end(work, cancellation))
        is_cut = life.is_cut
        if not is_cut:
            self._note_end(names)
        self.do(self._go_on())
        self.do(self._look())
        self.provider.fates.clear()
        if is_cut:
            return None
        self._check_creates(names, asked)
        return result

    def _check_creates(self, names: Sequence[str], asked: int) -> None:
        """Check that each job stands where its last create brought it."""
        sent = {create.name: create for create in self.provider.creates[asked:]}
        for name in names:
            if name not in sent:
                continue
            fate = sent[name].fate
            means = (fate.means or PLANNED) if fate else UNKNOWN
            if name in self.are_unknown and means in (PLANNED, FAILED):
                means = UNKNOWN
            then = {SUBMITTED, COMPLETED, FAILED} if means is SUBMITTED else {means}
            assert self.seen[name].state in then, (name, fate)

    def _is_busy(self, name: str) -> bool:
        return any(name in each.names for each in self.running)

    def _at_rest(self, *states: JobState) -> list[str]:
        """Give the known jobs in these states on which nothing works."""
        known = (name for name, record in self.seen.items() if record.state in states)
        return [name for name in known if not self._is_busy(name)]

    def _goes_out(self, name: str, on_unknown: str) -> bool:
        """Tell whether a job that is taken up is to be sent."""
        record = self.seen.get(name)
        if record is None or record.state in (PLANNED, FAILED):
            return record is None or record.task_id is None
        return record.state is UNKNOWN and on_unknown == "resubmit"

    def _prepare(self, name: str, its_fates: Sequence[str], on_unknown: str) -> JobState:
        """Tell the provider what to do, and give the state that the job is to come to."""
        its = [FATES[fate] for fate in its_fates]
        self.provider.fates[name] = list(its)
        record = self.seen.get(name)
        if not self._goes_out(name, on_unknown):
            assert record is not None
            return record.state
        foreseen = next(fate.means for fate in (*its, ACCEPTED) if fate.means is not None)
        if record is None or record.state is not UNKNOWN:
            self.are_unknown.discard(name)
            return foreseen
        self.are_unknown.add(name)
        self.resubmitted[name] += 1
        for create in self.provider.of(name):
            create.is_given_up = True
        # That it is refused now says nothing of the create whose answer was lost.
        return UNKNOWN if foreseen is FAILED else foreseen

    def _submitting(self, name: str, on_unknown: Any = "leave") -> Coroutine[Any, Any, Any]:
        if name == "anonymous":
            return self._batch([name], on_unknown=on_unknown, timeout_s=0)
        return self.life.session.submit(job_request(name), key=name, on_unknown=on_unknown)

    async def _batch(self, items: Sequence[str], stop_after: int = 0, **options: Any) -> Any:
        outcomes = []
        async with self.life.session.batch([job(name) for name in items], **options) as ended:
            async for outcome in ended:
                outcomes.append(outcome)
                if len(outcomes) == stop_after:
                    break
        return outcomes

    # -- rules: creating

    @rule(name=names, its_fates=fates, on_unknown=words, cancellation=cancellations)
    def submit(
        self, name: str, its_fates: list[str], on_unknown: str, cancellation: Cancellation | None
    ) -> None:
        if self._is_busy(name):
            return
        before = len(self.provider.of(name))
        goes_out = self._goes_out(name, on_unknown)
        foreseen = self._prepare(name, its_fates, on_unknown)
        result = self.play([name], self._submitting(name, on_unknown), cancellation)
        if result is None:
            return
        assert goes_out or len(self.provider.of(name)) == before
        if isinstance(result, Stopped):
            return
        if name != "anonymous":
            self._check_result(name, result, foreseen)
        elif cancellation is None:
            assert self.seen[name].state is foreseen or foreseen is SUBMITTED

    def _check_result(self, name: str, result: Any, foreseen: JobState) -> None:
        record = self.seen[name]
        assert record.state is foreseen, (name, foreseen, result)
        if foreseen is UNKNOWN:
            assert isinstance(result, SubmissionUnknown)
        elif foreseen is FAILED and record.task_id is None:
            assert isinstance(result, RequestRefused), result
        else:
            assert record.task_id is not None
            assert result.id == record.task_id

    @rule(name=names, its_fates=fates, number=st.integers(2, 3), cancels=st.booleans())
    def submit_at_once(self, name: str, its_fates: list[str], number: int, cancels: bool) -> None:
        if self._is_busy(name) or name == "anonymous":
            return
        self._prepare(name, its_fates, "leave")

        async def all_at_once() -> Any:
            tasks = [asyncio.ensure_future(self._submitting(name)) for _ in range(number)]
            await asyncio.sleep(0.5)
            if cancels:
                tasks[0].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        results = self.play([name], all_at_once())
        got = {each.id for each in results or () if not isinstance(each, BaseException)}
        assert not got or got == {self.seen[name].task_id}

    @rule(name=names, for_s=st.sampled_from([40.0, 4000.0]), cancellation=cancellations)
    def submit_where_connections_are_refused(
        self, name: str, for_s: float, cancellation: Cancellation | None
    ) -> None:
        if self.running or not self._goes_out(name, "leave"):
            return

        async def refuse() -> asyncio.Task[None]:
            await self.provider.refuse()
            return asyncio.ensure_future(listen_again())

        async def listen_again() -> None:
            await asyncio.sleep(for_s)
            await self.provider.listen()

        listening = self.do(refuse())
        before = len(self.provider.of(name))
        result = self.play([name], self._submitting(name), cancellation)
        self.do(asyncio.wait({listening}))
        if result is None:
            return
        # What was sent after all, ``play`` has checked.
        if len(self.provider.of(name)) == before and name in self.seen:
            assert self.seen[name].state in (PLANNED, FAILED)
        assert not isinstance(result, SubmissionUnknown)

    @rule(name=names)
    def begin_to_submit(self, name: str) -> None:
        """Have a create on the wire that the provider thinks over."""
        if self._is_busy(name) or not self._goes_out(name, "leave"):
            return
        self.provider.ponders.add(name)

        async def begun() -> Running:
            scope = anyio.CancelScope()

            async def within() -> Any:
                with scope:
                    return await self._submitting(name)

            running = Running(asyncio.ensure_future(within()), scope, [name])
            await asyncio.sleep(0.01)
            return running

        self.running.append(self.do(begun()))
        self.do(self._go_on())

    @precondition(lambda self: self.running)
    @rule(data=st.data(), by_scope=st.booleans())
    def cancel_what_is_on_the_wire(self, data: st.DataObject, by_scope: bool) -> None:
        running = data.draw(st.sampled_from(self.running))

        async def cancel() -> None:
            (running.scope.cancel if by_scope else running.task.cancel)()
            await asyncio.sleep(0.01)

        self.do(cancel())
        assert running in self.running
        is_sent = any(create.fate is None for create in self.provider.of(running.names[0]))
        assert not (is_sent and running.task.done()), "a create was let go"
        self.do(self._go_on())

    @precondition(lambda self: self.provider.thoughts)
    @rule(data=st.data(), fate=st.sampled_from(tuple(FATES)))
    def the_provider_makes_up_its_mind(self, data: st.DataObject, fate: str) -> None:
        place = data.draw(st.integers(0, len(self.provider.thoughts) - 1))
        self.do(self._decide(self.provider.thoughts.pop(place), FATES[fate]))

    async def _decide(self, thought: asyncio.Future[Fate], fate: Fate) -> None:
        thought.set_result(fate)
        await asyncio.sleep(60 if fate.means is UNKNOWN else 2)
        await self._go_on()

    # -- rules: waiting, and bringing to disk

    @rule(seconds=st.sampled_from([10.0, 70.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))
        self.do(self._go_on())

    @precondition(lambda self: self._at_rest(*JobState))
    @rule(
        data=st.data(),
        course=courses,
        timeout_s=st.sampled_from([0, 70, 1500]),
        downloads=st.booleans(),
        cancellation=cancellations,
    )
    def wait(
        self,
        *,
        data: st.DataObject,
        course: Sequence[str],
        timeout_s: float,
        downloads: bool,
        cancellation: Cancellation | None,
    ) -> None:
        name = data.draw(st.sampled_from(self._at_rest(*JobState)))
        if name == "anonymous" or self._goes_out(name, "leave"):
            return
        self.provider.courses[name] = list(course)
        path = Path(self.folder.name) / f"{name}.mp4"

        async def generate() -> Video:
            video = await self.life.session.generate(
                job_request(name), key=name, timeout_s=timeout_s
            )
            if downloads:
                await video.download(path)
                assert path.read_bytes() == film(video.id)
            return video

        before = self.seen[name]
        result = self.play([name], generate(), cancellation)
        if result is not None and not isinstance(result, Stopped):
            self._check_wait(before, self.seen[name], result)

    def _check_wait(self, before: JobRecord, record: JobRecord, result: Any) -> None:
        if before.state is UNKNOWN:
            assert isinstance(result, SubmissionUnknown)
            return
        assert record.task_id is not None
        assert isinstance(result, Video | SeedanceError), result
        assert (result.id if isinstance(result, Video) else result.task_id) == record.task_id
        is_made = isinstance(result, Video | DownloadError)
        then = COMPLETED if is_made else FAILED if isinstance(result, VideoFailed) else SUBMITTED
        assert record.state is then, result

    @rule(
        items=st.lists(names, min_size=1, max_size=4, unique=True),
        its_fates=st.lists(fates, min_size=4, max_size=4),
        course=courses,
        in_flight=st.integers(1, 4),
        on_unknown=words,
        timeout_s=st.sampled_from([30, 1500]),
        stop_after=st.sampled_from([0, 0, 1]),
        downloads=st.booleans(),
        cancellation=cancellations,
    )
    def run_a_batch(
        self,
        *,
        items: list[str],
        its_fates: list[list[str]],
        course: Sequence[str],
        in_flight: int,
        on_unknown: str,
        timeout_s: float,
        stop_after: int,
        downloads: bool,
        cancellation: Cancellation | None,
    ) -> None:
        items = [name for name in items if not self._is_busy(name)]
        if not items:
            return
        self.provider.courses.update({name: list(course) for name in items})
        foreseen = {
            name: self._prepare(name, its, on_unknown)
            for name, its in zip(items, its_fates, strict=False)
        }
        work = self._batch(
            items,
            stop_after,
            max_in_flight=in_flight,
            on_unknown=on_unknown,
            timeout_s=timeout_s,
            out_dir=Path(self.folder.name) / "films" if downloads else None,
        )
        outcomes = self.play(items, work, cancellation)
        if outcomes is None or isinstance(outcomes, Stopped):
            return
        assert not isinstance(outcomes, BaseException), outcomes
        for outcome in outcomes:
            self._check_outcome(outcome, foreseen[outcome.request.prompt])
        if not stop_after:
            assert sorted(outcome.index for outcome in outcomes) == list(range(len(items)))

    def _check_outcome(self, outcome: Any, foreseen: JobState) -> None:
        """Check one job's outcome by itself: what became of the others is no concern of it."""
        record = self.seen[outcome.request.prompt]
        assert outcome.task_id == record.task_id
        status, made = outcome.status, {OutcomeStatus.COMPLETED, OutcomeStatus.SKIPPED}
        assert (status in made) == (record.state is COMPLETED), (outcome, record)
        if foreseen in (UNKNOWN, COMPLETED) or (foreseen is FAILED and record.task_id is None):
            assert record.state is foreseen
        if record.state in (UNKNOWN, SUBMITTED):
            assert status is OutcomeStatus.UNKNOWN
        if outcome.path is not None:
            assert outcome.path.read_bytes() == film(record.task_id)

    @precondition(lambda self: self._at_rest(COMPLETED))
    @rule(data=st.data(), renewed=st.booleans())
    def a_video_expires(self, data: st.DataObject, renewed: bool) -> None:
        name = data.draw(st.sampled_from(self._at_rest(COMPLETED)))
        ids = {create.task_id for create in self.provider.paid(name)}
        (self.provider.renewed if renewed else self.provider.expired).update(filter(None, ids))

    # -- rules: a person's word

    def _open(self) -> list[str]:
        """Give the jobs of which a person can say the truth: the provider knows it itself."""
        at_rest = self._at_rest(UNKNOWN) + sorted(self.mistyped)
        return [name for name in at_rest if not self.provider.is_undecided(name)]

    @precondition(lambda self: self._open())
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Say what the provider's billing says."""
        name = data.draw(st.sampled_from(self._open()))
        paid = self.provider.paid(name)
        if paid:
            said: dict[str, Any] = {"task_id": paid[-1].task_id}
        else:
            said = {"not_created": True}
            self.released[name] += 1
        result = self.play([], self.life.session.settle(job_key(name), **said))
        if result is None:
            if self.seen[name].task_id == said.get("task_id"):
                self.mistyped.discard(name)
            return
        self.mistyped.discard(name)
        assert isinstance(result, JobRecord), result
        assert result.state is (SUBMITTED if paid else PLANNED)
        assert self.seen[name] == result

    @precondition(lambda self: any(map(self.provider.paid, self._open())))
    @rule(data=st.data())
    def settle_with_a_slip(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._open()))
        if not self.provider.paid(name) or name in self.mistyped:
            return
        self.mistyped.add(name)
        typo = f"video_typo-{name}"
        self.play([], self.life.session.settle(job_key(name), task_id=typo))
        if self.seen[name].task_id != typo:
            self.mistyped.discard(name)

    @precondition(lambda self: self.seen)
    @rule(name=names, other=names, not_created=st.booleans())
    def settle_in_vain(self, name: str, other: str, not_created: bool) -> None:
        """Settle what is not unknown, or with an id that another job has: nothing changes."""
        record, others = self.seen.get(name), self.seen.get(other)
        if self._is_busy(name) or name in self.mistyped:
            return
        task_id = "video_new" if others is None else others.task_id or "video_new"
        is_unknown = record is not None and record.state is UNKNOWN
        if is_unknown and (not_created or task_id == "video_new"):
            return
        if record is not None and record.state is SUBMITTED and record.task is None:
            return  # what a person said may be mended until the provider has answered to it
        if record is not None and record.state is PLANNED and record.attempts:
            return  # and that there was no task, until it is sent again
        said = {"not_created": True} if not_created else {"task_id": task_id}
        result = self.play([], self.life.session.settle(job_key(name), **said))
        if result is not None:
            assert isinstance(result, JournalError), result
            assert self.seen.get(name) == record

    # -- rules: ends

    @rule()
    def the_power_is_cut(self) -> None:
        async def cut() -> None:
            self.life.leave_files()
            await self.life.break_off()
            await self._go_on()

        self.do(cut())

    @rule(statements=st.integers(1, 14))
    def the_power_will_be_cut(self, statements: int) -> None:
        CUT.statements_left = statements

    @rule()
    def close_and_open_again(self) -> None:
        """End as one should; what is on the wire is waited for."""

        async def close() -> None:
            life = self.life
            await life.end()
            if life.is_cut:
                await self._go_on()
                return
            await asyncio.gather(*(each.task for each in self.running), return_exceptions=True)
            for each in self.running:
                self._note_end(each.names)
            self.running.clear()
            self.provider.ponders.clear()
            life.leave_files()
            self.lives += 1
            await self._begin_life()

        self.do(close())

    # -- what must be true after every step

    async def _look(self) -> None:
        session = self.life.session
        self.seen = {record.request.prompt: record async for record in session.jobs()}
        if self.life.is_cut:  # by one of these very statements
            await self._go_on()
            await self._look()

    async def _histories(self) -> dict[str, Sequence[Move]]:
        return {name: await self.life.session.history(job_key(name)) for name in self.seen}

    @invariant()
    def what_is_paid_for_is_paid_for_once_and_on_record(self) -> None:
        if not hasattr(self, "life"):
            return
        left, CUT.statements_left = CUT.statements_left, 0  # who looks on turns nothing off
        before = self.seen
        self.do(self._look())
        told = self.do(self._histories())
        CUT.statements_left = left
        assert not self.provider.complaints, self.provider.complaints
        assert list(self.seen)[: len(before)] == list(before), "a job vanished"
        for name, record in self.seen.items():
            self._check_books(name, record)
            self._check_history(name, record, told[name])
        self.told = told

    def _check_books(self, name: str, record: JobRecord) -> None:
        creates, paid = self.provider.of(name), self.provider.paid(name)
        assert len(paid) <= 1 + self.resubmitted[name], f"{name} is paid for {len(paid)} times"
        assert len(creates) <= record.attempts
        for create in creates:
            if create.is_kept and name not in self.mistyped:
                assert create.task_id == record.task_id, "an id that was written down is lost"
        if name in self.mistyped or not creates:
            return
        last = creates[-1]
        if last.task_id is not None and not last.is_given_up and last.task_id != record.task_id:
            on_its_way = record.state is SUBMITTING and self._is_busy(name)
            assert record.state is UNKNOWN or on_its_way, f"{last.task_id} is lost"
        assert record.task_id in {None, *(create.task_id for create in paid)}

    def _check_history(self, name: str, record: JobRecord, moves: Sequence[Move]) -> None:
        before = self.told.get(name, ())
        assert list(moves[: len(before)]) == list(before), "the past was changed"
        assert moves[0].state is PLANNED
        for one, then in itertools.pairwise(moves):
            assert then.state in MOVES[one.state], f"{name}: {one.state} to {then.state}"
            if one.task_id is not None and one.task_id != f"video_typo-{name}":
                assert then.task_id == one.task_id, "an id changed"
                assert then.state in (SUBMITTED, COMPLETED, FAILED)
        states = [move.state for move in moves]
        again = Counter(itertools.pairwise(states))
        by_itself = f"{name} was unknown, and sent again by itself"
        assert again[UNKNOWN, PLANNED] <= self.released[name], by_itself
        assert not again[UNKNOWN, SUBMITTING] or self.resubmitted[name], by_itself
        assert states.count(SUBMITTING) == record.attempts
        assert (moves[-1].state, moves[-1].task_id) == (record.state, record.task_id)
        assert record.state is not SUBMITTING or self._is_busy(name)
        assert (record.state in (SUBMITTED, COMPLETED)) <= (record.task_id is not None)
        if record.path is not None:
            assert Path(record.path).read_bytes() == film(record.task_id or "")

    def teardown(self) -> None:
        CUT.life, CUT.statements_left = None, 0

        async def end() -> None:
            if hasattr(self, "life"):
                for each in self.running:
                    each.task.cancel()
                await self.provider.stop()
                await self.life.end()
                await asyncio.gather(*(each.task for each in self.running), return_exceptions=True)
            await asyncio.sleep(_MOMENT_S)

        try:
            self.do(end())
            self.do(self.loop.shutdown_asyncgens())
            self.do(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()
            self.folder.cleanup()


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Let nothing happen by chance: neither threads nor the garbage collector decide on anything.

    A session forgets what nobody works on, and then reads it again: some statements more, and a
    power cut that is counted in statements comes elsewhere.
    """
    with pytest.MonkeyPatch.context() as patch:
        CUT.install(patch)
        patch.setattr(anyio.to_thread, "run_sync", run_sync)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            gc.unfreeze()


def test_whatever_happens_a_job_is_paid_for_once_and_no_id_is_lost() -> None:
    with steady():
        run_state_machine_as_test(
            JobLives,
            settings=settings(
                max_examples=20,
                stateful_step_count=25,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


_WHEN_THE_DISK_WAS_FULL = {
    "accepted": (task_json("queued"), OutcomeStatus.COMPLETED),
    "lost": (plain(500), OutcomeStatus.UNKNOWN),
    "refused": (error(422), None),
    "busy": (plain(429), None),
}


@pytest.mark.parametrize("answer", _WHEN_THE_DISK_WAS_FULL)
async def test_a_job_whose_end_could_not_be_written_down_is_taken_up_in_the_same_session(
    api: ScriptedApi, tmp_path: Path, answer: str
) -> None:
    its_answer, then = _WHEN_THE_DISK_WAS_FULL[answer]
    journal = tmp_path / "journal.db"

    def alter(change: str) -> None:
        with contextlib.closing(sqlite3.connect(journal)) as db:
            db.execute(f"ALTER TABLE {change}")

    async def take_the_disk_away(request: web.Request) -> web.StreamResponse:
        alter("jobs RENAME TO away")
        return await its_answer(request) if callable(its_answer) else web.json_response(its_answer)

    api.creates = [take_the_disk_away, task_json("queued")]
    async with SeedanceSession("key", base_url=api.base_url, journal=journal) as session:
        with pytest.raises(SeedanceError):
            await session.submit(job_request("ant"), key="ant")
        alter("away RENAME TO jobs")
        gc.collect()  # nobody holds the job any more, so that it is read from the journal
        (outcome,) = (await session.run_batch([job("ant")])).outcomes
        assert "unexpected" not in str(outcome.error)
        assert then in (None, outcome.status)
        assert api.count("POST") == 1 or then is None
