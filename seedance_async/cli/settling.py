"""What a person needs to settle an unknown job: where to look, and the commands to say it with."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from seedance_async.cli import journals
from seedance_async.cli.terminal import one_line
from seedance_async.lifecycle import JobRecord

_MAX_LISTED = 10  # three lines each: more than a screen is read by nobody


@attrs.frozen(kw_only=True)
class Unknown:
    """A job of which nobody knows whether it was accepted.

    Attributes:
        label: What a person knows it by.
        record: What the journal knows of it.
    """

    label: str
    record: JobRecord


def lines(unknown: Sequence[Unknown], journal: Path) -> Iterator[str]:
    """Tell of unknown jobs, each with its two commands, the first ten of them."""
    for one in unknown[:_MAX_LISTED]:
        record = one.record
        sent = f", sent {local(record.intended_at)}" if record.intended_at else ""
        yield f"  {one_line(one.label)}{sent}, key {one_line(record.key)}"
        yield f"    {command(record.key, journal, '--task-id', 'ID')}"
        yield f"    {command(record.key, journal, '--not-created')}"
    if (more := len(unknown) - _MAX_LISTED) > 0:
        yield f"  ... and {more} more: {look(journal, '--state', 'unknown')}"


def command(key: str, journal: Path, *verdict: str) -> str:
    """Spell the command that settles the job of *key*, for a person to copy."""
    words = ["seedance", "jobs", "settle", key, *verdict, *journals.option(journal)]
    return shlex.join(words)


def look(journal: Path, *words: str) -> str:
    """Spell the command that shows jobs."""
    return shlex.join(["seedance", "jobs", *words, *journals.option(journal)])


def local(moment: dt.datetime) -> str:
    """Spell a moment on the clock of whoever reads it."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
