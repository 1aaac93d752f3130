"""One writer for a journal: an operating system's lock, which dies with its process.

The lock has a file of its own beside the journal, since SQLite's locks on the journal itself would
end with the closing of any other handle to it. The file says who holds it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import platform
from pathlib import Path
from typing import BinaryIO

from seedance_async.errors import JournalError
from seedance_async.locking import lock

# What an operating system says of a lock that somebody else holds; anything else is a file system
# that has none.
_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})


class WriterLock:
    """The right to write one journal, held until it is released or the process ends.

    Args:
        journal: The journal's file.

    Raises:
        JournalError: Another process, or another session of this one, holds it, named if it can
            be; or the folder cannot be written.
    """

    def __init__(self, journal: Path) -> None:
        self._path = _beside(journal)
        try:
            journal.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._locked(journal)
            self._sign()
        except OSError as exc:
            raise JournalError(f"cannot write the journal {journal}: {exc.strerror}") from exc

    def release(self) -> None:
        """Give the right back; may be called again."""
        if not self._file.closed:
            # Windows removes no open file; there it stays behind, and does no harm.
            with contextlib.suppress(OSError):
                if _is_there(self._file, self._path):
                    self._path.unlink()
            self._file.close()

    def _locked(self, journal: Path) -> BinaryIO:
        while True:
            file = self._path.open("ab+")
            try:
                lock(file)
            except OSError as exc:
                holder = _holder(file)
                file.close()
                if exc.errno not in _HELD:
                    raise
                message = f"the journal {journal} is being written by {holder}: one at a time"
                raise JournalError(message) from None
            if _is_there(file, self._path):
                return file
            file.close()  # its holder removed it while we opened it

    def _sign(self) -> None:
        since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": platform.node(), "since": since}
        self._file.truncate(0)
        self._file.write(json.dumps(holder).encode())
        self._file.flush()


def is_written(journal: Path) -> bool:
    """Tell whether a process is writing *journal* now."""
    try:
        with _beside(journal).open("rb") as file:
            lock(file)
    except OSError as exc:
        return exc.errno in _HELD
    return False


def _beside(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.lock")


def _is_there(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _holder(file: BinaryIO) -> str:
    try:
        file.seek(0)
        holder = json.loads(file.read())
        who = "this process" if holder["pid"] == os.getpid() else f"process {holder['pid']}"
        return f"{who} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
