"""Writing a report, and saying what is in it."""

from __future__ import annotations

import asyncio
import webbrowser
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from seedance_async.cli import config, exits, folder, journals
from seedance_async.cli.money import read_prices
from seedance_async.cli.terminal import Terminal, count
from seedance_async.errors import JournalError
from seedance_async.report import Report, write_report
from seedance_async.report.pictures import missing


def write(
    journal: str | None, out: str | None, *, opens: bool, prices: Path | None, **options: Any
) -> int:
    """Write the page, with *options* of ``write_report``, and give the exit code."""
    terminal, source = Terminal(), journals.find(journal)
    writing = write_report(
        source,
        None if out is None else folder.at_home(out),
        prices=read_prices(prices, config.profile().prices or None),
        **options,
    )
    try:
        with _busy(terminal):
            written = asyncio.run(writing)
    except JournalError as error:
        raise exits.CannotStart(error.message) from error
    except FileExistsError as error:
        message = f"{error}, so it is left alone: let --out name another file"
        raise exits.CannotStart(message) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        what = f"cannot write {getattr(error, 'filename', None) or 'the report'}"
        reason = getattr(error, "strerror", None) or error
        raise exits.CannotStart(f"{what}: {reason}") from error
    terminal.say(_told(written))
    terminal.give(str(journals.near(written.path)))
    if opens and not webbrowser.open(written.path.as_uri()):
        terminal.say("there is no browser here that could be opened", style="yellow")
    return exits.OK


def _busy(terminal: Terminal) -> AbstractContextManager[object]:
    """Show that something is going on: many videos take some seconds."""
    if terminal.console is None:
        return nullcontext()
    return terminal.console.status("reading the journal and the videos")


def _told(written: Report) -> str:
    told = f"{count(written.jobs, 'job')}, {count(written.videos, 'video')} on disk"
    bare = written.videos - written.pictures
    if not bare:
        return told
    if lacking := missing():
        needs = f"without pictures, which need {' and '.join(lacking)}"
        return f"{told}; {needs}: pip install 'seedance-async[report]'"
    return f"{told}, {bare:,} of them without a picture: they cannot be read"
