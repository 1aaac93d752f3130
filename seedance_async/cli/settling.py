"""What a person needs to settle an unknown job: where to look, and the commands to say it with."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from seedance_async.cli import journals
from seedance_async.cli.terminal import one_line
from seedance_async.errors import SubmissionUnknown
from seedance_async.lifecycle import JobRecord

_MAX_REASON = 40  # characters; the journal has all of it
_MAX_LISTED = 20  # more than a screen is read by nobody


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
    """Tell of unknown jobs, the first twenty of them, and once how to settle each."""
    for one in unknown[:_MAX_LISTED]:
        told = f"{one.label}: {sent(one.record)}, key {one.record.key}"
        yield f"  {one_line(told)}"
    if (more := len(unknown) - _MAX_LISTED) > 0:
        yield f"  ... and {more:,} more: {look(journal, '--state', 'unknown')}"
    yield from how([one.record.key for one in unknown], journal)


def how(keys: Sequence[str], journal: Path) -> Iterator[str]:
    """Say how the unknown jobs of *keys* are settled."""
    key = keys[0] if len(keys) == 1 else "KEY"
    look_in = "Look in" if len(keys) == 1 else "For each, look in"
    yield f"{look_in} the provider's billing (which may have another time zone)"
    yield "for a task made at that time. It is there:"
    yield f"  {command(key, journal, '--task-id', 'video_...')}"
    yield "It is not (the next run sends the job again):"
    yield f"  {command(key, journal, '--not-created')}"


def why(error: SubmissionUnknown) -> str:
    """Say in a few words what became of the answer."""
    if error.http_status is not None:
        return f"HTTP {error.http_status}"
    return lost(error.message) or "no answer"


def lost(message: str) -> str:
    """Give what the message of a ``SubmissionUnknown`` says of the answer; empty for another's."""
    reason = message.partition("its answer is lost (")[2].partition("): ")[0]
    return one_line(reason)[:_MAX_REASON]


def sent(record: JobRecord) -> str:
    """Say when a job was sent, in UTC as a billing may have it, and what for."""
    when = utc(record.intended_at) if record.intended_at else "at an unknown time"
    return f"sent {when}, {record.request.model}, {record.request.duration} s"


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


def utc(moment: dt.datetime) -> str:
    """Spell a moment so that it is the same for everybody."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
