"""Fixtures: virtual time for everything async, an emulator, a session at it, a scripted API."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import attrs
import postgres
import pytest
import virtual_loop
from aiohttp import web
from cli_process import account
from virtual_loop import VirtualLoop

from seedance_async import Fixed, SeedanceSession, VideoRequest
from seedance_async.emulator import Emulator

TASK_ID = "video_fd35ee52-2a98-44a6-b930-29a88ce9b8fd"


def pytest_configure(config: pytest.Config) -> None:
    """Keep the bytecode where none may stand beside the sources.

    Or each of the hundreds of processes that are tested would compile the whole package first.
    """
    if sys.dont_write_bytecode:
        cache = getattr(config, "cache", None)  # none with ``-p no:cacheprovider``
        folder = str(cache.mkdir("bytecode")) if cache else None
        sys.dont_write_bytecode, sys.pycache_prefix = folder is None, folder
        if folder is not None:
            os.environ["PYTHONPYCACHEPREFIX"] = folder
            del os.environ["PYTHONDONTWRITEBYTECODE"]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave the thousands of tests to the end: a tenth of the time went into walking over them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture(autouse=True, scope="session")
def sqlite_takes_real_time() -> Iterator[None]:
    """Let the virtual clock stand while SQLite works: its thread lives as long as the file."""

    def counted(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with virtual_loop.standing_still():
                return await method(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_execute", "_connect", "close"):
            patch.setattr(aiosqlite.Connection, name, counted(getattr(aiosqlite.Connection, name)))
        yield


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may meet a real account by the environment or the config file."""
    monkeypatch.delenv("SEEDANCE_PROFILE", raising=False)
    monkeypatch.setenv("SEEDANCE_CONFIG", os.devnull)
    monkeypatch.delenv("SEEDANCE_API_KEY", raising=False)
    monkeypatch.delenv("SEEDANCE_BASE_URL", raising=False)


@pytest.fixture(autouse=True)
async def no_task_left_behind(anyio_backend: object) -> AsyncIterator[None]:
    def ours() -> set[asyncio.Task[Any]]:
        # The test runner's own tasks come and go around a fixture.
        tasks = (task for task in asyncio.all_tasks() if not task.done())
        return {task for task in tasks if "TestRunner" not in repr(task.get_coro())}

    before = ours()
    yield
    left = ours() - before
    assert not left, f"left behind: {left}"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as running:
        yield running


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[SeedanceSession]:
    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5)
    ) as opened:
        yield opened


@pytest.fixture
def request_() -> VideoRequest:
    return VideoRequest(model="seedance_2_0_fast_pro", prompt="A cat dancing in the rain")


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """Start a Postgres server for all tests of a process; each has a database of its own."""
    if reason := postgres.reason_to_skip():
        pytest.skip(reason)
    with postgres.running() as running:
        yield running


Told = tuple[int, str, str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def paid(emulator: Emulator) -> Callable[[], int]:
    """Count the tasks that were accepted in this test."""
    before = len(emulator.accepted_ids)
    return lambda: len(emulator.accepted_ids) - before


@pytest.fixture
def seedance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Told]:
    """Run a command in this process, and give its exit code, stdout and stderr."""
    from seedance_async.cli.app import run

    def command(*words: str, at: Emulator | None = None) -> Told:
        for name, value in (account(at) if at else {}).items():
            monkeypatch.setenv(name, value)
        code = run(words)
        told = capsys.readouterr()
        return code, told.out, told.err

    return command


def name(value: object) -> str:
    """Name a parameter without an address, so that every process names its test alike."""
    return str(getattr(value, "__qualname__", value))


def task_json(status: str, **fields: Any) -> dict[str, Any]:
    answer = {"id": TASK_ID, "object": "video", "created": 1774836724, "model": "m"}
    return {**answer, "status": status, "error": None, **fields}


DONE = task_json(
    "completed", video_url="https://v.example.com/a.mp4?sig=s", totalTokens=1, actualDuration=5
)


@attrs.define
class ScriptedApi:
    """A real server that answers creates and queries from lists, the last entry for ever.

    An entry is a JSON value (200), a ``web.Response`` factory, or a handler coroutine.
    """

    base_url: str = ""
    creates: list[Any] = attrs.field(factory=lambda: [task_json("queued")])
    queries: list[Any] = attrs.field(factory=lambda: [DONE])
    seen: list[tuple[str, float]] = attrs.field(factory=list)
    headers: list[dict[str, str]] = attrs.field(factory=list)

    def count(self, method: str) -> int:
        return sum(1 for seen, _ in self.seen if seen == method)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.seen.append((request.method, asyncio.get_running_loop().time()))
        self.headers.append(dict(request.headers))
        script = self.creates if request.method == "POST" else self.queries
        entry = script.pop(0) if len(script) > 1 else script[0]
        if callable(entry):
            return await entry(request)
        return web.json_response(entry)


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    scripted = ScriptedApi()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", scripted.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    scripted.base_url = f"http://{host}:{port}"
    yield scripted
    await runner.cleanup()


@pytest.fixture
async def scripted(api: ScriptedApi) -> AsyncIterator[SeedanceSession]:
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(5)) as opened:
        yield opened


def plain(
    status: int, body: str | bytes = "", **headers: str
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Answer with *body* as it is."""

    async def respond(_: web.Request) -> web.Response:
        data = body if isinstance(body, bytes) else body.encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=data, headers=named)

    return respond


def error(status: int, message: str = "no", **headers: str) -> Any:
    return plain(status, json.dumps({"error": {"message": message}}), **headers)


async def reset(request: web.Request) -> web.Response:
    """Drop the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(_: web.Request) -> web.Response:
    """Take the call and never answer."""
    await asyncio.sleep(1e9)
    return web.Response()
