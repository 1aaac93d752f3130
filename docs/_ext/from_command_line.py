"""Directives that print what the command line says of itself, so that no page can fall behind it.

``commands``: every command with its synopsis, options, examples and exit codes. ``environment``
and ``files``: what is read and written. Makes the man page, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_origin

from cyclopts import App
from from_source import Printed
from sphinx.application import Sphinx

from seedance_async.cli.app import make_app
from seedance_async.cli.commands import COMMANDS, ENVIRONMENT, EXAMPLES, FILES
from seedance_async.cli.exits import table as exit_codes

# Words that are names: options, variables, files, and what is written in capitals for a value.
_NAMES = re.compile(
    r"(?<![\w`/.-])(--?[a-z][\w-]*|SEEDANCE_\w+|AWS_\w+|[\w./~-]+\.(?:sqlite|jsonl|csv|toml))"
)


class Commands(Printed):
    def lines(self) -> Iterator[str]:
        whole = make_app()
        for name in COMMANDS:
            yield from about(name, found(whole, name))
        yield "## Options of every command\n"
        yield "Before the command's name or behind it.\n"
        yield from options(whole.meta)


def found(app: App, name: str) -> App:
    for word in name.split():
        app = app[word]
    return app


def about(name: str, app: App) -> Iterator[str]:
    yield f"{'##' if ' ' not in name else '###'} seedance {name}\n"
    yield "```text"
    yield usage(name, app)
    yield "```\n"
    for paragraph in COMMANDS[name].split("\n\n"):
        yield f"{marked(paragraph)}\n"
    if app.default_command is not None:
        yield from options(app)
    yield "**Examples**\n"
    yield "```sh"
    yield from EXAMPLES[name]
    yield "```\n"
    if codes := exit_codes(name):
        yield "**Exit codes**\n"
        pairs = (line.split(maxsplit=1) for line in codes.splitlines()[1:])
        yield from described((f"`{code}`", marked(says)) for code, says in pairs)


def described(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Give a list of terms, which a man page shows as it shows options."""
    for term, meaning in pairs:
        yield f"{term}\n: {meaning}\n"


def usage(name: str, app: App) -> str:
    if app.usage:
        return "\n".join(line.strip() for line in app.usage.replace("Usage: ", "").splitlines())
    if app.default_command is None:
        return f"seedance {name} COMMAND"
    words = (argument.names[0] for argument in arguments(app) if argument.index is not None)
    return " ".join([f"seedance {name}", *words, "[OPTIONS]"])


def options(app: App) -> Iterator[str]:
    yield from described((spelled(one), meaning(one)) for one in arguments(app))


def arguments(app: App) -> list[Any]:
    return [one for one in app.assemble_argument_collection(parse_docstring=True) if one.show]


def spelled(argument: Any) -> str:
    value = "" if argument.index is not None else value_of(argument)
    return ", ".join(f"`{name}{value}`" for name in argument.names)


def value_of(argument: Any) -> str:
    if argument.hint is bool:
        return ""
    if argument.get_choices():
        return f" {'|'.join(argument.get_choices())}"
    kinds = {int: "N", float: "N"}
    of = next((short for kind, short in kinds.items() if kind.__name__ in str(argument.hint)), None)
    if of:
        return f" {of}"
    return f" {argument.names[0].strip('-').replace('-', '_').upper()}"


def meaning(argument: Any) -> str:
    says = marked(" ".join((argument.parameter.help or "").split()))
    default = argument.field_info.default
    is_shown = argument.parameter.show_default is not False and default not in (None, False)
    if argument.required and argument.index is None:
        return f"{says} Needed."
    if is_shown and isinstance(default, int | float | str):
        value = "yes" if default is True else default
        value = f"{value:g}" if isinstance(value, float) else value
        return f"{says} Default: `{value}`."
    is_list = get_origin(argument.hint) is list
    return f"{says} May be repeated." if is_list and "may be" not in says.lower() else says


def marked(text: str) -> str:
    """Set names as code; nothing else in the words may be read as Markdown."""
    plain = re.sub(r"([*_<>\[\]|`])", r"\\\1", text)
    return _NAMES.sub(lambda name: f"`{name[0].replace(chr(92), '')}`", plain)


class Environment(Printed):
    def lines(self) -> Iterator[str]:
        rows = ((f"`{name}`", marked(says)) for name, says in ENVIRONMENT.items())
        yield from described(rows)


class Files(Printed):
    def lines(self) -> Iterator[str]:
        rows = ((f"`{name}`", marked(says)) for name, says in FILES.items())
        yield from described(rows)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("commands", Commands)
    app.add_directive("environment", Environment)
    app.add_directive("files", Files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
