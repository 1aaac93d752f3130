"""The jobs of a run that have no outcome, because it was stopped: where each of them was left."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import attrs

from seedance_async.cli.manifest import Line
from seedance_async.cli.past import Past, Stand, whole_on_disk
from seedance_async.lifecycle import JobRecord, JobState


@attrs.frozen(kw_only=True)
class Rest:
    """What a run was stopped over; empty where every job has its outcome.

    Attributes:
        left: Something was sent for these, and they have no file; by their places.
        done: Made and on disk; what was so before the run began is not counted here.
        skipped: How many were made and on disk before.
        unsent: Nothing was sent for these that was accepted.
    """

    left: Mapping[int, JobRecord] = attrs.field(factory=dict)
    done: Mapping[int, JobRecord] = attrs.field(factory=dict)
    skipped: int = 0
    unsent: Sequence[Line] = ()


def take_stock(
    lines: Sequence[Line],
    past: Past,
    records: Mapping[str, JobRecord],
    ended: Collection[int],
    out: Path,
) -> Rest:
    """Sort the jobs that have no outcome by what the journal says of them now. Blocks.

    Args:
        lines: The manifest's jobs.
        past: What was known of them before.
        records: What is known of them now, by their keys.
        ended: The places of those that have their outcome.
        out: The folder of the videos.
    """
    left: dict[int, JobRecord] = {}
    done: dict[int, JobRecord] = {}
    skipped, unsent = 0, list[Line]()
    for index, (line, key) in enumerate(zip(lines, past.keys, strict=True)):
        record = None if key is None else records.get(key)
        if index in ended:
            continue
        if past.stand(key) is Stand.DONE:
            skipped += 1
        elif record is None or _is_unsent(record):
            unsent.append(line)
        elif record.state is JobState.COMPLETED and whole_on_disk([record], out):
            done[index] = record
        else:
            left[index] = record
    return Rest(left=left, done=done, skipped=skipped, unsent=unsent)


def _is_unsent(record: JobRecord) -> bool:
    is_refused = record.state is JobState.FAILED and record.task_id is None
    return record.state is JobState.PLANNED or is_refused
