"""The commands and their help, as one table; each command is a module of its own.

A command's module is imported when the command runs, so that ``--help`` stays quick: none of
them may be imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from cyclopts import App, CycloptsError, UnusedCliTokensError

from seedance_async import __version__
from seedance_async.cli import exits
from seedance_async.cli.terminal import Terminal

# In the order in which the help lists them; there it shows the first line of each. It stands here
# and not in the commands' docstrings because reading those means importing the commands.
_COMMANDS = {
    "generate": """\
Make one video and bring it to disk.

The task's id is printed on stderr as soon as it is known, and the file's name on stdout at the \
end. Images, videos and sounds are given as public URLs or as asset://ID.""",
    "batch": """\
Make a video for each line of a file.

JOBS is JSONL, one request an object a line, or a .csv table with the same fields as columns. \
Both take the API's field names or Python's, and a name, a key, metadata and waive besides. In a \
table, an empty cell is a field not given, and lists are separated by white space or |.

The whole file is checked before anything is sent. Videos go to the folder --out, each under its \
place in the file and its name; results.jsonl beside them says how every job ended. The files' \
names are printed on stdout as they are finished, unless that is the terminal.""",
    "status": """\
Say how tasks stand.

Prints a line for each task: its id, its status, and for a failed one the reason.""",
    "wait": """\
Wait until tasks have ended.

Prints a line for each task, in the order in which they were given: its id, how it ended, and why \
if it failed.""",
    "download": """\
Bring the videos of tasks to disk.

For tasks of a run that was stopped, gave up waiting, or could not write. Waits for those that \
still run; makes nothing and costs nothing. Each file is named for its task, and one that is there \
is left as it is; only a file that --out names is replaced. The files' names are printed on stdout.

The provider keeps a video for 24 hours.""",
    "emulator": """\
Run the API on this machine: no key, no money, test pictures.

It checks the key and every rule, walks tasks through their states, and hands out real MP4 files. \
Ctrl-C ends it, with exit code 0.""",
}

_ABOUT = """\
Make videos with Seedance 2.0, paying for each of them once.

The key is read from SEEDANCE_API_KEY, the service's address from SEEDANCE_BASE_URL if it is \
set. Try everything with --emulate first: it needs no key and costs nothing."""


# The help's first line where cyclopts would have it say ARGS.
_USAGE = {
    name: f"Usage: seedance {name} [ID...] [--from RESULTS] [OPTIONS]"
    for name in ("status", "wait", "download")
}


def make_app() -> App:
    """Give the whole command line; imports no command."""
    app = App(
        name="seedance",
        help=_ABOUT,
        version=__version__,
        help_format="plaintext",
        help_epilogue=exits.TABLE,
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
    )
    for place, (name, words) in enumerate(_COMMANDS.items()):
        path = f"seedance_async.cli.{name}:{name}"
        app.command(
            path,
            name=name,
            help=words,
            sort_key=place,
            usage=_USAGE.get(name),
            help_epilogue=exits.table(name),
        )
    return app


def run(words: Sequence[str]) -> int:
    """Run the command that *words* name and give its exit code."""
    try:
        return cast("int | None", make_app()(words)) or exits.OK
    except CycloptsError as error:
        chain = " ".join(["seedance", *(error.command_chain or ())])
        Terminal().say(f"{_explained(error)}\nSee: {chain} --help", style="red")
    except exits.CannotStart as error:
        Terminal().say(str(error), style="red")
    return exits.USAGE


def _explained(error: CycloptsError) -> str:
    first = (error.unused_tokens or ["-"])[0]
    if isinstance(error, UnusedCliTokensError) and not first.startswith("-"):
        named = " ".join(error.unused_tokens or ())
        if "generate" in (error.command_chain or ()):
            return f'unexpected: {named}. Put the whole prompt in quotes: "A cat dancing"'
        return f"unexpected: {named}. A name with spaces in it needs quotes"
    return str(error)
