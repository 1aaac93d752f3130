"""A local file, as a request names it: where it is, whether it can be read, when it is another.

All of this blocks, and runs in threads.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

_SHOWN_CHARS = 80


class Stamp(NamedTuple):
    """What changes when a file does."""

    path: Path
    device: int
    inode: int
    size_bytes: int
    modified_ns: int


def locate(text: str, root: Path | None) -> Path:
    """Give the absolute path of what a request calls *text*, which may start at *root*."""
    path = os.path.expanduser(text)  # noqa: PTH111 -- does not mind a user that is not there
    return Path(os.path.abspath(Path(root or "") / path))  # noqa: PTH100 -- links stay as they are


def stamp(path: Path) -> Stamp:
    """Look a file up, without opening it.

    Raises:
        OSError, ValueError: There is none that could be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without an end
        raise ValueError("it is no regular file")
    if not found.st_size:
        raise ValueError("it is empty")
    return Stamp(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def digest(path: Path) -> str:
    """Read a file through, and give its SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(name: str) -> str:
    """Show a file's name: on one line, and nothing in it that moves a terminal."""
    return "".join(char if char.isprintable() else "?" for char in name)[:_SHOWN_CHARS]


def unreadable(text: str, exc: OSError | ValueError) -> str:
    """Say why a local file cannot be read, and what may have been meant."""
    # What was meant as a URL may be signed.
    told = text.partition("?")[0]
    told = told if len(told) <= _SHOWN_CHARS else f"…{told[-_SHOWN_CHARS:]}"
    if isinstance(exc, FileNotFoundError):
        return f"there is no file {told!r}: look at its path; a URL begins with https://"
    why = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    return f"the file {told!r} cannot be read: {why}"
