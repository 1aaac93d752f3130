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
from seedance_async.journal import rows

REAL = "seedance.sqlite"
EMULATED = "emulated.sqlite"
_SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db"})
_HEAD_BYTES = 100


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


def check_unmixed(out: Path, *, emulated: bool) -> str | None:
    """Keep a folder's videos either real or emulated, unless it holds both already.

    Returns:
        What to say where it does; there, going on is what costs nothing.

    Raises:
        CannotStart: *out* holds the journal of the other kind alone.
    """
    own, other = (EMULATED, REAL) if emulated else (REAL, EMULATED)
    if not (out / other).exists():
        return None
    if (out / own).exists():
        what = "real videos" if emulated else "test pictures of --emulate"
        return f"{what} are in {out} as well ({other})"
    if emulated:
        raise CannotStart(
            f"{out} holds real videos ({REAL}): choose another --out for test pictures"
        )
    raise CannotStart(
        f"{out} holds test pictures of --emulate ({EMULATED}), and real videos must not be "
        f"mixed with them: choose another --out, or delete the pictures and {EMULATED}"
    )


def check_whole(named: str | None, journal: Path, out: Path) -> None:
    """Keep a folder's own journal from being left out.

    Args:
        named: What ``--journal`` said.
        journal: The file that it means.
        out: The folder of the command's output.

    Raises:
        CannotStart: *out* has another journal of that kind.
    """
    own = out / (EMULATED if journal.name == EMULATED else REAL)
    if named is None or not own.exists() or own.resolve() == journal.resolve():
        return
    raise CannotStart(
        f"{out} has a journal of its own, which --journal {named} leaves out: what it has made "
        "would be paid for again; leave --journal away, or choose another --out"
    )


def find(named: str | None) -> Path:
    """Give the journal to look into: the one named, one here, or the only one a folder below.

    Raises:
        CannotStart: There is none, or more than one.
    """
    if named is not None:
        path = folder.at_home(named)
        if path.is_dir() and (held := _held(path)):
            return _only(held)
        if path.is_dir() or not path.exists():
            raise CannotStart(f"there is no journal {'in ' if path.is_dir() else ''}{path}")
        return path
    if here := _held(Path()):
        return _only(here)
    if below := [journal for each in _folders() for journal in _held(each)]:
        return _only(below)
    raise CannotStart("there is no journal here: name the folder of a batch, --journal FOLDER")


def option(journal: Path) -> tuple[str, ...]:
    """Spell the option that makes ``find`` give *journal*, as words of a command."""
    journal = near(journal)
    if _held(journal.parent) != [journal]:
        return ("--journal", str(journal))
    return () if journal.parent == Path() else ("--journal", str(journal.parent))


def near(path: Path) -> Path:
    """Spell *path* as seen from here, if it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _in(named: str, own: str) -> Path:
    path = folder.at_home(named)
    # ``--journal NAME`` with nothing of that name: a file of ours would have a suffix.
    is_new_folder = not path.suffix and not path.exists()
    is_folder = path.is_dir() or named.endswith(("/", os.sep)) or is_new_folder
    return path / own if is_folder else path


def _only(journals: list[Path]) -> Path:
    if len(journals) == 1:
        return journals[0]
    listed = "\n".join(f"  {shlex.join(option(each))}" for each in journals)
    raise CannotStart(f"there are {len(journals)} journals here; name one:\n{listed}")


def _held(beside: Path) -> list[Path]:
    """Give the journal of a folder: the one of the usual name, or else all that are ours."""
    for name in (REAL, EMULATED):
        if (beside / name).is_file():
            return [beside / name]
    try:
        files = sorted(each for each in beside.iterdir() if each.suffix in _SUFFIXES)
    except OSError:
        return []
    return [each for each in files if _is_ours(each)]


def _is_ours(file: Path) -> bool:
    """Look into a database's first bytes; SQLite itself would be slow to import."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:
        return False
    if not head.startswith(b"SQLite format 3\0"):
        return False
    # After a crash the mark may still be in the log beside the file.
    is_marked = head[68:72] == rows.OURS.to_bytes(4, "big")  # Source: SQLite's file format, 1.3
    return is_marked or file.with_name(f"{file.name}-wal").exists()


def _folders() -> list[Path]:
    try:
        return sorted(each for each in Path().iterdir() if each.is_dir())
    except OSError:
        return []
