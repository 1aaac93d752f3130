"""Local files in requests: published once, remembered, published again; and what goes wrong."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import anyio
import attrs
import av
import pytest
from aiohttp import web
from cancelling import Work, kinds
from conftest import ScriptedApi, error, reset, task_json
from PIL import Image

from seedance_async import (
    AssetFailed,
    AssetPublisher,
    Fixed,
    InvalidRequest,
    JobState,
    LocalFile,
    MediaInfo,
    MediaKind,
    MemoryJournal,
    OutcomeStatus,
    Published,
    Publisher,
    PublishError,
    SeedanceError,
    SeedanceSession,
    SessionClosed,
    SubmissionUnknown,
    VideoFailed,
    VideoRequest,
    media,
)
from seedance_async.emulator import Emulator, EmulatorPublisher
from seedance_async.looking import Looker


@pytest.fixture
def picture(home: Path) -> Callable[..., Path]:
    """Draw a picture into the current folder; each number another one."""

    def draw(number: int = 0, *, size: tuple[int, int] = (320, 320), name: str = "") -> Path:
        path = home / (name or f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number % 256, 90, number // 256)).save(path)
        return path

    return draw


@attrs.define
class Counting:
    """Publishes at an emulator or nowhere, and counts."""

    lifetime_s: float | None = None
    behind: Publisher | None = None
    takes_s: float = 0.0
    fails: list[BaseException] = attrs.field(factory=list)
    seen: list[LocalFile] = attrs.field(factory=list)
    at_once: int = 0
    peak: int = 0
    name: str = "https://files.example.com"

    async def publish(self, file: LocalFile) -> Published:
        self.seen.append(file)
        self.at_once += 1
        self.peak = max(self.peak, self.at_once)
        try:
            await anyio.sleep(self.takes_s)
            if self.fails:
                raise self.fails.pop(0)
            if self.behind is not None:
                return await self.behind.publish(file)
            return Published(f"{self.name}/{len(self.seen)}/{file.object_name}", self.lifetime_s)
        finally:
            self.at_once -= 1


@pytest.fixture
def publisher() -> Counting:
    return Counting()


@pytest.fixture
async def session(api: ScriptedApi, publisher: Counting) -> AsyncIterator[SeedanceSession]:
    bodies.clear()
    api.creates = [remembering(api)]
    async with SeedanceSession(
        "key", base_url=api.base_url, pacing=Fixed(5), publisher=publisher
    ) as opened:
        yield opened


bodies: list[dict[str, Any]] = []


def remembering(api: ScriptedApi) -> Any:
    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response(task_json("queued", id=f"video_{len(bodies)}"))

    return answer


def frames(first: Any, last: Any = None, **more: Any) -> VideoRequest:
    return VideoRequest(
        model="seedance_2_0_pro",
        prompt="The cat dances",
        first_image=first,
        last_image=last,
        **more,
    )


def test_a_request_takes_paths_as_text_and_as_paths() -> None:
    request = VideoRequest(
        model="seedance_2_0_pro",
        prompt="x",
        reference_images=[Path("a b.png"), "dir/c.png", "https://example.com/d.png"],
        reference_audios=[Path("data:x.mp3"), r"C:\sounds\e.wav"],
    )
    assert request.local_media() == {
        "reference_images[0]": "a b.png",
        "reference_images[1]": "dir/c.png",
        "reference_audios[0]": "./data:x.mp3",
        "reference_audios[1]": r"C:\sounds\e.wav",
    }
    assert frames("a.png", waive=["media.reference"]).local_media() == {}
    assert frames("a.png").digest == frames(Path("a.png")).digest != frames("b.png").digest
    assert frames(Path("//a/b.png")).first_image == "/a/b.png"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("//cdn.example.com/a.png", "without a scheme"),
        ("file:///a.png", "plain path"),
        ("a\0.png", "local path"),
        (b"a.png", "as text"),
    ],
)
def test_what_is_neither_path_nor_url_is_refused_at_once(given: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        frames(given)
    assert [each.rule for each in refused.value.violations] == ["media.reference"]


def test_a_path_is_nothing_of_the_apis() -> None:
    body = {"model": "seedance_2_0_pro", "prompt": "x", "first_image": "a.png"}
    with pytest.raises(InvalidRequest, match="publisher") as refused:
        VideoRequest.from_wire(body)
    assert [each.rule for each in refused.value.violations] == ["media.reference"]


async def test_without_a_publisher_a_path_is_refused_before_anything(
    scripted: SeedanceSession, api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    request = frames(picture())
    with pytest.raises(InvalidRequest, match=r"give the session a publisher.*media\.reference"):
        await scripted.submit(request, key="a", preflight=False)
    report = await scripted.run_batch([request, frames("https://example.com/a.png")])
    assert [each.status for each in report.outcomes] == ["invalid", "completed"]
    assert api.count("POST") == 1


async def test_each_content_is_published_once_and_sent_in_its_place(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    picture(1), picture(2), picture(1, name="same.png")
    await session.submit(frames("1.png", "2.png"), preflight=False)
    await session.submit(frames(Path("same.png"), Path("1.png").absolute()), preflight=False)
    assert len(publisher.seen) == 2
    assert {file.kind for file in publisher.seen} == {MediaKind.IMAGE}
    first, last = (bodies[0][name] for name in ("first_image", "last_image"))
    assert first.endswith(".png")
    assert first.startswith(publisher.name)
    assert first != last
    assert (bodies[1]["first_image"], bodies[1]["last_image"]) == (first, first)
    jobs = [job async for job in session.jobs()]
    assert jobs[0].request.first_image == "1.png"


async def test_every_kind_of_reference_is_published(
    session: SeedanceSession, publisher: Counting, home: Path
) -> None:
    for name in ("a.png", "b.mp4", "c.wav"):
        (home / name).write_bytes(name.encode())
    request = VideoRequest(
        model="seedance_2_0_pro",
        prompt="x",
        reference_images=["https://example.com/a.png", "a.png"],
        reference_videos=["b.mp4"],
        reference_audios=["c.wav"],
    )
    await session.submit(request, preflight=False)
    assert [file.kind.value for file in publisher.seen] == ["image", "video", "audio"]
    types = ["image/png", "video/mp4", "audio/x-wav"]
    assert [file.media_type for file in publisher.seen] == types
    assert bodies[0]["referenceImages"][0] == "https://example.com/a.png"
    assert [url[-4:] for url in bodies[0]["referenceVideos"]] == [".mp4"]


async def test_500_requests_that_share_20_files_are_20_publications_a_few_at_a_time(
    emulator: Emulator, picture: Callable[..., Path]
) -> None:
    publisher = Counting(behind=emulator.publisher, takes_s=1.0)
    for number in range(20):
        picture(number)
    requests = [frames(f"{number % 20}.png") for number in range(500)]
    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, publisher=publisher, pacing=Fixed(60)
    ) as session:
        report = await session.run_batch(requests, max_in_flight=100, preflight=False)
    assert {each.status for each in report.outcomes} == {"completed"}
    assert len(publisher.seen) == 20
    assert len({file.digest for file in publisher.seen}) == 20
    assert 1 < publisher.peak <= 4


class Noting(MemoryJournal):
    """Shows what it was given to keep."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, Any] = {}

    async def remember(self, name: str, text: str) -> None:
        self.notes[name] = json.loads(text)
        await super().remember(name, text)

    def about(self, beginning: str) -> list[Any]:
        return [note for name, note in self.notes.items() if name.startswith(beginning)]


class Aging(MemoryJournal):
    """Gives back what was published as if that had been so many seconds ago."""

    age_s = 0.0

    async def recall(self, name: str) -> str | None:
        text = await super().recall(name)
        if text is None or not name.startswith("published:"):
            return text
        reference, lifetime_s, until = json.loads(text)
        if until is not None:
            age = dt.timedelta(seconds=self.age_s)
            until = (dt.datetime.fromisoformat(until) - age).isoformat()
        return json.dumps([reference, lifetime_s, until])


@pytest.mark.parametrize(
    ("lifetime_s", "age_s", "times"),
    [
        (None, 1e8, 1),
        (86_400, 0, 1),
        (86_400, 82_700, 1),  # an hour before its end
        (86_400, 82_900, 2),
        (600, 290, 1),  # half of its life
        (600, 310, 2),
        (600, -1e6, 2),  # of a clock that was ahead
        (1e12, 1e8, 1),
        (float("inf"), 1e8, 1),
    ],
)
async def test_a_publication_is_remembered_in_the_journal_until_its_time_is_over(
    api: ScriptedApi,
    picture: Callable[..., Path],
    lifetime_s: float | None,
    age_s: float,
    times: int,
) -> None:
    journal, request, publisher = Aging(), frames(picture()), Counting(lifetime_s=lifetime_s)
    journal.age_s = age_s
    for _ in range(2):
        async with SeedanceSession(
            "key", base_url=api.base_url, publisher=publisher, journal=journal
        ) as session:
            await session.submit(request, preflight=False)
            await session.submit(request, preflight=False)
    assert len(publisher.seen) == times


async def test_a_publication_is_on_disk(
    api: ScriptedApi, publisher: Counting, picture: Callable[..., Path], home: Path
) -> None:
    request = frames(picture())
    for _ in range(2):
        async with SeedanceSession(
            "key", base_url=api.base_url, publisher=publisher, journal=home / "j.sqlite"
        ) as session:
            await session.submit(request, preflight=False)
    assert len(publisher.seen) == 1


@pytest.mark.parametrize(
    "kept",
    [
        *(
            "[null, null, null]",
            "[5, null, null]",
            "[",
            "[" * 100_000,
            '"https://example.com"',
            "{}",
        ),
        *('["", null, null]', '["a.png", null, null]', '["https://example.com/a.png", 5, null]'),
        '["https://example.com/a.png", "86400", "2030-01-01T00:00:00+00:00"]',
        '["https://example.com/a.png", 86400, "2030-01-01T00:00:00"]',
        '["https://example.com/a.png", 86400, "2930-01-01T00:00:00+00:00"]',
    ],
)
async def test_a_record_that_cannot_be_read_is_published_anew(
    api: ScriptedApi, publisher: Counting, picture: Callable[..., Path], kept: str
) -> None:
    class Odd(MemoryJournal):
        async def recall(self, name: str) -> str | None:
            return kept if name.startswith("published:") else await super().recall(name)

    bodies.clear()
    api.creates = [remembering(api)]
    async with SeedanceSession(
        "key", base_url=api.base_url, publisher=publisher, journal=Odd()
    ) as session:
        await session.submit(frames(picture()), preflight=False)
    assert bodies[0]["first_image"].startswith(publisher.name)


async def test_another_publisher_publishes_again(
    api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    journal = MemoryJournal()
    picture()
    publishers = [Counting(name="https://a.example.com"), Counting(name="https://b.example.com")]
    for publisher in (*publishers, *publishers):
        async with SeedanceSession(
            "key", base_url=api.base_url, publisher=publisher, journal=journal
        ) as session:
            await session.submit(frames("0.png"), preflight=False)
    assert [len(each.seen) for each in publishers] == [1, 1]


async def test_a_file_that_changed_is_published_anew(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    path = picture(1)
    await session.submit(frames(path), preflight=False)
    picture(2).replace(path)
    await session.submit(frames(path), preflight=False)
    assert len({file.digest for file in publisher.seen}) == 2


async def test_a_file_that_changes_meanwhile_is_not_sent(
    api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    def swaps(path: Path) -> str:
        picture(2).replace(path)
        return "https://example.com/a.png"

    async with SeedanceSession("key", base_url=api.base_url, publisher=swaps) as session:
        with pytest.raises(PublishError, match=r"1\.png has changed"):
            await session.submit(frames(picture(1)), preflight=False)
    assert api.count("POST") == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, r"there is no file 'a\.png': look at its path; a URL begins with"),
        (lambda path: path.mkdir(), "no regular file"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.touch(), "empty"),
    ],
)
@pytest.mark.parametrize("preflight", [None, True, False])
async def test_files_that_cannot_be_read_are_named_before_anything_is_sent(
    session: SeedanceSession,
    home: Path,
    make: Callable[[Path], None],
    words: str,
    preflight: bool | None,
) -> None:
    make(home / "a.png")
    with pytest.raises(InvalidRequest, match=words) as refused:
        await session.submit(frames("a.png", "a.png"), preflight=preflight, key="k")
    assert [(each.rule, each.field) for each in refused.value.violations] == [
        ("media.readable", "first_image"),
        ("media.readable", "last_image"),
    ]
    assert bodies == []
    assert [job.state async for job in session.jobs()] == [JobState.PLANNED]


async def test_what_was_meant_as_a_signed_url_is_not_quoted(session: SeedanceSession) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await session.submit(frames("cdn.example.com/a.png?signature=secret"), preflight=False)
    assert "secret" not in str(refused.value)
    assert "cdn.example.com/a.png" in str(refused.value)


async def test_local_files_are_looked_at_unless_told_otherwise(
    session: SeedanceSession, api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    picture(size=(299, 320))
    with pytest.raises(InvalidRequest, match=r"299 x 320 px.*image\.size"):
        await session.generate(frames("0.png"))
    with pytest.raises(InvalidRequest, match=r"299 x 320 px.*image\.size"):
        await session.preflight(frames("0.png"))
    report = await session.run_batch([frames("0.png")])
    assert report.outcomes[0].status is OutcomeStatus.INVALID
    assert api.count("POST") == 0
    await session.submit(frames("0.png"), preflight=False)
    await session.submit(frames("0.png", waive=["image.size"]))
    # What is behind a URL is another matter: nobody asked.
    await session.submit(frames("https://example.invalid/a.png"))
    assert api.count("POST") == 3


async def test_what_can_be_made_to_fit_is_told(
    session: SeedanceSession, picture: Callable[..., Path]
) -> None:
    picture(size=(6001, 3000), name="0.jpg")
    with pytest.raises(InvalidRequest, match=r"6001 x 3000 px.*; media\.fit\(\.\.\.\) can make it"):
        await session.submit(frames("0.jpg"))
    fitted = await media.fit("0.jpg")
    await session.submit(frames(fitted.path))
    assert bodies[0]["first_image"].endswith(".jpg")


async def test_a_look_at_a_local_file_needs_no_publisher_and_sees_changes(
    scripted: SeedanceSession, picture: Callable[..., Path]
) -> None:
    path = picture(size=(640, 320))
    assert (await scripted.preflight(frames("0.png")))["first_image"].width == 640
    picture(1, size=(320, 320)).replace(path)
    assert (await scripted.preflight(frames(path)))["first_image"].width == 320


async def test_relative_paths_start_at_the_media_root(
    api: ScriptedApi, publisher: Counting, picture: Callable[..., Path], home: Path
) -> None:
    path = picture(name="shots/a.png")
    async with SeedanceSession(
        "key", base_url=api.base_url, publisher=publisher, media_root=home / "shots"
    ) as session:
        await session.preflight(frames("a.png"))
        await session.submit(frames("a.png", path), preflight=False)
    assert [file.path for file in publisher.seen] == [path]


async def test_a_publisher_may_be_any_function(
    api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    threads: list[int] = []

    def sync(path: Path) -> str:
        threads.append(threading.get_ident())
        return f"https://example.com/{path.name}"

    async def coroutine(path: Path) -> Published:
        return Published(f"https://example.com/{path.name}", 3600)

    class Object:
        async def __call__(self, path: Path) -> str:
            return f"https://example.com/{path.name}"

    for function in (sync, coroutine, Object(), coroutine):
        bodies.clear()
        api.creates = [remembering(api)]
        async with SeedanceSession("key", base_url=api.base_url, publisher=function) as session:
            await session.submit(frames(picture()), preflight=False)
        assert bodies[0]["first_image"] == "https://example.com/0.png"
    assert threads
    assert threads[0] != threading.get_ident()


async def named(path: Path) -> str:
    return f"https://example.com/named/{path.name}"


async def test_only_a_function_with_a_name_of_its_own_is_remembered_under_it(
    api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    async def upload(where: str, path: Path) -> str:
        return f"https://{where}.example.com/{path.name}"

    bodies.clear()
    api.creates = [remembering(api)]
    journal, request = Noting(), frames(picture())
    for where in ("wrong", "right"):
        async with SeedanceSession(
            "key",
            base_url=api.base_url,
            publisher=functools.partial(upload, where),
            journal=journal,
        ) as session:
            await session.submit(request, preflight=False)
            await session.submit(request, preflight=False)
    hosts = [urlsplit(body["first_image"]).hostname for body in bodies]
    assert hosts == [f"{where}.example.com" for where in ("wrong", "wrong", "right", "right")]
    assert journal.about("published:") == []
    async with SeedanceSession(
        "key", base_url=api.base_url, publisher=named, journal=journal
    ) as session:
        await session.submit(request, preflight=False)
    ((_, lifetime_s, _),) = journal.about("published:")
    assert lifetime_s == 86_400  # a plain URL is taken to hold for a day


@pytest.mark.parametrize(
    "wrong", ["https://example.com", 5, Path("a"), Counting, EmulatorPublisher]
)
def test_what_is_no_publisher_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="publisher must be a function of a path"):
        SeedanceSession("key", publisher=wrong)
    with pytest.raises(TypeError, match="publisher must be"):
        AssetPublisher(wrong)


@pytest.mark.parametrize("timeout_s", [-1, "x", float("nan")])
def test_the_bound_of_a_review_is_checked_at_once(timeout_s: Any) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        AssetPublisher(named, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        (None, "a publisher gives the URL as text, not NoneType"),
        ("", "is empty"),
        ("a.png", "local path"),
        ("s3://bucket/a.png", "scheme s3"),
        ("http://10.0.0.1/a.png", None),
    ],
)
async def test_what_is_published_must_be_a_media_reference(
    api: ScriptedApi, picture: Callable[..., Path], gives: Any, words: str | None
) -> None:
    async def publish(path: Path) -> Any:
        return gives

    async with SeedanceSession("key", base_url=api.base_url, publisher=publish) as session:
        if words is None:  # the session is at a private host itself
            await session.submit(frames(picture()), preflight=False)
            return
        with pytest.raises(PublishError, match=words):
            await session.submit(frames(picture()), preflight=False)
    assert api.count("POST") == 0


async def test_what_is_published_on_a_private_host_is_refused_and_not_remembered(
    picture: Callable[..., Path],
) -> None:
    journal, publisher = MemoryJournal(), Counting(name="http://10.0.0.1")
    for _ in range(2):
        async with SeedanceSession("key", publisher=publisher, journal=journal) as session:
            with pytest.raises(InvalidRequest, match=r"first_image: points to.*media\.public"):
                await session.submit(frames(picture()), preflight=False)
    assert len(publisher.seen) == 2


async def test_a_publisher_that_cancels_itself_leaves_no_picture_out(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    class Suicidal(Counting):
        async def publish(self, file: LocalFile) -> Published:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return await super().publish(file)

    session._publisher = Suicidal(takes_s=1.0)
    with pytest.raises(SeedanceError, match="cancelled in the middle"):
        await session.submit(frames(picture(1), picture(2)), preflight=False)
    assert bodies == []


@pytest.mark.parametrize("after_s", [0.01, 0.5])
async def test_whoever_cancels_all_tasks_leaves_no_picture_out(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path], after_s: float
) -> None:
    publisher.takes_s = 1.0
    task = asyncio.ensure_future(session.submit(frames(picture(1), picture(2)), preflight=False))
    others = {task, asyncio.current_task(), *asyncio.all_tasks()}
    await anyio.sleep(after_s)  # in which both begin
    for each in asyncio.all_tasks() - others:
        each.cancel()
    with pytest.raises(SeedanceError):
        await task
    assert bodies == []


@pytest.mark.parametrize("method", ["recall", "remember"])
async def test_a_journal_that_cancels_leaves_no_picture_out(
    api: ScriptedApi, publisher: Counting, picture: Callable[..., Path], method: str
) -> None:
    class Cancels(MemoryJournal):
        async def _cancelled(self, name: str, *_: str) -> Any:
            if name.startswith("published:"):
                raise asyncio.CancelledError
            return None

    setattr(Cancels, method, Cancels._cancelled)
    async with SeedanceSession(
        "key", base_url=api.base_url, publisher=publisher, journal=Cancels()
    ) as session:
        (outcome,) = (
            await session.run_batch([frames(picture(1), picture(2))], preflight=False)
        ).outcomes
    assert outcome.status is OutcomeStatus.FAILED
    assert api.count("POST") == 0


async def test_a_publisher_that_fails_fails_its_jobs_alone(
    session: SeedanceSession, publisher: Counting, api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    publisher.fails = [OSError("no route to https://u.example.com/?sig=secret")]
    picture(1), picture(2)
    requests = [frames("1.png"), frames("2.png"), frames("https://example.com/a.png")]
    report = await session.run_batch(requests, max_in_flight=1, timeout_s=1, preflight=False)
    first = report.outcomes[0]
    assert (first.status, type(first.error)) == (OutcomeStatus.FAILED, PublishError)
    assert "no route" in str(first.error)
    assert "secret" not in str(first.error)
    assert len(bodies) == 2
    # Nothing was paid for it: the next run sends it.
    await session.submit(requests[0], key=first.key, preflight=False)
    assert len(bodies) == 3
    assert len(publisher.seen) == 3


async def test_a_publisher_that_hangs_is_given_up(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    publisher.takes_s = 1e9
    with pytest.raises(PublishError, match="TimeoutError"):
        await session.submit(frames(picture()), preflight=False)
    assert anyio.current_time() == pytest.approx(900, abs=1)


async def test_whoever_waits_for_a_file_shares_its_failure(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    publisher.fails, publisher.takes_s = [OSError("down")], 1.0
    picture()
    report = await session.run_batch(
        [frames("0.png")] * 10, timeout_s=1, max_in_flight=10, preflight=False
    )
    assert {type(each.error) for each in report.outcomes} == {PublishError}
    assert len(publisher.seen) == 1
    publisher.takes_s = 0.0
    await session.submit(frames("0.png"), preflight=False)
    assert len(publisher.seen) == 2


async def test_a_cancellation_of_the_publishers_own_is_its_failure(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    publisher.fails = [asyncio.CancelledError()]
    with pytest.raises(PublishError, match="CancelledError"):
        await session.submit(frames(picture()), preflight=False)


@kinds
async def test_a_cancelled_publication_leaves_a_job_that_may_be_sent(
    session: SeedanceSession,
    publisher: Counting,
    picture: Callable[..., Path],
    cancel: Callable[[Work, float], Awaitable[None]],
) -> None:
    publisher.takes_s, request = 60.0, frames(picture())
    await cancel(lambda: session.submit(request, key="a", preflight=False), 1)
    assert (publisher.at_once, len(publisher.seen), bodies) == (0, 1, [])
    assert [job.state async for job in session.jobs()] == [JobState.PLANNED]
    publisher.takes_s = 0.0
    assert (await session.submit(request, key="a", preflight=False)).id == "video_1"


async def test_closing_ends_a_publication(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    publisher.takes_s = 60.0
    task = asyncio.ensure_future(session.submit(frames(picture()), preflight=False))
    await anyio.sleep(1)
    await session.close()
    with pytest.raises(SessionClosed):
        await task
    assert (publisher.at_once, bodies) == (0, [])


async def test_a_url_whose_time_is_over_when_the_turn_comes_is_not_sent(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    class Lives(Counting):
        async def publish(self, file: LocalFile) -> Published:
            self.lifetime_s = 1e-6 if not self.seen else None
            return await super().publish(file)

    session._publisher = lives = Lives()
    await session.submit(frames(picture()), preflight=False)
    assert len(lives.seen) == 2
    assert "/2/" in bodies[0]["first_image"]


async def test_what_is_never_public_for_long_enough_is_given_up(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    publisher.lifetime_s = 1e-6
    request = frames(picture())
    with pytest.raises(PublishError, match="not public for long enough"):
        await session.submit(request, key="a", preflight=False)
    assert (bodies, len(publisher.seen)) == ([], 3)
    publisher.lifetime_s = None
    assert (await session.submit(request, key="a", preflight=False)).id


async def test_jobs_without_files_do_not_wait_for_those_with(
    emulator: Emulator, picture: Callable[..., Path]
) -> None:
    publisher, number = Counting(takes_s=800.0), 40
    requests = [frames(picture(each)) for each in range(number)]
    requests += [frames(f"https://example.com/{each}.png") for each in range(number)]
    async with (
        SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, publisher=publisher
        ) as session,
        session.batch(requests, max_in_flight=2 * number, preflight=False) as outcomes,
    ):
        ended = [await anext(outcomes) for _ in range(number)]
        assert anyio.current_time() < 700
        assert {each.status for each in ended} == {OutcomeStatus.COMPLETED}
        assert all(each.request.first_image.startswith("https") for each in ended)


async def test_many_files_at_once_are_not_taken_for_changed(
    session: SeedanceSession, publisher: Counting, picture: Callable[..., Path]
) -> None:
    from seedance_async import files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_KEPT", 2)
        publisher.takes_s = 1.0
        requests = [frames(picture(each)) for each in range(12)]
        async with anyio.create_task_group() as group:
            for request in requests:
                group.start_soon(session.submit, request)
    assert len(bodies) == 12


@pytest.mark.parametrize("state", ["submitted", "unknown"])
async def test_a_session_without_a_publisher_collects_what_was_paid_for(
    api: ScriptedApi, publisher: Counting, picture: Callable[..., Path], state: str
) -> None:
    journal, path = MemoryJournal(), picture()
    api.creates = [reset] if state == "unknown" else api.creates
    async with SeedanceSession(
        "key", base_url=api.base_url, publisher=publisher, journal=journal
    ) as session:
        await session.run_batch([frames("0.png")], timeout_s=0, preflight=False)
    path.unlink()
    expected = OutcomeStatus.UNKNOWN if state == "unknown" else OutcomeStatus.COMPLETED
    for who in (None, publisher):
        for on_unknown in ("leave", "resubmit"):
            async with SeedanceSession(
                "key", base_url=api.base_url, publisher=who, journal=journal
            ) as session:
                report = await session.run_batch(
                    [frames("0.png")], on_unknown=on_unknown, preflight=False
                )
            assert report.outcomes[0].status in (expected, OutcomeStatus.SKIPPED)
    assert api.count("POST") == 1


async def test_a_job_that_is_known_needs_its_files_no_more(
    api: ScriptedApi, publisher: Counting, picture: Callable[..., Path], home: Path
) -> None:
    path = picture()
    for _ in range(2):
        async with SeedanceSession(
            "key", base_url=api.base_url, publisher=publisher, journal=home / "j.sqlite"
        ) as session:
            (outcome,) = (await session.run_batch([frames("0.png")], preflight=False)).outcomes
        path.unlink(missing_ok=True)
    assert outcome.status is OutcomeStatus.SKIPPED
    assert (api.count("POST"), len(publisher.seen)) == (1, 1)


async def test_a_signature_is_in_no_log(
    api: ScriptedApi,
    publisher: Counting,
    picture: Callable[..., Path],
    home: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    publisher.name = "https://files.example.com/a.png?sig=s3cr3t&x="
    async with SeedanceSession(
        "key", base_url=api.base_url, publisher=publisher, journal=home / "j.sqlite"
    ) as session:
        await session.submit(frames(picture()), preflight=False)
    assert "s3cr3t" not in caplog.text


async def test_no_path_goes_to_the_provider_and_no_signature_into_an_error(
    api: ScriptedApi, picture: Callable[..., Path]
) -> None:
    url = "https://files.example.com/a.png?X-Amz-Signature=s3cr3t"
    api.creates = [error(400, f"cannot fetch {url}")]

    async def publish(path: Path) -> str:
        return url

    async with SeedanceSession("key", base_url=api.base_url, publisher=publish) as session:
        with pytest.raises(Exception, match="400") as refused:
            await session.submit(frames(picture()), preflight=False)
        (job,) = [job async for job in session.jobs()]
    assert "s3cr3t" not in f"{refused.value}{refused.value!r}{job.error}{job!r}"
    assert "s3cr3t" not in repr(Published(url))


async def test_a_journal_that_forgets_ends_the_job_and_nothing_is_sent(
    api: ScriptedApi, publisher: Counting, picture: Callable[..., Path]
) -> None:
    class Full(MemoryJournal):
        async def remember(self, name: str, text: str) -> None:
            raise OSError("no space left")

    async with SeedanceSession(
        "key", base_url=api.base_url, publisher=publisher, journal=Full()
    ) as session:
        with pytest.raises(Exception, match="does not keep published:"):
            await session.submit(frames(picture()), preflight=False)
    assert api.count("POST") == 0


@pytest.mark.parametrize("lifetime_s", [0, -1, float("nan")])
def test_a_lifetime_is_above_0(lifetime_s: float) -> None:
    with pytest.raises(ValueError, match="above 0 seconds"):
        Published("https://example.com", lifetime_s)


# ---- with the emulator


@pytest.fixture
async def local(emulator: Emulator) -> AsyncIterator[SeedanceSession]:
    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, publisher=emulator.publisher
    ) as opened:
        yield opened


def colours(path: Path) -> tuple[tuple[int, ...], ...]:
    """Give the colours in the middle of the first and the last picture of a film."""
    with av.open(str(path)) as film:
        shown = [frame.to_image() for frame in film.decode(video=0)]
    return tuple(
        each.getpixel((each.width // 2, each.height // 2)) for each in shown[:: len(shown) - 1]
    )


@pytest.mark.parametrize("reviewed", [False, True])
async def test_local_frames_become_a_video_that_begins_and_ends_with_them(
    emulator: Emulator, home: Path, reviewed: bool
) -> None:
    red, blue = (200, 30, 30), (30, 30, 200)
    for name, colour in (("first.jpg", red), ("last.webp", blue)):
        Image.new("RGB", (400, 800), colour).save(home / name)
    session = (
        reviewing(emulator)
        if reviewed
        else SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, publisher=emulator.publisher
        )
    )
    async with session:
        video = await session.generate(frames("first.jpg", "last.webp", aspect_ratio="adaptive"))
        path = await video.download("cat.mp4")
    info = await media_of(path)
    assert (info.kind, info.container, info.width) == (MediaKind.VIDEO, "mp4", 480)
    assert info.height == 960
    for shown, meant in zip(colours(path), (red, blue), strict=True):
        assert max(abs(a - b) for a, b in zip(shown, meant, strict=True)) < 25


async def media_of(path: Path) -> MediaInfo:
    looker = Looker()
    try:
        return await looker.look(path)
    finally:
        await looker.close()


async def test_the_emulator_takes_any_bytes_for_a_frame(local: SeedanceSession, home: Path) -> None:
    (home / "a.png").write_bytes(b"\x89PNG, and no more")
    video = await local.generate(frames("a.png"), preflight=False)
    assert (await media_of(await video.download("a.mp4"))).duration_s == pytest.approx(5, abs=0.1)


async def test_the_emulator_fails_what_it_cannot_fetch(
    emulator: Emulator, local: SeedanceSession
) -> None:
    request = frames(f"{emulator.base_url}/files/never.png")
    with pytest.raises(VideoFailed, match="first_image cannot be fetched"):
        await local.generate(request)
    asset = await local.assets.register(f"{emulator.base_url}/files/never.png", "Image")
    with pytest.raises(AssetFailed):
        await local.assets.wait_active(asset.id)


async def test_files_on_the_shelf_end_with_their_time(picture: Callable[..., Path]) -> None:
    async with (
        Emulator(video_ttl_s=100) as emulator,
        SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, publisher=emulator.publisher
        ) as session,
        aiohttp.ClientSession() as http,
    ):
        content = picture().read_bytes()
        file = LocalFile(
            path=picture(), digest="ab" * 32, size_bytes=len(content), kind=MediaKind.IMAGE
        )
        published = await emulator.publisher.publish(file)
        assert published.lifetime_s == 100
        async with http.get(published.reference) as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
            assert await answer.read() == content
        await anyio.sleep(101)
        async with http.get(published.reference) as answer:
            assert answer.status == 410
        with pytest.raises(PublishError, match="401"):
            await EmulatorPublisher(emulator.base_url, "wrong").publish(file)
        assert (await session.submit(frames("0.png"), preflight=False)).id


def reviewing(
    emulator: Emulator, behind: Publisher | None = None, *, timeout_s: float = 600, **more: Any
) -> SeedanceSession:
    publisher = AssetPublisher(behind or emulator.publisher, timeout_s=timeout_s)
    return SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, publisher=publisher, **more
    )


@attrs.define
class Registry:
    """Counts registrations, and rejects those whose number is listed."""

    rejected: tuple[int, ...] = ()
    urls: list[str] = attrs.field(factory=list)

    def __call__(self, body: Any) -> bool:
        self.urls.append(body["url"])
        return len(self.urls) in self.rejected


async def test_a_face_goes_through_the_review(picture: Callable[..., Path], home: Path) -> None:
    registry = Registry()
    picture(1), picture(2)
    async with Emulator(rejections=registry) as emulator:
        # Another URL each time, as signed ones are.
        counting = Counting(behind=emulator.publisher, lifetime_s=1e-6)
        for _ in range(2):
            async with reviewing(emulator, counting, journal=home / "j.sqlite") as session:
                tasks = [
                    await session.submit(frames("1.png", "2.png"), preflight=False)
                    for _ in range(3)
                ]
                assert (await tasks[0].wait()).url
    assert (len(counting.seen), len(registry.urls)) == (2, 2)


async def test_a_rejected_file_fails_its_jobs_and_is_registered_once(
    picture: Callable[..., Path],
) -> None:
    registry, journal = Registry(rejected=(1,)), Noting()
    picture(1), picture(2)
    async with Emulator(rejections=registry) as emulator:
        for times in (1, 2):
            async with reviewing(emulator, journal=journal) as session:
                with pytest.raises(AssetFailed, match=r"^1\.png: asset asset-.* did not pass"):
                    await session.submit(frames("1.png"), preflight=False)
                requests = [frames("1.png")] * 20 + [frames("2.png")] * 2
                errors = [
                    each.error
                    for each in (await session.run_batch(requests, preflight=False)).outcomes
                ]
                assert [type(each) for each in errors] == [AssetFailed] * 20 + [type(None)] * 2
                assert (len(registry.urls), emulator.stats.accepted) == (2, 2)
                failed = [job async for job in session.jobs(JobState.FAILED)]
                assert len(failed) == 20 + times
                assert all(job.task_id is None for job in failed)
        # Whoever thinks the reviewer wrong deletes the asset.
        async with reviewing(emulator, journal=journal) as session:
            with pytest.raises(AssetFailed):
                await session.submit(frames("1.png"), preflight=False)
            await session.assets.delete(journal.about("asset:")[0]["asset_id"])
            await session.submit(frames("1.png"), preflight=False)
    assert len(registry.urls) == 3


async def test_a_bad_url_behind_a_review_is_told_as_the_publishers(
    emulator: Emulator, picture: Callable[..., Path]
) -> None:
    async def publish(path: Path) -> str:
        return "asset://asset-1"

    async with reviewing(emulator, cast("Any", publish)) as session:
        with pytest.raises(PublishError, match=r"what 0\.png was published as is an asset already"):
            await session.submit(frames(picture()), preflight=False)


async def test_a_review_that_takes_too_long_is_gone_on_with(picture: Callable[..., Path]) -> None:
    journal, registry, request = MemoryJournal(), Registry(), frames(picture())
    async with Emulator(rejections=registry) as emulator:
        async with reviewing(emulator, timeout_s=1, journal=journal) as session:
            with pytest.raises(
                PublishError, match=r"0\.png: .* is Processing after 1 s; its review"
            ):
                await session.submit(request, key="a", preflight=False)
        async with reviewing(emulator, journal=journal) as session:
            assert (await session.submit(request, key="a", preflight=False)).id
    assert len(registry.urls) == 1


async def test_a_lost_registration_is_no_lost_task(picture: Callable[..., Path]) -> None:
    journal = MemoryJournal()
    async with Emulator(faults=["asset.reset"]) as emulator:
        for _ in range(2):
            async with reviewing(emulator, journal=journal) as session:
                (outcome,) = (
                    await session.run_batch([frames(picture())], preflight=False)
                ).outcomes
            assert (outcome.status, type(outcome.error)) == (OutcomeStatus.FAILED, PublishError)
            assert outcome.error is not None
            lost = outcome.error.__cause__
            assert isinstance(lost, SubmissionUnknown)
            assert lost.key in str(outcome.error)
        async with reviewing(emulator, journal=journal) as session:
            await session.assets.settle(lost.key, not_created=True)
            assert (await session.submit(frames(picture()), preflight=False)).id
        assert emulator.stats.faults == {"asset.reset": 1}
