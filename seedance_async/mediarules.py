"""What the API asks of the media themselves: the checks behind the rules of stage ``MEDIA``.

Judges what a look has brought to light, and looks at nothing. What is judged maps the places of
media in a request, as ``rules.media_references`` names them, to their ``MediaInfo``. A file that
is not even of the kind that its place asks for breaks one rule, the one about its format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from seedance_async.mediainfo import MediaInfo, MediaKind

Looked = Mapping[str, MediaInfo]
# Where a rule is broken and what to do instead: (place, message).
Fault = tuple[str, str]
Check = Callable[[Mapping[str, Any]], Iterator[Fault]]

#: The kind of media that belongs into a field.
KINDS: Mapping[str, MediaKind] = {
    "first_image": MediaKind.IMAGE,
    "last_image": MediaKind.IMAGE,
    "reference_images": MediaKind.IMAGE,
    "reference_videos": MediaKind.VIDEO,
    "reference_audios": MediaKind.AUDIO,
}
IMAGE_FORMATS = ("jpeg", "png", "webp", "bmp", "tiff", "gif")
AUDIO_FORMATS = ("wav", "mp3")
MIN_ASPECT, MAX_ASPECT = 0.4, 2.5
MIN_PX, MAX_PX = 300, 6000
MIN_S, MAX_S = 2, 15
MAX_AUDIO_BYTES = 15_000_000

# Coders fill the last frame up, and an MP3 has its decoder's delay in it: of a cut at 15 s an MP3
# comes out 0.05 s longer, and the provider's own advice could not be followed. Ours, and less than
# what tells 15.1 s from 15.
TOLERANCE_S = 0.075

# What counts as 480p or 720p. The page names both and, in the same breath, shapes from 0.4 to 2.5,
# without saying which side has so many pixels. Two conventions are in use. By *lines* the short
# side, whatever the rotation, has 480 or 720 px (640 x 480, 720 x 1280). By *pixels* a picture has
# as many as 480p and 720p have in other shapes: from 640 x 640 to 834 x 1112 in what is published
# on Seedance 2.0, and from 960 x 416 to 1504 x 640 in what Seedance 1.0 draws; those are the bounds
# here. A video is refused only where it is neither by either, and what lies between 480p and 720p
# is let through: what the provider would take must not be refused at home.
MIN_LINES, MAX_LINES = 480, 720
MIN_PIXELS, MAX_PIXELS = 960 * 416, 1504 * 640


def expected(place: str) -> MediaKind:
    """Tell what kind of media belongs to *place*, such as ``reference_videos[1]``."""
    return KINDS[place.partition("[")[0]]


def image_format(looked: Looked) -> Iterator[Fault]:
    """Check rule ``image.format``."""
    for place, info in _placed(looked, MediaKind.IMAGE):
        if info.kind is not MediaKind.IMAGE or info.container not in IMAGE_FORMATS:
            yield place, f"is {_a(info)}: give an image as {_listed(IMAGE_FORMATS)}"


def audio_format(looked: Looked) -> Iterator[Fault]:
    """Check rule ``audio.format``."""
    for place, info in _placed(looked, MediaKind.AUDIO):
        if info.kind is not MediaKind.AUDIO or info.container not in AUDIO_FORMATS:
            yield place, f"is {_a(info)}: give sound as {_listed(AUDIO_FORMATS)}"


def video_resolution(looked: Looked) -> Iterator[Fault]:
    """Check rule ``video.resolution``."""
    for place, info in _placed(looked, MediaKind.VIDEO):
        if info.kind is not MediaKind.VIDEO:
            yield place, f"is {_a(info)}: give a video of 480p or 720p"
        elif info.width and info.height and not _is_480p_or_720p(info.width, info.height):
            message = (
                f"is {info.width} x {info.height} px: give 480p or 720p, that is a short side of "
                f"{MIN_LINES} to {MAX_LINES} px, or as many pixels as those have in other shapes"
            )
            yield place, message


def _is_480p_or_720p(width: int, height: int) -> bool:
    by_lines = MIN_LINES <= min(width, height) <= MAX_LINES
    return by_lines or MIN_PIXELS <= width * height <= MAX_PIXELS


def aspect(kind: MediaKind) -> Check:
    """Make the check of ``image.aspect`` or ``video.aspect``."""

    def check(looked: Looked) -> Iterator[Fault]:
        for place, info in _of(looked, kind):
            if info.width and info.height:
                ratio = info.width / info.height
                if not MIN_ASPECT <= ratio <= MAX_ASPECT:
                    message = (
                        f"is {info.width} x {info.height} px, which is {ratio:.3f} to 1: width to "
                        f"height must be from {MIN_ASPECT} to {MAX_ASPECT}"
                    )
                    yield place, message

    return check


def size(kind: MediaKind) -> Check:
    """Make the check of ``image.size`` or ``video.size``."""

    def check(looked: Looked) -> Iterator[Fault]:
        for place, info in _of(looked, kind):
            given = (info.width, info.height)
            if not all(side is None or MIN_PX <= side <= MAX_PX for side in given):
                sides = f"each side must have {MIN_PX} to {MAX_PX} px"
                yield place, f"is {info.width} x {info.height} px: {sides}"

    return check


def duration(kind: MediaKind) -> Check:
    """Make the check of ``video.duration`` or ``audio.duration``."""

    def check(looked: Looked) -> Iterator[Fault]:
        for place, info in _of(looked, kind):
            # A header need not tell it, and behind a URL the rest may be too large to fetch.
            if (
                info.duration_s is not None
                and not MIN_S - TOLERANCE_S <= info.duration_s <= MAX_S + TOLERANCE_S
            ):
                yield place, f"lasts {info.duration_s:.2f} s: give {MIN_S} to {MAX_S} s"

    return check


def total_duration(kind: MediaKind) -> Check:
    """Make the check of ``video.total_duration`` or ``audio.total_duration``."""

    def check(looked: Looked) -> Iterator[Fault]:
        lasting = {
            place: info.duration_s
            for place, info in _of(looked, kind)
            if info.duration_s is not None
        }
        total_s = sum(lasting.values())
        # A single one that is too long is named by the rule about each.
        if len(lasting) > 1 and total_s > MAX_S + TOLERANCE_S * len(lasting):
            field = next(iter(lasting)).partition("[")[0]
            yield field, f"last {total_s:.2f} s together: give at most {MAX_S} s in all"

    return check


def audio_bytes(looked: Looked) -> Iterator[Fault]:
    """Check rule ``audio.bytes``."""
    for place, info in _of(looked, MediaKind.AUDIO):
        if info.size_bytes is not None and info.size_bytes > MAX_AUDIO_BYTES:
            yield place, f"has {info.size_bytes:,} bytes: give at most {MAX_AUDIO_BYTES:,} (15 MB)"


def _placed(looked: Looked, kind: MediaKind) -> Iterator[tuple[str, MediaInfo]]:
    """Give what stands where media of *kind* belong."""
    return ((place, info) for place, info in looked.items() if expected(place) is kind)


def _of(looked: Looked, kind: MediaKind) -> Iterator[tuple[str, MediaInfo]]:
    """Give what stands where media of *kind* belong, and is of that kind."""
    return ((place, info) for place, info in _placed(looked, kind) if info.kind is kind)


def _a(info: MediaInfo) -> str:
    article = "a" if info.kind is MediaKind.VIDEO else "an"
    return f"{article} {info.kind} ({info.coding})"


def _listed(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
