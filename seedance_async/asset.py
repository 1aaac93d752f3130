"""An asset of the provider's library, and what its answers mean. Sends nothing.

The library wraps its answers in ``code``, ``msg`` and ``data``, and says no inside of an HTTP 200.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs

from seedance_async import wire
from seedance_async.errors import (
    AnswerError,
    AssetUnknown,
    RequestRefused,
    SubmissionUnknown,
    UnexpectedAnswer,
)
from seedance_async.references import ASSET_SCHEME
from seedance_async.retry import Again, sent_in_vain, unanswered
from seedance_async.wire import BusinessFailure, NoAnswer, Reply, Unreadable


class AssetKind(StrEnum):
    """What an asset is. Source: the contract, spelled as on the wire."""

    IMAGE = "Image"
    VIDEO = "Video"
    AUDIO = "Audio"
    DOCUMENT = "Document"


class AssetStatus(StrEnum):
    """An asset's status. Source: the contract, spelled as on the wire."""

    PROCESSING = "Processing"
    ACTIVE = "Active"
    FAILED = "Failed"


@attrs.frozen(kw_only=True)
class Asset:
    """Something in the provider's asset library, as it was when it was looked at.

    Attributes:
        id: Its id, such as ``asset-20260330142158-q75m8``.
        status: An ``AssetStatus`` as text; open, since a new one must not break a client. Only
            ``Active`` assets may be used in a request.
        kind: An ``AssetKind`` as text, if it was told.
        name: What it was called when it was registered.
        url: Where the provider fetched it from; it may be signed.
        created_at: When it was registered, by the provider's clock; of no time zone that is told.
    """

    id: str
    status: str
    kind: str | None = None
    name: str | None = attrs.field(default=None, repr=False)
    url: str | None = attrs.field(default=None, repr=False)
    created_at: dt.datetime | None = None

    @property
    def reference(self) -> str:
        """What stands for it in a ``VideoRequest``."""
        return f"{ASSET_SCHEME}{self.id}"


def registration(url: str, kind: str, name: str | None) -> dict[str, Any]:
    """Spell a registration as the API does."""
    body = {"assetType": kind, "url": url}
    return body if name is None else {**body, "name": name}


def judge_registration(
    reply: Reply, now: dt.datetime, *, key: str, digest: str, secrets: Sequence[str] = ()
) -> str | Again | AnswerError:
    """Tell what became of a registration; as careful as ``judge_create``.

    Returns:
        The asset's id; ``Again`` where certainly nothing was registered and it may be sent again;
        otherwise the error, ``SubmissionUnknown`` where an asset may exist.
    """
    certain = sent_in_vain(reply, now, secrets)
    if certain is not None:
        return certain
    status = None
    if isinstance(reply, NoAnswer):
        reason = reply.reason
    else:
        status, reason = reply.status, wire.failure_message(reply, secrets)
        if status in _HTTP_OK:
            read = wire.read_envelope(reply.body, secrets)
            if isinstance(read, BusinessFailure):
                return RequestRefused(read.message, None, status)
            told = _told_id(reply.body)
            if isinstance(told, str) and wire.is_id(told):
                return told
            why = read.reason if isinstance(read, Unreadable) else "no asset id in it"
            if told is not None:  # so that a person can find the asset by it
                why = f"an odd asset id: {json.dumps(told, ensure_ascii=False)[:_SHOWN_CHARS]}"
            reason = f"HTTP {status} with {reply.cut or why}"
    message = (
        f"the registration {key} was sent and its answer is lost ({reason}): an asset may exist, "
        "so it is not sent again; look for it at the provider"
    )
    return SubmissionUnknown(message, None, status, key, digest)


def _told_id(body: bytes) -> Any:
    """Find an asset's id where it can only be one, though the envelope be odd."""
    loaded = wire.load_object(body)
    if isinstance(loaded, Unreadable):
        return None
    data = loaded.get("data")
    if isinstance(data, str | int):
        return data
    places = [place for place in (data, loaded) if isinstance(place, Mapping)]
    names = ("assetId", "asset_id", "id")
    found = (place[name] for place in places for name in names if place.get(name))
    return next(found, None)


def judge_look(
    reply: Reply, now: dt.datetime, *, asset_id: str, secrets: Sequence[str] = ()
) -> Asset | Again | AnswerError:
    """Tell what a look at an asset brought to light; it may always be repeated."""
    data = _answered(reply, now, secrets)
    if not isinstance(data, Mapping):
        return data
    status = _text(data, "status")
    told_id = _text(data, "assetId") or asset_id
    if status is None or told_id != asset_id:
        what = "an answer about another asset" if status else "an answer without a status"
        return Again(error=UnexpectedAnswer(what), outage=False)
    return Asset(
        id=asset_id,
        status=_spelled(status),
        kind=_text(data, "assetType"),
        name=_text(data, "name"),
        url=_text(data, "url"),
        created_at=_moment(_text(data, "createTime")),
    )


def judge_deletion(
    reply: Reply, now: dt.datetime, secrets: Sequence[str] = ()
) -> Again | AnswerError | None:
    """Tell what became of a deletion; None where it was done. It may always be repeated."""
    data = _answered(reply, now, secrets)
    return None if isinstance(data, Mapping) else data


def _answered(
    reply: Reply, now: dt.datetime, secrets: Sequence[str]
) -> Mapping[str, Any] | Again | AnswerError:
    again = unanswered(reply, now, secrets)
    if again is not None or isinstance(reply, NoAnswer):
        assert again is not None  # noqa: S101 -- for the types: no answer is one of these
        return again
    read = wire.read_envelope(reply.body, secrets)
    if isinstance(read, BusinessFailure):
        refusal = AssetUnknown if read.code == _NO_SUCH_ASSET else RequestRefused
        return refusal(read.message, None, reply.status)
    if isinstance(read, Unreadable):
        words = f"HTTP {reply.status} with {reply.cut or read.reason}"
        error = UnexpectedAnswer(words, None, reply.status)
        return Again(error=error, outage=reply.cut is not None)
    return read


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value.strip() or None if isinstance(value, str) else None


def _spelled(status: str) -> str:
    known = {each.casefold(): each.value for each in AssetStatus}
    return known.get(status.casefold(), status[:_SHOWN_CHARS])


def _moment(text: str | None) -> dt.datetime | None:
    if text is None or not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text, re.ASCII):
        return None
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


_HTTP_OK = range(200, 300)
_NO_SUCH_ASSET = -1  # Source: the contract
_SHOWN_CHARS = 40
