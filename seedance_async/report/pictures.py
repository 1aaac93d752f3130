"""Pictures of many videos, made by a few processes of their own.

A file that cannot be read, or that ends its process, has no picture, and nobody else suffers.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import anyio.to_thread

_NEEDED = ("av", "PIL")
_MAX_PROCESSES = 4
_MAX_S = 20.0  # for one picture, the start of its process included; our choice
# The package may be where only this process looks; behind all else, so that it shadows nothing.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from seedance_async.report.worker import main; "
    "main()"
)

Left = Iterator[tuple[int, Path]]


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
    left, over = iter(wanted), threading.Event()
    work = functools.partial(
        # A thread that is abandoned ends behind the picture that it is at.
        anyio.to_thread.run_sync,
        _work,
        left,
        pictures,
        over,
        abandon_on_cancel=True,
    )
    try:
        async with anyio.create_task_group() as group:
            for _ in range(min(_MAX_PROCESSES, os.cpu_count() or 1, len(wanted))):
                group.start_soon(work)
    finally:
        over.set()
    return pictures


def _work(left: Left, pictures: list[str | None], over: threading.Event) -> None:
    """Take what is left, one after the other, with a new process in the place of one that died."""
    process: subprocess.Popen[bytes] | None = None
    try:
        for place, path in left:
            if over.is_set():
                break
            process = process or _start()
            answer = _ask(process, path)
            if answer.endswith(b"\n"):
                pictures[place] = answer.strip().decode() or None
            else:
                _end(process)
                process = None
    except OSError:  # no process can be started: there are tiles
        pass
    finally:
        if process is not None:
            _end(process)


def _ask(process: subprocess.Popen[bytes], path: Path) -> bytes:
    """Have one picture made; gives no whole line if the process dies of it, or takes too long."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
    timer = threading.Timer(_MAX_S, process.kill)
    timer.start()
    try:
        process.stdin.write(json.dumps(os.fspath(path)).encode() + b"\n")
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return b""
    finally:
        timer.cancel()


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parent.parent.parent)]
    env = {name: text for name, text in os.environ.items() if not name.startswith("SEEDANCE_")}
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, env=env)  # noqa: S603


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not sent to it
                pipe.close()
