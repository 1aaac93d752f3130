"""The command line and local files: relative to the file of jobs, looked at first, published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Told
from PIL import Image

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


def manifest(folder: Path, *images: str, **more: Any) -> Path:
    path = folder / "jobs.jsonl"
    rows = [
        {"model": "seedance_2_0_fast_pro", "prompt": f"{place}", "first_image": image, **more}
        for place, image in enumerate(images)
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
    seedance: Seedance, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio
    import threading

    from seedance_async.emulator import Emulator

    ready, over = threading.Event(), threading.Event()
    emulator = Emulator(speed=6000)

    async def serve() -> None:
        async with emulator:
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        options = ("--first-image", "shots/a.png", "--publish", "emulator")
        code, _, err = seedance("generate", "A cat", *options, at=emulator)
    finally:
        over.set()
        thread.join()
    assert code == 0, err
