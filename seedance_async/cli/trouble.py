"""Troubles that are not one job's own, a full disk or a journal in use: told once, and plainly."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seedance_async.cli import journals, settling
from seedance_async.cli.terminal import Terminal, one_line
from seedance_async.errors import DownloadError, JournalError, SeedanceError

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_HELD = re.compile(r"is being written by (.+?)(?: on \S+ since (\S+))?: one at a time")


def shared(error: SeedanceError | None) -> str | None:
    """Name the trouble that every other job would meet as well; None for what is one job's own."""
    cause = None if error is None else error.__cause__
    if isinstance(error, DownloadError):
        # One that was not even tried has the one that failed as its cause.
        return _of_disk(cause if isinstance(cause, DownloadError) else error)
    if isinstance(error, JournalError) and error.task_id is None:
        return cause.message if isinstance(cause, JournalError) else error.message
    return None


def at_start(error: BaseException, message: str) -> str:
    """Say what keeps a command from starting; of a full disk, also what to do about it."""
    if not _is_full(error):
        return message
    return f"{message}; nothing was sent. Make room and run the same command again"


def of_journal(error: JournalError, journal: Path, instead: str = "") -> str:
    """Say why a journal cannot be opened.

    Args:
        error: What the journal said.
        journal: Its file.
        instead: What may be done instead of waiting for another process that has it.
    """
    held = _HELD.search(error.message)
    if held is None:
        return at_start(error, error.message)
    journal = journals.near(journal)
    folder = "this folder" if journal.parent == Path() else str(journal.parent)
    who = ", ".join(filter(None, (held[1], _since(held[2]))))
    return (
        f"{folder} is in use: another seedance ({who}) is working with {journal}. "
        f"Nothing was sent. Wait for it{instead}; to look: {settling.look(journal)}"
    )


@contextmanager
def told_once(terminal: Terminal) -> Iterator[None]:
    """Show each distinct trouble that the library logs inside the block once, as a line of ours."""
    log, handler = logging.getLogger("seedance_async"), _Once(terminal)
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before


class _Once(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        is_journal = "journal" in str(record.msg) or "on record" in str(record.msg)
        words = "the journal cannot be written" if is_journal else record.getMessage()
        if words not in self._told:
            self._told.add(words)
            self._terminal.say(one_line(f"{words}{_reason(record)}"), style="bold red")


def _reason(record: logging.LogRecord) -> str:
    args = record.args if isinstance(record.args, tuple) else ()
    for arg in args:
        if isinstance(arg, JournalError):
            cause = _root(arg)
            return f": {cause}" if cause is not arg else ""
    return ""


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            return True
        error = error.__cause__
    return False


def _since(when: str | None) -> str:
    try:
        moment = dt.datetime.fromisoformat(when or "").astimezone(dt.UTC)
    except ValueError:
        return ""
    is_today = moment.date() == dt.datetime.now(dt.UTC).date()
    return f"since {moment:{'%H:%M:%S' if is_today else '%Y-%m-%d %H:%M:%S'}} UTC"


def _of_disk(error: DownloadError) -> str | None:
    from seedance_async.download import is_disk_trouble  # noqa: PLC0415 -- brings in aiohttp

    cause = error.__cause__
    # Several downloads run at once, and each meets it at a file of its own.
    return cause.strerror if isinstance(cause, OSError) and is_disk_trouble(error) else None
