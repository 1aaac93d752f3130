"""Where a command's journal is: beside what it makes, unless ``--journal`` names another.

Emulated jobs have a journal of their own, told by its name, so that no test picture is ever taken
for a video that was paid for, and no record of a paid one is ever dropped.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from seedance_async.cli import folder
from seedance_async.cli.exits import CannotStart

REAL = "seedance.sqlite"
EMULATED = "emulated.sqlite"


def place(named: str | None, beside: Path, *, emulated: bool) -> Path:
    """Give the file of a command that makes videos.

    Args:
        named: What ``--journal`` said: a file, or a folder; None takes the default.
        beside: The folder of the command's output, where the journal is by default.
        emulated: Whether the jobs are emulated.

    Raises:
        CannotStart: The file is for jobs of the other kind.
    """
    own = EMULATED if emulated else REAL
    path = beside / own if named is None else _in(named, own)
    if emulated and path.name != EMULATED:
        what = f"--emulate keeps its jobs in {EMULATED}"
        raise CannotStart(f"{what}: let --journal name a folder, or a file of that name")
    if not emulated and path.name == EMULATED:
        raise CannotStart(f"{path} is for emulated jobs: let --journal name another file")
    return path


def check_unmixed(out: Path, *, emulated: bool) -> None:
    """Keep a folder's videos either real or emulated.

    Raises:
        CannotStart: *out* holds the journal of the other kind.
    """
    if emulated and (out / REAL).exists():
        raise CannotStart(
            f"{out} holds real videos ({REAL}): choose another --out for test pictures"
        )
    if not emulated and (out / EMULATED).exists():
        raise CannotStart(
            f"{out} holds test pictures of --emulate ({EMULATED}), and real videos must not be "
            f"mixed with them: choose another --out, or delete the pictures and {EMULATED}"
        )


def find(named: str | None) -> Path:
    """Give the journal to look into: the one named, one here, or the only one a folder below.

    Raises:
        CannotStart: There is none, or more than one.
    """
    if named is not None:
        path = folder.at_home(named)
        found = _held(path) if path.is_dir() else path
        if found is None or not found.exists():
            raise CannotStart(f"there is no journal {'in ' if path.is_dir() else ''}{path}")
        return found
    here = _held(Path())
    if here is not None:
        return here
    below = [held for each in _folders() if (held := _held(each)) is not None]
    if len(below) == 1:
        return below[0]
    if below:
        listed = "\n".join(f"  {shlex.join(option(each))}" for each in below)
        raise CannotStart(f"there are {len(below)} journals here; name one:\n{listed}")
    raise CannotStart("there is no journal here: name the folder of a batch, --journal FOLDER")


def option(journal: Path) -> tuple[str, ...]:
    """Spell the option that makes ``find`` give *journal*, as words of a command."""
    if _held(journal.parent) != journal:
        return ("--journal", str(journal))
    return () if journal.parent == Path() else ("--journal", str(journal.parent))


def _in(named: str, own: str) -> Path:
    path = folder.at_home(named)
    return path / own if path.is_dir() or named.endswith(("/", os.sep)) else path


def _held(beside: Path) -> Path | None:
    return next((beside / name for name in (REAL, EMULATED) if (beside / name).is_file()), None)


def _folders() -> list[Path]:
    try:
        return sorted(each for each in Path().iterdir() if each.is_dir())
    except OSError:
        return []
