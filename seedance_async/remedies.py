"""What makes a media file fit without guessing what its owner wants, and what would be a guess.

Judges what a look has brought to light, by the rules on media. Changes no file: ``media.fit`` does.
Smaller, in another format, and shorter where that is asked for: so much can be done. Larger, cut
out, padded or with pictures left away would be somebody's taste.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from seedance_async import mediarules
from seedance_async.errors import MediaError, Violation
from seedance_async.mediainfo import MediaInfo, MediaKind
from seedance_async.rules import Stage, violations

#: A picture with more pixels is not decoded. Our choice.
MAX_PIXELS = 200_000_000
#: What Pillow reads of the formats that the API does not take, as a look names them.
READABLE = ("avif", "dds", "ico", "j2k", "pbm", "pcx", "pgm", "ppm", "psd", "qoi", "sgi", "sunrast")
_PLACES = {
    MediaKind.IMAGE: "first_image",
    MediaKind.VIDEO: "reference_videos[0]",
    MediaKind.AUDIO: "reference_audios[0]",
}
_A_GUESS = "making it larger would be a guess: do it yourself, or give a larger one"
_CUT = "trim=True keeps the first {} s"


@attrs.frozen(kw_only=True)
class Plan:
    """How a file is to be made fit.

    Attributes:
        kind: Image, video or audio.
        container: The format to write; None for an image whose pixels have to tell.
        codec: How sound is to be coded; None for what is no sound file.
        scales: Whether the picture has to become smaller.
        until_s: Where to cut, in seconds from the beginning; None to keep all.
    """

    kind: MediaKind
    container: str | None = None
    codec: str | None = None
    scales: bool = False
    until_s: float | None = None


def broken(info: MediaInfo) -> tuple[Violation, ...]:
    """Give the rules that a file breaks wherever media of its kind belong."""
    return violations({_PLACES[info.kind]: info}, stage=Stage.MEDIA)


def make_plan(info: MediaInfo, *, trim: bool) -> Plan | None:
    """Decide what has to be done to a file.

    Args:
        info: What it is.
        trim: Whether its end may be left away.

    Returns:
        What to do; None if it fits as it is.

    Raises:
        MediaError: It cannot be done without guessing; the message has all reasons.
    """
    violated = broken(info)
    if not violated:
        return None
    plan = _plan(info, {violation.rule for violation in violated}, trim=trim)
    if reasons := [*_reasons(info, violated, plan, trim=trim)]:
        raise MediaError("\n  ".join(["cannot be made to fit without guessing:", *reasons]))
    return plan


def remedy(rule: str, info: MediaInfo) -> str | None:
    """Say whether ``media.fit`` can make a file fit that breaks *rule*.

    Args:
        rule: The id of a rule about media, such as ``image.size``.
        info: What the file is; it must be one that can be read from disk.

    Returns:
        Words for the end of a message; None where ``media.fit`` cannot help.
    """
    if rule not in {violation.rule for violation in broken(info)}:
        return None
    for trim, call in ((False, "media.fit(...)"), (True, "media.fit(..., trim=True)")):
        try:
            make_plan(info, trim=trim)
        except MediaError:
            continue
        return f"{call} can make it fit"
    return None


def changes(before: MediaInfo, after: MediaInfo, plan: Plan) -> tuple[str, ...]:
    """Say in words what was changed."""
    told = []
    if before.coding != after.coding:
        told.append(f"re-encoded as {after.coding} (was {before.coding})")
    was, now = (before.width, before.height), (after.width, after.height)
    if was != now:
        told.append(f"scaled down to {now[0]} x {now[1]} px (was {was[0]} x {was[1]} px)")
    was_s, now_s = before.duration_s, after.duration_s
    if plan.until_s and was_s and now_s and was_s > plan.until_s:
        told.append(f"kept the first {now_s:.2f} s (of {was_s:.2f} s)")
    return tuple(told)


def _plan(info: MediaInfo, violated: set[str], *, trim: bool) -> Plan:
    is_long = info.duration_s is None or info.duration_s > mediarules.MAX_S
    until_s = float(mediarules.MAX_S) if trim and is_long else None
    if info.kind is MediaKind.IMAGE:
        container = None if "image.format" in violated else info.container
        return Plan(kind=info.kind, container=container, scales="image.size" in violated)
    if info.kind is MediaKind.VIDEO:
        scales = bool({"video.resolution", "video.size"} & violated)
        return Plan(kind=info.kind, container="mp4", scales=scales, until_s=until_s)
    if _stays_wav(info, until_s):
        return Plan(kind=info.kind, container="wav", codec=info.codec, until_s=until_s)
    if until_s is not None:  # an MP3 is longer than what is in it
        until_s -= mediarules.TOLERANCE_S
    return Plan(kind=info.kind, container="mp3", codec="libmp3lame", until_s=until_s)


def _stays_wav(info: MediaInfo, until_s: float | None) -> bool:
    """Tell whether a WAV is small enough once it is cut."""
    if info.container != "wav" or not info.codec.startswith("pcm_"):
        return False
    share = until_s / info.duration_s if until_s and info.duration_s else 1.0
    return (info.size_bytes or 0) * share <= mediarules.MAX_AUDIO_BYTES


def _reasons(
    info: MediaInfo, violated: tuple[Violation, ...], plan: Plan, *, trim: bool
) -> Iterator[str]:
    for violation in violated:
        if words := _obstacle(violation.rule, info, trim=trim):
            yield f"{violation.message}; {words} [{violation.rule}]"
    if info.animated:
        yield "has several pictures; which of them to keep would be a guess: save that one alone"
    if info.width and info.height and info.width * info.height > MAX_PIXELS:
        yield f"is {info.width} x {info.height} px; more than {MAX_PIXELS:,} pixels are not decoded"
    is_cut = plan.until_s is not None or "audio.duration" in {each.rule for each in violated}
    if plan.container == "mp3" and not is_cut and (info.duration_s or 0) > mediarules.MAX_S:
        words = _CUT.format(mediarules.MAX_S)
        yield f"lasts {info.duration_s:.2f} s, and an MP3 of it lasts longer; {words}"


def _obstacle(rule: str, info: MediaInfo, *, trim: bool) -> str | None:
    """Say why a broken rule cannot be mended; None where it can."""
    sides = (info.width or 0, info.height or 0)
    match rule.partition(".")[2]:
        case "format" if info.kind is MediaKind.IMAGE and info.container not in READABLE:
            return "nothing here can read that: save it as one of these yourself"
        case "aspect":
            return "what to cut off or to add would be a guess: do it yourself"
        case "size" if min(sides) < mediarules.MIN_PX:
            return _A_GUESS
        case "resolution" if min(sides) < mediarules.MIN_LINES:
            return _A_GUESS
        case "duration" if info.duration_s is not None and info.duration_s < mediarules.MIN_S:
            return "what to add would be a guess: do it yourself, or give a longer one"
        case "duration" if not trim:
            return _CUT.format(mediarules.MAX_S)
        case _:
            return None
