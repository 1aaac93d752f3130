"""The commands and their help, as one table; each command is a module of its own.

A command's module is imported when the command runs, so that ``--help`` stays quick: none of
them may be imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from cyclopts import App, CycloptsError, Group, Parameter, UnknownOptionError, UnusedCliTokensError

from seedance_async import __version__
from seedance_async.cli import config, debugging, exits, invoked
from seedance_async.cli.commands import COMMANDS, ending
from seedance_async.cli.options import Flag
from seedance_async.cli.terminal import Terminal

_ABOUT = """\
Make videos with Seedance 2.0, paying for each of them once.

The key is read from SEEDANCE_API_KEY, the service's address from SEEDANCE_BASE_URL if it is \
set; or both come from a profile of the config file, --profile NAME. Try everything with \
--emulate first: it needs no key and costs nothing."""


# The help's first line where cyclopts would have it say ARGS.
_USAGE = {
    name: f"Usage: seedance {name} [ID...] [--from RESULTS] [OPTIONS]"
    for name in ("status", "wait", "download")
}


_WITH_COMMANDS = frozenset({"assets", "jobs", "key", "worker"})
_EVERYWHERE = Group("Options of every command", sort_key=1_000)
# Before the command's name or behind it; the words that are left are the command's own.
_Words = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]
_Profile = Annotated[str | None, Parameter(group=_EVERYWHERE)]
_Debug = Annotated[Flag, Parameter(group=_EVERYWHERE)]


def make_app() -> App:
    """Give the whole command line, to be called as ``.meta``; imports no command."""
    app = App(
        name="seedance",
        help=_ABOUT,
        version=__version__,
        help_format="plaintext",
        help_epilogue=ending(""),
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
    )
    for place, (name, words) in enumerate(COMMANDS.items()):
        if name in _WITH_COMMANDS:
            app.command(f"seedance_async.cli.{name}:app", name=name, help=words, sort_key=place)
        elif " " not in name:
            app.command(
                f"seedance_async.cli.{name}:{name}",
                name=name,
                help=words,
                sort_key=place,
                usage=_USAGE.get(name),
                help_epilogue=ending(name),
            )

    @app.meta.default
    def with_options(*words: _Words, profile: _Profile = None, debug: _Debug = False) -> Any:
        """Take the options of every command.

        Parameters
        ----------
        profile
            The account of this name in the config file, whatever the environment says.
        debug
            Show on stderr what is logged, and errors with their tracebacks; never a key.
        """
        if debug:
            debugging.turn_on()
        config.choose(profile)
        return app(words)

    return app


def run(words: Sequence[str]) -> int:
    """Run the command that *words* name and give its exit code."""
    invoked.WORDS.set(tuple(words))
    with debugging.logged():
        return _run(words)


def _run(words: Sequence[str]) -> int:
    try:
        return cast("int | None", make_app().meta(words)) or exits.OK
    except CycloptsError as error:
        debugging.note(error)
        chain = " ".join(["seedance", *(error.command_chain or ())])
        Terminal().say(f"{_explained(error)}\nSee: {chain} --help", style="red")
    except exits.CannotStart as error:
        debugging.note(error)
        Terminal().say(str(error), style="red")
    except Exception as error:  # noqa: BLE001 -- nobody who makes a video should read a traceback
        Terminal().say(debugging.unexpected(error), style="red")
        return exits.UNEXPECTED
    return exits.USAGE


def _explained(error: CycloptsError) -> str:
    first = (error.unused_tokens or ["-"])[0]
    if isinstance(error, UnusedCliTokensError) and not first.startswith("-"):
        named = " ".join(error.unused_tokens or ())
        if "generate" in (error.command_chain or ()):
            return f'unexpected: {named}. Put the whole prompt in quotes: "A cat dancing"'
        return f"unexpected: {named}. A name with spaces in it needs quotes"
    chain = error.command_chain or ()
    if isinstance(error, UnknownOptionError) and "jobs" in chain and "--dsn" in str(error):
        return (
            f"{' '.join(chain)} is for a journal. For a database there are: seedance worker COMMAND"
        )
    return str(error)
