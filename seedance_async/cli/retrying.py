"""``seedance jobs retry``: failed jobs set aside, so that the next run makes them as new ones."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence

from seedance_async.cli import exits, journals, writing
from seedance_async.cli.settle import close_keys
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.journal import SqliteJournal
from seedance_async.journal.aside import aside, set_aside, why_not
from seedance_async.lifecycle import JobRecord, JobState

_MAX_LISTED = 20
_INSTEAD = {
    JobState.UNKNOWN: "say first what became of it: seedance jobs settle KEY",
    JobState.SUBMITTING: "say first what became of it: seedance jobs settle KEY",
    JobState.SUBMITTED: "the next run waits for it",
    JobState.COMPLETED: "its video is made; to make another, use another key",
    JobState.PLANNED: "the next run sends it anyway",
}


async def retry(keys: Sequence[str], *, failed: bool, journal: str | None) -> int:
    """Set the jobs of *keys* aside, or with *failed* all that failed, and give the exit code.

    Raises:
        CannotStart: It is not said which, or the journal cannot be written.
    """
    if bool(keys) == failed:
        raise exits.CannotStart("say which: KEY..., or --failed for all failed jobs")
    terminal = Terminal()
    async with writing.opened(journal) as opened:
        known = await aside(opened)
        if failed:
            chosen, refused = await _all_failed(opened, known)
        else:
            chosen, wrong = await _named(opened, keys, known)
            if wrong:
                for line in wrong:
                    terminal.say(line, style="red")
                terminal.say("nothing was done")
                return exits.SOME_FAILED
            refused = 0
        if refused:
            which = "1 job was" if refused == 1 else f"{refused:,} jobs were"
            terminal.say(f"{which} refused without a task: sent again by the next run anyway")
        if not chosen:
            terminal.say("no failed job is to be set aside")
            return exits.OK
        _tell(terminal, await set_aside(opened, chosen), opened)
    return exits.OK


def _tell(terminal: Terminal, renamed: Mapping[str, str], journal: SqliteJournal) -> None:
    for old, new in list(renamed.items())[:_MAX_LISTED]:
        terminal.say(one_line(f"  {old}: what failed is {new} now"))
    if (more := len(renamed) - _MAX_LISTED) > 0:
        terminal.say(f"  ... and {more:,} more")
    them = "it" if len(renamed) == 1 else "them"
    terminal.say(
        f"{count(len(renamed), 'failed job')} set aside in {journals.near(journal.path)}.\n"
        f"Now run the same batch again: it makes {them} anew, AND PAYS FOR {them.upper()}.",
        style="bold",
    )


async def _all_failed(journal: SqliteJournal, known: Collection[str]) -> tuple[list[str], int]:
    """Give the keys of the jobs to set aside, and count those that need not be."""
    chosen, refused = list[str](), 0
    async for record in journal.records(JobState.FAILED):
        if record.key not in known:
            refused += record.task_id is None
            if record.task_id is not None:
                chosen.append(record.key)
    return chosen, refused


async def _named(
    journal: SqliteJournal, keys: Sequence[str], known: Collection[str]
) -> tuple[list[str], list[str]]:
    """Give the keys of the jobs named, and what is wrong with others."""
    chosen, wrong = list[str](), list[str]()
    for key in keys:
        record = await journal.get(key) or await journal.by_task(key)
        if record is None:
            close = await close_keys(journal, key)
            where = journals.near(journal.path)
            wrong.append(one_line(f"there is no job {key} in {where}{close}"))
        elif reason := why_not(record, is_aside=record.key in known):
            wrong.append(one_line(f"{record.key} {reason}{_instead(record)}"))
        else:
            chosen.append(record.key)
    return chosen, wrong


def _instead(record: JobRecord) -> str:
    hint = _INSTEAD.get(record.state, "")
    return f": {hint.replace('KEY', shlex.quote(record.key))}" if hint else ""
