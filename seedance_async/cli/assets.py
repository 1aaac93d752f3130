"""``seedance assets``: the provider's asset library; the commands' words and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from seedance_async.cli import exits
from seedance_async.cli.commands import COMMANDS, ending
from seedance_async.cli.options import AsJson, Flag, HyphenFirst, OnUnknown, Yes, check_timeout

#: Ids of assets, or what stands for them in a request.
AssetIds = Annotated[str, Parameter(name="ID")]
#: How long a review is waited for; as the library's own default.
REVIEW_S = 600.0


def register(
    what: Annotated[str, HyphenFirst],
    /,
    *,
    kind: Literal["image", "video", "audio"],
    name: str | None = None,
    wait: Flag = False,
    timeout: float = REVIEW_S,
    on_unknown: OnUnknown = "leave",
    journal: str | None = None,
    publish: str | None = None,
    as_json: AsJson = False,
) -> int:
    """Register a file or what is behind a URL.

    Parameters
    ----------
    what
        A public URL; or, with --publish, a local file.
    kind
        What it is.
    name
        What the provider is to call it.
    wait
        Wait until it has passed its review.
    timeout
        With --wait: seconds to wait at the most; the review goes on.
    on_unknown
        What to do where the answer to an earlier registration was lost: resubmit sends it again,
        and there may be two assets.
    journal
        The record of registrations, a file or a folder; here if not given.
    publish
        Where the provider can fetch a local file from: s3://bucket/prefix, or emulator for one at
        SEEDANCE_BASE_URL.
    as_json
        Print one JSON object.
    """
    import asyncio

    from seedance_async.cli import library
    from seedance_async.cli.service import Service

    wanted = library.Registration(
        what=what,
        kind=kind,
        name=name,
        on_unknown=on_unknown,
        wait_s=check_timeout(timeout) if wait else None,
        as_json=as_json,
    )
    return asyncio.run(library.register(wanted, Service.at_provider(publish), journal))


def get(*ids: AssetIds, as_json: AsJson = False) -> int:
    """Say how assets stand.

    Parameters
    ----------
    ids
        The assets' ids, or asset://ID.
    as_json
        Print one JSON object a line.
    """
    from seedance_async.cli import library

    return _each(ids, library.look, as_json)


def wait(*ids: AssetIds, timeout: float = REVIEW_S, as_json: AsJson = False) -> int:
    """Wait until assets may be used.

    Parameters
    ----------
    ids
        The assets' ids, or asset://ID.
    timeout
        Seconds to wait at the most; the reviews go on.
    as_json
        Print one JSON object a line.
    """
    from seedance_async.cli import library

    return _each(ids, library.waiting(check_timeout(timeout)), as_json)


def delete(*ids: AssetIds, yes: Yes = False) -> int:
    """Delete assets at the provider, for good.

    Parameters
    ----------
    ids
        The assets' ids, or asset://ID.
    yes
        Do not ask.
    """
    from seedance_async.cli import library
    from seedance_async.cli.terminal import Terminal

    terminal = Terminal()
    if ids and not library.may_delete(ids, terminal, yes=yes):
        return exits.SOME_FAILED
    return _each(ids, library.deletion(terminal), as_json=False)


def _each(ids: tuple[str, ...], ask: Any, as_json: bool) -> int:
    import asyncio

    from seedance_async.cli import library
    from seedance_async.cli.terminal import Terminal

    if not ids:
        raise exits.CannotStart("which assets? Give their ids")
    return asyncio.run(library.each(ids, ask, as_json=as_json, terminal=Terminal()))


app: App = App(
    name="assets",
    help=COMMANDS["assets"],
    help_format="plaintext",
    help_epilogue=ending("assets"),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
# The help's first line where cyclopts would have it say WHAT and ARGS.
_USAGE = {
    "register": "Usage: seedance assets register FILE_OR_URL --kind KIND [OPTIONS]",
    **{
        name: f"Usage: seedance assets {name} ID... [OPTIONS]" for name in ("get", "wait", "delete")
    },
}
_COMMANDS: tuple[Callable[..., int], ...] = (register, get, wait, delete)
for _place, _command in enumerate(_COMMANDS):
    app.command(
        _command,
        help=COMMANDS[f"assets {_command.__name__}"],
        sort_key=_place,
        usage=_USAGE[_command.__name__],
        help_epilogue=ending(f"assets {_command.__name__}"),
    )
