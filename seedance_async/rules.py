"""The rules of the API: one table, each rule with its id, its limits and its words.

``VideoRequest``, the emulator's 400 answers and the parameter page of the docs are all made
from it. What a rule judges is the *given* fields: a mapping from Python's field names to
values, in which a field that was not given is absent. Nothing here raises; nothing reads a
file or asks the network.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any

import attrs

from seedance_async import mediarules, references
from seedance_async.errors import Violation
from seedance_async.mediainfo import MediaKind
from seedance_async.references import kind


class Model(StrEnum):
    """The provider's models.

    Source: contract rules ``model.known`` and ``model.needs_reference_video``.
    """

    SEEDANCE_2_0 = "seedance_2_0"
    SEEDANCE_2_0_FAST = "seedance_2_0_fast"
    SEEDANCE_2_0_PRO = "seedance_2_0_pro"
    SEEDANCE_2_0_FAST_PRO = "seedance_2_0_fast_pro"


class AspectRatio(StrEnum):
    """The shapes of a video, width to height; ``ADAPTIVE`` leaves it to the provider.

    Source: contract rule ``aspect_ratio.known``.
    """

    LANDSCAPE_16_9 = "16:9"
    LANDSCAPE_4_3 = "4:3"
    SQUARE = "1:1"
    PORTRAIT_3_4 = "3:4"
    PORTRAIT_9_16 = "9:16"
    ULTRA_WIDE_21_9 = "21:9"
    ADAPTIVE = "adaptive"


#: The models that generate only with a reference video, each with the twin that need not.
PRO_TWIN: Mapping[str, str] = {
    Model.SEEDANCE_2_0: Model.SEEDANCE_2_0_PRO,
    Model.SEEDANCE_2_0_FAST: Model.SEEDANCE_2_0_FAST_PRO,
}
#: What the API takes where an optional field is not given.
DEFAULTS: Mapping[str, Any] = {
    "duration": 5,
    "aspect_ratio": AspectRatio.LANDSCAPE_16_9,
    "generate_audio": True,
}
FRAMES = ("first_image", "last_image")
REFERENCES = ("reference_images", "reference_videos", "reference_audios")

Given = Mapping[str, Any]
# Where a rule is broken and what to do instead: (field, message).
Fault = tuple[str, str]


class Stage(StrEnum):
    """When a rule can be checked."""

    CONSTRUCTION = "construction"  #: from the request alone, when it is made
    SUBMISSION = "submission"  #: when it is submitted: only the session knows its base URL
    MEDIA = "media"  #: by looking at the media themselves


@attrs.frozen(kw_only=True, eq=False)
class Rule:
    """One rule of the API.

    Attributes:
        id: The name by which errors, tests, docs and the emulator call the rule.
        fields: The request's fields that it is about, in Python's spelling.
        requirement: What it asks for, in one sentence.
        limits: The numbers and choices in it, by name.
        stage: When it can be checked.
        faults: Where what is given breaks it, lazily: a request's fields, or for a rule of stage
            ``MEDIA`` what a look at them has found, by the places of ``media_references``.
    """

    id: str
    fields: tuple[str, ...]
    requirement: str
    limits: Mapping[str, Any] = attrs.field(factory=dict)
    stage: Stage = Stage.CONSTRUCTION
    faults: Callable[[Given], Iterator[Fault]] = attrs.field(repr=False)


def violations(
    given: Given,
    *,
    waive: Collection[str] = (),
    stage: Stage = Stage.CONSTRUCTION,
    takes_files: bool = False,
) -> tuple[Violation, ...]:
    """Find every rule of *stage* that *given* breaks.

    Args:
        given: Python's field names to values; what was not given is absent. For the stage
            ``MEDIA``: the places of ``media_references`` to their ``MediaInfo``.
        waive: Ids of rules that are switched off.
        stage: Which rules to check.
        takes_files: Whether local paths pass for media references, since they may be published.

    Returns:
        All violations, in the order of the rule table.
    """
    if takes_files and (local := local_media(given, waive)):
        given = with_media(given, dict.fromkeys(local, _TO_BE_PUBLISHED))
    return tuple(
        Violation(rule.id, field, message)
        for rule in _BY_STAGE[stage]
        if rule.id not in waive
        for field, message in rule.faults(given)
    )


def _choice(field: str, choices: type[StrEnum]) -> Callable[[Given], Iterator[Fault]]:
    known: frozenset[str] = frozenset(choices)
    listed = ", ".join(choices)

    def faults(given: Given) -> Iterator[Fault]:
        value = given.get(field, DEFAULTS.get(field))
        if value is None:
            yield field, f"is missing: choose one of {listed}"
        elif not isinstance(value, str) or value not in known:
            yield field, f"{_shown(value)} is not one of {listed}"

    return faults


def _prompt(given: Given) -> Iterator[Fault]:
    prompt = given.get("prompt")
    if prompt is not None and not isinstance(prompt, str):
        yield "prompt", f"must be text, not {kind(prompt)}"
    elif not prompt or prompt.isspace():
        yield "prompt", "is missing or blank: describe the video that you want"
    elif any("\ud800" <= char <= "\udfff" for char in prompt):
        yield "prompt", "has half of a surrogate pair in it: it is no valid Unicode text"


def _integer(field: str, low: int, high: int) -> Callable[[Given], Iterator[Fault]]:
    def faults(given: Given) -> Iterator[Fault]:
        value = given.get(field, DEFAULTS[field])
        # ``type() is`` on purpose: ``True`` is an int, and would reach the wire as ``true``.
        if type(value) is not int:
            yield field, f"must be a whole number of seconds, not {kind(value)}"
        elif not low <= value <= high:
            yield field, f"{_shown(value)} is out of range: choose {low} to {high} seconds"

    return faults


def _boolean(field: str) -> Callable[[Given], Iterator[Fault]]:
    def faults(given: Given) -> Iterator[Fault]:
        value = given.get(field, DEFAULTS[field])
        if not isinstance(value, bool):
            yield field, f"must be true or false, not {kind(value)}"

    return faults


def _count(field: str, low: int, high: int) -> Callable[[Given], Iterator[Fault]]:
    bounds = f"{low} to {high}" if low else f"at most {high}"

    def faults(given: Given) -> Iterator[Fault]:
        if field not in given:
            return
        value = given[field]
        if not isinstance(value, list | tuple):
            yield field, f"must be a list of {bounds} media references, not {kind(value)}"
        elif not low <= len(value) <= high:
            yield field, f"has {len(value)} entries: give {bounds}, or leave the field out"

    return faults


def _media_reference(given: Given) -> Iterator[Fault]:
    for field, value in media_references(given):
        problem = references.problem(value)
        if problem is not None:
            yield field, problem


def media_references(given: Given) -> Iterator[tuple[str, Any]]:
    """Name every media reference in *given*, frames first, each with its value, lazily."""
    for field in FRAMES:
        if field in given:
            yield field, given[field]
    for field in REFERENCES:
        entries = given.get(field)
        if isinstance(entries, list | tuple):
            for index, entry in enumerate(entries):
                yield f"{field}[{index}]", entry


def local_media(given: Given, waive: Collection[str] = ()) -> dict[str, str]:
    """Find the media in *given* that are local paths, by place.

    Where ``media.reference`` is waived there are none: what stands there is sent as it is.
    """
    if _MEDIA_REFERENCE in waive:
        return {}
    media = media_references(given)
    return {place: value for place, value in media if references.is_local(value)}


def unpublished(given: Given, waive: Collection[str] = ()) -> tuple[Violation, ...]:
    """Find the local paths in *given*, where there is nobody who would publish them."""
    return tuple(
        Violation(_MEDIA_REFERENCE, place, str(references.problem(path)))
        for place, path in local_media(given, waive).items()
    )


def with_media(given: Given, media: Mapping[str, str]) -> dict[str, Any]:
    """Put other *media* into their places, as ``media_references`` names them."""
    changed = dict(given)
    for place, reference in media.items():
        field, _, index = place.partition("[")
        if index:
            entries = list(changed[field])
            entries[int(index[:-1])] = reference
            changed[field] = tuple(entries)
        else:
            changed[field] = reference
    return changed


def _last_needs_first(given: Given) -> Iterator[Fault]:
    if "last_image" in given and "first_image" not in given:
        yield "last_image", "goes only with a first frame: give first_image as well"


def _frames_exclusive(given: Given) -> Iterator[Fault]:
    frames = [field for field in FRAMES if field in given]
    lists = [field for field in REFERENCES if given.get(field)]
    if frames and lists:
        together = f"{' and '.join(frames)} cannot go with {', '.join(lists)}"
        yield frames[0], f"{together}: keep either the frames or the references"


def _needs_reference_video(given: Given) -> Iterator[Fault]:
    model = given.get("model")
    twin = PRO_TWIN.get(model) if isinstance(model, str) else None
    if twin is not None and not given.get("reference_videos"):
        message = (
            f"{model} generates only with at least one reference video: use {twin}, which takes "
            "the same request without one, or give reference_videos"
        )
        yield "model", message


def _not_public(given: Given) -> Iterator[Fault]:
    for field, value in media_references(given):
        # What is no URL at all is ``media.reference``'s business, and may have been waived.
        if isinstance(value, str) and not references.may_be_public(value):
            yield field, _NOT_PUBLIC


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= _HUGE:
        return "a huge number"  # whose digits Python refuses to spell
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"


_HUGE = 10**18
_SHOWN_CHARS = 40
_MEDIA_REFERENCE = "media.reference"
_TO_BE_PUBLISHED = f"{references.ASSET_SCHEME}published"
_NOT_PUBLIC = (
    "points to a host that the provider cannot reach (loopback, private or link-local): put the "
    "file on a public URL or into the asset library"
)

#: All rules, in the order in which violations are reported.
#: Source: the provider's page "Create Video Task" and its sibling pages.
RULES: tuple[Rule, ...] = (
    Rule(
        id="model.known",
        fields=("model",),
        requirement=f"One of {', '.join(Model)}.",
        limits={"choices": tuple(Model)},
        faults=_choice("model", Model),
    ),
    Rule(
        id="prompt.required",
        fields=("prompt",),
        requirement="Present, text, and not blank.",
        faults=_prompt,
    ),
    Rule(
        id="duration.range",
        fields=("duration",),
        requirement="A whole number of seconds from 4 to 15.",
        limits={"min_s": 4, "max_s": 15},
        faults=_integer("duration", 4, 15),
    ),
    Rule(
        id="aspect_ratio.known",
        fields=("aspect_ratio",),
        requirement=f"One of {', '.join(AspectRatio)}.",
        limits={"choices": tuple(AspectRatio)},
        faults=_choice("aspect_ratio", AspectRatio),
    ),
    Rule(
        id="generate_audio.boolean",
        fields=("generate_audio",),
        requirement="True or false.",
        faults=_boolean("generate_audio"),
    ),
    Rule(
        id="reference_images.count",
        fields=("reference_images",),
        requirement="A list of 1 to 9 when given.",
        limits={"min": 1, "max": 9},
        faults=_count("reference_images", 1, 9),
    ),
    Rule(
        id="reference_videos.count",
        fields=("reference_videos",),
        requirement="A list of at most 3.",
        limits={"min": 0, "max": 3},
        faults=_count("reference_videos", 0, 3),
    ),
    Rule(
        id="reference_audios.count",
        fields=("reference_audios",),
        requirement="A list of at most 3.",
        limits={"min": 0, "max": 3},
        faults=_count("reference_audios", 0, 3),
    ),
    Rule(
        id=_MEDIA_REFERENCE,
        fields=(*FRAMES, *REFERENCES),
        requirement="A public http or https URL without credentials, or asset://<assetId>; a "
        "local path where the session has a publisher.",
        limits={"schemes": ("http", "https", "asset")},
        faults=_media_reference,
    ),
    Rule(
        id="last_image.needs_first",
        fields=("last_image",),
        requirement="Only together with first_image.",
        faults=_last_needs_first,
    ),
    Rule(
        id="frames.exclusive",
        fields=(*FRAMES, *REFERENCES),
        requirement="first_image and last_image never together with references of any kind.",
        faults=_frames_exclusive,
    ),
    Rule(
        id="model.needs_reference_video",
        fields=("model", "reference_videos"),
        requirement="seedance_2_0 and seedance_2_0_fast only with at least one reference video; "
        "the _pro models take them or leave them.",
        limits={"pro_twin": PRO_TWIN},
        faults=_needs_reference_video,
    ),
    Rule(
        id="media.public",
        fields=(*FRAMES, *REFERENCES),
        requirement="A host that is not loopback, private, link-local or otherwise unreachable, "
        "judged by its text; rests where the session's own base URL is such a host.",
        stage=Stage.SUBMISSION,
        faults=_not_public,
    ),
)


def _media_rules() -> Iterator[Rule]:
    images = tuple(field for field, kind in mediarules.KINDS.items() if kind is MediaKind.IMAGE)
    videos, audios = ("reference_videos",), ("reference_audios",)
    aspect = {"min": mediarules.MIN_ASPECT, "max": mediarules.MAX_ASPECT}
    sides = {"min_px": mediarules.MIN_PX, "max_px": mediarules.MAX_PX}
    each = {"min_s": mediarules.MIN_S, "max_s": mediarules.MAX_S}
    together = {"max_s": mediarules.MAX_S}
    shape = "Width to height from 0.4 to 2.5."
    size = "Each side from 300 to 6000 px."
    formats, sounds = mediarules.IMAGE_FORMATS, mediarules.AUDIO_FORMATS
    lengths = "Each from 2 to 15 s.", "All together at most 15 s."
    image, video, audio = MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO
    rows: tuple[tuple[str, tuple[str, ...], str, Mapping[str, Any], mediarules.Check], ...] = (
        (
            "image.format",
            images,
            f"{', '.join(formats)}.",
            {"choices": formats},
            mediarules.image_format,
        ),
        ("image.aspect", images, shape, aspect, mediarules.aspect(image)),
        ("image.size", images, size, sides, mediarules.size(image)),
        (
            "video.resolution",
            videos,
            "480p or 720p, by lines or by pixels.",
            {"choices": ("480p", "720p")},
            mediarules.video_resolution,
        ),
        ("video.duration", videos, lengths[0], each, mediarules.duration(video)),
        ("video.total_duration", videos, lengths[1], together, mediarules.total_duration(video)),
        ("video.aspect", videos, shape, aspect, mediarules.aspect(video)),
        ("video.size", videos, size, sides, mediarules.size(video)),
        ("audio.format", audios, "wav or mp3.", {"choices": sounds}, mediarules.audio_format),
        ("audio.duration", audios, lengths[0], each, mediarules.duration(audio)),
        ("audio.total_duration", audios, lengths[1], together, mediarules.total_duration(audio)),
        (
            "audio.bytes",
            audios,
            "Each at most 15 MB.",
            {"max_bytes": mediarules.MAX_AUDIO_BYTES},
            mediarules.audio_bytes,
        ),
    )
    for id_, fields, requirement, limits, check in rows:
        yield Rule(
            id=id_,
            fields=fields,
            requirement=requirement,
            limits=limits,
            stage=Stage.MEDIA,
            faults=check,
        )


RULES += tuple(_media_rules())

#: The ids of all rules.
RULE_IDS: frozenset[str] = frozenset(rule.id for rule in RULES)
#: What ``VideoRequest.waive`` may name: those, and what a preflight adds to them.
WAIVABLE: frozenset[str] = RULE_IDS | {"media.readable", "asset.active"}
_BY_STAGE: Mapping[Stage, tuple[Rule, ...]] = {
    stage: tuple(rule for rule in RULES if rule.stage is stage) for stage in Stage
}
