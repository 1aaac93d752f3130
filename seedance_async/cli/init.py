"""``seedance init``: a file of jobs to begin with, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from seedance_async.cli.exits import OK, CannotStart
from seedance_async.cli.terminal import Terminal


def init(file: Path = Path("jobs.yaml"), /) -> int:
    """Write an example of a file of jobs.

    Parameters
    ----------
    file
        Where to; its ending tells the format: .yaml, .toml, .json, .jsonl, .csv or .txt.
    """
    from seedance_async.cli import folder, starters

    path = folder.at_home(file)
    starter = starters.of(path.suffix.lower())
    if starter is None:
        known = ", ".join(starters.SUFFIXES)
        raise CannotStart(f"{file}: an example has one of these endings: {known}")
    try:
        with path.open("x", encoding="utf-8", newline="\n") as opened:
            opened.write(starter.text)
    except FileExistsError as error:
        raise CannotStart(f"{file} is there already, and is left as it is") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(f"{file}: cannot be written: {reason}") from error
    _tell(Terminal(), str(file), starter.options)
    return OK


def _tell(terminal: Terminal, file: str, options: tuple[str, ...]) -> None:
    terminal.give(file)
    jobs = (_argument(file), *options)
    validate = shlex.join(["seedance", "validate", *jobs])
    batch = shlex.join(["seedance", "batch", *jobs, "--out"])
    terminal.say("Write your own jobs into it, then:")
    terminal.say(f"  {validate}   # costs nothing")
    # A folder of its own: test pictures and videos are never mixed.
    terminal.say(f"  {batch} rehearsal --emulate   # no key, no money, test pictures")
    terminal.say(f"  {batch} videos   # the real thing")


def _argument(file: str) -> str:
    """Spell a path so that it is not read as an option."""
    return f"./{file}" if file.startswith("-") else file
