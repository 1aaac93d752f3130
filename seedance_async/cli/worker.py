"""``seedance worker`` and what is done to the jobs of many machines: words and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cyclopts import App, Parameter

from seedance_async.cli.commands import COMMANDS, ending
from seedance_async.cli.options import Flag, HyphenFirst, Repeated, Yes

Key = Annotated[str, HyphenFirst]
Keys = Annotated[str, Parameter(name="KEY")]


def worker(
    *,
    out: str,
    dsn: str | None = None,
    account: Repeated = None,
    max_in_flight: int | None = None,
    creates_per_minute: float | None = None,
    spool: str = "seedance-spool",
    no_migrate: Flag = False,
) -> int:
    """Do the jobs of accounts, together with any number of other workers.

    Parameters
    ----------
    out
        Where the videos go: a folder, or s3://bucket/prefix.
    dsn
        The database: postgresql://user@host/database, or sqlite:///path for this worker alone.
        SEEDANCE_DSN if not given, which is the place for a password: others can read a command
        line.
    account
        Whose jobs: the name of a profile, which has the key, the address and the limits; or any
        name, main if not given, for the account that other commands would use. May be repeated.
    max_in_flight
        How many jobs of an account may be at the provider at once, over all its workers; 20 if
        neither this nor the profile says.
    creates_per_minute
        How many creates the provider takes from an account in a minute; four fifths of them are
        used. Any number if not given.
    spool
        The folder for the ids of paid tasks: on this machine's own disk, and the same each time.
    no_migrate
        Do not make or update tables, where this role may not; see worker migrate.
    """
    import asyncio

    from seedance_async.cli import dsn as database
    from seedance_async.cli import folder, whose
    from seedance_async.cli.terminal import Terminal

    where = database.chosen(dsn)
    with database.told():
        from seedance_async.cli import working
    post = working.Post(
        dsn=where,
        accounts=whose.accounts(account or (), max_in_flight, creates_per_minute),
        out=out,
        spool=folder.at_home(spool).absolute(),
        migrate=not no_migrate,
    )
    return asyncio.run(working.work(post, Terminal()))


def migrate(*, dsn: str | None = None, role: str | None = None) -> int:
    """Make or update the tables of a database.

    Parameters
    ----------
    dsn
        The database, as a role that may make tables; SEEDANCE_DSN if not given.
    role
        The role that workers and clients connect as: it is granted what they need, and no more.
    """
    import asyncio

    from seedance_async.cli import overseeing

    return asyncio.run(overseeing.migrate(dsn, role))


def set_limit(
    account: Annotated[str, HyphenFirst],
    /,
    *,
    max_in_flight: int | None = None,
    creates_per_minute: float | None = None,
    dsn: str | None = None,
) -> int:
    """Change what an account may do over all its workers, while they run.

    Parameters
    ----------
    account
        The account.
    max_in_flight
        How many jobs may be at the provider at once.
    creates_per_minute
        How many creates the provider takes in a minute; four fifths of them are used.
    dsn
        The database; SEEDANCE_DSN if not given.
    """
    import asyncio

    from seedance_async.cli import overseeing

    return asyncio.run(overseeing.set_limit(account, max_in_flight, creates_per_minute, dsn))


def adopt(key: Key, task_id: Annotated[str, HyphenFirst], /, *, dsn: str | None = None) -> int:
    """Say which task an unknown job has.

    Parameters
    ----------
    key
        The job's key.
    task_id
        The id of its task, as the provider's billing has it.
    dsn
        The database; SEEDANCE_DSN if not given.
    """
    import asyncio

    from seedance_async.cli import overseeing

    return asyncio.run(overseeing.adopt(key, task_id, dsn))


def resubmit(*keys: Keys, reason: str, yes: Yes = False, dsn: str | None = None) -> int:
    """Make jobs anew that failed or are unknown.

    Parameters
    ----------
    keys
        The jobs' keys.
    reason
        Why nothing was made, or why it may be paid for again; it stands in the jobs' history.
    yes
        Do not ask.
    dsn
        The database; SEEDANCE_DSN if not given.
    """
    import asyncio

    from seedance_async.cli import overseeing

    return asyncio.run(overseeing.resubmit(keys, reason, yes=yes, where=dsn))


def cancel(key: Key, /, *, force: Flag = False, dsn: str | None = None) -> int:
    """Have no more done about a job than has to be.

    Parameters
    ----------
    key
        The job's key.
    force
        Free the place of one that was sent at once, though the provider still counts it.
    dsn
        The database; SEEDANCE_DSN if not given.
    """
    import asyncio

    from seedance_async.cli import overseeing

    return asyncio.run(overseeing.cancel(key, force=force, where=dsn))


def prune(*, older_than: str, dsn: str | None = None) -> int:
    """Forget jobs that ended long ago.

    Parameters
    ----------
    older_than
        How long ago at the least, such as 30d, 12h, 90m or 2w.
    dsn
        The database; SEEDANCE_DSN if not given.
    """
    import asyncio

    from seedance_async.cli import overseeing

    return asyncio.run(overseeing.prune(older_than, dsn))


def metrics(*, dsn: str | None = None) -> int:
    """Print how many jobs and workers there are, for Prometheus.

    Parameters
    ----------
    dsn
        The database; SEEDANCE_DSN if not given.
    """
    import asyncio

    from seedance_async.cli import overseeing

    return asyncio.run(overseeing.metrics(dsn))


app: App = App(
    name="worker",
    help=COMMANDS["worker"],
    help_format="plaintext",
    usage="Usage: seedance worker --out WHERE [OPTIONS]\n       seedance worker COMMAND",
    help_epilogue=ending("worker"),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
app.default(worker)
# The help's first line where cyclopts would have it say ARGS.
_USAGE = {"resubmit": "Usage: seedance worker resubmit KEY... --reason REASON [OPTIONS]"}
_COMMANDS: dict[str, Callable[..., int]] = {
    "migrate": migrate,
    "set-limit": set_limit,
    "adopt": adopt,
    "resubmit": resubmit,
    "cancel": cancel,
    "prune": prune,
    "metrics": metrics,
}
for _place, (_name, _command) in enumerate(_COMMANDS.items()):
    app.command(
        _command,
        name=_name,
        help=COMMANDS[f"worker {_name}"],
        sort_key=_place,
        usage=_USAGE.get(_name),
        help_epilogue=ending(f"worker {_name}"),
    )
