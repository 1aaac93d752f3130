"""``seedance jobs``: the journal listed, filtered, told of job by job, and settled."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seedance_async import JobRecord, JobState, VideoRequest
from seedance_async.cli import journals, settling
from seedance_async.cli.app import run
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.jobrows import aligned
from seedance_async.cli.results import spelled
from seedance_async.cli.settling import Unknown
from seedance_async.journal import SqliteJournal
from seedance_async.wire import TaskState

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
UTC = "2026-01-02 03:04:05 UTC"
REQUEST = VideoRequest(
    model="seedance_2_0_pro", prompt="a\ncat", metadata={"shot": 1}, waive=["media.public"]
)
DONE = TaskState(
    id="video_1",
    status="completed",
    video_url="https://v.example.com/a.mp4?sig=secret",
    body=json.dumps(
        {
            "id": "video_1",
            "status": "completed",
            "video_url": "https://v.example.com/?sig=secret",
            "actualDuration": 5.0,
            "totalTokens": 1200,
        }
    ).encode(),
    actual_duration_s=5.0,
    total_tokens=1200,
)
Told = tuple[int, str, str]


def submitted(key: str, task_id: str) -> JobRecord:
    planned = JobRecord(key=key, request=REQUEST, planned_at=NOW)
    return planned.moved(JobState.SUBMITTING, NOW).moved(JobState.SUBMITTED, NOW, task_id=task_id)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a journal with a job in every state, in a folder below the current one."""
    monkeypatch.chdir(tmp_path)
    path = Path("videos/seedance.sqlite")
    sending = JobRecord(key="cat", request=REQUEST, planned_at=NOW).moved(JobState.SUBMITTING, NOW)
    lives = [
        [sending, sending.moved(JobState.UNKNOWN, NOW, error="its answer is lost")],
        [submitted("dog", "video_2")],
        [submitted("owl", "video_1").moved(JobState.COMPLETED, NOW, task=DONE, polls=4)],
        [],
    ]
    on_disk = lives[2][0].moved(
        JobState.COMPLETED, NOW, path="/v/1.mp4", size_bytes=2**20, downloaded_at=NOW
    )
    lives[2].append(on_disk)

    async def write() -> None:
        async with SqliteJournal(path) as opened:
            for key, moves in zip(("cat", "dog", "owl", "fox\x1b"), lives, strict=True):
                name = "Foxy" if key.startswith("fox") else None
                await opened.plan(JobRecord(key=key, name=name, request=REQUEST, planned_at=NOW))
                for record in moves:
                    await opened.put(record)

    asyncio.run(write())
    return path


@pytest.fixture
def jobs(journal: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def command(*words: str) -> Told:
        code = run(["jobs", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return command


def test_a_list_has_a_line_for_each_job_and_counts_at_the_end(jobs: Callable[..., Told]) -> None:
    code, out, told = jobs()
    assert code == 0
    when = f"{NOW.astimezone():%Y-%m-%d %H:%M}"
    assert out.splitlines() == [
        f"unknown    cat   -        {when}  sent {UTC}, seedance_2_0_pro, 5 s: a cat",
        f"submitted  dog   video_2  {when}  a cat",
        f"completed  owl   video_1  {when}  1.mp4 (missing)",
        f"planned    fox\ufffd  -        {when}  Foxy",
    ]
    counts = "1 planned, 1 submitted, 1 completed (1 downloaded), 1 unknown"
    made = "5 s of video, 1,200 tokens"
    assert told.startswith(f"4 jobs: {counts}; {made} in videos/seedance.sqlite\n")
    assert told.endswith("seedance jobs settle cat --not-created --journal videos\n")
    assert "none in this state\n" in jobs("--state", "failed")[2]
    _, out, _ = jobs("--state", "unknown", "--state", "submitted")
    assert [line.split()[1] for line in out.splitlines()] == ["cat", "dog"]


def test_one_job_is_told_of_with_its_history_and_without_its_url(jobs: Callable[..., Told]) -> None:
    for name in ("owl", "video_1", "o"):
        code, out, _ = jobs(name)
        assert (code, out.splitlines()[0]) == (0, "owl: completed")
        assert "task              video_1 (completed)" in out
        assert "file              /v/1.mp4 (missing)" in out
        assert "prompt            a cat" in out
        assert "polls             4" in out
        assert 'metadata          {"shot": 1}' in out
        assert "gone from the provider since" in out
        history = [line.split()[2:] for line in out.partition("history")[2].splitlines()[1:]]
        assert [step[0] for step in history] == ["planned", "completed", "completed"]
        assert history[-1][1:] == ["downloaded", "1.mp4"]
        assert "secret" not in out


def test_json_has_everything_but_the_url(jobs: Callable[..., Told]) -> None:
    _, out, _ = jobs("--json")
    told = {job["key"]: job for job in map(json.loads, out.splitlines())}
    assert list(told) == ["cat", "dog", "owl", "fox\x1b"]
    owl: dict[str, Any] = told["owl"]
    assert owl["request"]["prompt"] == "a\ncat"
    assert owl["request"]["generateAudio"] is True
    assert (owl["request"]["metadata"], owl["request"]["waive"]) == ({"shot": 1}, ["media.public"])
    assert (owl["state"], owl["task_status"], owl["size_bytes"]) == ("completed",) * 2 + (2**20,)
    assert owl["planned_at"] == NOW.isoformat()
    assert owl["video_expires_at"] == (NOW + dt.timedelta(days=1)).isoformat()
    assert (told["cat"]["attempts"], told["cat"]["error"]) == (1, "its answer is lost")
    assert (owl["name"], owl["duration_s"], owl["tokens"]) == (None, 5.0, 1200)
    assert (owl["polls"], told["cat"]["polls"]) == (4, 0)
    assert told["fox\x1b"]["name"] == "Foxy"
    assert "history" not in owl
    assert "secret" not in out
    (job,) = map(json.loads, jobs("cat", "--json")[1].splitlines())
    assert [move["state"] for move in job["history"]] == ["planned", "submitting", "unknown"]


def test_a_key_that_is_not_there_has_neighbours(jobs: Callable[..., Told]) -> None:
    code, out, told = jobs("dgo", "cat")
    assert (code, out.splitlines()[0]) == (1, "cat: unknown")
    assert "there is no job dgo in videos/seedance.sqlite; did you mean dog?" in told
    assert jobs("settle", "dgo", "--not-created")[0] == 1
    code, _, told = jobs("video_")
    assert (code, "2 jobs begin with video_: dog, owl\n" in told) == (1, True)
    assert "did you mean dog?" in jobs("settle", "d", "--not-created")[2]


def test_settling_takes_a_person_s_word(jobs: Callable[..., Told], journal: Path) -> None:
    code, _, told = jobs("settle", "cat", "--task-id", "video_2")
    assert (code, "task video_2 belongs to job dog" in told) == (1, True)
    code, _, told = jobs("settle", "cat", "--task-id", "video_9")
    assert (code, "cat is task video_9 now" in told) == (0, True)
    assert "seedance download video_9" in told
    code, _, told = jobs("settle", "owl", "--not-created")
    assert (code, "only unknown jobs are settled" in told) == (1, True)
    assert jobs("--state", "unknown")[1] == ""
    assert not journal.with_name("seedance.sqlite.lock").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("settle", "cat"), "say one of the two"),
        (("settle", "cat", "--not-created", "--task-id", "video_9"), "say one of the two"),
        (("settle", "cat", "--task-id", "a/b"), "cannot be a task's id"),
        (("settle", "cat", "--task-id", "ID"), "'ID' cannot be a task's id: it looks like"),
        (("settle", "cat", "--task-id", "video_bogus"), "it looks like video_<uuid>"),
        (("settle", "cat", "--not-created", "--journal", "no"), "there is no journal no"),
        (("--journal", "empty"), "there is no journal in empty"),
        (("--journal", "other"), "other: file is not a database"),
        (("--state", "done"), "--state"),
    ],
)
def test_what_cannot_be_looked_at_exits_with_2(
    jobs: Callable[..., Told], words: tuple[str, ...], says: str
) -> None:
    Path("empty").mkdir()
    Path("other").write_text("something else " * 100)
    code, _, told = jobs(*words)
    assert (code, says in told) == (2, True), told


def test_a_journal_is_found_where_it_can_only_be_that_one(journal: Path) -> None:
    assert journals.find(None) == journal
    assert journals.option(journal) == ("--journal", "videos")
    Path("b c").mkdir()
    Path("b c/emulated.sqlite").touch()
    with pytest.raises(CannotStart, match=r"2 journals here; name one:\n  --journal 'b c'\n"):
        journals.find(None)
    assert journals.find("b c") == Path("b c/emulated.sqlite")
    Path("emulated.sqlite").touch()
    assert journals.find(None) == Path("emulated.sqlite")
    assert journals.option(Path("emulated.sqlite")) == ()
    Path("seedance.sqlite").touch()
    assert journals.find(None) == Path("seedance.sqlite")
    assert journals.option(Path("emulated.sqlite")) == ("--journal", "emulated.sqlite")
    assert journals.place("videos", Path("out"), emulated=True) == Path("videos/emulated.sqlite")
    assert journals.place("new/", Path("out"), emulated=False) == Path("new/seedance.sqlite")


def test_no_journal_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotStart, match="--journal FOLDER"):
        journals.find(None)


def test_lines_are_cut_where_somebody_looks_at_them() -> None:
    rows = [("unknown", "雨", "-", "now", "lost"), ("planned", "rain", "-", "now", "")]
    assert list(aligned(rows, None)) == ["unknown  雨    -  now  lost", "planned  rain  -  now"]
    assert list(aligned(rows, 14)) == ["unknown  雨  …", "planned  rain…"]
    rows = [("submitted", "cat", "video_0b6a7a0e-0000-4000", "now", "")]
    assert list(aligned(rows, 36)) == ["submitted  cat  video_0b6a7a0e…  now"]


def test_of_many_unknown_jobs_the_first_are_told_of() -> None:
    record = JobRecord(key="my cat", request=REQUEST, planned_at=NOW, intended_at=NOW)
    told = list(settling.lines([Unknown(label="line 1", record=record)] * 22, Path("j.sqlite")))
    assert len(told) == 26
    assert told[0] == f"  line 1: sent {UTC}, seedance_2_0_pro, 5 s, key my cat"
    assert told[20] == "  ... and 2 more: seedance jobs --state unknown --journal j.sqlite"
    assert told[-3] == "  seedance jobs settle KEY --task-id video_... --journal j.sqlite"


def test_a_file_outside_of_the_folder_is_named_wholly(tmp_path: Path) -> None:
    assert spelled(tmp_path / "videos" / "a.mp4", tmp_path / "videos") == "a.mp4"
    assert spelled(tmp_path / "a.mp4", tmp_path / "videos") == str(tmp_path / "a.mp4")
