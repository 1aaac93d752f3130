"""The JSON Schemas against the rules: they agree on all that a schema can say."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from seedance_async import InvalidRequest, Job
from seedance_async.cli import starters, yamlfile
from seedance_async.rules import RULES, Stage
from seedance_async.schema import INEXPRESSIBLE, job_schema, manifest_schema

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parent / "golden" / "requests.jsonl")
    .read_text("utf-8")
    .splitlines()
]
LINE = Draft202012Validator(job_schema())
FILE = Draft202012Validator(manifest_schema())
CAT = {"model": "seedance_2_0_pro", "prompt": "a cat"}
URL = "https://example.com/a.png"

# Cases of rules that a schema says, which it lets pass all the same; each with its reason.
LET_THROUGH = {
    "duration_five_as_a_fraction": "duration.range",
    # Paths: only the session knows whether it publishes them.
    "media_bare_file_name": "media.reference",
    "media_absolute_path": "media.reference",
    "media_windows_path": "media.reference",
    "media_host_without_scheme": "media.reference",
    "media_bare_asset_id": "media.reference",
    "media_last_of_nine_images_bad": "media.reference",
    "standard_with_only_a_bad_reference_video": "media.reference",
}


def follows_the_rules(job: Any) -> bool:
    try:
        Job.from_mapping(job)
    except InvalidRequest:
        return False
    return True


def test_both_are_schemas() -> None:
    Draft202012Validator.check_schema(job_schema())
    Draft202012Validator.check_schema(manifest_schema())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_schema_and_rules_agree_on_the_golden_cases(case: dict[str, Any]) -> None:
    is_good = not case["rules"]
    if case["name"] in LET_THROUGH:
        assert case["rules"] == [LET_THROUGH[case["name"]]]
        assert LET_THROUGH[case["name"]] in INEXPRESSIBLE
        is_good = True
    assert LINE.is_valid(case["wire"]) == is_good
    assert FILE.is_valid([case["wire"]]) == is_good
    assert FILE.is_valid({"jobs": [case["wire"]]}) == is_good


def test_every_rule_is_said_or_listed_with_a_reason() -> None:
    said = {rule for case in GOLDEN if case["name"] not in LET_THROUGH for rule in case["rules"]}
    assert {rule.id for rule in RULES} <= said | set(INEXPRESSIBLE)
    assert all(reason.endswith(".") for reason in INEXPRESSIBLE.values())
    assert {rule.id for rule in RULES if rule.stage is Stage.MEDIA} <= set(INEXPRESSIBLE)


@pytest.mark.parametrize(
    ("fields", "is_good"),
    [
        ({"generateAudio": False, "key": "k", "name": "n", "metadata": {"a": [1]}}, True),
        ({"reference_images": [URL, "asset://a", "a cat.png"], "waive": "media.public"}, True),
        ({"reference_images": None, "first_image": None, "key": None, "waive": []}, True),
        ({"generateAudio": False, "generate_audio": True}, False),
        ({"referenceImages": [URL], "reference_images": [URL]}, False),
        ({"promt": "x"}, False),
        ({"key": " "}, False),
        ({"metadata": [1]}, False),
        ({"waive": ["no.rule"]}, False),
        ({"last_image": URL}, False),
        ({"last_image": URL, "waive": ["last_image.needs_first"]}, True),
        ({"first_image": URL, "reference_videos": [URL]}, False),
        ({"first_image": URL, "reference_videos": []}, True),
        ({"model": "seedance_2_0"}, False),
        ({"model": "seedance_2_0", "waive": "model.needs_reference_video"}, True),
        ({"model": "seedance_2_0", "reference_videos": [URL]}, True),
    ],
)
def test_what_only_a_job_file_has(fields: dict[str, Any], is_good: bool) -> None:
    job = {**CAT, **fields}
    assert follows_the_rules(job) == is_good
    assert LINE.is_valid(job) == is_good
    assert FILE.is_valid({"jobs": [job], "defaults": {}}) or not is_good


MEDIA = st.sampled_from(
    [URL, "asset://a1", "shots/a.png", "file:///a", "ftp://a.com", "", "//a.com"]
)
LISTS = st.none() | st.lists(MEDIA, max_size=4)
JOBS = st.fixed_dictionaries(
    {"prompt": st.sampled_from(["a", " "])},
    optional={
        "model": st.sampled_from(["seedance_2_0", "seedance_2_0_pro", "x"]),
        "duration": st.sampled_from([3, 4, 15, 16, True, "5", 4.5, None]),
        "aspect_ratio": st.sampled_from(["16:9", "5:4", None]),
        "generate_audio": st.sampled_from([True, 1, None]),
        "first_image": st.none() | MEDIA,
        "last_image": st.none() | MEDIA,
        "reference_images": LISTS,
        "referenceVideos": LISTS,
        "key": st.sampled_from(["k", "", None]),
    },
)


@settings(max_examples=100, deadline=None)
@given(JOBS)
def test_schema_and_rules_agree_on_any_job(job: dict[str, Any]) -> None:
    assert LINE.is_valid(job) == follows_the_rules(job)


@pytest.mark.parametrize(
    ("document", "is_good"),
    [
        ({"jobs": [{"prompt": "a"}]}, False),
        ({"jobs": [{"prompt": "a"}], "defaults": {"model": "seedance_2_0_pro"}}, True),
        (
            {"$schema": "x.json", "jobs": [{"prompt": "a"}], "matrix": {"model": ["seedance_2_0"]}},
            True,
        ),
        ({"jobs": [CAT], "matrix": {"duration": [4, 99]}}, False),
        ({"jobs": [CAT], "matrix": {"key": ["a"]}}, False),
        ({"jobs": [CAT], "defaults": {"key": "k"}}, False),
        ({"jobs": [CAT], "default": {}}, False),
        ({"defaults": {}}, False),
        (CAT, False),
        ([CAT, {"prompt": "a"}], False),
    ],
)
def test_documents(document: Any, is_good: bool) -> None:
    assert FILE.is_valid(document) == is_good


def test_the_examples_of_init_are_valid() -> None:
    texts = {
        suffix: starter.text for suffix in starters.SUFFIXES if (starter := starters.of(suffix))
    }
    FILE.validate(yamlfile.read(texts[".yaml"]).value)
    FILE.validate(tomllib.loads(texts[".toml"]))
    FILE.validate(json.loads(texts[".json"]))
    for line in texts[".jsonl"].splitlines():
        LINE.validate(json.loads(line))
