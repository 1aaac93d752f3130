"""``seedance jobs`` and what is done to the jobs of a journal: the commands' words and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from cyclopts import App, Parameter

from seedance_async.cli.commands import COMMANDS, ending
from seedance_async.cli.options import AsJson, Flag, HyphenFirst, Yes

Keys = Annotated[str, Parameter(name="KEY")]
#: Those of ``JobState``, whose import the help can do without.
State = Literal["planned", "submitting", "submitted", "completed", "failed", "unknown"]
States = Annotated[list[State] | None, Parameter(name="--state", negative="")]


def jobs(
    *keys: Keys,
    state: States = None,
    follow: Flag = False,
    journal: str | None = None,
    dsn: str | None = None,
    as_json: AsJson = False,
) -> int:
    """Show what the journal knows of jobs.

    Parameters
    ----------
    keys
        The jobs' keys, the ids of their tasks, or beginnings of either: all about each.
    state
        Only jobs in this state; may be repeated.
    follow
        Show a run in another process live, until it has ended or Ctrl-C.
    journal
        The journal, or its folder; if not given, the one here or in the only folder that has one.
    dsn
        The database of many machines, in the place of a journal; with neither option, SEEDANCE_DSN
        if that is set.
    as_json
        Print one JSON object a line.
    """
    import asyncio

    from seedance_async.cli import journals
    from seedance_async.cli.dsn import in_place_of
    from seedance_async.cli.following import follow as follow_run
    from seedance_async.cli.listing import Listing
    from seedance_async.cli.records import OfDatabase, OfJournal, Records
    from seedance_async.cli.terminal import Terminal
    from seedance_async.lifecycle import JobState

    shared = in_place_of(journal, dsn, follow=follow)
    if follow:
        return follow_run(journals.find(journal), keys, state or (), as_json=as_json)
    states = frozenset(map(JobState, state or ()))
    records: Records = OfJournal(journals.find(journal)) if shared is None else OfDatabase(shared)
    return asyncio.run(Listing(records, states, as_json, Terminal()).all(keys))


def settle(
    key: Annotated[str, HyphenFirst],
    /,
    *,
    task_id: str | None = None,
    asset_id: str | None = None,
    not_created: Flag = False,
    journal: str | None = None,
) -> int:
    """Say what became of an unknown job, or of the unknown registration of an asset.

    Parameters
    ----------
    key
        The job's key; that of a registration begins with asset:
    task_id
        The id of its task, as the provider's billing has it: it is waited for, not sent again.
    asset_id
        The id of the asset, for a registration.
    not_created
        There is none: it is sent again by the next run.
    journal
        The journal, or its folder; if not given, the one here or in the only folder that has one.
    """
    from seedance_async.cli.settle import settled

    return settled(
        key, task_id=task_id, asset_id=asset_id, not_created=not_created, journal=journal
    )


def retry(*keys: Keys, failed: Flag = False, journal: str | None = None) -> int:
    """Let failed jobs be made anew by the next run.

    Parameters
    ----------
    keys
        The jobs' keys, or the ids of their tasks.
    failed
        All jobs that failed.
    journal
        The journal, or its folder; if not given, the one here or in the only folder that has one.
    """
    import asyncio

    from seedance_async.cli import retrying

    return asyncio.run(retrying.retry(keys, failed=failed, journal=journal))


def forget(
    *keys: Keys,
    state: States = None,
    older_than: str | None = None,
    yes: Yes = False,
    journal: str | None = None,
) -> int:
    """Drop the records of jobs.

    Parameters
    ----------
    keys
        The jobs' keys, or the ids of their tasks.
    state
        All jobs in this state; may be repeated.
    older_than
        Jobs that have not changed for so long, such as 30d, 12h, 90m or 2w; without KEYs and
        --state only those that completed or failed.
    yes
        Do not ask.
    journal
        The journal, or its folder; if not given, the one here or in the only folder that has one.
    """
    import asyncio
    import datetime as dt

    from seedance_async.cli import forgetting
    from seedance_async.lifecycle import JobState

    age = forgetting.age(older_than)
    which = forgetting.Which(
        keys=keys,
        states=frozenset(map(JobState, state or ())),
        before=None if age is None else dt.datetime.now(dt.UTC) - age,
    )
    return asyncio.run(forgetting.forget(which, journal=journal, yes=yes))


def export(
    *,
    format_: Annotated[Literal["csv", "jsonl"] | None, Parameter(name="--format")] = None,
    out: str | None = None,
    journal: str | None = None,
) -> int:
    """Write all records as a table or as JSON lines.

    Parameters
    ----------
    format_
        If not given, jsonl for a file of that suffix, else csv.
    out
        The file, which is replaced; stdout if not given.
    journal
        The journal, or its folder; if not given, the one here or in the only folder that has one.
    """
    import asyncio

    from seedance_async.cli import exporting

    return asyncio.run(exporting.export(format_, out, journal))


# The help's first line where cyclopts would have it say ARGS.
_USAGE = {
    f"jobs {name}": f"Usage: seedance jobs {name} [KEY...] [OPTIONS]"
    for name in ("retry", "forget")
}

app: App = App(
    name="jobs",
    help=COMMANDS["jobs"],
    help_format="plaintext",
    usage="Usage: seedance jobs [KEY...] [OPTIONS]\n       seedance jobs COMMAND",
    help_epilogue=ending("jobs"),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
app.default(jobs)
_COMMANDS: tuple[Callable[..., int], ...] = (settle, retry, forget, export)
for _place, _command in enumerate(_COMMANDS):
    app.command(
        _command,
        help=COMMANDS[f"jobs {_command.__name__}"],
        sort_key=_place,
        usage=_USAGE.get(f"jobs {_command.__name__}"),
        help_epilogue=ending(f"jobs {_command.__name__}"),
    )
