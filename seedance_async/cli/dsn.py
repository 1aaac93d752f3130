"""The database of many machines, as commands reach it: ``--dsn``, or SEEDANCE_DSN.

An address may have a password in it, which is in no message of ours.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from seedance_async.cli import debugging
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import JournalError

if TYPE_CHECKING:
    from seedance_async.distributed import DistributedClient
    from seedance_async.distributed.database import Database

VARIABLE = "SEEDANCE_DSN"


def chosen(given: str | None) -> str:
    """Give the address that ``--dsn`` says, or else the environment.

    Raises:
        CannotStart: Neither does.
    """
    dsn = given or os.environ.get(VARIABLE, "").strip()
    if not dsn:
        raise CannotStart(
            f"which database? Set {VARIABLE}, or say --dsn postgresql://user@host/database"
        )
    secrets = [secret for secret in _secrets(dsn) if secret]
    for secret in secrets:
        debugging.hide(secret)
    if given and secrets:
        Terminal().say(
            f"warning: others on this machine can read the password in --dsn: set {VARIABLE}",
            style="yellow",
        )
    return dsn


def in_place_of(journal: str | None, given: str | None, *, follow: bool) -> str | None:
    """Give the address that jobs are read from in the place of a journal; None for a journal.

    Raises:
        CannotStart: Both were named, or a journal's run is to be followed.
    """
    if given is None:
        is_set = bool(os.environ.get(VARIABLE, "").strip()) and journal is None and not follow
        return chosen(None) if is_set else None
    if journal is not None:
        raise CannotStart("--dsn or --journal: the jobs of many machines are in no journal")
    if follow:
        raise CannotStart("--follow shows a run that writes a journal; leave --dsn away")
    return chosen(given)


def _secrets(dsn: str) -> Iterator[str]:
    try:
        parts = urlsplit(dsn)
        asked = dict(parse_qsl(parts.query))
    except ValueError:  # it is no address, and is told so
        return
    for secret in (parts.password, asked.get("password"), asked.get("sslpassword")):
        yield secret or ""
        yield unquote(secret or "")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tell in one line what keeps the block from the database.

    Raises:
        CannotStart: The extra is not installed, it is no address, or the database cannot be had.
    """
    try:
        yield
    except JournalError as error:
        debugging.note(error)
        raise CannotStart(spelled(error)) from error
    except (ImportError, ValueError) as error:
        raise CannotStart(debugging.clean(str(error))) from error
    except Exception as error:
        # What the engine meets when it makes or reads its tables.
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 -- an extra

        if not isinstance(error, SQLAlchemyError):
            raise
        debugging.note(error)
        words = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise CannotStart(f"the database does not take it: {debugging.clean(words)}") from error


def spelled(error: JournalError) -> str:
    """Spell what a database said, with its address as a person gives it."""
    return debugging.clean(error.message).replace("postgresql+psycopg:", "postgresql:")


def database(dsn: str) -> Database:
    """Give the database of an address; asks nobody.

    Raises:
        CannotStart: The extra is not installed, or it is no address.
    """
    with told():
        import seedance_async.distributed  # noqa: F401, PLC0415 -- says which extra is missing
        from seedance_async.distributed.database import Database  # noqa: PLC0415 -- an extra

        return Database(dsn)


def existing(dsn: str) -> Database:
    """Give the database of an address that is to be there; asks nobody.

    Raises:
        CannotStart: The extra is not installed, it is no address, or there is no such file.
    """
    found = database(dsn)
    if found.is_sqlite and not Path(found.url.database or "").is_file():
        found.close()
        raise CannotStart(f"there is no {found.url.database}: the first worker makes it")
    return found


def shown(dsn: str) -> str:
    """Spell an address without its password.

    Raises:
        CannotStart: The extra is not installed, or it is no address.
    """
    named = database(dsn)
    named.close()
    url = named.url.set(drivername=named.url.get_backend_name())
    return debugging.clean(url.render_as_string(hide_password=True))


@contextlib.asynccontextmanager
async def client(dsn: str) -> AsyncIterator[DistributedClient]:
    """Open a client of the database.

    Raises:
        CannotStart: The database cannot be reached, or has no tables of ours.
    """
    existing(dsn).close()
    async with contextlib.AsyncExitStack() as stack:
        with told():
            from seedance_async.distributed import DistributedClient  # noqa: PLC0415 -- an extra

            opened = await stack.enter_async_context(DistributedClient(dsn))
        yield opened
