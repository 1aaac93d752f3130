"""A job of the journal as people and programs read it. Nothing here prints a video's URL."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.cells import cell_len, set_cell_size

from seedance_async.cli.settling import local, sent
from seedance_async.cli.terminal import count, one_line
from seedance_async.lifecycle import JobRecord, JobState, Move

Row = tuple[str, str, str, str, str]

_MIB = 2**20
_TIMES = ("planned_at", "intended_at", "submitted_at", "ended_at", "downloaded_at")
_SHORT_ID_COLUMNS = 15  # enough to tell tasks apart
_PROMPT_CHARS = 48
_MAX_KEY_COLUMNS = 40  # of a column; a longer key pushes only its own line aside


@attrs.define
class Tally:
    """Counts jobs as they are listed.

    Attributes:
        states: How many are in which state.
        on_disk: How many were downloaded.
        unknown: The keys of those that a person has to settle.
        video_s: Seconds of video in those that are completed, as far as the provider said.
        tokens: What was billed for them, likewise.
    """

    states: Counter[JobState] = attrs.field(factory=Counter)
    on_disk: int = 0
    unknown: list[str] = attrs.field(factory=list)
    video_s: float = 0.0
    tokens: int = 0

    def add(self, record: JobRecord) -> None:
        """Count one."""
        self.states[record.state] += 1
        self.on_disk += record.path is not None
        if record.state is JobState.UNKNOWN:
            self.unknown.append(record.key)
        if record.state is JobState.COMPLETED and record.task is not None:
            self.video_s += record.task.actual_duration_s or 0.0
            self.tokens += record.task.total_tokens or 0

    def told(self) -> str:
        """Spell the counts."""
        counts = {state: f"{self.states[state]:,} {state}" for state in JobState}
        if self.on_disk:
            counts[JobState.COMPLETED] += f" ({self.on_disk:,} downloaded)"
        there = ", ".join(counts[state] for state in JobState if self.states[state])
        jobs = f"{count(self.states.total(), 'job')}{': ' if there else ''}{there}"
        is_billed = self.video_s or self.tokens
        made = f"; {self.video_s:g} s of video, {count(self.tokens, 'token')}"
        return f"{jobs}{made if is_billed else ''}"


def row(record: JobRecord) -> Row:
    """Put what matters most of a job into the cells of one line."""
    what = called(record)
    if record.path is not None:
        what = Path(record.path).name
    elif record.state is JobState.COMPLETED:
        what = f"{_kept(record)}: {what}"
    elif record.state is JobState.UNKNOWN:
        what = f"{sent(record)}: {what}"
    changed = f"{record.changed_at.astimezone():%Y-%m-%d %H:%M}"
    cells = (record.state.value, record.key, record.task_id or "-", changed, what)
    state, key, task_id, when, last = map(one_line, cells)
    return state, key, task_id, when, last


def called(record: JobRecord) -> str:
    """Give what a person knows a job by: its name, or the beginning of its prompt."""
    prompt = one_line(record.request.prompt)
    short = prompt if len(prompt) <= _PROMPT_CHARS else f"{prompt[: _PROMPT_CHARS - 1]}…"
    return record.name or short


def is_missing(record: JobRecord, folder: Path) -> bool:
    """Tell whether a job's file was there and is not any more. Blocks."""
    if record.path is None:
        return False
    before = Path(record.path)
    # The folder may have been moved since, and the journal with it.
    return not (before.is_file() or (folder / before.name).is_file())


def aligned(rows: Sequence[Row], width: int | None) -> Iterator[str]:
    """Line the cells up.

    Args:
        rows: The cells.
        width: Where lines are cut, in columns; ids are cut first. None does not cut.
    """
    lines = list(_lined_up(rows))
    if width is not None and any(cell_len(line) > width for line in lines):
        short = (_cut(task_id, _SHORT_ID_COLUMNS) for _, _, task_id, _, _ in rows)
        cut = [
            (*cells[:2], task_id, *cells[3:]) for cells, task_id in zip(rows, short, strict=True)
        ]
        lines = [_cut(line, width) for line in _lined_up(cut)]
    return iter(lines)


def _lined_up(rows: Sequence[Row]) -> Iterator[str]:
    widths = [max((cell_len(cells[place]) for cells in rows), default=0) for place in range(4)]
    widths[1] = min(widths[1], _MAX_KEY_COLUMNS)
    for cells in rows:
        pairs = zip(cells, [*widths, 0], strict=True)
        padded = (cell + " " * (size - cell_len(cell)) for cell, size in pairs)
        yield "  ".join(padded).rstrip()


def _cut(text: str, columns: int) -> str:
    return text if cell_len(text) <= columns else f"{set_cell_size(text, columns - 1)}…"


def whole(record: JobRecord, history: Iterable[Move], *, missing: bool) -> Iterator[str]:
    """Tell all about one job, a line each; *missing* says that its file is not there any more."""
    yield one_line(f"{record.key}: {record.state}")
    for name, value in _facts(record, missing).items():
        if value not in (None, "", [], ()):
            yield f"  {name:<18}{one_line(str(value))}"
    zone = dt.datetime.now().astimezone().strftime("%Z")
    yield f"  history ({zone})"
    for move in history:
        yield f"    {local(move.at)}  {_step(move)}"


def spelled(record: JobRecord, history: Sequence[Move] | None = None) -> dict[str, Any]:
    """Give a job as an object for a program; with its history where one is given."""
    request = record.request
    own = {"metadata": request.metadata, "waive": list(request.waive)}
    fields: dict[str, Any] = {
        "key": record.key,
        "name": record.name,
        "state": record.state.value,
        "attempts": record.attempts,
        "polls": record.polls,
        "task_id": record.task_id,
        "task_status": record.task_status,
        "duration_s": None if record.task is None else record.task.actual_duration_s,
        "tokens": None if record.task is None else record.task.total_tokens,
        "request": {**request.to_wire(), **own},
        "error": record.error,
        "path": record.path,
        "size_bytes": record.size_bytes,
        **{name: _iso(getattr(record, name)) for name in _TIMES},
        "video_expires_at": _iso(record.video_expires_at),
    }
    if history is not None:
        moves = (attrs.asdict(move, recurse=False) for move in history)
        fields["history"] = [{**move, "at": _iso(move["at"])} for move in moves]
    return fields


def _facts(record: JobRecord, missing: bool) -> Mapping[str, Any]:
    request = record.request
    status = f" ({record.task_status})" if record.task_status else ""
    size = f", {(record.size_bytes or 0) / _MIB:.1f} MiB"
    sent = request.to_wire().items()
    creates = (
        f"{record.attempts}, the last on {local(record.intended_at)}"
        if record.intended_at
        else None
    )
    return {
        "name": record.name,
        "task": f"{record.task_id}{status}" if record.task_id else None,
        "error": record.error,
        "file": f"{record.path}{' (missing)' if missing else size}" if record.path else None,
        "at the provider": _kept(record) if record.state is JobState.COMPLETED else None,
        "creates": creates,
        "polls": record.polls or None,
        **{name: json.dumps(value) if type(value) is bool else value for name, value in sent},
        "metadata": json.dumps(request.metadata) if request.metadata else None,
        "waive": ", ".join(request.waive),
    }


def _kept(record: JobRecord) -> str:
    expires_at = record.video_expires_at
    if expires_at is None:
        return "not on disk"
    is_gone = expires_at <= dt.datetime.now(dt.UTC)
    kept = "gone from the provider since" if is_gone else "kept until"
    where = "" if record.path else "not on disk, "
    return f"{where}{kept} {local(expires_at)}"


def _step(move: Move) -> str:
    task = f"{move.task_id} {move.task_status or ''}".rstrip() if move.task_id else ""
    file = f"downloaded {Path(move.path).name}" if move.path else ""
    return f"{move.state:<12}{one_line(file or task or move.error or '')}".rstrip()


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(dt.UTC).isoformat()
