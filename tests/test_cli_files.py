"""The command line and local files: relative to the file of jobs, looked at first, published."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Told
from PIL import Image

from seedance_async import SqliteJournal
from seedance_async.emulator import Emulator

Seedance = Callable[..., Told]
FAST = ("--emulate", "--speed", "6000")


@pytest.fixture
def shots(home: Path) -> Path:
    """A folder of pictures, which is not the current one."""
    folder = home / "shots"
    folder.mkdir()
    for name, size in (("a.png", (320, 400)), ("b.png", (400, 320)), ("small.png", (100, 320))):
        Image.new("RGB", size, (len(name), 90, 80)).save(folder / name)
    return folder


@pytest.fixture
def emulator_beside() -> Iterator[Emulator]:
    """An emulator in another event loop."""
    ready, over = threading.Event(), threading.Event()
    emulator = Emulator(speed=6000)

    async def serve() -> None:
        async with emulator:
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield emulator
    over.set()
    thread.join()


def manifest(folder: Path, *images: str, **more: Any) -> Path:
    path = folder / "jobs.jsonl"
    rows = [
        {"model": "seedance_2_0_fast_pro", "prompt": "A shot", "first_image": image, **more}
        for image in images
    ]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def test_paths_in_a_file_of_jobs_are_relative_to_it(seedance: Seedance, shots: Path) -> None:
    jobs = manifest(shots, "a.png", "b.png", "./a.png", str(shots / "b.png"))
    code, out, _ = seedance("batch", str(jobs), "--out", "videos", *FAST)
    assert (code, len(out.splitlines())) == (0, 4)
    # Made once, it needs its pictures no more.
    for picture in shots.glob("*.png"):
        picture.unlink()
    code, _, err = seedance("batch", str(jobs), "--out", "videos", *FAST)
    assert code == 0
    assert "4 skipped" in err


def test_the_same_file_elsewhere_is_the_same_jobs(
    seedance: Seedance, shots: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest(shots, "a.png", "b.png")
    assert seedance("batch", "shots/jobs.jsonl", "--out", "videos", *FAST)[0] == 0
    shots.rename(home / "moved")
    monkeypatch.chdir(home / "moved")
    code, _, err = seedance("batch", "jobs.jsonl", "--out", "../videos", *FAST)
    assert code == 0
    assert "2 skipped" in err


def test_every_file_is_looked_at_before_the_first_job_is_sent(
    seedance: Seedance, shots: Path
) -> None:
    jobs = manifest(
        shots, "a.png", "nope.png", "small.png", "www.example.com/x.png?signature=s3cr3t"
    )
    code, out, err = seedance("batch", str(jobs), "--out", "videos", *FAST)
    assert (code, out) == (2, "")
    assert f"{jobs}:2: first_image: there is no file 'nope.png'" in err
    assert f"{jobs}:3: first_image: is 100 x 320 px" in err
    assert f"{jobs}:4: first_image: there is no file 'www.example.com/x.png'" in err
    assert "s3cr3t" not in err
    assert "3 of 4 jobs invalid, nothing was sent" in err
    assert not list(Path("videos").glob("*.mp4"))
    code, out, _ = seedance("batch", str(jobs), "--out", "videos", "--skip-invalid", *FAST)
    assert len(out.splitlines()) == 1


def test_what_was_made_is_fetched_without_publish_and_without_its_files(
    seedance: Seedance, shots: Path, home: Path, emulator_beside: Emulator
) -> None:
    jobs = manifest(shots, "a.png")
    words = ("batch", str(jobs), "--out", "videos")
    assert seedance(*words, "--publish", "emulator", at=emulator_beside)[0] == 0
    (video,) = Path("videos").glob("*.mp4")
    video.unlink()
    (shots / "a.png").unlink()
    code, _, err = seedance(*words, at=emulator_beside)
    assert code == 0, err
    assert video.exists()


def test_a_name_with_a_blank_stands_in_a_table_too(seedance: Seedance, shots: Path) -> None:
    (shots / "a.png").rename(shots / "a cat.png")
    table = shots / "jobs.csv"
    rows = ("model,prompt,reference_images", "seedance_2_0_pro,x,a cat.png|b.png")
    table.write_text("\n".join(rows), "utf-8")
    code, _, err = seedance("batch", str(table), "--out", "videos", *FAST)
    assert code == 0, err


def test_a_registration_is_settled_by_its_key(seedance: Seedance, home: Path) -> None:
    key, lost = "asset:file-1", '{"asset_id": null, "at": "now"}'

    async def lose() -> None:
        async with SqliteJournal(home / "j.sqlite") as journal:
            await journal.remember(key, lost)

    asyncio.run(lose())
    words = ("jobs", "settle", key, "--journal", "j.sqlite")
    assert seedance(*words)[0] == 2
    assert seedance(*words, "--task-id", "asset-1")[0] == 2
    code, _, err = seedance(*words, "--asset-id", "not an id")
    assert (code, "cannot be an asset's id" in err) == (1, True)
    code, _, err = seedance(*words, "--asset-id", "asset-1")
    assert (code, f"{key} is asset-1 now" in err) == (0, True)
    code, _, err = seedance(*words, "--not-created")
    assert (code, "is not unknown" in err) == (1, True)


@pytest.mark.parametrize("command", ["batch", "generate"])
def test_without_publish_a_path_is_refused_with_the_option_that_helps(
    seedance: Seedance, shots: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDANCE_API_KEY", "key")
    words = {
        "batch": ("batch", str(manifest(shots, "a.png")), "--out", "videos"),
        "generate": ("generate", "A cat", "--first-image", "shots/a.png"),
    }
    code, _, err = seedance(*words[command])
    assert code == 2
    assert "say where to publish it with --publish" in err


def test_one_video_from_a_file_after_its_review(seedance: Seedance, shots: Path) -> None:
    code, out, _ = seedance("generate", "A cat", "--first-image", "shots/a.png", "--review", *FAST)
    assert code == 0
    assert Path(out.strip()).stat().st_size > 10_000
    code, _, err = seedance("generate", "A cat", "--first-image", "shots/small.png", *FAST)
    assert code == 2
    assert "is 100 x 320 px" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--review"], "--review goes only with --publish"),
        (["--publish", "gs://bucket"], "s3://bucket/prefix"),
        (["--publish", "s3://"], "--publish: bucket must be a URL"),
    ],
)
def test_options_that_cannot_be_used(
    seedance: Seedance, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.setenv("SEEDANCE_API_KEY", "key")
    code, _, err = seedance("generate", "A cat", *options)
    assert code == 2
    assert words in err


def test_a_standalone_emulator_takes_files_too(
    seedance: Seedance, shots: Path, emulator_beside: Emulator
) -> None:
    options = ("--first-image", "shots/a.png", "--publish", "emulator")
    code, _, err = seedance("generate", "A cat", *options, at=emulator_beside)
    assert code == 0, err
