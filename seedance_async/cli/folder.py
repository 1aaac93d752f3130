"""The folder that videos go to: there and writable before anything is paid for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from seedance_async.cli import trouble
from seedance_async.cli.exits import CannotStart


def prepare(folder: Path) -> Path:
    """Make *folder* where it is missing, and check that a file can be written into it.

    Raises:
        CannotStart: It cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        reason = getattr(exc, "strerror", None) or str(exc)
        what = trouble.at_start(exc, f"cannot write to the folder {folder}: {reason}")
        raise CannotStart(what) from exc


def at_home(path: str | Path) -> Path:
    """Read ``~`` at the beginning of *path*, which a shell leaves alone in ``--out=~/videos``."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody has that name, or no home
        return Path(path)
