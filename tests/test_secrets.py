"""Secrets stay where they belong, whatever happens and however much is logged.

The API key goes to the API and nowhere else. Prompts, media and signed URLs are in the journal,
where the user asked to have them kept, and in the attributes that exist for them.

Each secret here is one mark over and over, so that a clipped quotation is found as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import linecache
import logging
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anyio
import attrs
import pytest
from aiohttp import web
from cli_process import environment, write_jobs
from conftest import TASK_ID, ScriptedApi, never, plain, reset
from virtual_loop import VirtualLoop

from seedance_async import (
    DownloadError,
    Fixed,
    Job,
    Retries,
    SeedanceError,
    SeedanceSession,
    SubmissionUnknown,
    Video,
    VideoExpired,
    VideoRequest,
)

KEY_MARK, PROMPT_MARK, MEDIA_MARK, URL_MARK = "k3yM4rk", "pr0mptM4rk", "m3diaM4rk", "s1gnedM4rk"
KEY = "sk-" + KEY_MARK * 5
PROMPT = f'A "{PROMPT_MARK}" ' + f"{PROMPT_MARK} " * 4 + "ü"
MEDIA = f"https://media.example.com/{MEDIA_MARK}.png?{MEDIA_MARK}={MEDIA_MARK}"
SIGNATURE = f"X-Signature={URL_MARK * 6}"


def words(prompt: str) -> str:
    """Quote all secrets, as a provider may that repeats what it was told."""
    return (
        f"bad: Bearer {KEY}, prompt {prompt!r} and {json.dumps(prompt)}, image {MEDIA}, "
        f"see https://films.example.com/a.mp4?{SIGNATURE} instead"
    )


WORDS = words(PROMPT)
FILM = b"".join(
    (8 + len(content)).to_bytes(4) + kind + content
    for kind, content in ((b"ftyp", b"isom"), (b"moov", b""), (b"mdat", b"film"))
)
MARKS = (KEY_MARK, PROMPT_MARK, MEDIA_MARK, URL_MARK)


def request() -> VideoRequest:
    return VideoRequest(model="seedance_2_0_fast_pro", prompt=PROMPT, first_image=MEDIA)


@pytest.fixture
def anyio_backend(monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    # In its debug mode asyncio asks with each callback whether any source file has changed.
    monkeypatch.setattr(linecache, "checkcache", lambda *_: None)
    return "asyncio", {"loop_factory": VirtualLoop, "debug": True}


# ---- looking everywhere


def chain(error: BaseException | None, known: tuple[int, ...] = ()) -> Iterator[BaseException]:
    """Give an exception, and all those behind it and in it."""
    if error is None or id(error) in known:
        return
    yield error
    inner = getattr(error, "exceptions", ())
    for behind in (error.__cause__, error.__context__, *inner):
        yield from chain(behind, (*known, id(error)))


def shown(value: Any) -> Iterator[str]:
    """Give everything that a program may print of a value without meaning to tell a secret."""
    yield from (repr(value), str(value), f"{value}")
    if isinstance(value, BaseException):
        for error in chain(value):
            yield from (repr(error), str(error), repr(error.args), repr(vars(error)))
            yield from getattr(error, "__notes__", ())
            yield "".join(traceback.format_exception(error))


@attrs.define
class Watch:
    """What was seen of one test, where no secret may be."""

    api: ScriptedApi
    folder: Path
    caplog: pytest.LogCaptureFixture
    capfd: pytest.CaptureFixture[str]
    seen: list[tuple[str, str]] = attrs.field(factory=list)

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    def see(self, *values: Any) -> None:
        for value in values:
            self.seen += [(type(value).__name__, text) for text in shown(value)]

    @contextlib.asynccontextmanager
    async def session(self, **options: Any) -> AsyncIterator[SeedanceSession]:
        given = {"pacing": Fixed(5), "journal": self.journal, **options}
        async with SeedanceSession(KEY, base_url=self.api.base_url, **given) as session:
            with session.subscribe(self.see):
                yield session
                await self.look_at(session)
        self.check()

    async def look_at(self, session: SeedanceSession) -> None:
        """Look at all that a session knows, and into its journal's files."""
        self.see(session)
        async for record in session.jobs():
            self.see(record, record.task, record.request)
            self.see(*await session.history(record.key))
        # Before it is closed, since that empties one of them.
        files = list(self.folder.glob(f"{self.journal.name}*"))
        assert {file.name for file in files} >= {
            f"journal.db{end}" for end in ("", "-wal", ".lock")
        }
        for file in files:
            assert KEY_MARK.encode() not in file.read_bytes(), file.name

    def check(self) -> None:
        """Check that nothing that was seen, logged or printed has a mark in it."""
        for record in self.caplog.records:
            where = f"log of {record.name}"
            self.seen += [(where, record.getMessage()), (where, repr(record.args))]
            if record.exc_info and record.exc_info[1]:
                self.see(record.exc_info[1])
        self.seen += [("printed", text) for text in self.capfd.readouterr()]
        assert len(self.seen) > 10
        leaks = [f"{where}: {text[:400]}" for where, text in self.seen if has_mark(text)]
        assert not leaks, "\n".join(leaks[:5])
        for file in self.folder.rglob("*"):
            assert not has_mark(str(file.relative_to(self.folder)))
            assert not file.is_file() or KEY_MARK.encode() not in file.read_bytes()

    @contextlib.contextmanager
    def raises(self, kind: type[BaseException]) -> Iterator[None]:
        with pytest.raises(kind) as caught:
            yield
        self.see(caught.value)


@pytest.fixture
def watch(
    api: ScriptedApi,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Watch:
    caplog.set_level(logging.DEBUG)
    return Watch(api, tmp_path, caplog, capfd)


def has_mark(text: str) -> bool:
    return any(mark.lower() in text.lower() for mark in MARKS)


# ---- a provider that quotes everything


def told(status: int, **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Refuse in words that quote every secret there is."""
    said = {"error": {"message": WORDS, "code": WORDS}, "message": WORDS, "authorization": KEY}
    return plain(status, json.dumps(said), **headers)


def state(api: ScriptedApi, status: str = "completed", **fields: Any) -> dict[str, Any]:
    """Say how the task stands, and repeat what was asked for."""
    url = f"{api.base_url}/film.mp4?{SIGNATURE}"
    asked = {"prompt": PROMPT, "first_image": MEDIA, "headers": {"Authorization": f"Bearer {KEY}"}}
    answer = {"id": TASK_ID, "status": status, "error": None, "request": asked, "note": WORDS}
    return {**answer, **({"video_url": url} if status == "completed" else {}), **fields}


def say(api: ScriptedApi, *states: Any, film: Any = None) -> None:
    """Let the task go through *states*, and its URL give *film*."""
    left = list(states) or [state(api, "queued"), state(api, "processing"), state(api)]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/film.mp4":
            return web.Response(body=FILM) if film is None else await film(request)
        said = left.pop(0) if len(left) > 1 else left[0]
        return await said(request) if callable(said) else web.json_response(said)

    api.queries = [answer]
    api.creates = [state(api, "queued")]


async def with_a_bad_header(request: web.Request) -> web.Response:
    """Answer what is no HTTP."""
    assert request.transport is not None
    request.transport.write(f"HTTP/1.1 200 {WORDS}\r\n{KEY} {PROMPT}\r\n\r\n".encode())
    request.transport.close()
    return web.Response()


async def with_bad_cookies(_: web.Request) -> web.Response:
    return web.Response(status=500, headers={"Set-Cookie": f"{KEY}[{URL_MARK}]@=1; Path=/"})


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "9999"})
    await response.prepare(request)
    await response.write(json.dumps(WORDS).encode()[:-9])
    assert request.transport is not None
    request.transport.abort()
    return response


def redirected(to: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    return plain(302, WORDS.encode(), Location=to)


# ---- lives


# Strict, so that whoever mends it takes the mark away.
async def test_a_success_tells_nobody(watch: Watch) -> None:
    say(watch.api)
    async with watch.session() as session:
        task = await session.submit(request(), key="mine")
        watch.see(task, task.state, task.request)
        async for now in task.updates():
            watch.see(now)
        video = await task.wait()
        watch.see(video, await video.download(watch.folder / "a.mp4"))
        assert video.url.endswith(SIGNATURE)
        assert video.request is not None
        assert video.request.prompt == PROMPT


async def test_a_resumed_batch_tells_nobody(watch: Watch) -> None:
    say(watch.api)
    jobs = [Job(request=request(), key="mine", name="a cat"), request()]
    for _ in range(2):
        async with watch.session() as session:
            report = await session.run_batch(jobs, out_dir=watch.folder / "films")
            watch.see(report, *report.outcomes, *(each.video for each in report.outcomes))
            assert report.ok
            (url,) = {record.video_url async for record in session.jobs()}
            assert url is not None
            assert url.endswith(SIGNATURE)


CREATES: dict[str, Any] = {
    **{f"HTTP {status}": told(status) for status in (400, 401, 402, 403, 404, 408, 413, 422)},
    "a business failure": {"code": 1001, "msg": WORDS, "data": None},
    "429": told(429),
    "429 with odd hint": told(429, Retry_After=SIGNATURE),
    "503 with Retry-After": told(503, Retry_After="3"),
    "500": told(500),
    "an odd id": {"id": [WORDS], "status": "queued"},
    "no id": {"status": WORDS, "error": WORDS},
    "HTML": plain(200, f"<html>{WORDS}</html>"),
    "a redirect": redirected(f"https://other.example.com/?{SIGNATURE}&key={KEY}"),
    "a bad header": with_a_bad_header,
    "bad cookies": with_bad_cookies,
    "half a body": cut,
    "a reset": reset,
    "silence": never,
}


@pytest.mark.parametrize("answer", CREATES.values(), ids=CREATES)
async def test_a_create_that_fails_tells_nobody(watch: Watch, answer: Any) -> None:
    watch.api.creates = [answer]
    async with watch.session(retries=Retries(create_patience_s=2)) as session:
        with watch.raises(SeedanceError):
            await session.submit(request(), key="mine")
        with watch.raises(SeedanceError):
            await session.submit(request(), key="mine")
        report = await session.run_batch([request()], timeout_s=100)
        watch.see(report, *report.outcomes)


QUERIES: dict[str, Any] = {
    **{f"HTTP {status}": told(status) for status in (400, 401, 404, 429, 500, 503)},
    "HTML": plain(200, f"<html>{WORDS}</html>"),
    "a business failure": {"code": 1001, "msg": WORDS, "data": None},
    "another task": {"id": "video_of-another", "status": "completed", "error": WORDS},
    "failed": {"id": TASK_ID, "status": "failed", "error": WORDS},
    "failed with an object": {"id": TASK_ID, "status": "failed", "error": {"detail": WORDS}},
    "failed with quoted JSON": {"id": TASK_ID, "status": "failed", "error": json.dumps([WORDS])},
    "cancelled": {"id": TASK_ID, "status": "cancelled", "error": {"message": WORDS}},
    "completed without a URL": {"id": TASK_ID, "status": "completed", "error": WORDS},
    "an odd status": {"id": TASK_ID, "status": WORDS},
    "an odd model": {"id": TASK_ID, "status": "processing", "model": WORDS, "created": WORDS},
    "no state": {"id": TASK_ID, "error": WORDS},
    "a bad header": with_a_bad_header,
    "half a body": cut,
    "a reset": reset,
    "silence": never,
}


@pytest.mark.parametrize("answer", QUERIES.values(), ids=QUERIES)
async def test_a_wait_that_fails_tells_nobody(watch: Watch, answer: Any) -> None:
    say(watch.api, answer)
    async with watch.session(retries=Retries(query_patience_s=20, odd_answers=2)) as session:
        with watch.raises(SeedanceError):
            await session.generate(request(), key="mine", timeout_s=100)
        with watch.raises(SeedanceError):
            await session.task(TASK_ID).wait(100)
        with contextlib.suppress(SeedanceError):
            watch.see(await session.task(TASK_ID).refresh())
        report = await session.run_batch([Job(request=request(), key="mine")], timeout_s=50)
        watch.see(report, *report.outcomes)


FILMS: dict[str, Any] = {
    "gone": told(404),
    "forbidden": told(403),
    "an error page": plain(200, f"<html>{WORDS}</html>"),
    "HTTP 500": told(500),
    "a redirect for ever": lambda request: redirected(str(request.url))(request),
    "a redirect to nowhere": redirected(f"http://[half?{SIGNATURE}"),
    "a redirect to another scheme": redirected(f"ftp://example.com/?{SIGNATURE}"),
    # A name too long to be asked for: where no name is resolved, others take seconds to fail.
    "a redirect to nobody": redirected(f"http://{'nobody.' * 40}invalid/?{SIGNATURE}"),
    "a bad header": with_a_bad_header,
    "half a body": cut,
    "a wrong encoding": plain(200, WORDS, Content_Encoding="gzip"),
    "a reset": reset,
}


@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS)
async def test_a_download_that_fails_tells_nobody(watch: Watch, film: Any) -> None:
    say(watch.api, film=film)
    async with watch.session() as session:
        video = await session.generate(request(), key="mine")
        with watch.raises(DownloadError):
            await video.download(watch.folder / "a.mp4")
        report = await session.run_batch([request()], out_dir=watch.folder / "films")
        watch.see(report, *report.outcomes)


@pytest.mark.parametrize(
    "url", [f"http://[half?{SIGNATURE}", f"ftp://a/?{SIGNATURE}", f"http://a:0/?{SIGNATURE}"]
)
async def test_a_url_that_cannot_be_fetched_tells_nobody(watch: Watch, url: str) -> None:
    say(watch.api, {**state(watch.api), "video_url": url})
    async with watch.session() as session:
        video = await session.generate(request(), key="mine")
        with watch.raises(DownloadError):
            await video.download(watch.folder / "a.mp4")


async def test_a_video_that_has_expired_tells_nobody(watch: Watch) -> None:
    fresh = {**state(watch.api), "video_url": f"{watch.api.base_url}/film.mp4?n=2&{SIGNATURE}"}
    say(watch.api, state(watch.api), fresh, film=told(410))
    async with watch.session() as session:
        video = await session.generate(request(), key="mine")
        with watch.raises(VideoExpired):
            await video.download(watch.folder / "a.mp4")


async def test_a_file_that_cannot_be_written_tells_nobody(watch: Watch) -> None:
    say(watch.api)
    (watch.folder / "file").touch()
    async with watch.session() as session:
        video: Video = await session.generate(request(), key="mine")
        with watch.raises(DownloadError):
            await video.download(watch.folder / "file" / "a.mp4")
        with watch.raises(DownloadError):
            await session.run_batch([request()], out_dir=watch.folder / "file")


async def test_an_unknown_job_tells_nobody_and_nor_does_settling_it(watch: Watch) -> None:
    say(watch.api)
    watch.api.creates = [told(500)]
    async with watch.session() as session:
        for _ in range(2):
            with watch.raises(SubmissionUnknown):
                await session.submit(request(), key="mine")
        watch.see(await session.settle("mine", task_id=TASK_ID))
        watch.see(await session.generate(request(), key="mine"))
        with watch.raises(SeedanceError):
            await session.settle("mine", not_created=True)


async def test_a_key_that_is_another_requests_tells_nobody(watch: Watch) -> None:
    say(watch.api)
    other = attrs.evolve(request(), prompt=f"another {PROMPT_MARK}", first_image=None)
    async with watch.session() as session:
        await session.submit(request(), key="mine")
        with watch.raises(SeedanceError):
            await session.submit(other, key="mine")


@pytest.mark.parametrize("after_s", [0, 0.5, 7])
@pytest.mark.parametrize("by_scope", [True, False])
async def test_a_cancellation_tells_nobody(watch: Watch, after_s: float, by_scope: bool) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.json_response(state(watch.api, "queued"))

    say(watch.api, state(watch.api, "processing"))
    watch.api.creates = [slow]
    async with watch.session() as session:
        if by_scope:
            with watch.raises(TimeoutError), anyio.fail_after(after_s):
                await session.generate(request(), key="mine")
        else:
            work = asyncio.ensure_future(session.generate(request(), key="mine"))
            await asyncio.sleep(after_s)
            watch.see(work)
            work.cancel()
            with watch.raises(asyncio.CancelledError):
                await work
            watch.see(work)


async def test_closing_amid_everything_tells_nobody(watch: Watch) -> None:
    say(watch.api, state(watch.api, "processing"))
    session = SeedanceSession(KEY, base_url=watch.api.base_url, journal=watch.journal)
    async with session:
        tasks = [
            asyncio.ensure_future(session.generate(request(), key=str(number)))
            for number in range(3)
        ]
        await asyncio.sleep(60)
        await watch.look_at(session)
        watch.see(*tasks)
    watch.see(*await asyncio.gather(*tasks, return_exceptions=True), *tasks, session)
    watch.check()


async def test_a_journal_that_cannot_be_written_tells_nobody(watch: Watch) -> None:
    say(watch.api)

    def alter(change: str) -> None:
        with contextlib.closing(sqlite3.connect(watch.journal)) as db:
            db.execute(f"ALTER TABLE {change}")

    async def break_it(_: web.Request) -> web.Response:
        alter("jobs RENAME TO away")
        return web.json_response(state(watch.api, "queued"))

    async with watch.session() as session:
        watch.api.creates = [break_it]
        with watch.raises(SeedanceError):
            await session.submit(request(), key="accepted")
        with watch.raises(SeedanceError):
            await session.submit(request(), key="never sent")
        alter("away RENAME TO jobs")


async def test_a_create_whose_status_is_odd_tells_nobody(watch: Watch) -> None:
    watch.api.creates = [{"id": TASK_ID, "status": WORDS}]
    async with watch.session() as session:
        task = await session.submit(request(), key="mine")
        watch.see(task, task.state, await session.submit(request(), key="mine"))


async def test_an_answer_is_kept_without_the_key_that_it_quotes(watch: Watch) -> None:
    say(watch.api)
    async with watch.session() as session:
        video = await (await session.submit(request(), key="mine")).wait()
        assert KEY_MARK in json.dumps(video.raw)  # as it came
        kept = [record.task.raw async for record in session.jobs() if record.task]
        assert kept
        assert KEY_MARK not in json.dumps(kept)


async def test_asyncios_debug_mode_tells_nobody_what_callbacks_are_given(watch: Watch) -> None:
    asyncio.get_running_loop().slow_callback_duration = 0  # then every one is logged
    say(watch.api, {**state(watch.api), "request": None, "note": None})
    async with watch.session() as session:
        video = await session.generate(request(), key="mine")
        await video.download(watch.folder / "a.mp4")
        await session.run_batch([Job(request=request(), key="mine")])


# ---- the command line


class Quoting(BaseHTTPRequestHandler):
    """A provider in a thread, which repeats all that it is told; what becomes of a job, its
    prompt's last word says.
    """

    prompts: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fate = body["prompt"].split()[-1]
        self.prompts[fate] = body["prompt"]
        self._say({"lost": 500, "refused": 422}.get(fate, 200), f"video_{fate}", "queued")

    def do_GET(self) -> None:
        path, _, fate = self.path.partition("?")[0].rpartition("/")
        if path == "/film":
            self._send(404 if fate == "gone" else 200, FILM)
        else:
            fate = fate.removeprefix("video_")
            status = {"failed": "failed", "odd": "half done"}.get(fate, "completed")
            self._say(200, f"video_{fate}", status)

    def _say(self, code: int, task_id: str, status: str) -> None:
        host, port = self.server.server_address[:2]
        fate = task_id.removeprefix("video_")
        quoted = words(self.prompts[fate])
        task = {"id": task_id, "status": status, "message": quoted, "request": quoted, "key": KEY}
        task["video_url"] = f"http://{host!s}:{port}/film/{fate}?{SIGNATURE}"
        task["error"] = {"message": quoted} if status == "failed" else None
        # No id in what is lost or refused: it would be no failure.
        answer = task if code == 200 else {"error": {"message": quoted}, "key": KEY}
        self._send(code, json.dumps(answer).encode())

    def _send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def quoting() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quoting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    host, port = server.server_address[:2]
    yield f"http://{host!s}:{port}"
    server.shutdown()
    thread.join()
    server.server_close()


# As a user's ``logging.basicConfig`` would have it, with all that every library has to say.
_LOGGED = """
import linecache, logging
linecache.checkcache = lambda *_: None  # as above
logging.basicConfig(filename="debug.log", level=logging.DEBUG)
from seedance_async.cli import main
main()
"""


def command(base_url: str, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    own = {"SEEDANCE_API_KEY": KEY, "SEEDANCE_BASE_URL": base_url, "PYTHONASYNCIODEBUG": "1"}
    return subprocess.run(
        [sys.executable, "-c", _LOGGED, *args],
        cwd=folder,
        env=environment(**own),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check_folder(folder: Path, ran: Sequence[subprocess.CompletedProcess[str]]) -> None:
    """Check what commands printed and left; only the journal and the jobs may have prompts."""
    for each in ran:
        shown = each.stdout + each.stderr
        if "jobs" in each.args:  # asked to show them
            shown = shown.replace(PROMPT_MARK, "")
        assert not [line for line in shown.splitlines() if has_mark(line)]
    assert "aiosqlite" in (folder / "debug.log").read_text()
    for file in folder.rglob("*"):
        assert not has_mark(file.name)
        content = file.read_bytes() if file.is_file() else b""
        assert KEY_MARK.encode() not in content, file
        if ".sqlite" not in file.name and file.name != "jobs.jsonl":
            assert not has_mark(content.decode(errors="replace")), file


FATES = ("made", "lost", "refused", "failed", "gone", "odd")


def test_a_batch_of_the_command_line_tells_nobody(quoting: str, tmp_path: Path) -> None:
    fields = {"model": "seedance_2_0_fast_pro", "first_image": MEDIA, "duration": 4}
    prompts = [f"{PROMPT} {fate}" for fate in FATES]
    broken = {
        **fields,
        "prompt": PROMPT,
        "first_image": f"ftp://{MEDIA_MARK}",
        "last_image": PROMPT,
    }
    jobs = write_jobs(tmp_path, *({**fields, "prompt": prompt} for prompt in prompts), broken)
    args = ("batch", str(jobs), "--out", "films", "--skip-invalid", "--timeout", "1.5")
    ran = [command(quoting, tmp_path, *args) for _ in range(2)]
    assert [each.returncode for each in ran] == [1, 1], ran[0].stderr
    told = (tmp_path / "films" / "results.jsonl").read_text()
    statuses = [json.loads(line)["status"] for line in told.splitlines()]
    expected = {"completed": 3, "skipped": 1, "failed": 4, "unknown": 4, "invalid": 2}
    assert {status: statuses.count(status) for status in statuses} == expected
    assert len(list((tmp_path / "films").glob("*.mp4"))) == 1
    ran.append(command(quoting, tmp_path, "jobs", "--journal", "films"))
    check_folder(tmp_path, ran)


@pytest.mark.parametrize("fate", ["made", "lost", "refused", "failed"])
def test_a_single_video_of_the_command_line_tells_nobody(
    quoting: str, tmp_path: Path, fate: str
) -> None:
    args = ("generate", f"{PROMPT} {fate}", "--first-image", MEDIA, "--key", "mine")
    ran = [command(quoting, tmp_path, *args, "--timeout", "3") for _ in range(2)]
    assert [each.returncode for each in ran] == [0, 0] if fate == "made" else [1, 1], ran[0].stderr
    check_folder(tmp_path, ran)
