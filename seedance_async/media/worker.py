"""The process that looks at files: what a hostile one breaks is this process, and nothing else.

    python -m seedance_async.media.worker

Says ``{"ready": true}`` first. Then it takes an order a line from stdin, as JSON: ``{"path": ...}``
for a file that it opens itself, or ``{"size": ..., "is_whole": ...}`` for one that the other side
reads to it, which it asks for with ``{"read": [offset, count]}``. It ends each with
``{"info": {...}}`` or ``{"problem": "..."}``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import warnings
from typing import IO, Any

import attrs

from seedance_async.media import images, streams
from seedance_async.media.problem import Problem
from seedance_async.mediainfo import MediaInfo

# Libraries take addresses that they never touch, hence so much more than a look needs. Our choice.
_MAX_ADDRESSES_BYTES = 1 << 29
# Two such processes then stay below 200 MB, shared libraries and all; a film in 4K needs half.
_MAX_DATA_BYTES = 80_000_000
_MAX_S = 10  # twice as long as who gives the orders waits
_BUFFER_BYTES = 1 << 15


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
    try:
        info = images.look(file, size, is_whole=is_whole)
        if info is None:
            file.seek(0)
            info = streams.look(file, size, is_whole=is_whole)
    except Problem:
        raise
    except MemoryError:
        raise Problem("takes more memory than a look is worth") from None
    except Exception as exc:  # noqa: BLE001 - whatever a hostile file makes a library raise
        raise Problem(f"cannot be read ({type(exc).__name__})") from None
    return info


def _answer(order: dict[str, Any], orders: IO[bytes], answers: IO[bytes]) -> dict[str, Any]:
    try:
        if "path" in order:
            with (
                open(order["path"], "rb") as named,  # noqa: PTH123 - may be no valid text
                # Without its name, the end of which FFmpeg takes for a hint.
                open(named.fileno(), "rb", closefd=False) as file,
            ):
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


def main() -> None:
    """Answer orders until there are no more."""
    # The terminal's Ctrl-C goes to all; ours ends when the other side does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESSES_BYTES, _MAX_ADDRESSES_BYTES))
        resource.setrlimit(resource.RLIMIT_DATA, (_MAX_DATA_BYTES, _MAX_DATA_BYTES))
    warnings.simplefilter("ignore")  # of damaged Exif and the like; what counts is an answer
    orders = sys.stdin.buffer
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _tell(answers, {"ready": True})
    for line in orders:
        _set_alarm(_MAX_S)
        _tell(answers, _answer(json.loads(line), orders, answers))
        _set_alarm(0)


def _set_alarm(seconds: int) -> None:
    """End this process then, though nobody may be left to end it; Windows knows no alarm."""
    if sys.platform != "win32":
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
