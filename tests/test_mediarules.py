"""The rules about the media themselves, at each bound from both sides, from what a look found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from seedance_async.mediainfo import MediaInfo, MediaKind
from seedance_async.rules import FRAMES, RULES, Stage, violations

IMAGE = MediaInfo(kind=MediaKind.IMAGE, container="jpeg", codec="jpeg", width=1024, height=768)
VIDEO = MediaInfo(
    kind=MediaKind.VIDEO, container="mp4", codec="h264", width=1280, height=720, duration_s=5.0
)
AUDIO = MediaInfo(
    kind=MediaKind.AUDIO, container="mp3", codec="mp3", duration_s=5.0, size_bytes=80_000
)
SOUND = {"image": IMAGE, "video": VIDEO, "audio": AUDIO}
PLACES = {"image": "first_image", "video": "reference_videos[0]", "audio": "reference_audios[2]"}


def broken(looked: Mapping[str, MediaInfo], *waive: str) -> list[tuple[str, str]]:
    found = violations(looked, stage=Stage.MEDIA, waive=waive)
    return [(violation.rule, violation.field) for violation in found]


def rules_of(kind: str, /, **changes: Any) -> list[str]:
    place = PLACES[kind]
    found = broken({place: attrs.evolve(SOUND[kind], **changes)})
    assert {field for _, field in found} <= {place}
    return [rule for rule, _ in found]


def test_media_that_keep_all_rules_break_none() -> None:
    places = {place: SOUND[kind] for kind, place in PLACES.items()}
    places |= {"last_image": IMAGE, "reference_images[8]": IMAGE}
    assert broken(places) == []


@pytest.mark.parametrize(
    ("kind", "changes", "rules"),
    [
        ("image", {"width": 300, "height": 300}, []),
        ("image", {"width": 299, "height": 300}, ["image.size"]),
        ("image", {"width": 300, "height": 299}, ["image.size"]),
        ("image", {"width": 6000, "height": 6000}, []),
        ("image", {"width": 6001, "height": 6000}, ["image.size"]),
        ("image", {"width": 6000, "height": 6001}, ["image.size"]),
        ("image", {"width": 1200, "height": 3000}, []),
        ("image", {"width": 1199, "height": 3000}, ["image.aspect"]),
        ("image", {"width": 2500, "height": 1000}, []),
        ("image", {"width": 2501, "height": 1000}, ["image.aspect"]),
        ("image", {"width": 7000, "height": 100}, ["image.aspect", "image.size"]),
        *(("image", {"container": name}, []) for name in ("png", "webp", "bmp", "tiff", "gif")),
        ("image", {"container": "avif"}, ["image.format"]),
        ("image", {"kind": MediaKind.VIDEO, "container": "mp4"}, ["image.format"]),
        ("video", {"duration_s": 1.9}, ["video.duration"]),
        ("video", {"duration_s": 2.0}, []),
        ("video", {"duration_s": 15.0}, []),
        ("video", {"duration_s": 15.1}, ["video.duration"]),
        ("video", {"duration_s": None}, []),
        ("video", {"width": 300, "height": 750}, ["video.resolution"]),
        ("video", {"width": 1800, "height": 720}, []),
        ("video", {"width": 1801, "height": 720}, ["video.aspect"]),
        ("video", {"width": 720, "height": 1801}, ["video.aspect"]),
        ("video", {"width": 6000, "height": 6001}, ["video.resolution", "video.size"]),
        ("video", {"kind": MediaKind.IMAGE, "container": "gif"}, ["video.resolution"]),
        ("audio", {"duration_s": 1.9}, ["audio.duration"]),
        ("audio", {"duration_s": 2.0, "container": "wav"}, []),
        ("audio", {"duration_s": 15.05}, []),  # an MP3 made of 15.0 s
        ("audio", {"duration_s": 15.1}, ["audio.duration"]),
        ("audio", {"duration_s": None}, []),
        ("audio", {"size_bytes": 15_000_000}, []),
        ("audio", {"size_bytes": 15_000_001}, ["audio.bytes"]),
        ("audio", {"size_bytes": None}, []),
        ("audio", {"container": "ogg"}, ["audio.format"]),
        ("audio", {"kind": MediaKind.VIDEO}, ["audio.format"]),
    ],
)
def test_a_bound_is_inclusive(kind: str, changes: dict[str, Any], rules: list[str]) -> None:
    assert rules_of(kind, **changes) == rules


@pytest.mark.parametrize(
    ("width", "height", "is_taken"),
    [
        (854, 480, True),
        (640, 480, True),
        (480, 480, True),
        (1200, 480, True),
        (1280, 720, True),
        (960, 720, True),
        (720, 720, True),
        # The same number of pixels in other shapes, as Seedance draws them.
        (640, 640, True),
        (960, 416, True),
        (992, 432, True),
        (752, 560, True),
        (960, 960, True),
        (1112, 834, True),
        (1470, 630, True),
        (1504, 640, True),
        (1066, 600, True),
        (640, 360, False),
        (950, 410, False),
        (1600, 900, False),
        (1920, 1080, False),
        (1000, 1000, False),
        (1440, 1440, False),
    ],
)
def test_480p_and_720p_in_every_shape_and_rotation(width: int, height: int, is_taken: bool) -> None:
    expected = [] if is_taken else ["video.resolution"]
    assert rules_of("video", width=width, height=height) == expected
    assert rules_of("video", width=height, height=width) == expected


@pytest.mark.parametrize(("kind", "field"), [("video", "videos"), ("audio", "audios")])
def test_durations_count_together(kind: str, field: str) -> None:
    def lasting(*durations_s: float) -> list[tuple[str, str]]:
        each = (attrs.evolve(SOUND[kind], duration_s=s) for s in durations_s)
        return broken({f"reference_{field}[{n}]": info for n, info in enumerate(each)})

    assert lasting(5.0, 5.0, 5.0) == []
    assert lasting(5.04, 5.04, 5.04) == []  # three MP3s of 5 s
    assert lasting(5.0, 5.0, 5.3) == [(f"{kind}.total_duration", f"reference_{field}")]
    # One that is too long by itself is told once.
    assert lasting(16.0) == [(f"{kind}.duration", f"reference_{field}[0]")]


def test_every_media_rule_can_be_waived_and_says_what_was_measured_and_what_is_allowed() -> None:
    worst = attrs.evolve(VIDEO, width=7000, height=200, duration_s=99.5)
    looked = {
        "first_image": attrs.evolve(IMAGE, width=7000, height=200, container="psd"),
        "reference_videos[0]": worst,
        "reference_videos[1]": worst,
        "reference_audios[0]": attrs.evolve(AUDIO, container="ogg", codec="vorbis", duration_s=99),
        "reference_audios[1]": attrs.evolve(AUDIO, duration_s=99, size_bytes=99_000_000),
    }
    found = violations(looked, stage=Stage.MEDIA)
    ids = {rule.id for rule in RULES if rule.stage is Stage.MEDIA}
    assert {violation.rule for violation in found} == ids
    assert broken(looked, *ids) == []
    told = {violation.rule: violation.message for violation in found}
    assert "is an image (psd, jpeg)" in told["image.format"]
    assert "jpeg, png, webp, bmp, tiff or gif" in told["image.format"]
    assert "7000 x 200 px" in told["image.size"]
    assert "300 to 6000 px" in told["image.size"]
    assert "35.000 to 1" in told["video.aspect"]
    assert "lasts 99.50 s: give 2 to 15 s" in told["video.duration"]
    assert "last 199.00 s together: give at most 15 s" in told["video.total_duration"]
    assert "99,000,000 bytes" in told["audio.bytes"]


def test_frames_are_judged_like_reference_images() -> None:
    small = attrs.evolve(IMAGE, width=200, height=200)
    places = [*FRAMES, "reference_images[3]"]
    found = broken(dict.fromkeys(places, small))
    assert found == [("image.size", place) for place in places]


def test_what_was_found_reads_well() -> None:
    assert str(VIDEO) == "video (mp4, h264), 1280 x 720 px, 5.00 s"
    assert str(attrs.evolve(IMAGE, animated=True)) == "animated image (jpeg), 1024 x 768 px"
    assert str(AUDIO) == "audio (mp3), 5.00 s, 80,000 bytes"
