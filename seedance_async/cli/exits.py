"""The exit codes: what a script that calls ``seedance`` may rely on."""

from __future__ import annotations

import signal

OK = 0
SOME_FAILED = 1
USAGE = 2
REFUSED = 3
UNEXPECTED = 70  # as BSD's sysexits.h calls an internal software error
_BY_SIGNAL = 128  # what shells report of a program that a signal ended
INTERRUPTED = _BY_SIGNAL + signal.SIGINT

#: Shown at the end of ``--help``; at most 78 columns, so that nothing wraps.
TABLE = """\
Exit codes:
  0    all ended well: every video asked for is made and on disk
  1    something failed, ended unknown, still runs, or was skipped as invalid
  2    bad usage or invalid input; nothing was sent
  3    generate: the key was refused or the balance is too low; nothing paid
  70   a mistake in seedance itself; --debug shows where
  130  interrupted by Ctrl-C; what was paid for is on record (143: SIGTERM)"""

# What 0 and 1 say of each command that works on tasks.
_ENDS: dict[str, tuple[str, str | None]] = {
    "generate": ("the video is made and on disk", "it failed, or its end is unknown"),
    "batch": (
        "every video is made and on disk",
        "something failed, is unknown, or was skipped as invalid, now or before",
    ),
    "validate": ("every job is valid", None),
    "init": ("the file is written", None),
    "schema": ("the schema is printed", None),
    "report": ("the page is written", ""),
    "assets register": (
        "it is registered; with --wait: and may be used",
        "it was refused, did not pass its review, or its answer is lost",
    ),
    "assets get": ("every asset was found, and none has failed", "one has failed or is not there"),
    "assets wait": ("every asset may be used", "one did not pass, or its end was not seen"),
    "assets delete": ("every asset is deleted", "one could not be deleted"),
    "jobs": ("what was asked for is shown", "there is no such job"),
    "jobs settle": ("it is written down", "there is no such job, or it is not unknown"),
    "jobs retry": ("they are set aside", "one of them is not there or has not failed"),
    "jobs forget": ("they are forgotten", "one is not there, or is kept: it may be paid for"),
    "jobs export": ("all records are written", ""),
    "key set": ("it is in the keyring", ""),
    "key forget": ("it is gone", "it was not there"),
    "worker": ("it was ended by SIGTERM or Ctrl-C", "others took over its jobs: start it again"),
    "worker migrate": ("the tables are there", ""),
    "worker set-limit": ("what is in force is shown", "no worker was ever started for the account"),
    "worker adopt": ("it is written down", "there is no such job, or it is not unknown"),
    "worker resubmit": ("they are in line again", "one is not there, or is not to be made anew"),
    "worker cancel": ("it is written down", "there is no such job"),
    "worker prune": ("they are forgotten", "the database went away"),
    "worker metrics": ("they are printed", "the database went away"),
    "doctor": ("nothing stands in the way, as far as it can be seen", "there is a problem"),
    "completion": ("the script is printed", ""),
    "assets": ("all went well", "something was refused, has failed or is not there"),
    "key": ("it is done", "there was no key to forget"),
    "emulator": ("it was ended by Ctrl-C", ""),
    "status": ("every task is completed", "a task still runs, has failed, or is not known"),
    "wait": ("every task is completed", "a task has failed, or its end was not seen"),
    "download": ("every video is on disk", "a video is not on disk"),
}


def table(command: str) -> str:
    """Give the exit codes of one command, for the end of its help."""
    if command not in _ENDS:
        return ""
    well, badly = _ENDS[command]
    first, _, _, *others = TABLE.splitlines()
    if badly is None:  # it only reads or writes a file
        what = "bad usage, or the file is not valid" if command == "validate" else "bad usage"
        return "\n".join([first, f"  0    {well}", f"  2    {what}"])
    own = [line.replace(f"{command}: ", "") for line in others]
    apply = [line for line in own if "generate: " not in line]
    if command in ("emulator", "worker"):  # that is its usual end
        apply = [line for line in apply if "Ctrl-C" not in line]
    ends = [f"  0    {well}", *([f"  1    {badly}"] if badly else [])]
    return "\n".join([first, *ends, *apply])


def interrupted(signum: int) -> int:
    """Give the exit code of a program that signal *signum* stopped; 129 for a closed terminal."""
    return _BY_SIGNAL + signum


class CannotStart(Exception):
    """The command cannot do what it was asked for; nothing was sent. The text says why."""
