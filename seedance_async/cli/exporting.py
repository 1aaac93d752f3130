"""``seedance jobs export``: all records of a journal as a table, or as JSON lines.

A spreadsheet must not take what others wrote for a formula, and nothing here prints a video's URL.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from seedance_async import wire
from seedance_async.cli import exits, folder, jobrows, journals, trouble
from seedance_async.cli.terminal import Terminal, count, printable
from seedance_async.errors import JournalError
from seedance_async.journal import SqliteJournal

Format = Literal["csv", "jsonl"]
# Source: OWASP, "CSV Injection": what makes a cell a formula, a tab or a line in front included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_FIELDS = (
    *("key", "name", "state", "attempts", "task_id", "task_status", "duration_s", "tokens"),
    *("error", "path", "size_bytes"),
    *("planned_at", "intended_at", "submitted_at", "ended_at", "downloaded_at"),
    "video_expires_at",
)
_ASKED = (*wire.WIRE_NAMES.values(), "metadata", "waive")
#: The columns, in their order: the fields of ``jobs --json``, the request's own last.
COLUMNS = (*_FIELDS, *_ASKED)


async def export(format_: Format | None, out: str | None, journal: str | None) -> int:
    """Write all records, and give the exit code.

    Args:
        format_: How; None goes by the name of the file, and is CSV for any other.
        out: The file, which is replaced; None or ``-`` is stdout.
        journal: The journal; None is the one here.

    Raises:
        CannotStart: The journal cannot be read, or the file cannot be written.
    """
    terminal, path = Terminal(), journals.find(journal)
    file = None if out in (None, "-") else folder.at_home(out or "")
    is_jsonl = format_ == "jsonl" or (format_ is None and file and file.suffix == ".jsonl")
    spell = _json_line if is_jsonl else _csv_line
    lines = [] if is_jsonl else [_row(COLUMNS)]
    try:
        async with SqliteJournal(path, read_only=True) as opened:
            lines += [spell(jobrows.spelled(record)) async for record in opened.records()]
    except JournalError as error:
        raise exits.CannotStart(error.message) from error
    if file is None:
        for line in lines:
            terminal.give(line if terminal.width is None else printable(line))
    else:
        _replace(file, "".join(f"{line}\n" for line in lines))
    told = count(len(lines) - (not is_jsonl), "job")
    terminal.say(f"{told} of {path}{f' in {file}' if file else ''}")
    return exits.OK


def _json_line(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields)


def _csv_line(fields: Mapping[str, Any]) -> str:
    flat = {**fields, **fields["request"]}
    return _row([_cell(flat.get(name)) for name in COLUMNS])


def _row(cells: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is bool:
        return json.dumps(value)
    if isinstance(value, list):
        value = " | ".join(map(str, value))
    elif isinstance(value, Mapping):
        value = json.dumps(value) if value else ""
    elif not isinstance(value, str):
        return str(value)  # a number, which may be negative
    text: str = value
    return f"'{text}" if text.startswith(_FORMULA) else text


def _replace(file: Path, text: str) -> None:
    """Write *file* whole, or leave it as it was."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, prefix=f".{file.name}.", delete=False
        ) as stream:
            part = Path(stream.name)
            try:
                stream.write(text)
                stream.close()
                part.replace(file)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = trouble.at_start(error, f"cannot write {file}: {reason}")
        raise exits.CannotStart(what) from error
