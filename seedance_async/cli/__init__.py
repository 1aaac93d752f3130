"""The command line ``seedance``: parse, call, print. Decides nothing that the library decides.

Importing this package costs nothing; ``main`` brings in the extra ``cli`` (cyclopts, rich).
"""

from __future__ import annotations

import os
import sys

from seedance_async.cli import exits


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its code; see ``exits``."""
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
