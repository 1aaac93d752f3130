"""The JSON Schema of a job, and of a file of jobs, made from the rule table: for editors.

A schema says less than the rules do. ``INEXPRESSIBLE`` lists what it cannot say, with the reasons;
a file that it finds valid may still break those.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seedance_async import mediarules, rules, wire
from seedance_async.rules import Stage

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: What no schema of ours says, by the rule's id, each with the reason.
INEXPRESSIBLE: Mapping[str, str] = {
    "duration.range": "5.0 is an integer to a schema, and a fraction to the rule.",
    "prompt.required": "Half of a surrogate pair is no text, and a pattern does not see it.",
    "media.reference": "Numbers of ports, lengths of a host's labels and invisible characters "
    "need more than a pattern. A path is let through: the command line may publish it.",
    "media.public": "Whether a host is private takes reading its address in all its spellings.",
    "key.unique": "A schema sees one job at a time.",
    "waive.known": "Where a rule about one field is waived, the schema still names it: it would "
    "lose its completions otherwise. Waived rules across fields rest.",
    **{rule.id: "Needs a look at the media." for rule in rules.RULES if rule.stage is Stage.MEDIA},
}

_WORDS: Mapping[str, str] = {
    "model": "The model.",
    "prompt": "What the video shows.",
    "duration": "Seconds of video.",
    "aspect_ratio": "The video's shape, width to height.",
    "generate_audio": "Whether the video has a sound track.",
    "first_image": "The first frame; not together with references.",
    "last_image": "The last frame; only with a first.",
    "reference_images": "Images to go by.",
    "reference_videos": "Videos to go by.",
    "reference_audios": "Sounds to go by.",
    "key": "Your own id for the job, unique in the file: the same key is the same job.",
    "name": "What a person calls it; becomes part of the file's name.",
    "metadata": "Anything of your own; kept, never sent.",
    "waive": "Ids of rules that are not to be checked for this job.",
}
_NOT_BLANK = r"\S"
_ASSET = r"asset://[^ /?#]+"
_URL = r"[hH][tT][tT][pP][sS]?://(\[[^\s\\/?#@\[\]]+\]|[^\s\\/?#@:\[\]]+)(:[0-9]*)?([/?#][^\s\\]*)?"
# No scheme, but perhaps a Windows drive.
_PATH = r"(?![A-Za-z][A-Za-z0-9+.-]+:)(?!//)[\s\S]*\S[\s\S]*"
_MEDIA = rf"^({_ASSET}|{_URL}|{_PATH})$"
_RULES = {rule.id: rule for rule in rules.RULES}
_MAY_VARY = tuple(wire.WIRE_NAMES)


def job_schema() -> dict[str, Any]:
    """Give the schema of one job: a line of JSONL, an entry of a list.

    Source: the rule table; draft 2020-12.
    """
    return {
        "$schema": DIALECT,
        "title": "A job for seedance",
        **_job(),
        "$defs": {"media": _media()},
    }


def manifest_schema() -> dict[str, Any]:
    """Give the schema of a JSON, YAML or TOML file of jobs: a list, or an object with one.

    Where the file has defaults or a matrix, a job need not be complete.
    """
    jobs: dict[str, Any] = {"type": "array", "description": "One entry for each job."}
    shared = {"anyOf": [{"required": ["defaults"]}, {"required": ["matrix"]}]}
    complete = {"properties": {"jobs": {"items": {"$ref": "#/$defs/job"}}}}
    partial = {"properties": {"jobs": {"items": {"$ref": "#/$defs/partialJob"}}}}
    document = {
        "type": "object",
        "required": ["jobs"],
        "additionalProperties": False,
        "properties": {
            "$schema": {"type": "string"},
            "defaults": {
                "description": "Fields for all jobs that do not have them.",
                "anyOf": [{"$ref": "#/$defs/defaults"}, {"type": "null"}],
            },
            "matrix": {
                "description": "Fields with lists of values: every job is made with every "
                "combination.",
                "anyOf": [{"$ref": "#/$defs/matrix"}, {"type": "null"}],
            },
            "jobs": jobs,
        },
        "if": shared,
        "then": partial,
        "else": complete,
    }
    return {
        "$schema": DIALECT,
        "title": "A file of jobs for seedance",
        "if": {"type": "array"},
        "then": {"items": {"$ref": "#/$defs/job"}},
        "else": document,
        "$defs": {
            "media": _media(),
            "job": _job(),
            "partialJob": _partial(),
            "defaults": _partial(without=("key",)),
            "matrix": _matrix(),
        },
    }


def _media() -> dict[str, Any]:
    return {
        "description": "A public URL, asset://ID, or the path of a local file.",
        "type": "string",
        "pattern": _MEDIA,
    }


def _job() -> dict[str, Any]:
    return {
        **_partial(),
        "required": ["model", "prompt"],
        "allOf": [*_once_each(), *_across_fields()],
    }


def _partial(without: Sequence[str] = ()) -> dict[str, Any]:
    """Give the schema of a job that others complete: what it has must be right."""
    properties = {
        spelled: {"description": _WORDS[name], **form}
        for name, form in _forms().items()
        if name not in without
        for spelled in _spellings(name)
    }
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "allOf": list(_once_each()),
    }


def _matrix() -> dict[str, Any]:
    forms = _forms()
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            spelled: {
                "description": f"{_WORDS[name]} Every job is made with each of these.",
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": forms[name],
            }
            for name in _MAY_VARY
            for spelled in _spellings(name)
        },
    }


def _forms() -> dict[str, dict[str, Any]]:
    """Give what each field may be, by its name in Python."""
    media = {"$ref": "#/$defs/media"}
    span = _RULES["duration.range"].limits
    return {
        "model": {"enum": _choices("model.known")},
        "prompt": {"type": "string", "pattern": _NOT_BLANK},
        "duration": {
            "type": "integer",
            "minimum": span["min_s"],
            "maximum": span["max_s"],
            "default": rules.DEFAULTS["duration"],
        },
        "aspect_ratio": {
            "enum": _choices("aspect_ratio.known"),
            "default": str(rules.DEFAULTS["aspect_ratio"]),
        },
        "generate_audio": {"type": "boolean", "default": rules.DEFAULTS["generate_audio"]},
        **{name: {"anyOf": [media, {"type": "null"}]} for name in rules.FRAMES},
        **{
            name: {
                "type": ["array", "null"],
                "minItems": _RULES[f"{name}.count"].limits["min"],
                "maxItems": _RULES[f"{name}.count"].limits["max"],
                "items": media,
            }
            for name in rules.REFERENCES
        },
        "key": {"type": ["string", "null"], "pattern": _NOT_BLANK},
        "name": {"type": ["string", "null"], "pattern": _NOT_BLANK},
        "metadata": {"type": ["object", "null"]},
        "waive": {
            "anyOf": [_waivable(), {"type": "array", "items": _waivable()}, {"type": "null"}]
        },
    }


def _choices(rule: str) -> list[str]:
    return [str(choice) for choice in _RULES[rule].limits["choices"]]


def _waivable() -> dict[str, Any]:
    return {"enum": sorted(rules.WAIVABLE)}


def _spellings(name: str) -> tuple[str, ...]:
    """Give Python's name and the API's, which may be the same."""
    return tuple(dict.fromkeys((name, wire.WIRE_NAMES.get(name, name))))


def _once_each() -> Iterator[dict[str, Any]]:
    for name in wire.WIRE_NAMES:
        both = _spellings(name)
        if len(both) > 1:
            yield {"not": {"required": list(both)}}


def _across_fields() -> Iterator[dict[str, Any]]:
    """Say the rules that are about several fields, each where it is not waived."""
    first, last = (_has(name, {"type": "null"}) for name in rules.FRAMES)
    frames = {"anyOf": [first, last]}
    empty = {"anyOf": [{"type": "null"}, {"type": "array", "maxItems": 0}]}
    lists = {name: _has(name, empty) for name in mediarules.KINDS if name in rules.REFERENCES}
    needy = {"properties": {"model": {"enum": [str(model) for model in rules.PRO_TWIN]}}}
    yield _unless_waived("last_image.needs_first", last, first)
    yield _unless_waived("frames.exclusive", frames, {"not": {"anyOf": list(lists.values())}})
    yield _unless_waived(
        "model.needs_reference_video",
        {**needy, "required": ["model"]},
        lists["reference_videos"],
    )


def _has(name: str, nothing: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for a field, in either spelling, with more in it than *nothing*."""
    spelled = (
        {"required": [each], "properties": {each: {"not": nothing}}} for each in _spellings(name)
    )
    return {"anyOf": list(spelled)}


def _unless_waived(rule: str, given: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    named = {"anyOf": [{"const": rule}, {"type": "array", "contains": {"const": rule}}]}
    waived = {"required": ["waive"], "properties": {"waive": named}}
    return {
        "description": _RULES[rule].requirement,
        "if": {"allOf": [{"not": waived}, given]},
        "then": then,
    }
