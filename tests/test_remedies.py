"""What can be made to fit without guessing, from what a look found; no file is touched here."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from seedance_async.errors import MediaError
from seedance_async.mediainfo import MediaInfo, MediaKind
from seedance_async.remedies import Plan, broken, changes, make_plan, remedy
from seedance_async.rules import RULES, Stage

IMAGE = MediaInfo(kind=MediaKind.IMAGE, container="jpeg", codec="jpeg", width=1024, height=768)
VIDEO = MediaInfo(
    kind=MediaKind.VIDEO, container="mov", codec="hevc", width=1280, height=720, duration_s=5.0
)
AUDIO = MediaInfo(kind=MediaKind.AUDIO, container="mp3", codec="mp3", duration_s=5.0, size_bytes=9)
WAV = attrs.evolve(AUDIO, container="wav", codec="pcm_s16le")
FLAC = attrs.evolve(AUDIO, container="flac", codec="flac")
HELP, TRIM = "media.fit(...) can make it fit", "media.fit(..., trim=True) can make it fit"


def reasons(info: MediaInfo, *, trim: bool = False) -> str:
    with pytest.raises(MediaError) as caught:
        make_plan(info, trim=trim)
    return str(caught.value)


@pytest.mark.parametrize("info", [IMAGE, VIDEO, AUDIO, WAV])
def test_what_fits_is_left_alone(info: MediaInfo) -> None:
    assert make_plan(info, trim=True) is None
    assert all(remedy(rule.id, info) is None for rule in RULES)


@pytest.mark.parametrize(
    ("info", "of", "expected"),
    [
        (IMAGE, {"width": 9000, "height": 9000}, {"container": "jpeg", "scales": True}),
        (IMAGE, {"container": "avif", "codec": "av1"}, {}),
        (VIDEO, {"width": 3840, "height": 2160}, {"container": "mp4", "scales": True}),
        (VIDEO, {"duration_s": 60.0}, {"container": "mp4", "until_s": 15.0}),
        (AUDIO, {"duration_s": 60.0}, {"until_s": 14.925}),
        (FLAC, {}, {}),
        (WAV, {"size_bytes": 15_000_001}, {}),
        (
            WAV,
            {"duration_s": 30.0, "size_bytes": 30_000_000},
            {"container": "wav", "codec": "pcm_s16le", "until_s": 15.0},
        ),
        (WAV, {"duration_s": 30.0, "size_bytes": 30_000_002}, {"until_s": 14.925}),
        (WAV, {"duration_s": 30.0, "codec": "adpcm_ms"}, {"until_s": 14.925}),
    ],
)
def test_what_is_done(info: MediaInfo, of: dict[str, Any], expected: dict[str, Any]) -> None:
    mp3 = {"container": "mp3", "codec": "libmp3lame"} if info.kind is MediaKind.AUDIO else {}
    plan = make_plan(attrs.evolve(info, **of), trim=True)
    assert plan == Plan(kind=info.kind, **{**mp3, **expected})


@pytest.mark.parametrize(
    ("info", "of", "rule", "words"),
    [
        (IMAGE, {"width": 299}, "image.size", "making it larger would be a guess"),
        (IMAGE, {"width": 2000}, "image.aspect", "what to cut off or to add would be a guess"),
        (IMAGE, {"container": "heic"}, "image.format", "save it as one of these yourself"),
        (VIDEO, {"height": 750, "width": 300}, "video.resolution", "larger would be a guess"),
        (VIDEO, {"width": 640, "height": 360}, "video.resolution", "larger would be a guess"),
        (VIDEO, {"width": 1900}, "video.aspect", "what to cut off or to add would be a guess"),
        (VIDEO, {"duration_s": 1.9}, "video.duration", "what to add would be a guess"),
        (AUDIO, {"duration_s": 1.9}, "audio.duration", "what to add would be a guess"),
    ],
)
def test_what_would_be_a_guess(info: MediaInfo, of: dict[str, Any], rule: str, words: str) -> None:
    info = attrs.evolve(info, **of)
    told = reasons(info, trim=True)
    assert words in told
    (violation,) = (each for each in broken(info) if each.rule == rule)
    assert violation.message in told
    assert f"[{rule}]" in told
    assert remedy(rule, info) is None


def test_what_would_be_a_guess_in_a_file_is_told_all_at_once() -> None:
    told = reasons(attrs.evolve(VIDEO, width=640, height=200, duration_s=20.0))
    assert [line[line.index("[") :] for line in told.splitlines()[1:]] == [
        *("[video.resolution]", "[video.duration]", "[video.aspect]", "[video.size]")
    ]
    bomb = attrs.evolve(IMAGE, width=30_000, height=20_000, container="heic", animated=True)
    assert len(reasons(bomb).splitlines()) == 4


def test_no_cut_that_was_not_asked_for() -> None:
    for info in (VIDEO, AUDIO, FLAC, WAV):
        long = attrs.evolve(info, duration_s=15.5)
        assert "trim=True keeps the first 15 s" in reasons(long)
        assert make_plan(long, trim=True) is not None


def test_sound_that_is_longer_as_an_mp3_than_it_may_be() -> None:
    assert make_plan(attrs.evolve(FLAC, duration_s=15.0), trim=False) is not None
    assert "an MP3 of it lasts longer; trim=True" in reasons(attrs.evolve(FLAC, duration_s=15.05))


def test_pictures_of_an_image_are_not_left_away() -> None:
    moving = attrs.evolve(IMAGE, container="gif", codec="gif", animated=True)
    assert make_plan(moving, trim=False) is None
    assert "has several pictures" in reasons(attrs.evolve(moving, width=7000, height=7000))


@pytest.mark.parametrize(
    ("info", "of", "rules", "words"),
    [
        (IMAGE, {"width": 9000, "height": 9000}, ["image.size"], HELP),
        (IMAGE, {"container": "avif"}, ["image.format"], HELP),
        (IMAGE, {"container": "avif", "width": 200, "height": 200}, ["image.format"], None),
        (VIDEO, {"width": 3840, "height": 2160}, ["video.resolution"], HELP),
        (VIDEO, {"width": 7680, "height": 4320}, ["video.resolution", "video.size"], HELP),
        (VIDEO, {"duration_s": 20.0}, ["video.duration"], TRIM),
        (VIDEO, {"duration_s": 20.0, "width": 1920, "height": 1080}, ["video.resolution"], TRIM),
        (FLAC, {}, ["audio.format"], HELP),
        (FLAC, {"duration_s": 15.05}, ["audio.format"], TRIM),
        (WAV, {"size_bytes": 20_000_000}, ["audio.bytes"], HELP),
        (VIDEO, {}, ["image.format", "audio.format"], None),  # a video in another's place
        (VIDEO, {"duration_s": 9.0}, ["video.total_duration"], None),
    ],
)
def test_a_remedy_is_offered_where_there_is_one(
    info: MediaInfo, of: dict[str, Any], rules: list[str], words: str | None
) -> None:
    for rule in rules:
        assert remedy(rule, attrs.evolve(info, **of)) == words


def test_every_rule_about_one_file_has_its_advice() -> None:
    worst = [
        attrs.evolve(IMAGE, width=7000, height=200, container="psd"),
        attrs.evolve(VIDEO, width=7000, height=200, duration_s=99.0),
        attrs.evolve(FLAC, duration_s=99.0, size_bytes=99_000_000),
    ]
    known = {rule.id for rule in RULES if rule.stage is Stage.MEDIA and "total" not in rule.id}
    assert {each.rule for info in worst for each in broken(info)} == known
    for info in worst[:2]:
        assert "would be a guess" in reasons(info, trim=True)
    assert make_plan(worst[2], trim=True) is not None


def test_changes_are_what_was_measured() -> None:
    after = attrs.evolve(
        VIDEO, container="mp4", codec="h264", width=720, height=406, duration_s=14.98
    )
    plan = Plan(kind=MediaKind.VIDEO, container="mp4", until_s=15.0)
    assert changes(attrs.evolve(VIDEO, duration_s=20.0), after, plan) == (
        "re-encoded as mp4, h264 (was mov, hevc)",
        "scaled down to 720 x 406 px (was 1280 x 720 px)",
        "kept the first 14.98 s (of 20.00 s)",
    )
    assert changes(VIDEO, VIDEO, plan) == ()
