"""How a job stands in a table: the schema with its migrations, and records to rows and back."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from seedance_async import rules, wire
from seedance_async.errors import InvalidRequest
from seedance_async.lifecycle import JobRecord, JobState, Move
from seedance_async.request import VideoRequest, secrets

#: Marks the file as a journal of ours; "seed" in ASCII.
OURS = 0x73656564
#: One script for each version of the schema; ``PRAGMA user_version`` counts those that ran. A
#: script that was released is never changed.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        place INTEGER PRIMARY KEY,      -- in the order of planning
        key TEXT NOT NULL UNIQUE,
        digest TEXT NOT NULL,           -- SHA-256 of the body as sent
        request TEXT NOT NULL,          -- JSON: the body as sent, waive, metadata
        name TEXT,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        task_id TEXT,
        task_status TEXT,
        answer TEXT,                    -- JSON: what the provider said last, its URL included
        error TEXT,
        path TEXT,
        size_bytes INTEGER,
        planned_at REAL NOT NULL,       -- seconds since 1970, as all times here
        changed_at REAL NOT NULL,
        intended_at REAL,
        submitted_at REAL,
        ended_at REAL,
        downloaded_at REAL
    ) STRICT;
    CREATE INDEX jobs_on_the_wire ON jobs (place) WHERE state = 'submitting';
    CREATE INDEX jobs_by_task ON jobs (task_id) WHERE task_id IS NOT NULL;

    -- What is said once of all jobs: the service that they were made at.
    CREATE TABLE facts (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- By place and not by key: what is written together then stands together, and a commit
    -- touches few pages.
    CREATE TABLE moves (
        place INTEGER NOT NULL,
        number INTEGER NOT NULL,
        at REAL NOT NULL,
        state TEXT NOT NULL,
        task_id TEXT,
        task_status TEXT,
        error TEXT,
        path TEXT,
        PRIMARY KEY (place, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER planned AFTER INSERT ON jobs BEGIN
        INSERT INTO moves VALUES (new.place, 0, new.changed_at, new.state,
            new.task_id, new.task_status, new.error, new.path);
    END;
    CREATE TRIGGER moved AFTER UPDATE ON jobs BEGIN
        INSERT INTO moves VALUES (new.place,
            (SELECT max(number) + 1 FROM moves WHERE place = new.place), new.changed_at, new.state,
            new.task_id, new.task_status, new.error, new.path);
    END;
    """,
    """
    -- How often the provider was asked about the task; not known of older jobs, and 0.
    ALTER TABLE jobs ADD COLUMN polls INTEGER NOT NULL DEFAULT 0;
    """,
)
_CHANGING_TIMES = ("changed_at", "intended_at", "submitted_at", "ended_at", "downloaded_at")
TIMES = ("planned_at", *_CHANGING_TIMES)
_NUMBERS = ("attempts", "polls", "size_bytes")
_TEXTS = ("task_id", "task_status", "error", "path")
# What a job is asked for never changes once it is planned.
CHANGING = ("state", "answer", *_NUMBERS, *_TEXTS, *_CHANGING_TIMES)
COLUMNS = (*CHANGING, "planned_at", "digest", "request", "name", "key")
MOVE = ("at", "state", *_TEXTS)

ADD = (
    f"INSERT INTO jobs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
    " ON CONFLICT (key) DO NOTHING"
)
# An id that the provider has answered to is for ever, whatever a record says that came from before.
_CONFIRMED = "CASE WHEN answer IS NOT NULL THEN task_id END"
_SETS = (
    f"{name} = coalesce(?, {_CONFIRMED})" if name == "task_id" else f"{name} = ?"
    for name in CHANGING
)
CHANGE = f"UPDATE jobs SET {', '.join(_SETS)} WHERE key = ?"  # noqa: S608
# A create is sent by one: whoever counted the same attempt as well has changed the row before.
INTEND = f"{CHANGE} AND state IN ('planned', 'unknown') AND attempts = ? - 1"
READ = f"SELECT place, {', '.join(COLUMNS)} FROM jobs"  # noqa: S608
READ_KEY = f"{READ} WHERE key = ?"
READ_PAGE = f"{READ} WHERE place > ? ORDER BY place LIMIT ?"
FORGET = (
    "DELETE FROM moves WHERE place = (SELECT place FROM jobs WHERE key = ?)",
    "DELETE FROM jobs WHERE key = ?",
    "DELETE FROM facts WHERE name = 'aside ' || ?",
)
RENAME = "UPDATE jobs SET key = ? WHERE key = ?"
FORGET_LAST_MOVE = """
    DELETE FROM moves WHERE place = (SELECT place FROM jobs WHERE key = ?1)
        AND number = (SELECT max(number) FROM moves JOIN jobs USING (place) WHERE key = ?1)
    """
ADD_ASIDE = "INSERT INTO facts VALUES ('aside ' || ?, ?)"
READ_ASIDE = "SELECT substr(name, 7), value FROM facts WHERE name GLOB 'aside *'"
READ_SERVICE = "SELECT value FROM facts WHERE name = 'service'"
ADD_SERVICE = "INSERT INTO facts VALUES ('service', ?)"
# Under names of their own, so that nothing that is kept can be taken for the service.
REMEMBER = (
    "INSERT INTO facts VALUES ('kept ' || ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
RECALL = "SELECT value FROM facts WHERE name = 'kept ' || ?"
READ_MOVES = (
    f"SELECT {', '.join(MOVE)} FROM moves"  # noqa: S608
    " WHERE place = (SELECT place FROM jobs WHERE key = ?) ORDER BY number"
)
READ_PAGE_OF_MOVES = (
    f"SELECT place, {', '.join(MOVE)} FROM moves"  # noqa: S608
    " WHERE place BETWEEN ? AND ? ORDER BY place, number"
)
READ_MOVES_SINCE = (
    f"SELECT number, {', '.join(MOVE)} FROM moves WHERE place = ? AND number > ? ORDER BY number"  # noqa: S608
)
# Of a job that is gone no row is left.
COUNT_MOVES = "SELECT place, max(number) FROM moves GROUP BY place"
READ_NAMES = "SELECT key, name FROM jobs WHERE place = ?"
READ_STANDS = f"""
    SELECT place, (SELECT max(number) FROM moves WHERE moves.place = jobs.place),
        key, name, intended_at, changed_at, {", ".join(MOVE[1:])}
    FROM jobs ORDER BY place
    """  # noqa: S608


class Rows(list[tuple[Any, ...]]):
    """Values on their way to a statement, which the driver writes to its log at DEBUG."""

    def __repr__(self) -> str:
        return f"<{len(self)} rows>"


def added(record: JobRecord) -> tuple[Any, ...]:
    """Spell *record* for ``ADD``."""
    *changing, key = changed(record)
    asked = (record.request.digest, _dump_request(record.request), _text(record.name))
    return (*changing, record.planned_at.timestamp(), *asked, key)


def changed(record: JobRecord) -> tuple[Any, ...]:
    """Spell *record* for ``CHANGE``."""
    return (
        record.state.value,
        _answer(record.task),
        record.attempts,
        record.polls,
        record.size_bytes,
        _text(record.task_id),
        _text(record.task_status),
        _text(record.error),
        _text(record.path),
        record.changed_at.timestamp(),
        _unix(record.intended_at),
        _unix(record.submitted_at),
        _unix(record.ended_at),
        _unix(record.downloaded_at),
        record.key,
    )


def intended(record: JobRecord) -> tuple[Any, ...]:
    """Spell *record* for ``INTEND``."""
    return (*changed(record), record.attempts)


def read(row: Sequence[Any]) -> JobRecord:
    """Read a row of ``READ``, without its place."""
    fields = dict(zip(COLUMNS, row, strict=True))
    del fields["digest"]
    for name in TIMES:
        if fields[name] is not None:
            fields[name] = moment(fields[name])
    request = fields["request"] = _load_request(fields["request"])
    fields["task"] = _load_task(
        fields.pop("answer"), fields["task_id"], fields.pop("task_status"), request
    )
    fields["state"] = JobState(fields["state"])
    return JobRecord(**fields)


def read_move(row: Sequence[Any]) -> Move:
    """Read a row of ``READ_MOVES``."""
    fields = dict(zip(MOVE, row, strict=True))
    return Move(**fields | {"at": moment(fields["at"]), "state": JobState(fields["state"])})


def _answer(task: wire.TaskState | None) -> str | None:
    if task is None:
        return None
    if task.body.isascii():
        return task.body.decode()
    try:
        return json.dumps(task.raw)  # it may have come in any encoding that JSON may
    except RecursionError:
        return wire.bare(task.id, task.status).body.decode()


def _text(value: str | None) -> str | None:
    # JSON can spell half of a surrogate pair, UTF-8 and so SQLite cannot.
    return None if value is None else value.encode(errors="backslashreplace").decode()


def _unix(time: dt.datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def moment(unix: float) -> dt.datetime:
    """Read a time."""
    return dt.datetime.fromtimestamp(unix, dt.UTC)


def _load_task(
    answer: str | None, task_id: str | None, status: str | None, request: VideoRequest
) -> wire.TaskState | None:
    if answer is None:
        return None
    task = wire.read_task(answer.encode(), asked_id=task_id, secrets=secrets(request))
    if isinstance(task, wire.TaskState):
        return task
    # Nested too deep to be read here: the id matters more than what was said besides.
    return wire.bare(task_id, status or "") if task_id is not None else None


def _dump_request(request: VideoRequest) -> str:
    kept = {"body": request.to_wire(), "waive": request.waive, "metadata": request.metadata}
    return json.dumps(kept)


def _load_request(text: str) -> VideoRequest:
    kept = json.loads(text)
    fields = {**wire.given_fields(kept["body"]), "metadata": kept["metadata"]}
    try:
        return VideoRequest(**fields, waive=kept["waive"])
    except InvalidRequest:
        # It was valid when it was written down; a rule that came later must not hide a paid job.
        return VideoRequest(**fields, waive=sorted(rules.RULE_IDS))
