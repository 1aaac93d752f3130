"""Bytes to values and back: the only home of the API's own spellings, paths and odd shapes.

Reading never raises: what cannot be read is a value too (``Unreadable``), because whether it
matters depends on what was asked. Decides nothing; ``retry`` and ``lifecycle`` do.
"""

import datetime as dt
import functools
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import attrs

from seedance_async.errors import Violation

DEFAULT_BASE_URL = "https://zcbservice.aizfw.cn/kyyReactApiServer"
CREATE_PATH = "/v1/kyyvideo2/videos"
RESULT_PATH = "/v1/result"  # /{task id}
ASSET_UPLOAD_PATH = "/kyyVideo2/asset/upload"
ASSET_PATH = "/kyyVideo2/asset"  # /{asset id}

#: Python's field names to the API's, in the order in which the page lists them.
WIRE_NAMES: Mapping[str, str] = {
    "model": "model",
    "prompt": "prompt",
    "duration": "duration",
    "aspect_ratio": "aspect_ratio",
    "generate_audio": "generateAudio",
    "first_image": "first_image",
    "last_image": "last_image",
    "reference_images": "referenceImages",
    "reference_videos": "referenceVideos",
    "reference_audios": "referenceAudios",
}
PYTHON_NAMES: Mapping[str, str] = {wire: python for python, wire in WIRE_NAMES.items()}
_NULLABLE = (
    frozenset(WIRE_NAMES) - {"model", "prompt", "duration", "aspect_ratio"} - {"generate_audio"}
)
_SUCCESS, _GATEWAY = 2, 5  # hundreds of codes that say so
_QUOTED_CHARS = 300
_SECRET_CHARS = 8


@attrs.frozen(eq=False)
class Answer:
    """An HTTP answer; its headers are asked for in lower case.

    Attributes:
        cut: Why the body may be less than what was sent; None for one that arrived whole.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    cut: str | None = None


@attrs.frozen(eq=False)
class NoAnswer:
    """A call without an answer; ``sent`` tells whether any of it may have left the machine."""

    sent: bool
    reason: str


Reply = Answer | NoAnswer


@attrs.frozen(kw_only=True)
class TaskState:
    """What the API said about a task, once.

    Attributes:
        id: The provider's id of the task.
        status: ``queued``, ``processing``, ``completed``, ``failed`` or ``cancelled``, in lower
            case. Open on purpose: a new status must not break a client that has paid.
        model: The backend model, which the provider may choose itself.
        created_at: When the task was created, in UTC.
        video_url: Where the MP4 is, for 24 hours; None until completed.
        actual_duration_s: The video's length in seconds, once completed.
        total_tokens: What was billed, once completed.
        error: The provider's words on a failure.
        body: The whole answer as it came, JSON.
    """

    id: str
    status: str
    model: str | None = None
    created_at: dt.datetime | None = None
    video_url: str | None = attrs.field(default=None, repr=False)
    actual_duration_s: float | None = None
    total_tokens: int | None = None
    error: str | None = attrs.field(default=None, repr=False)
    # As bytes: read, it would take more memory than all else that is known of a job that waits.
    body: bytes = attrs.field(default=b"{}", repr=False, eq=False)

    @property
    def raw(self) -> dict[str, Any]:
        """The whole answer, fields unknown to us included; read anew each time."""
        return loaded(self.body)


@attrs.frozen(eq=False)
class BusinessFailure:
    """A readable answer that says no, under whatever HTTP status, and names no task."""

    message: str
    code: int | None = None


@attrs.frozen(eq=False)
class Unreadable:
    """An answer in which no task could be read."""

    reason: str


def write_request(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Spell the given fields as the API does; absent ones stay absent."""
    return {
        wire: list(value) if isinstance(value := fields[python], tuple) else value
        for python, wire in WIRE_NAMES.items()
        if python in fields
    }


def given_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a request body's fields as Python does; a null frame or list is one not given."""
    fields = {PYTHON_NAMES[name]: value for name, value in body.items() if name in PYTHON_NAMES}
    return {
        name: value for name, value in fields.items() if value is not None or name not in _NULLABLE
    }


def is_id(text: str) -> bool:
    """Tell whether *text* can stand in the API's addresses as an id."""
    return re.fullmatch(r"[^\s/?#%]*[^\s/?#%.][^\s/?#%]*", text) is not None


def quote_id(task_id: str) -> str:
    """Quote an id for a path, so that no id can name another resource."""
    return quote(task_id, safe="", errors="surrogatepass")


def dump(value: Mapping[str, Any]) -> bytes:
    """Serialise as the API takes it: JSON, its text escaped to ASCII, which is UTF-8 too."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


@functools.cache
def _query_of_a_url() -> re.Pattern[str]:
    return re.compile(r"(https?://[^\s?#\"']+)[?#][^\s\"']*", re.IGNORECASE)


@functools.cache
def _respelled() -> re.Pattern[str]:
    return re.compile("|".join(python for python, wire in WIRE_NAMES.items() if python != wire))


def spell_violation(violation: Violation) -> Violation:
    """Put a violation's field and words into the API's spelling, for an answer of a server."""

    def respell(text: str) -> str:
        return _respelled().sub(lambda match: WIRE_NAMES[match[0]], text)

    return Violation(violation.rule, respell(violation.field), respell(violation.message))


def read_task(
    body: bytes, *, asked_id: str | None = None, secrets: Sequence[str] = ()
) -> TaskState | BusinessFailure | Unreadable:
    """Read a task from the body of a create or query answer, in every shape seen so far.

    Args:
        body: The raw body.
        asked_id: The id that was queried; it stands in for a missing one, and an answer about
            another task is unreadable.
        secrets: What is to be taken out of the provider's words.
    """
    loaded = load_object(body)
    if isinstance(loaded, Unreadable):
        return loaded
    inner = loaded.get("data")
    wrapped = isinstance(inner, dict) and (inner.get("id") or not loaded.get("id"))
    fields: dict[str, Any] = inner if wrapped else loaded  # type: ignore[assignment]
    task_id = _id(fields.get("id"))
    if task_id is None and fields.get("id"):
        # Told, so that a person can find the task by it.
        odd = json.dumps(fields["id"], ensure_ascii=False)
        return Unreadable(f"an id that is no text: {clip(odd, secrets)}")
    if task_id is None and asked_id is not None and _text(fields.get("status")) is not None:
        task_id = asked_id
    if task_id is None:
        failure = read_failure(loaded, secrets)
        return BusinessFailure(failure) if failure else Unreadable("no task id in it")
    if asked_id not in (None, task_id):
        return Unreadable("it speaks of another task")
    read = {
        **fields,
        "id": task_id,
        "body": body,
        "error": _words(fields.get("error"), secrets),
        # What should be a word or two may be anything, and is told to people.
        "status": _word(fields.get("status"), secrets) or "",
        "model": _word(fields.get("model"), secrets),
        "video_url": fields.get("video_url") or fields.get("result_url"),
    }
    state: TaskState = _structure_task()(read, TaskState)
    return state


def loaded(body: bytes) -> dict[str, Any]:
    """Load what was read as an answer before; empty where it is nested too deep for it now."""
    read = load_object(body)
    return {} if isinstance(read, Unreadable) else read


def load_object(body: bytes) -> dict[str, Any] | Unreadable:
    """Load a JSON object, or say why there is none, without quoting it."""
    try:
        loaded = json.loads(body)
    except (ValueError, RecursionError):
        if not body.strip():
            return Unreadable("an empty body")
        return Unreadable("HTML instead of JSON" if b"<" in body[:1] else "a body that is not JSON")
    return loaded if isinstance(loaded, dict) else Unreadable("JSON that is not an object")


def read_failure(loaded: Mapping[str, Any], secrets: Sequence[str] = ()) -> str | None:
    """Find the words of a clear "no" in an answer's JSON; None where it tells of none.

    A code that is no whole number, or one of a success or of a gateway's trouble (2xx, 5xx), is no
    clear "no": a task may stand behind it.
    """
    error = loaded.get("error")
    nested = error.get("code") if isinstance(error, Mapping) else None
    codes = [loaded.get("code"), loaded.get("status"), nested]
    numbers = [_code(code) for code in codes if code is not None]
    if any(number is not None and number // 100 == _GATEWAY for number in numbers):
        return None
    words = _words(error, secrets) or _words(loaded.get("msg") or loaded.get("message"), secrets)
    code = _code(loaded.get("code"))
    if loaded.get("code") is None:
        return _words(error, secrets) and words
    if not code or code // 100 == _SUCCESS:
        return None
    return f"code {code}: {words or 'no message'}"


def read_envelope(
    body: bytes, secrets: Sequence[str] = ()
) -> dict[str, Any] | BusinessFailure | Unreadable:
    """Read what the asset library wraps its answers in: ``code``, ``msg`` and ``data``.

    Returns:
        The data of a success, empty where there are none.
    """
    loaded = load_object(body)
    if isinstance(loaded, Unreadable):
        return loaded
    if _code(loaded.get("code")) == 0:
        data = loaded.get("data")
        return data if isinstance(data, dict) else {}
    failure = read_failure(loaded, secrets)
    if failure:
        return BusinessFailure(failure, _code(loaded.get("code")))
    return Unreadable("no code that says what became of it")


def quotes(task: TaskState, secret: str) -> bool:
    """Tell whether a secret is anywhere in what the provider said."""
    said = task.body
    if b"\\" in said or not said.isascii():  # what is escaped may be spelled in many ways
        said = dump(task.raw)
    return any(map(said.__contains__, _spelled(secret)))


@functools.lru_cache(maxsize=4)  # asked for with each answer, and always for the same key
def _spelled(secret: str) -> tuple[bytes, ...]:
    # Most keys are spelled alike in all forms.
    return tuple({form.encode() for form in _forms(secret) if len(secret) >= _SECRET_CHARS})


def without(task: TaskState, secret: str, secrets: Sequence[str] = ()) -> TaskState:
    """Take a secret out of all that the provider said, for keeping it.

    Args:
        task: What it said.
        secret: What is to be found nowhere in it.
        secrets: What is to be taken out of its words alone.
    """
    clean = dump(task.raw)
    for form in _spelled(secret):
        clean = clean.replace(form, b"<...>")
    read = read_task(clean, asked_id=task.id, secrets=(secret, *secrets))
    return read if isinstance(read, TaskState) else bare(task.id, task.status)


def bare(task_id: str, status: str) -> TaskState:
    """Give no more of an answer than the task's id and its status."""
    return TaskState(id=task_id, status=status, body=dump({"id": task_id, "status": status}))


def failure_message(answer: Answer, secrets: Sequence[str] = ()) -> str:
    """Describe a failed answer: its HTTP status and the provider's words, if it has any."""
    loaded = load_object(answer.body)
    if isinstance(loaded, Unreadable):
        return f"HTTP {answer.status}"
    names = ("error", "message", "msg", "detail")
    words = next((words for name in names if (words := _words(loaded.get(name), secrets))), None)
    return f"HTTP {answer.status}" + (f": {words}" if words else "")


def retry_after_s(headers: Mapping[str, str], now: dt.datetime) -> float | None:
    """Read ``Retry-After``, in seconds (a fraction too) or as an HTTP date.

    A date is meant on the provider's clock, which the answer's own ``Date`` tells; ours may be
    wrong by more than the pause.

    Returns:
        Seconds from *now*, never negative; None where the header is absent or unreadable.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    date = _http_date(value)
    if date is None:
        return None
    said = _http_date(headers.get("date", "")) or now
    return max(0.0, (date - said).total_seconds())


def size_in_range(headers: Mapping[str, str]) -> int | None:
    """Read the whole file's size, in bytes, from ``Content-Range``; None where it is not told."""
    total = headers.get("content-range", "").rpartition("/")[2]
    return int(total) if re.fullmatch(r"\d{1,18}", total, re.ASCII) else None


def _http_date(value: str) -> dt.datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # "-0000" means UTC of unknown origin.
    return date if date.tzinfo is not None else date.replace(tzinfo=dt.UTC)


def _text(value: Any, _: Any = None) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    # ``type() is``: ``true`` is no number.
    return str(value) if type(value) is int else None


def _word(value: Any, secrets: Sequence[str]) -> str | None:
    text = _text(value)
    # One copy for all the tasks that wait with the same word.
    return None if text is None else sys.intern(clip(text, secrets))


def _id(value: Any) -> str | None:
    # Text alone, as documented: a number would be asked for in vain, and hide a paid task.
    return value.strip() or None if isinstance(value, str) else None


def _words(value: Any, secrets: Sequence[str]) -> str | None:
    """Take a message from the shapes that ``error`` has been seen in."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = next((value[name] for name in ("message", "msg", "code") if value.get(name)), value)
    if not value:
        return None
    try:
        words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "an error without readable words"
    return clip(words, secrets) or None


def _code(value: Any) -> int | None:
    """Read a business code; None for what is no whole number."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value, re.ASCII):
        return int(value)
    return value if type(value) is int else None


def _forms(secret: str) -> tuple[str, ...]:
    """Spell a secret as a message may quote it: as it is, and as JSON inside of JSON."""
    once = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
    return secret, *once, *(json.dumps(form, ensure_ascii=False)[1:-1] for form in once)


def clip(text: str, secrets: Sequence[str] = ()) -> str:
    """Put foreign words on one line of bounded length, without secrets that they quote."""
    if re.fullmatch(
        r"[\w.-]{1,64}", text, re.ASCII
    ):  # as most answers are: no secret can be spelled in it but as it is
        for secret in secrets:
            if secret in text and len(secret) >= _SECRET_CHARS:
                break
        else:
            return text
    # What is short could be part of any word.
    spelled = [
        form for secret in secrets if len(secret) >= _SECRET_CHARS for form in _forms(secret)
    ]
    for form in spelled:
        text = text.replace(form, "<...>")
    text = " ".join(text.split())
    for form in spelled:
        text = text.replace(" ".join(form.split()), "<...>")
    # A URL that a provider quotes may be signed: what comes after its path stays out.
    line = _query_of_a_url().sub(r"\1?...", text)
    return line if len(line) <= _QUOTED_CHARS else f"{line[:_QUOTED_CHARS]}…"


def _status(value: Any, _: Any) -> str:
    status = sys.intern(str(value).lower())
    return "cancelled" if status == "canceled" else status


def _number(value: Any, _: Any = None) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < float("inf") else None


def _count(value: Any, _: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _moment(value: Any, _: Any) -> dt.datetime | None:
    try:
        number = _number(value)
        return None if number is None else dt.datetime.fromtimestamp(number, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


@functools.cache
def _structure_task() -> Callable[[Mapping[str, Any], Any], Any]:
    # cattrs costs half of this package's import time and is needed with the first answer only.
    from cattrs import Converter  # noqa: PLC0415
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415

    def read(name: str, hook: Callable[[Any, Any], Any]) -> Any:
        return override(rename=name, struct_hook=hook)

    def as_it_is(value: Any, _: Any) -> Any:
        return value

    return make_dict_structure_fn(
        TaskState,
        Converter(),
        _cattrs_detailed_validation=False,
        id=read("id", as_it_is),
        status=read("status", _status),
        model=read("model", as_it_is),
        created_at=read("created", _moment),
        video_url=read("video_url", _text),
        actual_duration_s=read("actualDuration", _number),
        total_tokens=read("totalTokens", _count),
        error=read("error", as_it_is),
        body=read("body", as_it_is),
    )
