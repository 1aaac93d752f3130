"""``results.jsonl``: one line for each job of a run, written as the jobs end.

A later run of the same folder appends, under another ``run``. No prompt and no URL gets in. What
was paid for and has not ended gets its line when the run is stopped.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
from collections.abc import Mapping
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import attrs

from seedance_async.cli.manifest import Line
from seedance_async.errors import BudgetExceeded, Violation
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.results import Outcome, OutcomeStatus

FILE_NAME = "results.jsonl"
_BLOCK_BYTES = 65_536


@attrs.define
class Record:
    """One line of the file.

    Attributes:
        line: The line of the manifest.
        index: The job's place in the manifest, from 0.
        key: The job's key, where it has one.
        name: What a person calls it.
        status: An ``OutcomeStatus``; ``skipped`` was made by an earlier run. Where the run was
            stopped, the ``JobState`` in which the job was left: ``submitting`` and ``submitted``
            may have been paid for; ``planned`` is one that was not within the budget.
        task_id: The provider's id, wherever one is known.
        file: The video, relative to the folder if it is in it; None where none is on disk.
        duration_s: The video's length in seconds, if the provider said.
        tokens: What was billed, if the provider said.
        error: ``type`` and ``message`` of what went wrong.
        violations: The broken rules of an invalid job: ``rule``, ``field`` and ``message``.
        started_at: When its turn came, ISO 8601 in UTC.
        ended_at: When it ended; None where it has not.
        metadata: The caller's own.
    """

    line: int
    index: int
    key: str | None = None
    name: str | None = None
    status: str = OutcomeStatus.FAILED
    task_id: str | None = None
    file: str | None = None
    duration_s: float | None = None
    tokens: int | None = None
    error: Mapping[str, str] | None = None
    violations: tuple[Violation, ...] = ()
    started_at: str | None = None
    ended_at: str | None = None
    metadata: Any = None


class Results:
    """The open file of one run.

    Writing never stops a run: what the disk did not take, or lost, is in ``lost()``.

    Args:
        folder: Where the videos go; it exists.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Path = folder / FILE_NAME
        self.run: str = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self._lines: list[str] = []
        # Unbuffered: what a full disk did not take must not be written later, after other lines.
        self._file: RawIOBase = self.path.open("ab", buffering=0)
        _mend_end(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def write(self, record: Record) -> None:
        """Append *record*, at once."""
        fields = {"run": self.run, **attrs.asdict(record)}
        line = json.dumps(fields, ensure_ascii=False)
        self._lines.append(line.encode(errors="backslashreplace").decode())
        with contextlib.suppress(OSError):
            self._append(f"{self._lines[-1]}\n".encode())

    def _append(self, line: bytes) -> None:
        """Write *line* wholly or not at all."""
        before = os.fstat(self._file.fileno()).st_size
        left = line
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError:
            self._file.truncate(before)
            raise

    @property
    def is_there(self) -> bool:
        """Whether there is a file of that name: the folder may be gone by now."""
        return self.path.is_file()

    def lost(self) -> list[str]:
        """Give the lines of this run that are not in the file, whatever became of it."""
        try:
            written = frozenset(self.path.read_text(encoding="utf-8", errors="replace").split("\n"))
        except OSError:
            return self._lines
        return [line for line in self._lines if line not in written]


def _mend_end(path: Path) -> None:
    """Cut off what an earlier run left of a line when it was killed; every line is JSON."""
    with path.open("rb+") as file:
        last = _last(file)
        if not last:
            return
        try:
            json.loads(last)
        except ValueError:
            file.seek(-len(last), os.SEEK_END)
            file.truncate()
        else:  # whole: somebody's editor leaves the last newline out
            file.seek(0, os.SEEK_END)
            file.write(b"\n")


def _last(file: BinaryIO) -> bytes:
    """Give what stands behind the last newline."""
    start, last = file.seek(0, os.SEEK_END), b""
    while start and b"\n" not in last:
        size = min(start, _BLOCK_BYTES)
        start = file.seek(start - size)
        last = file.read(size) + last
    return last.rpartition(b"\n")[2]


def of_outcome(line: Line, outcome: Outcome, folder: Path) -> Record:
    """Record how a job ended."""
    error = outcome.error
    video = outcome.video
    # The manifest knows more about an invalid line than the batch, which only had the rest of it.
    violations = line.faults or tuple(getattr(error, "violations", ()))
    status: str = outcome.status
    if isinstance(error, BudgetExceeded):  # nothing went wrong with it
        status = JobState.PLANNED
    return Record(
        line=line.number,
        index=outcome.index,
        key=outcome.key or line.key,
        name=line.name,
        status=str(status),
        task_id=outcome.task_id,
        file=None if outcome.path is None else spelled(outcome.path, folder),
        duration_s=video.actual_duration_s if video else None,
        tokens=video.total_tokens if video else None,
        error=error_fields(error, violations),
        violations=violations,
        started_at=outcome.started_at.isoformat(),
        ended_at=outcome.ended_at.isoformat(),
        metadata=line.given.get("metadata"),
    )


def of_left(line: Line, index: int, job: JobRecord, file: str | None) -> Record:
    """Record a job that the run was stopped over."""
    message = job.error or "the run was stopped before its end"
    return Record(
        line=line.number,
        index=index,
        key=job.key,
        name=line.name,
        status=job.state.value,
        task_id=job.task_id,
        file=file,
        error=None if file else {"type": "Interrupted", "message": message},
        started_at=job.planned_at.isoformat(),
        ended_at=None if job.ended_at is None else job.ended_at.isoformat(),
        metadata=line.given.get("metadata"),
    )


def spelled(path: Path, folder: Path) -> str:
    """Name a video as the folder's own if it is in there, and wholly if it is not."""
    with contextlib.suppress(ValueError):
        return path.absolute().relative_to(folder.absolute()).as_posix()
    return path.absolute().as_posix()


def error_fields(
    error: Exception | None, violations: tuple[Violation, ...] = ()
) -> dict[str, str] | None:
    """Spell an error as ``type`` and ``message``."""
    if violations:
        message = "; ".join(str(violation) for violation in violations)
        return {"type": "InvalidRequest", "message": message}
    if error is None:
        return None
    return {"type": type(error).__name__, "message": getattr(error, "message", str(error))}
