"""The process that looks at files: what a hostile one breaks is this process, and nothing else.

    python -m seedance_async.media.worker

Says ``{"ready": true}`` first. Then it takes an order a line from stdin, as JSON: ``{"path": ...}``
for a file that it opens itself, or ``{"size": ..., "is_whole": ...}`` for one that the other side
reads to it, which it asks for with ``{"read": [offset, count]}``. It ends each with
``{"info": {...}}`` or ``{"problem": "..."}``. To ``{"path": ..., "to": ..., "plan": {...}}`` it
answers with ``{"damaged": 0}`` when it has made of the file what the plan says, in a file that is
there already.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import IO, Any

import attrs

from seedance_async.media import images, streams
from seedance_async.media.problem import Problem
from seedance_async.mediainfo import MediaInfo, MediaKind

_BUFFER_BYTES = 1 << 15
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no fault of the file that is read
_MAX_WRITTEN_BYTES = 1 << 30  # far more than anything that fits; our choice


class _Remote(io.RawIOBase):
    """A file that the other side reads."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes], size: int | None) -> None:
        self._orders, self._answers = orders, answers
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self._size is None:
            raise OSError("nobody knows where it ends")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size or 0}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = len(buffer) if self._size is None else min(len(buffer), self._size - self._at)
        if count <= 0:
            return 0
        _tell(self._answers, {"read": [self._at, count]})
        got = int(json.loads(self._orders.readline())["bytes"])
        buffer[:got] = self._orders.read(got)
        self._at += got
        return got


def _look(file: IO[bytes], size: int | None, *, is_whole: bool) -> MediaInfo:
    if size == 0:
        raise Problem("is empty")
    with _clear():
        info = images.look(file, size, is_whole=is_whole)
        if info is None:
            file.seek(0)
            info = streams.look(file, size, is_whole=is_whole)
    return info


def _fit(order: dict[str, Any]) -> int:
    """Make a file fit, into another that must be there: what was deleted is not made again."""
    # Most processes do no more than look, and should start soon.
    from seedance_async.media import recode, redraw  # noqa: PLC0415
    from seedance_async.remedies import Plan  # noqa: PLC0415

    plan = Plan(**{**order["plan"], "kind": MediaKind(order["plan"]["kind"])})
    path, to = order["path"], order["to"]
    with _nameless(path) as file, open(to, "r+b") as made, _clear():  # noqa: PTH123 - as there
        damaged = 0
        if plan.kind is MediaKind.IMAGE:
            redraw.redraw(file, made, plan)
        else:
            damaged = recode.recode(file, made, plan)
        made.flush()
    return damaged


@contextlib.contextmanager
def _clear() -> Iterator[None]:
    """Make a problem of whatever a hostile file makes a library raise."""
    try:
        yield
    except Problem:
        raise
    except MemoryError:
        raise Problem("takes more memory than it is worth") from None
    except Exception as exc:  # noqa: BLE001
        if isinstance(exc, OSError) and exc.errno in _DISK:
            raise Problem(f"cannot be made to fit: {exc.strerror}") from None
        raise Problem(f"cannot be read ({type(exc).__name__})") from None


@contextlib.contextmanager
def _nameless(path: str) -> Iterator[IO[bytes]]:
    """Open a file without its name, the end of which FFmpeg takes for a hint."""
    with (
        open(path, "rb") as named,  # noqa: PTH123 - may be no valid text
        open(named.fileno(), "rb", closefd=False) as file,
    ):
        yield file


def _answer(order: dict[str, Any], orders: IO[bytes], answers: IO[bytes]) -> dict[str, Any]:
    try:
        if "plan" in order:
            return {"damaged": _fit(order)}
        if "path" in order:
            with _nameless(order["path"]) as file:
                size = os.fstat(file.fileno()).st_size
                info = _look(file, size, is_whole=True)
        else:
            remote = _Remote(orders, answers, order["size"])
            with io.BufferedReader(remote, _BUFFER_BYTES) as reader:
                info = _look(reader, order["size"], is_whole=order["is_whole"])
    except Problem as problem:
        return {"problem": str(problem)}
    except OSError as exc:
        return {"problem": f"cannot be read: {exc.strerror or type(exc).__name__}"}
    return {"info": attrs.asdict(info)}


def _tell(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def main(
    max_addresses_bytes: int = 1 << 29, max_data_bytes: int = 1 << 29, max_s: int = 10
) -> None:
    """Answer orders until there are no more.

    Args:
        max_addresses_bytes: What each may take of addresses.
        max_data_bytes: What each may write to of these, its own memory.
        max_s: When to end if one takes longer, in seconds.
    """
    # The terminal's Ctrl-C goes to all; ours ends when the other side does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (max_addresses_bytes, max_addresses_bytes))
        resource.setrlimit(resource.RLIMIT_DATA, (max_data_bytes, max_data_bytes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_WRITTEN_BYTES, _MAX_WRITTEN_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # of damaged Exif and the like; what counts is an answer
    orders = sys.stdin.buffer
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _tell(answers, {"ready": True})
    for line in orders:
        _set_alarm(max_s)
        _tell(answers, _answer(json.loads(line), orders, answers))
        _set_alarm(0)


def _set_alarm(seconds: int) -> None:
    """End this process then, though nobody may be left to end it; Windows knows no alarm."""
    if sys.platform != "win32":
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
