"""What to make: ``VideoRequest``, checked against the rules when it is made, and ``Job``.

Knows no spelling of the wire (``wire`` does) and no rule (``rules`` does); sends nothing.
"""

import contextlib
import copy
import difflib
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, cast

import attrs

from seedance_async import references, rules, wire
from seedance_async.errors import InvalidRequest, Violation
from seedance_async.rules import AspectRatio, Model, Stage


# The converters' arguments are typed as callers should see them; what callers do is another thing.
def _media(given: str | PurePath | None) -> str | None:
    """Spell a path; leave all else as it is, for the rules to judge."""
    return references.spelled(str(given)) if isinstance(given, PurePath) else given


def _entries(given: Iterable[str | PurePath] | None) -> tuple[str, ...]:
    """Freeze a list; leave what is none as it is, for the rules to name."""
    value: Any = given
    if value is None:
        return ()
    is_list = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    return tuple(cast("str", _media(each)) for each in value) if is_list else value


def _ids(given: Iterable[str] | str) -> tuple[str, ...]:
    value: Any = given
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)


def _private(value: Any) -> str:
    """Show that there is something and how much, never what: it may be signed or personal."""
    if isinstance(value, str):
        return f"<{len(value)} characters>"
    if isinstance(value, tuple | dict) and value:
        return f"<{len(value)} entries>"
    return "()" if value == () else "None" if value is None else f"<{type(value).__name__}>"


def _metadata(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if not isinstance(given, Mapping):
        return given
    # Whatever the caller does to it later must not reach what is written down.
    with contextlib.suppress(Exception):  # what cannot be copied is no JSON, and told as that
        return copy.deepcopy(dict(given))
    return dict(given)


@attrs.frozen(kw_only=True)
class VideoRequest:
    """One video to be made, valid from the moment it exists.

    Does not look at the media behind URLs, and does not know whether the account can pay.

    Args:
        model: One of ``Model``, or its text. Source: ``model.known``,
            ``model.needs_reference_video``.
        prompt: What the video shows; not blank. Source: ``prompt.required``.
        duration: Seconds, a whole number, 4 to 15 inclusive. Source: ``duration.range``.
        aspect_ratio: One of ``AspectRatio``, or its text. Source: ``aspect_ratio.known``.
        generate_audio: Whether the video has a sound track. Source: ``generate_audio.boolean``.
        first_image: The first frame: a public URL, ``asset://<assetId>``, or the path of a local
            file, as text or ``pathlib.Path``, for a session that has a publisher. Source:
            ``media.reference``, ``frames.exclusive``.
        last_image: The last frame, only with a first. Source: ``last_image.needs_first``.
        reference_images: 1 to 9 media references, in the order in which they are sent; empty
            means none. Source: ``reference_images.count``.
        reference_videos: At most 3. Source: ``reference_videos.count``.
        reference_audios: At most 3. Source: ``reference_audios.count``.
        metadata: The caller's own mapping, JSON-serialisable with text keys: kept, written
            down and given back with the outcome, never sent.
        waive: Ids of rules that are switched off for this request.

    Raises:
        InvalidRequest: With *all* broken rules at once.
    """

    model: Model | str
    prompt: str = attrs.field(repr=_private)
    duration: int = rules.DEFAULTS["duration"]
    aspect_ratio: AspectRatio | str = rules.DEFAULTS["aspect_ratio"]
    generate_audio: bool = rules.DEFAULTS["generate_audio"]
    first_image: str | None = attrs.field(default=None, converter=_media, repr=_private)
    last_image: str | None = attrs.field(default=None, converter=_media, repr=_private)
    reference_images: tuple[str, ...] = attrs.field(default=(), converter=_entries, repr=_private)
    reference_videos: tuple[str, ...] = attrs.field(default=(), converter=_entries, repr=_private)
    reference_audios: tuple[str, ...] = attrs.field(default=(), converter=_entries, repr=_private)
    metadata: Mapping[str, Any] | None = attrs.field(
        default=None, converter=_metadata, repr=_private, hash=False
    )
    waive: tuple[str, ...] = attrs.field(default=(), converter=_ids)

    # One pass over the table instead of a validator for each field, which would stop at the
    # first broken rule.
    def __attrs_post_init__(self) -> None:
        broken = (
            *rules.violations(self._given(), waive=self.waive, takes_files=True),
            *_json_violations("metadata", self.metadata),
            *_waive_violations(self.waive),
        )
        if self.waive and not broken:
            # What a rule no longer holds back must still be something that can be sent.
            broken = (*_json_violations("waive", self.to_wire()),)
        if broken:
            raise InvalidRequest(broken)

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> "VideoRequest":
        """Read a request from the JSON object that the API takes.

        Args:
            body: The API's own field names; null frames and lists count as not given. Local paths
                are none of the API's.

        Raises:
            InvalidRequest: With all broken rules, a field that the API does not have among them
                (``field.known``).
        """
        fields = wire.given_fields(body)
        unknown = _unknown_fields(body, wire.PYTHON_NAMES)
        return _from_fields(fields, [*unknown, *rules.unpublished(fields)])

    def to_wire(self) -> dict[str, Any]:
        """Give the JSON object that is sent, defaults spelled out, in the page's order.

        Local paths stand in it as they are; a session sends what they were published as.
        """
        return wire.write_request(self._given())

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of what is sent, in hexadecimal: equal for requests that are sent alike."""
        canonical = json.dumps(self.to_wire(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def check_submission(self, *, hosts: bool = True, takes_files: bool = False) -> None:
        """Check what rests until a request is submitted, since only its session can tell.

        Args:
            hosts: Whether to check ``media.public``.
            takes_files: Whether local paths are published, and so pass ``media.reference``.

        Raises:
            InvalidRequest: With all rules that are broken.
        """
        given = self._given()
        broken = () if takes_files else rules.unpublished(given, self.waive)
        if hosts:
            broken += rules.violations(given, waive=self.waive, stage=Stage.SUBMISSION)
        if broken:
            raise InvalidRequest(broken)

    def media(self) -> Iterator[tuple[str, str]]:
        """Name every media reference by its place: ``first_image``, ``reference_videos[1]``."""
        for place, reference in rules.media_references(self._given()):
            if isinstance(reference, str):  # a waived rule lets anything pass
                yield place, reference

    def local_media(self) -> dict[str, str]:
        """Give the paths of local files by their places."""
        return rules.local_media(self._given(), self.waive)

    def with_media(self, media: Mapping[str, str]) -> "VideoRequest":
        """Give the same request with other *media* in their places."""
        return attrs.evolve(self, **rules.with_media(self._given(), media))

    def _given(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in wire.WIRE_NAMES}
        for name in rules.FRAMES:
            if fields[name] is None:
                del fields[name]
        for name in rules.REFERENCES:
            if fields[name] == ():
                del fields[name]
        return fields


def secrets(request: VideoRequest) -> tuple[str, ...]:
    """Give what a provider may quote of a request, and nobody else should: prompt and media."""
    texts: list[object] = [request.prompt, request.first_image, request.last_image]
    for medias in (request.reference_images, request.reference_videos, request.reference_audios):
        if isinstance(medias, tuple):  # a rule that is waived may have let anything pass
            texts += medias
    return tuple(text for text in texts if isinstance(text, str))


def differences(known: VideoRequest, given: VideoRequest) -> tuple[str, ...]:
    """Tell in which fields two requests are sent differently, without prompts and media."""
    if known is given:
        return ()
    pairs = ((name, getattr(known, name), getattr(given, name)) for name in wire.WIRE_NAMES)
    return tuple(
        f"{name} {_outlined(name, there)} there and {_outlined(name, here)} here"
        for name, there, here in pairs
        if there != here
    )


def _outlined(name: str, value: Any) -> str:
    if name not in _PRIVATE or value in (None, ()):
        return repr(value)
    # Two prompts of one length are told apart by their digests.
    digest = hashlib.sha256(repr(value).encode(errors="replace")).hexdigest()
    return f"{_private(value)[:-1]}, SHA-256 {digest[:8]}...>"


_PRIVATE = frozenset({"prompt", *rules.FRAMES, *rules.REFERENCES})


@attrs.frozen(kw_only=True)
class Job:
    """A request with a name in a batch.

    Args:
        request: What to make.
        key: The caller's own id for the job: the same key in the same journal is the same job,
            also in another process. None makes one from the request and its place among equal
            ones.
        name: What a person calls it; becomes part of the file's name.

    Raises:
        InvalidRequest: A key or a name that is no text, or blank.
    """

    request: VideoRequest
    key: str | None = None
    name: str | None = None

    def __attrs_post_init__(self) -> None:
        broken = tuple(_name_violations({"key": self.key, "name": self.name}))
        if broken:
            raise InvalidRequest(broken)

    @classmethod
    def from_mapping(cls, line: Mapping[str, Any]) -> "Job":
        """Read a job from a line of a file.

        Args:
            line: A request's fields in the API's or in Python's spelling, with ``key``,
                ``name``, ``metadata`` and ``waive`` where wanted.

        Raises:
            InvalidRequest: With all broken rules, unknown fields among them.
        """
        known = (*wire.PYTHON_NAMES, *wire.WIRE_NAMES, *_JOB_FIELDS, *_OWN_FIELDS)
        broken = [*_unknown_fields(line, known), *_name_violations(line)]
        broken += (
            Violation("field.twice", python, f"stands there as {name} too: give it once")
            for name, python in wire.PYTHON_NAMES.items()
            if name != python and name in line and python in line
        )
        respelled = {wire.WIRE_NAMES.get(name, name): value for name, value in line.items()}
        fields = wire.given_fields(respelled)
        fields.update({name: line[name] for name in _OWN_FIELDS if name in line})
        request = _from_fields(fields, broken)
        return cls(request=request, key=line.get("key"), name=line.get("name"))


_JOB_FIELDS = ("key", "name")
_OWN_FIELDS = ("metadata", "waive")


def _from_fields(fields: Mapping[str, Any], broken: Iterable[Violation]) -> VideoRequest:
    """Make a request, adding to what is already known to be *broken*.

    Fields that were given emptily are checked here: the constructor takes them as not given.
    """
    empty = {name: fields[name] for name in rules.REFERENCES if fields.get(name) == []}
    found = [*broken]
    found += [
        v for v in rules.violations(empty, waive=_ids(fields.get("waive", ()))) if v.field in empty
    ]
    complete = {"model": None, "prompt": None, **fields}
    try:
        request = VideoRequest(**complete)
    except InvalidRequest as invalid:
        raise InvalidRequest([*found, *invalid.violations]) from None
    if found:
        raise InvalidRequest(found)
    return request


def _unknown_fields(line: Mapping[str, Any], known: Iterable[str]) -> Iterator[Violation]:
    names = frozenset(known)
    for name in line:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {close[0]}?" if close else "take it out"
            yield Violation("field.known", str(name), f"is no field of a video request: {hint}")


def _name_violations(line: Mapping[str, Any]) -> Iterator[Violation]:
    for name in _JOB_FIELDS:
        value = line.get(name)
        if value is not None and not (isinstance(value, str) and value.strip() and _valid(value)):
            yield Violation(f"{name}.text", name, "must be valid text that is not blank")


def _valid(text: str) -> bool:
    # SQLite's own functions take a NUL for the end.
    return text.encode(errors="replace").decode() == text and "\0" not in text


def _json_violations(field: str, value: Any) -> Iterator[Violation]:
    if value is None:
        return
    is_object = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        is_object = False
    if not is_object:
        message = "must be a mapping with text keys and JSON values"
        if field == "waive":
            message = "lets a value through that JSON has no form for, so it cannot be sent"
        yield Violation(f"{field}.json", field, message)


def _waive_violations(waive: Iterable[Any]) -> Iterator[Violation]:
    for rule in waive:
        if not isinstance(rule, str) or rule not in rules.WAIVABLE:
            close = difflib.get_close_matches(str(rule), rules.WAIVABLE, n=1)
            hint = f"did you mean {close[0]}?" if close else "the docs list all rules"
            yield Violation("waive.known", "waive", f"{str(rule)!r} is no rule's id: {hint}")
