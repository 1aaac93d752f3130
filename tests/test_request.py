from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import pytest

from seedance_async import AspectRatio, InvalidRequest, Job, Model, VideoRequest

PRO = {"model": "seedance_2_0_pro", "prompt": "A cat"}


def rules_broken(make: Any, *args: Any, **fields: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        make(*args, **fields)
    return [violation.rule for violation in caught.value.violations]


def test_the_defaults_are_the_apis() -> None:
    assert VideoRequest(**PRO).to_wire() == {
        **PRO,
        "duration": 5,
        "aspect_ratio": "16:9",
        "generateAudio": True,
    }


def test_enums_and_text_are_the_same_request() -> None:
    spelled = VideoRequest(**PRO, aspect_ratio="9:16")
    chosen = VideoRequest(
        model=Model.SEEDANCE_2_0_PRO, prompt="A cat", aspect_ratio=AspectRatio.PORTRAIT_9_16
    )
    assert spelled == chosen
    assert hash(spelled) == hash(chosen)
    assert spelled.digest == chosen.digest


def test_lists_of_any_kind_are_frozen_and_none_is_no_list() -> None:
    images = ["asset://a", "asset://b"]
    request = VideoRequest(**PRO, reference_images=iter(images), reference_audios=None)
    assert request.reference_images == ("asset://a", "asset://b")
    assert request.reference_audios == ()
    assert request.to_wire()["referenceImages"] == images


def test_an_empty_list_in_python_means_none() -> None:
    assert VideoRequest(**PRO, reference_images=[]) == VideoRequest(**PRO)


def test_all_broken_rules_are_told_at_once_each_with_its_field() -> None:
    with pytest.raises(InvalidRequest) as caught:
        VideoRequest(model="sora", prompt=" ", duration=True, last_image="file:///x", metadata=7)
    found = {violation.rule: violation.field for violation in caught.value.violations}
    assert found == {
        "model.known": "model",
        "prompt.required": "prompt",
        "duration.range": "duration",
        "media.reference": "last_image",
        "last_image.needs_first": "last_image",
        "metadata.json": "metadata",
    }
    for rule in found:
        assert f"[{rule}]" in str(caught.value)


def test_a_string_in_place_of_a_list_is_named() -> None:
    assert rules_broken(VideoRequest, **PRO, reference_images="https://a.example/b.png") == [
        "reference_images.count"
    ]


def test_an_entry_of_a_list_is_named_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        VideoRequest(**PRO, reference_images=["asset://a", "data:b"])
    assert caught.value.violations[0].field == "reference_images[1]"


def test_an_unknown_waiver_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(InvalidRequest, match=r"did you mean media\.public\?"):
        VideoRequest(**PRO, waive=["media.pubic"])


def test_a_waived_rule_lets_the_value_through() -> None:
    request = VideoRequest(model="seedance_3", prompt="x", waive=["model.known"])
    assert request.to_wire()["model"] == "seedance_3"


@pytest.mark.parametrize("metadata", [[], "x", {1: 2}, {"a": object()}, {"a": {1, 2}}])
def test_metadata_that_could_not_be_written_down_is_refused(metadata: Any) -> None:
    assert rules_broken(VideoRequest, **PRO, metadata=metadata) == ["metadata.json"]


def test_what_a_waiver_lets_through_must_still_be_sendable() -> None:
    broken = rules_broken(VideoRequest, **PRO, duration=object(), waive=["duration.range"])
    assert broken == ["waive.json"]
    assert VideoRequest(**PRO, duration=4.5, waive=["duration.range"]).to_wire()["duration"] == 4.5


def test_a_prompt_that_is_no_unicode_is_refused() -> None:
    assert rules_broken(VideoRequest, model="seedance_2_0_pro", prompt="a \ud800 cat") == [
        "prompt.required"
    ]


@pytest.mark.parametrize("wrong", [{"key": ""}, {"key": 7}, {"name": "  "}, {"key": "\ud800"}])
def test_a_job_has_a_key_and_a_name_that_are_text(wrong: Any) -> None:
    assert rules_broken(Job, request=VideoRequest(**PRO), **wrong) == [f"{next(iter(wrong))}.text"]


def test_metadata_are_kept_and_never_sent() -> None:
    mine = {"chat": 7}
    request = VideoRequest(**PRO, metadata=mine)
    mine["chat"] = 8
    assert request.metadata == {"chat": 7}
    assert request.to_wire() == VideoRequest(**PRO).to_wire()
    assert request.digest == VideoRequest(**PRO).digest
    assert isinstance(hash(request), int)


def test_an_unknown_field_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InvalidRequest, match=r"did you mean aspect_ratio\?"):
        VideoRequest.from_wire({**PRO, "aspectRatio": "1:1"})


def test_an_empty_body_breaks_what_is_required() -> None:
    assert rules_broken(VideoRequest.from_wire, {}) == ["model.known", "prompt.required"]


def test_no_repr_shows_prompt_urls_or_metadata() -> None:
    request = VideoRequest(
        **PRO, reference_images=["https://h.example/?sig=SECRET"], metadata={"k": "SECRET"}
    )
    for shown in (repr(request), repr(Job(request=request)), str(request)):
        assert "A cat" not in shown
        assert "SECRET" not in shown
    assert "<5 characters>" in repr(request)


def test_a_request_is_frozen_copies_and_pickles() -> None:
    request = VideoRequest(**PRO, metadata={"a": [1]}, reference_images=["asset://a"])
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.prompt = "another"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(request)) == request
    assert copy.deepcopy(request) == request
    assert attrs.evolve(request, duration=7).duration == 7


def test_the_digest_tells_requests_apart_by_what_is_sent() -> None:
    digests = {
        VideoRequest(**PRO, duration=duration, generate_audio=audio).digest
        for duration in (4, 5)
        for audio in (True, False)
    }
    assert len(digests) == 4


def test_a_job_line_takes_either_spelling() -> None:
    wire = Job.from_mapping({**PRO, "generateAudio": False, "key": "k", "name": "n"})
    python = Job.from_mapping({**PRO, "generate_audio": False, "key": "k", "name": "n"})
    assert wire == python
    assert (wire.key, wire.name) == ("k", "n")
    assert wire.request.generate_audio is False


def test_a_job_line_takes_metadata_and_waivers() -> None:
    job = Job.from_mapping(
        {"model": "seedance_2_0", "prompt": "x", "metadata": {"a": 1}}
        | {"waive": ["model.needs_reference_video"]}
    )
    assert job.request.metadata == {"a": 1}


def test_a_field_in_both_spellings_is_refused() -> None:
    both = {"generateAudio": False, "generate_audio": True}
    assert rules_broken(Job.from_mapping, {**PRO, **both}) == ["field.twice"]


def test_a_bad_job_line_tells_everything_at_once() -> None:
    assert rules_broken(
        Job.from_mapping,
        {"model": "x", "prompt": "y", "size": 3, "key": 5, "name": "", "referenceImages": []},
    ) == ["field.known", "key.text", "name.text", "reference_images.count", "model.known"]
