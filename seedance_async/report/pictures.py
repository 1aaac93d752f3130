"""Pictures of many videos, made by a few processes of their own.

A file that cannot be read, or that ends its process, has no picture, and nobody else suffers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

_NEEDED = ("av", "PIL")
_MAX_PROCESSES = 4
_MAX_S = 20.0  # for one picture, the start of its process included; our choice
_MAX_BYTES = 1 << 20  # of one picture, as base64
# The package may be where only this process looks; behind all else, so that it shadows nothing.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from seedance_async.report.worker import main; "
    "main()"
)


def missing() -> tuple[str, ...]:
    """Name what pictures need and is not installed."""
    return tuple(name for name in _NEEDED if importlib.util.find_spec(name) is None)


async def of_videos(paths: Sequence[Path | None]) -> list[str | None]:
    """Give a small picture of each video, as base64 of WebP, in the order of *paths*.

    Never raises for a video: one that cannot be read has None, as all have without the extra.
    """
    pictures: list[str | None] = [None] * len(paths)
    wanted = [(place, path) for place, path in enumerate(paths) if path is not None]
    if not wanted or missing():
        return pictures
    left = iter(wanted)
    async with anyio.create_task_group() as group:
        for _ in range(min(_MAX_PROCESSES, os.cpu_count() or 1, len(wanted))):
            group.start_soon(_work, left, pictures)
    return pictures


async def _work(left: Iterator[tuple[int, Path]], pictures: list[str | None]) -> None:
    """Take what is left, one after the other, with a new process for each that died."""
    for place, path in left:
        try:
            process = await _start()
        except OSError:
            return
        try:
            answers = BufferedByteReceiveStream(process.stdout)  # type: ignore[arg-type]
            if not await _ask(process, answers, place, path, pictures):
                continue
            for another, its_path in left:
                if not await _ask(process, answers, another, its_path, pictures):
                    break
        finally:
            process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()


async def _ask(
    process: Process,
    answers: BufferedByteReceiveStream,
    place: int,
    path: Path,
    pictures: list[str | None],
) -> bool:
    """Have one picture made; whether the process is fit for another."""
    assert process.stdin is not None  # noqa: S101 -- for the types: it is a pipe
    try:
        with anyio.fail_after(_MAX_S):
            await process.stdin.send(json.dumps(os.fspath(path)).encode() + b"\n")
            answer = await answers.receive_until(b"\n", _MAX_BYTES)
    except (
        TimeoutError,
        anyio.BrokenResourceError,
        anyio.ClosedResourceError,
        anyio.DelimiterNotFound,
        anyio.EndOfStream,
        anyio.IncompleteRead,
    ):
        return False
    pictures[place] = answer.strip().decode() or None
    return True


async def _start() -> Process:
    command = [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parent.parent.parent)]
    env = {name: text for name, text in os.environ.items() if not name.startswith("SEEDANCE_")}
    return await anyio.open_process(command, stderr=subprocess.DEVNULL, env=env)
