"""The exit codes: what a script that calls ``seedance`` may rely on."""

from __future__ import annotations

import signal

OK = 0
SOME_FAILED = 1
USAGE = 2
REFUSED = 3
_BY_SIGNAL = 128  # what shells report of a program that a signal ended
INTERRUPTED = _BY_SIGNAL + signal.SIGINT

#: Shown at the end of ``--help``; at most 76 columns, so that nothing wraps.
TABLE = """\
Exit codes:
  0    every video asked for is made and on disk
  1    something failed, ended unknown, or was skipped as invalid
  2    bad usage or invalid input; nothing was sent
  3    generate: the key was refused or the balance is too low; nothing paid
  130  interrupted by Ctrl-C; what was paid for is on record (143: SIGTERM)"""


def interrupted(signum: int) -> int:
    """Give the exit code of a program that signal *signum* stopped; 129 for a closed terminal."""
    return _BY_SIGNAL + signum


class CannotStart(Exception):
    """The command cannot do what it was asked for; nothing was sent. The text says why."""
