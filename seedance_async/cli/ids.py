"""Which tasks a command is about: those named, and those that a ``results.jsonl`` has open."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seedance_async.cli import folder
from seedance_async.cli.exits import CannotStart
from seedance_async.lifecycle import JobState
from seedance_async.results import OutcomeStatus

# A task that the provider ended without a video has nothing to wait for or to fetch.
_MAY_HAVE_A_VIDEO = frozenset(
    {JobState.SUBMITTED, JobState.UNKNOWN, JobState.COMPLETED, OutcomeStatus.SKIPPED}
)


def chosen(named: Iterable[str], results: Path | None) -> tuple[str, ...]:
    """Give the ids, each once: the *named* ones, then those open in the file *results*.

    Raises:
        CannotStart: There is neither, or the file cannot be read.
    """
    ids = tuple(named)
    if not ids and results is None:
        raise CannotStart("which tasks? Give their ids, or --from results.jsonl")
    found = () if results is None else still_open(folder.at_home(results))
    return tuple(dict.fromkeys((*ids, *found)))


def still_open(results: Path) -> tuple[str, ...]:
    """Give the ids whose video may exist and is not on disk, in the order of their first lines.

    The last line about a task counts. Lines that are no records are passed over: a run that was
    killed may have left half of one.

    Raises:
        CannotStart: The file cannot be read.
    """
    try:
        text = results.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise CannotStart(f"{results}: cannot be read: {reason}") from exc
    last: dict[str, Mapping[str, Any]] = {}
    for line in text.split("\n"):
        record = _record(line)
        if isinstance(record.get("task_id"), str):
            last[record["task_id"]] = record
    return tuple(task_id for task_id, record in last.items() if _is_open(record, results.parent))


def how(*words: str | Path) -> str:
    """Spell the command that brings tasks to disk, for a person to copy."""
    return shlex.join(["seedance", "download", *map(str, words)])


def _record(line: str) -> Mapping[str, Any]:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _is_open(record: Mapping[str, Any], beside: Path) -> bool:
    file = record.get("file")
    on_disk = isinstance(file, str) and (beside / file).is_file()
    return not on_disk and str(record.get("status")) in _MAY_HAVE_A_VIDEO
