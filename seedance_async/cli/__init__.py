"""The command line ``seedance``: parse, call, print. Decides nothing that the library decides.

Importing this package costs nothing; ``main`` brings in the extra ``cli`` (cyclopts, rich).
"""

from __future__ import annotations

import os
import sys

from seedance_async.cli import exits


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its code; see ``exits``."""
    _fill_streams()
    try:
        code = _run()
    except KeyboardInterrupt:  # before a command was under way: nothing is lost
        code = exits.INTERRUPTED
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output went away; the interpreter's own flush must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _fill_streams() -> None:
    """Put something in the place of streams that were closed, as by ``>&-``.

    The next file that is opened would become one of them, and get what is printed there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _run() -> int:
    try:
        from seedance_async.cli.app import run  # noqa: PLC0415 -- needs the extra
    except ModuleNotFoundError as missing:
        # cyclopts and rich, which are the extra; or else something is broken, and this mends it.
        hint = f"the command line needs {missing.name}: pip install 'seedance-async[cli]'"
        print(hint, file=sys.stderr)  # noqa: T201 -- rich is what is missing
        return exits.USAGE
    return run(sys.argv[1:])


__all__ = ["main"]
