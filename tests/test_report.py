"""``seedance report``: what the page is told, where it stands, and how it behaves in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import re
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import report_lives
from anyio.from_thread import BlockingPortal, start_blocking_portal
from axe_playwright_python.async_playwright import Axe
from cli_process import account, emulating, run, write_jobs
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import video
from playwright.async_api import Browser, Locator, Page, Playwright, async_playwright
from programs import tool
from report_lives import BEGAN, HOSTILE, SIGNED, after, answer

from seedance_async import JobRecord, JobState, Move, VideoRequest
from seedance_async.journal import SqliteJournal
from seedance_async.report import Report, facts, page, pictures, write_report

P, W, S, C, F, U = (
    JobState.PLANNED,
    JobState.SUBMITTING,
    JobState.SUBMITTED,
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.UNKNOWN,
)
REQUEST = VideoRequest(model="seedance_2_0_pro", prompt="A cat")
ANOTHER = VideoRequest(model="seedance_2_0_pro", prompt="A dog")
_BLOCK = r'<script type="application/json" id="{}">(.*?)</script>'
Story = Callable[[Page], Awaitable[Any]]
Told = tuple[int, str, str]


def write(journal: Path, *args: Any, **options: Any) -> Report:
    return asyncio.run(write_report(journal, *args, **options))


def block(file: Path, name: str = "facts") -> Any:
    """Read what a page was told."""
    found = re.search(_BLOCK.format(name), file.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def made(file: Path, *, key: str = "k", request: VideoRequest = REQUEST) -> list[JobRecord]:
    """Give the life of a job whose video is *file*."""
    planned = JobRecord(key=key, request=request, planned_at=BEGAN)
    sent = planned.moved(W, after(1))
    taken = sent.moved(S, after(2), task_id="v1", task=answer("v1", "queued"))
    done = answer("v1", "completed", video_url=SIGNED, actualDuration=2.0, totalTokens=7)
    ended = taken.moved(C, after(9), task=done, polls=3)
    size = file.stat().st_size
    there = ended.moved(C, after(11), path=str(file), size_bytes=size, downloaded_at=after(11))
    return [planned, sent, taken, ended, there]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small film."""
    return video(tmp_path_factory.mktemp("film") / "film.mp4", size=(64, 48), seconds=0.5)


@attrs.frozen
class Real:
    """A batch of two videos that was made with a key, in ``videos`` of a folder."""

    folder: Path
    api_key: str


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    place = tmp_path_factory.mktemp("real")
    one = {"model": "seedance_2_0_fast_pro", "prompt": "a red kite", "duration": 4}
    framed = {"first_image": "https://me.example.com/?sig=mine", "aspect_ratio": "9:16"}
    write_jobs(place, one, {**one, **framed})
    with emulating(speed=1000) as emulator:
        batch = ("batch", "jobs.jsonl", "--out", "videos")
        assert run(*batch, cwd=place, env=account(emulator)).returncode == 0
    return Real(place, emulator.api_key)


@pytest.fixture
def folder(tmp_path: Path, film: Path) -> Path:
    """Give a folder with a video and the journal that knows of it."""
    videos = tmp_path / "videos"
    videos.mkdir()
    named = Path(shutil.copy(film, videos / "a: #1 100% ü.mp4"))
    report_lives.write_journal(videos / "seedance.sqlite", [made(named)])
    return videos


def moves(*told: tuple[float, JobState, str | None]) -> list[Move]:
    return [
        Move(at=after(at), state=state, task_status=status, path="1.mp4" if status == "!" else None)
        for at, state, status in told
    ]


@pytest.mark.parametrize(
    ("history", "spans"),
    [
        ([], []),
        ([(0, P, None)], [("waiting", 0, 100)]),
        (
            [(0, P, None), (1, W, None), (2, S, "queued"), (9, S, "processing"), (20, C, "x")]
            + [(25, C, "!")],
            [("waiting", 0, 2), ("queued", 2, 7), ("processing", 9, 11), ("download", 20, 5)],
        ),
        # Never seen at work; never downloaded.
        (
            [(0, P, None), (2, S, "queued"), (9, C, "completed")],
            [("waiting", 0, 2), ("queued", 2, 7)],
        ),
        # Refused, and sent again the next day.
        (
            [(0, P, None), (1, W, None), (2, F, None), (50, P, None), (51, W, None), (52, S, None)],
            [("waiting", 0, 2), ("waiting", 50, 2), ("queued", 52, 48)],
        ),
        # A lost answer that a person settled; a status that nobody knows.
        (
            [(0, W, None), (3, U, None), (60, S, None), (70, S, "dreaming"), (80, F, "failed")],
            [("waiting", 0, 3), ("queued", 60, 20)],
        ),
        # Back in the queue; a clock that was set back.
        (
            [(0, S, "processing"), (10, S, "queued"), (4, S, "processing"), (30, F, "failed")],
            [("processing", 0, 10), ("queued", 10, 0), ("processing", 10, 20)],
        ),
    ],
)
def test_a_history_tells_where_the_time_went(
    history: list[tuple[float, JobState, str | None]], spans: list[tuple[str, float, float]]
) -> None:
    state = history[-1][1] if history else P
    record = JobRecord(key="k", request=REQUEST, state=state, planned_at=BEGAN)
    told = facts.spans(record, moves(*history), after(100))
    start = BEGAN.timestamp()
    assert [(phase, at - start, length) for phase, at, length in told] == spans


def test_the_time_at_work_leaves_out_the_nights() -> None:
    spans = [("queued", 0.0, 10.0), ("processing", 5.0, 20.0), ("waiting", 0.0, 900.0)]
    assert facts.busy_s([*spans, ("download", 800.0, 5.0)]) == 30.0
    assert facts.busy_s([]) == 0.0


def test_failures_of_the_same_kind_have_the_same_reason() -> None:
    errors = [f"task video_{n}0000000-1 of k{n} is\n gone" for n in range(3)]
    assert {facts.reason(error, f"k{n}") for n, error in enumerate(errors)} == {
        "task … of … is gone"
    }


@settings(max_examples=30, deadline=None)
@given(title=st.text(), prompt=st.text(st.characters(exclude_categories=()), min_size=1))
def test_whatever_a_text_is_it_stays_text(title: str, prompt: str) -> None:
    prompts = [prompt, HOSTILE, f"{{{{script}}}}{prompt}"]
    written = page.make(title, {"prompts": prompts}, [None])
    found = re.search(_BLOCK.format("facts"), written, re.DOTALL)
    assert found is not None
    assert not set("<>&\u2028\u2029") & set(found[1])
    assert json.loads(found[1]) == {"prompts": prompts}
    assert written.count("<script") == 3
    assert len(re.findall(r"<title>[^<]*</title>", written)) == 1


def test_a_page_stands_beside_its_videos_and_is_written_over(folder: Path) -> None:
    report = write(folder / "seedance.sqlite")
    assert report == Report(path=folder / "report.html", jobs=1, videos=1, pictures=1)
    told = block(report.path)
    (job,) = told["jobs"]
    assert job["file"] == "a%3A%20%231%20100%25%20%C3%BC.mp4"
    assert (job["state"], job["took"], job["polls"], job["tokens"]) == ("completed", 7.0, 3, 7)
    assert (told["totals"]["busy"], told["running"]) == (9.0, False)
    assert block(report.path, "pictures")[0].startswith("UklGR")  # RIFF
    assert "<title>videos · Seedance report</title>" in report.path.read_text("utf-8")
    assert write(folder / "seedance.sqlite", title="Cats & dogs").path == report.path
    assert "<title>Cats &amp; dogs</title>" in report.path.read_text("utf-8")
    names = sorted(each.name for each in folder.iterdir())
    assert names == ["a: #1 100% ü.mp4", "report.html", "seedance.sqlite"]


def test_no_key_and_no_address_gets_into_a_page(
    real: Real, home: Path, seedance: Callable[..., Told]
) -> None:
    code, out, told = seedance(
        "report", "--journal", str(real.folder / "videos"), "--out", "with.html", "--with-urls"
    )
    assert (code, out, told) == (0, "with.html\n", "2 jobs, 2 videos on disk\n")
    with contextlib.closing(sqlite3.connect(real.folder / "videos/seedance.sqlite")) as db:
        bodies = db.execute("SELECT answer FROM jobs ORDER BY place").fetchall()
    urls = {json.loads(body)["video_url"] for (body,) in bodies}
    assert {job["url"] for job in block(home / "with.html")["jobs"]} == urls
    write(real.folder / "videos/seedance.sqlite", home / "without.html", with_prompts=False)
    for name, allowed in (("with.html", urls), ("without.html", set[str]())):
        text = (home / name).read_text("utf-8")
        assert real.api_key not in text
        assert "me.example.com" not in text
        addresses = set(re.findall(r"https?://[^\"<\s]+", text))
        assert addresses - {"http://www.w3.org/2000/svg"} == allowed
        assert ("a red kite" in text) == (name == "with.html")


def test_a_job_in_each_state_is_told_of(tmp_path: Path) -> None:
    lives = list(report_lives.lives(200, []))
    report_lives.write_journal(tmp_path / "seedance.sqlite", lives)
    report = write(tmp_path / "seedance.sqlite")
    told = block(report.path)
    states = {str(lived[-1].state) for lived in lives}
    assert states == {"planned", "submitted", "completed", "failed", "unknown"}
    assert set(told["totals"]["states"]) == states
    assert [job["key"] for job in told["jobs"]] == [lived[0].key for lived in lives]
    assert told["totals"]["polls"] == sum(lived[-1].polls for lived in lives)
    assert told["at"] == round(max(lived[-1].changed_at for lived in lives).timestamp(), 3)
    reasons = {job["reason"] for job in told["jobs"] if job["state"] == "failed"}
    assert "could not fetch (address left out)" in reasons
    assert "secret" not in report.path.read_text("utf-8")
    assert report == Report(path=tmp_path / "report.html", jobs=200, videos=0, pictures=0)


def test_a_journal_without_jobs_has_a_page(tmp_path: Path) -> None:
    report_lives.write_journal(tmp_path / "j.sqlite", [])
    report = write(tmp_path / "j.sqlite")
    assert (report.jobs, block(report.path)["totals"]["busy"]) == (0, 0)


def test_a_folder_that_was_moved_keeps_its_videos_and_a_lost_file_is_named(
    folder: Path, film: Path, tmp_path: Path
) -> None:
    lost = Path(shutil.copy(film, folder / "lost.mp4"))
    broken = folder / "broken.mp4"
    broken.write_bytes(film.read_bytes()[:40] + b"\0" * (film.stat().st_size - 40))
    lives = [made(lost, key="lost", request=ANOTHER), made(broken, key="broken")]
    report_lives.write_journal(folder / "seedance.sqlite", lives)
    lost.unlink()
    moved = folder.rename(tmp_path / "elsewhere")
    # Named from another folder, through a link: the way from the page to the video is real.
    (tmp_path / "pages").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pages")
    report = write(moved / "seedance.sqlite", tmp_path / "link" / "new.html")
    first, second, third = block(report.path)["jobs"]
    assert first["file"].startswith("../elsewhere/a%3A")
    assert (second["missing"], "file" in second) == ("lost.mp4", False)
    assert (report.videos, report.pictures) == (1, 1) or "file" in third
    assert block(report.path, "pictures")[1:] == [None, None]


def test_a_batch_that_runs_can_be_looked_at(folder: Path) -> None:
    async def beside() -> Report:
        async with SqliteJournal(folder / "seedance.sqlite") as journal:
            planned = JobRecord(key="new", request=ANOTHER, planned_at=dt.datetime.now(dt.UTC))
            await journal.plan(planned)
            await journal.put(planned.moved(W, dt.datetime.now(dt.UTC)))
            return await write_report(journal.path)

    told = block(asyncio.run(beside()).path)
    assert (told["running"], told["totals"]["states"]) == (True, {"submitting": 1, "completed": 1})


def test_a_video_that_kills_who_looks_at_it_costs_no_other_its_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = """
import os, sys, time
for line in sys.stdin:
    "kills" in line and os._exit(9)
    "hangs" in line and time.sleep(60)
    print("" if "empty" in line else "UElD", flush=True)
"""
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    monkeypatch.setattr(pictures, "_MAX_S", 0.8)
    names = ["a", None, "kills", "b", "empty", "hangs", "c", "kills too"]
    paths = [name and Path(name) for name in names]
    found = asyncio.run(pictures.of_videos(paths))
    assert found == ["UElD", None, None, "UElD", None, None, "UElD", None]


def test_without_the_extra_there_are_tiles(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seedance: Callable[..., Told]
) -> None:
    monkeypatch.setattr(pictures, "_NEEDED", ("no_such_decoder",))
    code, out, told = seedance("report", "--journal", str(folder))
    assert (code, out) == (0, f"{folder}/report.html\n")
    assert "need no_such_decoder: pip install 'seedance-async[report]'" in told
    assert block(folder / "report.html", "pictures") == [None]


def test_a_file_that_is_no_report_is_left_alone(
    folder: Path, home: Path, seedance: Callable[..., Told]
) -> None:
    notes = home / "notes.html"
    notes.write_text("<!doctype html>mine")
    code, _, told = seedance("report", "--out", "notes.html")
    assert (code, "notes.html is there already and is no report" in told) == (2, True)
    assert notes.read_text() == "<!doctype html>mine"
    code, out, _ = seedance("report", "--out", "new/page.html", "--title", "Mine")
    assert (code, out) == (0, "new/page.html\n")
    assert seedance("report", "--out", "new")[1] == "new/report.html\n"
    assert seedance("report", "--out", "notes.html/x")[0] == 2
    assert seedance("report", "--out", "a\0b")[0] == 2
    assert seedance("report", "--journal", "none")[0] == 2


# --- in a browser ----------------------------------------------------------------------------


@attrs.define
class Shown:
    """A page in a browser, and what it did behind one's back.

    Attributes:
        requests: What it asked for, but for its own pictures.
        troubles: What it said on the console, and dialogs that it opened.
    """

    portal: BlockingPortal
    browser: Browser
    requests: list[str] = attrs.field(factory=list)
    troubles: list[str] = attrs.field(factory=list)

    def tell(self, file: Path, story: Story, **context: Any) -> Any:
        return self.portal.call(self._told, file, story, context)

    async def _told(self, file: Path, story: Story, context: dict[str, Any]) -> Any:
        opened = await self.browser.new_context(**context)
        try:
            shown = await opened.new_page()
            shown.set_default_timeout(20_000)
            shown.on("console", lambda message: self.troubles.append(message.text))
            shown.on("pageerror", lambda error: self.troubles.append(str(error)))
            shown.on("dialog", lambda dialog: self.troubles.append(dialog.message))
            shown.on("request", lambda request: self._noted(request.url))
            await shown.goto(file.as_uri())
            return await story(shown)
        finally:
            await opened.close()

    def _noted(self, url: str) -> None:
        if not url.startswith("data:"):
            self.requests.append(url)


@pytest.fixture(scope="module")
def browser() -> Iterator[tuple[BlockingPortal, Browser]]:
    chromium = tool("chromium")[0]

    async def start() -> tuple[Playwright, Browser]:
        driver = await async_playwright().start()
        return driver, await driver.chromium.launch(executable_path=chromium)

    # In a thread: Playwright's loop would be in the way of those of other tests.
    with start_blocking_portal() as portal:
        driver, opened = portal.call(start)
        yield portal, opened
        portal.call(opened.close)
        portal.call(driver.stop)


@pytest.fixture
def shown(browser: tuple[BlockingPortal, Browser]) -> Iterator[Shown]:
    opened = Shown(*browser)
    yield opened
    assert opened.troubles == []


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, real: Real) -> Path:
    """Give the page of a batch of 60 jobs in every state, with videos that an emulator made."""
    place, files = tmp_path_factory.mktemp("batch"), sorted((real.folder / "videos").glob("*.mp4"))
    films = [Path(shutil.copy(file, place / f"film{file.name}")) for file in files]
    told = list(report_lives.lives(60, films))
    report_lives.write_journal(place / "seedance.sqlite", told)
    (place / "0005.mp4").unlink()
    return write(place / "seedance.sqlite").path


NAMES_SHOWN = "[...document.querySelectorAll('.card .name')].map((name) => name.textContent)"


async def names(page_: Page) -> list[str]:
    found: list[str] = await page_.evaluate(NAMES_SHOWN)
    return found


async def plays(film: Locator) -> None:
    """Wait until a video has gone on."""
    await film.evaluate(
        "film => new Promise(done => film.addEventListener("
        "'timeupdate', () => film.currentTime > 0.1 && done()))"
    )


def test_a_page_from_the_disk_plays_a_video_and_asks_for_nothing_else(
    shown: Shown, batch: Path
) -> None:
    async def story(page_: Page) -> None:
        poster = page_.locator(".poster").first
        assert await poster.locator("img").evaluate("img => img.decode().then(() => img.width)") > 0
        assert shown.requests == [batch.as_uri()]
        await poster.click()
        film = page_.locator("dialog video")
        await plays(film)
        assert await film.evaluate("film => [film.muted, film.videoWidth > 0]") == [False, True]
        await page_.get_by_role("button", name="Close").click()
        assert await page_.locator("video").count() == 0
        # Whatever got in there could not ask anybody for anything.
        for address in ("https://example.com/", "http://127.0.0.1:9/"):
            assert (
                await page_.evaluate("a => fetch(a).then(() => 'sent', () => 'kept')", address)
                == "kept"
            )

    shown.tell(batch, story)
    assert set(shown.requests) == {batch.as_uri(), batch.with_name("0001.mp4").as_uri()}
    assert all("Content Security Policy" in said for said in shown.troubles)
    assert len(shown.troubles) >= 2
    shown.troubles.clear()


def test_a_video_plays_muted_under_the_pointer_and_at_the_first_tap(
    shown: Shown, batch: Path
) -> None:
    async def hover(page_: Page) -> None:
        await page_.locator(".poster").first.hover()
        await plays(page_.locator(".poster video"))
        assert await page_.locator(".poster video").evaluate("film => film.muted")
        await page_.locator("h1").hover()
        assert await page_.locator("video").count() == 0

    async def tap(page_: Page) -> None:
        await page_.locator(".poster").first.tap()
        await plays(page_.locator(".poster video"))
        assert not await page_.locator("dialog").is_visible()
        await page_.locator(".poster").first.tap()
        assert await page_.locator("dialog").is_visible()
        assert await page_.locator("video").count() == 1

    async def still(page_: Page) -> None:
        await page_.locator(".poster").first.hover()
        await page_.locator(".poster").nth(1).hover()
        assert await page_.locator("video").count() == 0

    shown.tell(batch, hover)
    shown.tell(batch, tap, has_touch=True, viewport={"width": 360, "height": 780})
    shown.tell(batch, still, reduced_motion="reduce")


def test_jobs_are_searched_filtered_and_sorted(shown: Shown, batch: Path) -> None:
    jobs = block(batch)["jobs"]

    async def story(page_: Page) -> None:
        count = page_.get_by_role("status")
        assert await count.text_content() == "60 jobs"
        await page_.get_by_label("Search", exact=True).fill("  KITE dunes ")
        found = [job for job in jobs if "kite" in job["prompt"] and "dunes" in job["prompt"]]
        assert await count.text_content() == f"{len(found)} of 60 jobs"
        assert len(await names(page_)) == len(found) > 3
        await page_.get_by_label("Search", exact=True).fill("")
        await page_.get_by_label("State", exact=True).select_option("failed")
        failed = [job for job in jobs if job["state"] == "failed"]
        assert await count.text_content() == f"{len(failed)} of 60 jobs"
        assert await page_.locator(".card .error").all_text_contents() == [
            j["error"] for j in failed
        ]
        await page_.get_by_label("Model", exact=True).select_option("seedance_2_0_pro")
        pro = [job for job in failed if job["model"] == "seedance_2_0_pro"]
        assert await count.text_content() == f"{len(pro)} of 60 jobs"
        await page_.get_by_label("State", exact=True).select_option("")
        await page_.get_by_label("Model", exact=True).select_option("")
        await page_.get_by_label("Sort by", exact=True).select_option("time taken")
        took = sorted(job["took"] for job in jobs if "took" in job)
        first = page_.locator(".card .meta").first
        assert f"made in {round(took[0])}\u00a0s" in (await first.text_content() or "")
        await page_.get_by_role("button", name="Descending").click()
        minutes, seconds = divmod(round(took[-1]), 60)
        assert f"made in {minutes}:{seconds:02}" in (await first.text_content() or "")
        await page_.get_by_label("Search", exact=True).fill("no such thing")
        assert "No job is like that" in (await page_.locator("#videos").text_content() or "")

    shown.tell(batch, story)


def test_everything_can_be_done_with_the_keyboard(shown: Shown, batch: Path) -> None:
    focused = "document.activeElement.getAttribute('aria-label') || document.activeElement.id"

    async def story(page_: Page) -> None:
        press = page_.keyboard.press
        seen = []
        for _ in range(9):
            await press("Tab")
            seen.append(await page_.evaluate(focused))
        assert seen[1:8] == ["theme", "search", "state", "model", "sort", "turn", "tab-videos"]
        first = seen[8]
        assert first.startswith("Play ")
        await press("Enter")
        assert await page_.locator("dialog").is_visible()
        title = await page_.locator("#player-title").text_content()
        await page_.get_by_role("button", name="Next job").focus()
        await press("ArrowRight")
        assert await page_.locator("#player-title").text_content() != title
        await press("Escape")
        assert not await page_.locator("dialog").is_visible()
        assert await page_.evaluate(focused) == first
        await press("Shift+Tab")
        for tab in ("failures", "timeline", "charts", "videos"):
            await press("ArrowRight")
            assert await page_.evaluate(focused) == f"tab-{tab}"
            assert await page_.locator(f"#{tab}").is_visible()
        await press("End")
        assert await page_.locator("#charts svg").count() == 3

    shown.tell(batch, story)


def test_failures_stand_together_by_their_reasons_and_times_on_a_line(
    shown: Shown, batch: Path
) -> None:
    jobs = block(batch)["jobs"]
    reasons = [job["reason"] for job in jobs if job["state"] in ("failed", "unknown")]
    most = max(map(reasons.count, reasons))

    async def story(page_: Page) -> None:
        await page_.get_by_role("tab", name="Failures").click()
        groups = await page_.locator("summary").all_text_contents()
        assert len(groups) == len(set(reasons))
        assert groups[0].startswith(f"{most} job")
        await page_.locator(".group .link").first.click()
        assert await page_.locator("dialog .error").is_visible()
        await page_.keyboard.press("Escape")
        await page_.get_by_role("tab", name="Timeline").click()
        rows = page_.locator(".row")
        assert await rows.count() == len(jobs)
        told = await rows.first.locator(".unseen").text_content()
        assert re.fullmatch(r"waiting .*, queued .*, processing .*, download .*", told or "")
        for way in ("each job's start", "the clock"):
            await page_.get_by_label("Line up by", exact=True).select_option(way)
            bars = "bars => bars.map(b => [parseFloat(b.style.left), parseFloat(b.style.width)])"
            places = await page_.locator(".row i:not(.break)").evaluate_all(bars)
            assert all(0 <= left <= 100 and left + width < 100.1 for left, width in places)

    shown.tell(batch, story)


def test_a_hostile_prompt_stays_text(shown: Shown, batch: Path) -> None:
    async def story(page_: Page) -> None:
        await page_.get_by_label("Search", exact=True).fill("onerror")
        prompts = page_.locator(".card .prompt")
        assert await prompts.all_text_contents() == [HOSTILE]
        await page_.locator(".poster").click()
        assert await page_.locator("dialog .prompt").text_content() == HOSTILE
        for tab in ("Timeline", "Charts", "Failures"):
            await page_.evaluate("document.querySelector('dialog').close()")
            await page_.get_by_role("tab", name=tab).click()
        assert await page_.locator("img[src=x]").count() == 0

    shown.tell(batch, story)
    assert not any(url.endswith("/x") for url in shown.requests)


def test_nobody_is_shut_out_on_a_narrow_screen_or_in_the_dark(shown: Shown, batch: Path) -> None:
    every = {"resultTypes": ["violations"]}
    colours = {**every, "runOnly": ["color-contrast"]}  # the dark is different in nothing else

    async def story(page_: Page) -> list[str]:
        found, axe = [], Axe()

        async def look(where: str) -> None:
            for scheme, options in (("light", every), ("dark", colours)):
                await page_.emulate_media(color_scheme=scheme)
                results = (await axe.run(page_, options=options)).response
                found.extend(
                    f"{where}, {scheme}: {each['id']}: {each['nodes'][0]['html'][:200]}"
                    for each in results["violations"]
                    if each["impact"] in ("serious", "critical")
                )

        # Some of the jobs are enough, and look no different from all.
        await page_.get_by_label("Search", exact=True).fill("take 1")
        for tab in ("failures", "timeline", "charts", "videos"):
            await page_.locator(f"#tab-{tab}").click()
            fits = "document.documentElement.scrollWidth <= innerWidth"
            assert await page_.evaluate(fits), f"{tab} is wider than the window"
            await look(tab)
        await page_.locator(".poster").first.click()
        await look("player")
        return found

    assert shown.tell(batch, story, viewport={"width": 360, "height": 780}) == []


def test_the_theme_is_one_s_own_choice(shown: Shown, batch: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"

    async def story(page_: Page) -> None:
        light = await page_.evaluate(ground)
        await page_.get_by_role("button", name="Dark").click()
        assert await page_.evaluate(ground) != light
        await page_.reload()
        assert await page_.get_by_role("button", name="Dark", pressed=True).count() == 1

    shown.tell(batch, story, color_scheme="light")


def test_2000_jobs_are_there_and_searched_within_2_seconds(shown: Shown, tmp_path: Path) -> None:
    report_lives.write_journal(tmp_path / "j.sqlite", list(report_lives.lives(2000, [])))
    report = write(tmp_path / "j.sqlite")
    assert report.jobs == 2000
    search = """() => {
        const began = performance.now(), search = document.getElementById("search");
        search.value = "kite";
        search.dispatchEvent(new Event("input"));
        return new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
            const ready = performance.getEntriesByName("seedance:ready")[0].startTime;
            const count = document.getElementById("count").textContent;
            done([ready + performance.now() - began, count]);
        })));
    }"""

    async def story(page_: Page) -> Any:
        return await page_.evaluate(search)

    # The page's own time, and again where others on the machine were in the way.
    for _ in range(3):
        took_ms, count = shown.tell(report.path, story)
        if took_ms < 2000:
            break
    assert (count, took_ms < 2000) == ("250 of 2,000 jobs", True), took_ms


@pytest.mark.parametrize("from_profile", [False, True])
def test_what_videos_cost_is_shown_by_the_user_s_prices(
    folder: Path,
    seedance: Callable[..., Told],
    monkeypatch: pytest.MonkeyPatch,
    from_profile: bool,
) -> None:
    prices = folder / "prices.toml"
    table = 'currency = "USD"\n[seedance_2_0_pro]\nper_second = 0.05\n'
    words = ["--prices", str(prices)]
    if from_profile:
        monkeypatch.setenv("SEEDANCE_CONFIG", str(prices))
        table, words = f"[defaults.prices]\n{table.replace('[', '[defaults.prices.')}", []
    prices.write_text(table)
    code, _, told = seedance("report", "--journal", str(folder), *words)
    assert code == 0, told
    told_of = block(folder / "report.html")
    made = [job for job in told_of["jobs"] if job["state"] == "completed"]
    expected = [job["duration"] * 0.05 for job in made if job["model"] == "seedance_2_0_pro"]
    assert expected
    assert [job["cost"] for job in made if "cost" in job] == pytest.approx(expected)
    assert told_of["totals"]["cost"] == pytest.approx(sum(expected))
    assert told_of["currency"] == "USD"
