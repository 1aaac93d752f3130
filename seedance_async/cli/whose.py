"""Whose jobs a worker does: accounts by name, each with the key and the address of one place.

The name is that of a profile, or else the account is the one that every other command would use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seedance_async.cli import config, debugging, keys
from seedance_async.cli.config import Profile
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.options import check_max_in_flight, check_rate
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import AuthenticationError
from seedance_async.wire import DEFAULT_BASE_URL

if TYPE_CHECKING:
    from seedance_async.distributed import Account

DEFAULT = "main"


def accounts(
    names: Sequence[str], max_in_flight: int | None, creates_per_minute: float | None
) -> list[Account]:
    """Give the accounts of these names; none is the one called ``main``.

    Args:
        names: What ``--account`` said.
        max_in_flight: How many jobs of each may be at the provider; None is what its profile says.
        creates_per_minute: How many creates a minute each takes; likewise.

    Raises:
        CannotStart: It is not clear whose key is meant, there is none, or a limit can be none.
    """
    check_max_in_flight(max_in_flight)
    check_rate(creates_per_minute)
    chosen = list(dict.fromkeys(names)) or [DEFAULT]
    profiles = {name: _profile(name, is_told=bool(names)) for name in chosen}
    others = [name for name, profile in profiles.items() if profile is None]
    if len(others) > 1:
        raise CannotStart(
            f"accounts {' and '.join(others)} would have one key: give each a profile of its name "
            f"in {config.place()}"
        )
    return [
        _account(name, profile, max_in_flight, creates_per_minute)
        for name, profile in profiles.items()
    ]


def _profile(name: str, *, is_told: bool) -> Profile | None:
    """Give the profile of an account's name, if there is one and nothing else is said."""
    known = config.read()
    if name not in known.profiles:
        return None
    told = config.profile()
    if told.is_told and told.name != name:
        raise CannotStart(
            f"which key has account {name}? There is a profile of that name, and --profile says "
            f"{told.name}: leave --profile away, or say --account {told.name}"
        )
    given = [variable for variable in (config.KEY, config.BASE_URL) if os.environ.get(variable)]
    if given and not is_told and not told.is_told:
        raise CannotStart(
            f"which key has account {name}? There is a profile of that name, and {given[0]} is "
            f"set as well: say --account {name} for the profile's, or unset it"
        )
    return known.profile(name, is_told=True)


def _account(
    name: str,
    profile: Profile | None,
    max_in_flight: int | None,
    creates_per_minute: float | None,
) -> Account:
    from seedance_async.distributed import Account  # noqa: PLC0415 -- an extra

    if profile is None:
        source, own = keys.source(), config.profile()
    else:
        source, own = keys.Source(profile=profile, base_url=profile.base_url), profile
    key = source.key()
    for warning in source.warnings():
        Terminal().say(f"warning: {warning}", style="yellow")
    most = max_in_flight or own.max_in_flight
    limits = {} if most is None else {"max_in_flight": most}
    try:
        return Account(
            name,
            api_key=key,
            base_url=source.base_url or DEFAULT_BASE_URL,
            creates_per_minute=creates_per_minute or own.creates_per_minute,
            **limits,
        )
    except AuthenticationError as error:
        wrong = error.message.partition(" or pass")[0]
        raise CannotStart(f"{wrong}: look at {source.words}") from error
    except ValueError as error:
        raise CannotStart(debugging.clean(str(error))) from error
