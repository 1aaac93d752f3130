"""A file held against other processes: an operating system's lock, which dies with its holder."""

from __future__ import annotations

import sys
from typing import BinaryIO

if sys.platform == "win32":  # pragma: no cover -- no such machine in CI
    import msvcrt

    def lock(file: BinaryIO) -> None:
        """Hold *file* until it is closed; an ``OSError`` where somebody else does."""
        # Far behind what is written, since Windows locks the bytes against reading too.
        file.seek(1 << 30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

else:
    import fcntl

    def lock(file: BinaryIO) -> None:
        """Hold *file* until it is closed; an ``OSError`` where somebody else does."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
