"""``seedance jobs`` and what is done to the jobs of a journal: the commands' words and options."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from seedance_async.cli import exits
from seedance_async.cli.commands import COMMANDS
from seedance_async.cli.options import AsJson, Flag, HyphenFirst

Keys = Annotated[str, Parameter(name="KEY")]
#: Those of ``JobState``, whose import the help can do without.
State = Literal["planned", "submitting", "submitted", "completed", "failed", "unknown"]
States = Annotated[list[State] | None, Parameter(name="--state", negative="")]


def jobs(
    *keys: Keys, state: States = None, journal: str | None = None, as_json: AsJson = False
) -> int:
    """Show what the journal knows of jobs.

    Parameters
    ----------
    keys
        The jobs' keys, the ids of their tasks, or beginnings of either: all about each.
    state
        Only jobs in this state; may be repeated.
    journal
        The journal, or its folder; if not given, the one here or in the only folder that has one.
    as_json
        Print one JSON object a line.
    """
    import asyncio

    from seedance_async.cli import journals
    from seedance_async.cli.listing import Listing
    from seedance_async.cli.terminal import Terminal
    from seedance_async.lifecycle import JobState

    states = frozenset(map(JobState, state or ()))
    return asyncio.run(Listing(journals.find(journal), states, as_json, Terminal()).all(keys))


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


app: App = App(
    name="jobs",
    help=COMMANDS["jobs"],
    help_format="plaintext",
    usage="Usage: seedance jobs [KEY...] [OPTIONS]\n       seedance jobs settle KEY [OPTIONS]",
    help_epilogue=exits.table("jobs"),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
app.default(jobs)
app.command(settle, help=COMMANDS["jobs settle"], help_epilogue=exits.table("jobs settle"))
