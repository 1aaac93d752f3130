"""What can go wrong with a call: every mishap by name, and the calls that it fits.

A table of values: what a mishap makes of an answer stands in ``spoiling``, and when it comes is
``faults``' business. The table feeds the checks, the documentation and the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import attrs

from seedance_async.emulator import spoiling
from seedance_async.emulator.spoiling import Change, End


class Call(StrEnum):
    """The calls that faults come upon; a fault's name begins with one."""

    CREATE = "create"
    QUERY = "query"
    DOWNLOAD = "download"
    ASSET = "asset"


@attrs.frozen
class Mishap:
    """One way to go wrong.

    Attributes:
        kind: Its name without the call's.
        calls: The calls that it fits.
        words: What happens, for the documentation.
        change: What it makes of a call's answer.
        is_carried_out: Whether the call is carried out before things go wrong: whether a create
            is accepted. If not, ``change`` gets an empty reply and never returns None.
        retires_url: Whether the video's URL is not valid any more from then on.
    """

    kind: str
    calls: tuple[Call, ...]
    words: str
    change: Change = attrs.field(eq=False)
    is_carried_out: bool = attrs.field(default=True, kw_only=True)
    retires_url: bool = attrs.field(default=False, kw_only=True)


_SURPLUS_BYTES = 1_000

_EVERY = tuple(Call)
_READS = (Call.QUERY, Call.DOWNLOAD, Call.ASSET)
_OBJECTS = (Call.CREATE, Call.QUERY, Call.ASSET)
_TASKS = (Call.CREATE, Call.QUERY)
_CREATE, _QUERY, _DOWNLOAD, _ASSET = ((call,) for call in Call)


def _never(kind: str, calls: tuple[Call, ...], words: str, change: Change) -> Mishap:
    """Make a mishap of calls that are not carried out."""
    return Mishap(kind, calls, words, change, is_carried_out=False)


MISHAPS = (
    _never(
        "reset_before_accept",
        _CREATE,
        "The connection is reset, and nothing was accepted.",
        spoiling.ending(End.RESET),
    ),
    Mishap(
        "reset_after_accept",
        _CREATE,
        "The task is accepted, and the connection reset without an answer.",
        spoiling.ending(End.RESET),
    ),
    Mishap(
        "hang_after_accept",
        _CREATE,
        "The task is accepted, and no answer ever comes.",
        spoiling.ending(End.HELD),
    ),
    _never(
        "reset", _READS, "The connection is reset without an answer.", spoiling.ending(End.RESET)
    ),
    _never("hang", _READS, "No answer ever comes.", spoiling.ending(End.HELD)),
    Mishap("slow", _EVERY, "The right answer, after `slow_s` seconds.", spoiling.slow),
    *(
        _never(
            f"retry_{status}_{'date' if date else 'seconds'}",
            _EVERY,
            f"HTTP {status}, `Retry-After` {'as an HTTP date' if date else 'in seconds'}.",
            spoiling.later(status, date=date),
        )
        for status in (429, 503)
        for date in (False, True)
    ),
    _never(
        "bare_503", _EVERY, "HTTP 503 without `Retry-After`.", spoiling.error(503, "unavailable")
    ),
    *(
        _never(
            f"html_{status}", _EVERY, f"HTTP {status} with a gateway's page.", spoiling.page(status)
        )
        for status in (500, 502, 504)
    ),
    *(
        Mishap(
            f"html_{status}_after_accept",
            _CREATE,
            f"HTTP {status} with a gateway's page, and yet the task is accepted.",
            spoiling.page(status),
        )
        for status in (500, 502, 504)
    ),
    _never(
        "redirect", _EVERY, "A redirect to another host, which watches for keys.", spoiling.redirect
    ),
    Mishap("empty_body", _OBJECTS, "HTTP 200 with nothing in it.", spoiling.empty),
    Mishap(
        "cut_body",
        _OBJECTS,
        "Half of the body; the connection ends early.",
        spoiling.cut(End.CLOSED),
    ),
    Mishap(
        "half_body", _OBJECTS, "Half of the body, with a length as if that were all.", spoiling.half
    ),
    _never(
        "failure_in_200", _OBJECTS, "HTTP 200 with a `code` that says no.", spoiling.failure_in_200
    ),
    Mishap(
        "wrong_types",
        _TASKS,
        "`id` is a list, `status` a number.",
        spoiling.in_fields(spoiling.wrong_types),
    ),
    Mishap(
        "number_id",
        _TASKS,
        "`id` is a number, and not the task's.",
        spoiling.in_fields(lambda fields: {**fields, "id": fields["created"]}),
    ),
    Mishap(
        "wrapped",
        _TASKS,
        "The task stands in `data`.",
        spoiling.in_fields(lambda task: {"data": task}),
    ),
    Mishap(
        "error_object",
        _TASKS,
        "`error` is an object, even if empty.",
        spoiling.in_fields(spoiling.error_object),
    ),
    Mishap(
        "error_string",
        _TASKS,
        "`error` is an empty string, not null.",
        spoiling.in_fields(spoiling.error_string),
    ),
    Mishap(
        "capital_status",
        _TASKS,
        "`status` in capitals.",
        spoiling.in_fields(lambda fields: {**fields, "status": fields["status"].upper()}),
    ),
    Mishap(
        "result_url",
        _QUERY,
        "`result_url` instead of `video_url`.",
        spoiling.in_fields(spoiling.result_url),
    ),
    Mishap(
        "odd_numbers",
        _QUERY,
        "Completed, and its numbers are strings.",
        spoiling.in_fields(spoiling.odd_numbers),
    ),
    Mishap(
        "unknown_status",
        _QUERY,
        "A status that nobody has heard of.",
        spoiling.in_fields(lambda fields: {**fields, "status": "archived"}),
    ),
    Mishap(
        "completed_without_url",
        _QUERY,
        "Completed, and no URL.",
        spoiling.in_fields(spoiling.without_url),
    ),
    Mishap("other_task", _QUERY, "The answer about another task.", spoiling.other_task),
    _never("not_found", _QUERY, "HTTP 404.", spoiling.error(404, "there is no such task")),
    Mishap(
        "string_code",
        _ASSET,
        "`code` is a string, not a number.",
        spoiling.in_fields(
            lambda fields: (
                {**fields, "code": str(fields["code"])} if isinstance(fields["code"], int) else None
            )
        ),
    ),
    Mishap(
        "cut", _DOWNLOAD, "Half of the bytes; the connection ends early.", spoiling.cut(End.CLOSED)
    ),
    Mishap("stall", _DOWNLOAD, "Half of the bytes, and then nothing more.", spoiling.cut(End.HELD)),
    Mishap(
        "length_too_long",
        _DOWNLOAD,
        "A `Content-Length` of more bytes than there are.",
        spoiling.miscounted(_SURPLUS_BYTES),
    ),
    Mishap(
        "length_too_short",
        _DOWNLOAD,
        "A `Content-Length` of fewer bytes than are sent.",
        spoiling.miscounted(-_SURPLUS_BYTES),
    ),
    Mishap("drip", _DOWNLOAD, "Ten pieces, with `slow_s` seconds before each.", spoiling.drip),
    _never("html_200", _DOWNLOAD, "HTTP 200 with a page instead of a video.", spoiling.page(200)),
    *(
        _never(
            f"expired_{status}",
            _DOWNLOAD,
            f"HTTP {status}, as if its time were over.",
            spoiling.error(status, "the video has expired"),
        )
        for status in (403, 404, 410)
    ),
    Mishap(
        "expired_url",
        _DOWNLOAD,
        "HTTP 403, from now on; a query gives a URL that works.",
        spoiling.error(403, "the signature does not match"),
        is_carried_out=False,
        retires_url=True,
    ),
    Mishap(
        "ignored_range", _DOWNLOAD, "A part was asked for, the whole comes.", spoiling.ignored_range
    ),
    Mishap(
        "changed_etag",
        _DOWNLOAD,
        "The whole file under another `ETag`, as if it had been replaced.",
        spoiling.changed_etag,
    ),
    Mishap(
        "changed_under_range",
        _DOWNLOAD,
        "A part was asked for, and comes from another file: other bytes, other `ETag`.",
        spoiling.changed_under_range,
    ),
)

#: Every fault by its full name, ``create.html_502``.
FAULTS: Mapping[str, Mishap] = {
    f"{call}.{mishap.kind}": mishap for mishap in MISHAPS for call in mishap.calls
}
