"""``seedance key``: a profile's key, into the operating system's keyring and out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cyclopts import App

from seedance_async.cli import exits
from seedance_async.cli.commands import COMMANDS, ending

if TYPE_CHECKING:
    from seedance_async.cli.config import Profile


def set_() -> int:
    """Put a profile's key into the keyring."""
    import getpass
    import sys

    from seedance_async.account import Account
    from seedance_async.cli import keys
    from seedance_async.cli.terminal import Terminal
    from seedance_async.errors import AuthenticationError

    profile = _with_keyring()
    try:
        if sys.stdin.isatty():
            given = getpass.getpass(f"The API key of profile {profile.name} (not shown): ")
        else:
            given = sys.stdin.readline()
    except EOFError:
        given = ""
    try:
        key = Account.of(given.strip() or " ", profile.base_url).api_key
    except AuthenticationError as error:
        wrong = error.message.partition(":")[0]
        raise exits.CannotStart(f"{wrong}; nothing was stored") from None
    keys.to_keyring(profile, key)
    Terminal().say(f"the key of profile {profile.name} is in the keyring")
    return exits.OK


def forget() -> int:
    """Take a profile's key out of the keyring."""
    from seedance_async.cli import keys
    from seedance_async.cli.terminal import Terminal

    profile = _with_keyring()
    was_there = keys.out_of_keyring(profile)
    what = "is gone from the keyring" if was_there else "was not in the keyring"
    Terminal().say(f"the key of profile {profile.name} {what}")
    return exits.OK if was_there else exits.SOME_FAILED


def _with_keyring() -> Profile:
    """Give the profile in force, which has to have its key in the keyring."""
    from seedance_async.cli import config

    profile = config.profile()
    if profile.name is None:
        raise exits.CannotStart(
            f"which profile? Write one into {profile.file}:\n"
            "  [profiles.work]\n  keyring = true\nand say --profile work"
        )
    if profile.keyring is None:
        raise exits.CannotStart(
            f"profile {profile.name} does not take its key from the keyring: write "
            f"keyring = true into [profiles.{profile.name}] of {profile.file}"
        )
    return profile


app: App = App(
    name="key",
    help=COMMANDS["key"],
    help_format="plaintext",
    help_epilogue=ending("key"),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
_COMMANDS: dict[str, Callable[[], int]] = {"set": set_, "forget": forget}
for _name, _command in _COMMANDS.items():
    app.command(
        _command,
        name=_name,
        help=COMMANDS[f"key {_name}"],
        help_epilogue=ending(f"key {_name}"),
    )
