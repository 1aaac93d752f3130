"""A few processes that look at files, and what they may take: time, bytes, each other's place.

Decoders are large programs in C that are fed with what strangers made. They run in processes of
their own, each with one file at a time, ended when it takes too long, and begun anew when it died.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import aiohttp
import anyio

from seedance_async.behind import LOOK_S, Behind, connections
from seedance_async.errors import MediaError
from seedance_async.mediainfo import MediaInfo, MediaKind

_PROCESSES = 2
_NEEDED = ("av", "PIL")

#: Gives *count* bytes from *offset*, fewer only at the end. Called in a thread.
Read = Callable[[int, int], bytes]


class Looker:
    """Looks at files, a few at a time; its processes live until ``close``."""

    def __init__(self, *, to_private: bool = False) -> None:
        """Be ready; the first look starts the first process.

        Args:
            to_private: Whether URLs may lead to private addresses.

        Raises:
            MediaError: The extra is not installed.
        """
        if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
            raise MediaError(
                f"looking at media needs {' and '.join(missing)}: "
                "pip install 'seedance-async[media]'"
            )
        self._to_private = to_private
        self._http: aiohttp.ClientSession | None = None
        self._idle: list[_Process] = []
        self._places = anyio.Semaphore(_PROCESSES)
        self._closed = False

    async def look(self, source: Path | bytes) -> MediaInfo:
        """Look at a local file or at what was read of one, all of it.

        Raises:
            MediaError: It cannot be read, or is nothing that can be looked at.
        """
        if isinstance(source, bytes):
            order = {"size": len(source), "is_whole": True}
            return await self._look(order, lambda at, count: source[at : at + count])
        return await self._look({"path": os.path.abspath(source)}, None)  # noqa: ASYNC240, PTH100

    async def look_behind(self, url: str) -> MediaInfo:
        """Look at what is behind a public URL, fetching no more of it than needed.

        Raises:
            MediaError: It cannot be fetched, or is nothing that can be looked at.
        """
        if self._http is None:
            self._http = connections(to_private=self._to_private)
        async with Behind(self._http, url, to_private=self._to_private) as behind:
            return await self._look({"size": behind.size, "is_whole": False}, behind.read)

    async def close(self) -> None:
        """End the processes."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()
        if self._http is not None:
            await self._http.close()

    async def _look(self, order: dict[str, Any], read: Read | None) -> MediaInfo:
        async with self._places:
            process = self._idle.pop() if self._idle else _Process()
            try:
                answer = await asyncio.to_thread(process.look, order, read)
                if process.is_sound and not self._closed:
                    self._idle.append(process)
            finally:  # also where nobody waits any longer
                if process not in self._idle:
                    process.end()
        if "problem" in answer:
            raise MediaError(answer["problem"])
        info = answer["info"]
        return MediaInfo(**{**info, "kind": MediaKind(info["kind"])})


class _Process:
    """One process that looks at files; ``look`` blocks, and runs in a thread."""

    def __init__(self) -> None:
        self.is_sound = True
        self._lock = threading.Lock()
        self._has_ended = False
        self._child: _Child | None = None

    def look(self, order: dict[str, Any], read: Read | None) -> dict[str, Any]:
        late = threading.Event()

        def stop() -> None:
            late.set()
            self.end()

        timer = threading.Timer(LOOK_S, stop)
        timer.start()
        try:
            return self._look(order, read)
        except MediaError as exc:
            problem = str(exc)
        except (OSError, ValueError):  # it is gone
            late_words = f"takes longer than {LOOK_S} s to look at"
            problem = late_words if late.is_set() else "makes the program that looks at it crash"
        finally:
            timer.cancel()
        self.is_sound = False
        return {"problem": problem}

    def _look(self, order: dict[str, Any], read: Read | None) -> dict[str, Any]:
        child = self._started()
        _tell(child.stdin, order)
        while True:
            answer: dict[str, Any] = json.loads(child.stdout.readline())
            if "read" not in answer or read is None:
                return answer
            data = read(*answer["read"])
            _tell(child.stdin, {"bytes": len(data)}, data)

    def _started(self) -> _Child:
        with self._lock:
            if self._has_ended:
                raise OSError("nobody waits for it any longer")
            self._child = self._child or _Child()
            return self._child

    def end(self) -> None:
        """End it, whatever it is doing."""
        with self._lock:
            self._has_ended = True
            if self._child is not None:
                self._child.end()


class _Child:
    """``worker`` in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "seedance_async.media.worker"]
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=pipe, stdout=pipe, stderr=nowhere
        )
        self.stdin = cast(IO[bytes], self._process.stdin)
        self.stdout = cast(IO[bytes], self._process.stdout)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # what was not sent to it
                pipe.close()


def _tell(pipe: IO[bytes], message: dict[str, Any], data: bytes = b"") -> None:
    pipe.write(json.dumps(message).encode() + b"\n" + data)
    pipe.flush()
