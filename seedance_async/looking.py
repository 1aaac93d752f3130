"""A few processes that look at files, and what they may take: time, bytes, each other's place.

Decoders are large programs in C that are fed with what strangers made. They run in processes of
their own, each with one file at a time, ended when it takes too long, and begun anew when it died.
One that makes a file fit may take more, and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, cast

import aiohttp
import anyio
import attrs

from seedance_async.behind import LOOK_S, Behind, connections
from seedance_async.errors import MediaError
from seedance_async.mediainfo import MediaInfo, MediaKind
from seedance_async.paid import finish
from seedance_async.remedies import Plan

_PROCESSES = 2
_NEEDED = ("av", "PIL")
_START_S = 60.0  # for a machine that is busy; our choice
# The package may be where only this process looks; behind all else, so that it shadows nothing.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from seedance_async.media.worker import main; "
    "main(*map(int, sys.argv[2:]))"
)
_WHOLE_BYTES = 1_500_000  # what is no larger is read to its end; below what may be fetched


@attrs.frozen
class _Bounds:
    """What a process may take for one file.

    Attributes:
        done: What it does, in a word that follows "cannot be".
        max_s: For how long it is waited for; left alone, it ends itself later than that.
        addresses_bytes: Libraries take many that they never touch, hence so much more than needed.
        data_bytes: What it may write to of these.
    """

    done: str
    max_s: float
    addresses_bytes: int
    data_bytes: int


# Our choices. Two processes that look stay below 200 MB, shared libraries and all; a film in 4K
# needs half of that.
_LOOKED_AT = _Bounds("looked at", LOOK_S, 1 << 29, 80_000_000)
_MADE_TO_FIT = _Bounds("made to fit", 120.0, 1 << 31, 1 << 31)

#: Gives *count* bytes from *offset*, fewer only at the end. Called in a thread.
Read = Callable[[int, int], bytes]


def _missing() -> tuple[str, ...]:
    return tuple(name for name in _NEEDED if importlib.util.find_spec(name) is None)


def is_available() -> bool:
    """Tell whether the extra is installed."""
    return not _missing()


class Looker:
    """Looks at files, a few at a time; its processes live until ``close``."""

    def __init__(self, *, to_private: bool = False) -> None:
        """Be ready; the first look starts the first process.

        Args:
            to_private: Whether URLs may lead to private addresses.

        Raises:
            MediaError: The extra is not installed.
        """
        if not is_available():
            raise MediaError(
                f"looking at media needs {' and '.join(_missing())}: "
                "pip install 'seedance-async[media]'"
            )
        self._to_private = to_private
        self._http: aiohttp.ClientSession | None = None
        self._idle: list[_Process] = []
        self._places = anyio.Semaphore(_PROCESSES)
        # Of its own: the event loop's may be full of other work.
        self._threads = ThreadPoolExecutor(2 * _PROCESSES, "seedance look")
        self._closed = False

    async def look(self, source: Path | bytes) -> MediaInfo:
        """Look at a local file or at what was read of one, all of it.

        Raises:
            MediaError: It cannot be read, or is nothing that can be looked at.
            LookingFailed: It is us who cannot look.
        """
        if isinstance(source, bytes):
            order = {"size": len(source), "is_whole": True}
            return await self._look(order, lambda at, count: source[at : at + count])
        return await self._look({"path": os.path.abspath(source)}, None)  # noqa: ASYNC240, PTH100

    async def make_fit(self, source: Path, to: Path, plan: Plan) -> int:
        """Make of a local file what *plan* says, in a process of its own.

        Args:
            source: The file, which stays as it is.
            to: A file that is there, and is written over.
            plan: What to make.

        Returns:
            How many pieces of the file were left out since they are damaged.

        Raises:
            MediaError: It cannot be done.
            LookingFailed: It is us who cannot do it.
        """
        paths = {"path": os.path.abspath(source), "to": os.path.abspath(to)}  # noqa: ASYNC240, PTH100
        order = {**paths, "plan": attrs.asdict(plan)}
        async with self._places:
            process = _Process(_MADE_TO_FIT)
            try:
                return int(_unless_problem(await self._do(process, order, None))["damaged"])
            finally:  # waits: nobody may write to a file that is about to be removed
                process.kill()
                await finish(self._gone(process))

    async def look_behind(self, url: str) -> MediaInfo:
        """Look at what is behind a public URL, fetching no more of it than needed.

        Raises:
            MediaError: It cannot be fetched, or is nothing that can be looked at.
            LookingFailed: It is us who cannot look.
        """
        if self._http is None:
            self._http = connections(to_private=self._to_private)
        async with Behind(self._http, url, to_private=self._to_private) as behind:
            is_small = behind.size is not None and behind.size <= _WHOLE_BYTES
            return await self._look({"size": behind.size, "is_whole": is_small}, behind.read)

    async def close(self) -> None:
        """End the processes."""
        self._closed = True
        while self._idle:
            self._end(self._idle.pop())
        self._threads.shutdown(wait=False)
        if self._http is not None:
            await self._http.close()

    async def _look(self, order: dict[str, Any], read: Read | None) -> MediaInfo:
        async with self._places:
            process = self._idle.pop() if self._idle else _Process(_LOOKED_AT)
            try:
                answer = await self._do(process, order, read)
                if process.is_sound and not self._closed:
                    self._idle.append(process)
            finally:  # also where nobody waits any longer
                if process not in self._idle:
                    self._end(process)
        info = _unless_problem(answer)["info"]
        return MediaInfo(**{**info, "kind": MediaKind(info["kind"])})

    async def _do(
        self, process: _Process, order: dict[str, Any], read: Read | None
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, process.do, order, read)

    async def _gone(self, process: _Process) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, process.reap)

    def _end(self, process: _Process) -> None:
        """End a process; waiting for its end is a thread's business."""
        process.kill()
        # One that was never started has nothing to wait for, nor has a loop that is ending.
        with contextlib.suppress(RuntimeError):
            self._threads.submit(process.reap)


class LookingFailed(MediaError):
    """What looks at files does not work here; it says nothing of a file."""


def _unless_problem(answer: dict[str, Any]) -> dict[str, Any]:
    if "problem" in answer:
        raise MediaError(answer["problem"])
    return answer


class _Process:
    """One process that looks at files; ``do`` and ``reap`` block, and run in threads."""

    def __init__(self, bounds: _Bounds) -> None:
        self.is_sound = True
        self._bounds = bounds
        self._lock = threading.Lock()
        self._is_over = False
        self._child: _Child | None = None

    def do(self, order: dict[str, Any], read: Read | None) -> dict[str, Any]:
        late = threading.Event()
        try:
            with self._at_most(_START_S, threading.Event()):
                child = self._ready()
            with self._at_most(self._bounds.max_s, late):
                return _ask(child, order, read)
        except LookingFailed:
            self.is_sound = False
            raise
        except MediaError as exc:
            problem = str(exc)
        except (OSError, ValueError):  # it is gone
            how = f"within {self._bounds.max_s:g} s" if late.is_set() else "without a crash"
            problem = f"cannot be {self._bounds.done} {how}"
        finally:
            if self._is_over:  # perhaps in the very moment of the answer
                self.is_sound = False
                self.reap()
        self.is_sound = False
        return {"problem": problem}

    @contextlib.contextmanager
    def _at_most(self, seconds: float, late: threading.Event) -> Iterator[None]:
        """End the process if the block takes longer, and set *late*."""

        def stop() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _ready(self) -> _Child:
        """Give the process: the one that is there, or a new one if that has died meanwhile."""
        with self._lock:
            if self._is_over:
                raise OSError("nobody waits for it any longer")
            if self._child is not None and self._child.has_died:
                self._child.reap()
                self._child = None
            child = self._child
            if child is None:
                child = self._child = _Child(self._bounds)
        child.wait_until_ready()
        return child

    def kill(self) -> None:
        """Have it end, whatever it is doing; does not wait."""
        self._is_over = True
        if (child := self._child) is not None:
            child.kill()

    def reap(self) -> None:
        """Wait for the end of one that was killed."""
        with self._lock:
            if self._child is not None:
                self._child.kill()  # one that was being started meanwhile
                self._child.reap()


class _Child:
    """``worker`` in a process of its own, without the current folder's modules and our secrets."""

    def __init__(self, bounds: _Bounds) -> None:
        alone_s = 2 * math.ceil(bounds.max_s)
        limits = map(str, (bounds.addresses_bytes, bounds.data_bytes, alone_s))
        command = [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parent.parent), *limits]
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                command, stdin=pipe, stdout=pipe, stderr=nowhere, env=_environment()
            )
        except OSError as exc:
            raise LookingFailed(f"cannot start what looks at media: {exc.strerror}") from exc
        self.stdin = cast(IO[bytes], self._process.stdin)
        self.stdout = cast(IO[bytes], self._process.stdout)
        self._is_ready = False

    @property
    def has_died(self) -> bool:
        return self._process.poll() is not None

    def wait_until_ready(self) -> None:
        if not self._is_ready and not self.stdout.readline():
            raise LookingFailed(
                "cannot start what looks at media: python -m seedance_async.media.worker tells why"
            )
        self._is_ready = True

    def kill(self) -> None:
        self._process.kill()

    def reap(self) -> None:
        self._process.wait()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # what was not sent to it
                pipe.close()


def _ask(child: _Child, order: dict[str, Any], read: Read | None) -> dict[str, Any]:
    """Give an order, read to the process what it asks for, and give its answer."""
    _tell(child.stdin, order)
    while True:
        answer: dict[str, Any] = json.loads(child.stdout.readline())
        if "read" not in answer or read is None:
            return answer
        data = read(*answer["read"])
        _tell(child.stdin, {"bytes": len(data)}, data)


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("SEEDANCE_")}


def _tell(pipe: IO[bytes], message: dict[str, Any], data: bytes = b"") -> None:
    pipe.write(json.dumps(message).encode() + b"\n" + data)
    pipe.flush()
