"""An order: what a create request asked for, reduced to what the emulator makes of it.

Read from the given fields in Python's spelling. Checks nothing: what the rules refuse never
comes here, and where a rule is waived, a value that cannot be used counts as not given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from seedance_async import rules

FRAMES_PER_S = 24
#: No film shows more of a prompt, and 20,000 finished tasks keep theirs.
MAX_PROMPT_CHARACTERS = 2_000
#: Where a waived ``duration.range`` ends nevertheless: a film has to be rendered.
MAX_DURATION_S = 60
# Source: the sizes that this family of models makes at 480p.
_SIZES_PX: Mapping[str, tuple[int, int]] = {
    "16:9": (864, 496),
    "4:3": (752, 560),
    "1:1": (640, 640),
    "3:4": (560, 752),
    "9:16": (496, 864),
    "21:9": (992, 432),
}
_DEFAULT_RATIO = "16:9"
_ADAPTIVE_AREA_PX = 640 * 640
_BLOCK_PX = 16
_MIN_RATIO, _MAX_RATIO = 0.4, 2.5  # Source: contract rule ``image.aspect``
_GALLERY_IMAGE = re.compile(r"/media/([1-9]\d{0,4})x([1-9]\d{0,4})\.png", re.ASCII)


@attrs.frozen(kw_only=True)
class Order:
    """What is to be filmed. Equal orders make equal films."""

    model: str
    prompt: str
    duration_s: int
    aspect_ratio: str
    width_over_height: float
    audio: bool
    frames: int
    references: int
    stills: tuple[str | None, str | None] = (None, None)
    """The files on the shelf that it begins and ends with."""

    @classmethod
    def of(
        cls,
        given: Mapping[str, Any],
        *,
        stills: tuple[str | None, str | None] = (None, None),
        first_ratio: float | None = None,
    ) -> Order:
        """Read the order out of the *given* fields.

        Args:
            given: The fields.
            stills: First and last frame, where they are on the shelf.
            first_ratio: The shape of the first image, width to height, where it is known here.
        """
        named = [field for field, _ in rules.media_references(given)]
        frames = sum(field in rules.FRAMES for field in named)
        ratio = _text(given.get("aspect_ratio", rules.DEFAULTS["aspect_ratio"]))
        return cls(
            model=_text(given.get("model")),
            prompt=_text(given.get("prompt"))[:MAX_PROMPT_CHARACTERS],
            duration_s=_duration_s(given.get("duration")),
            aspect_ratio=ratio,
            width_over_height=_width_over_height(ratio, given, first_ratio),
            audio=given.get("generate_audio", rules.DEFAULTS["generate_audio"]) is not False,
            frames=frames,
            references=len(named) - frames,
            stills=stills,
        )

    @property
    def fast(self) -> bool:
        """Whether it goes to a fast model. Source: the models' names."""
        return "_fast" in self.model

    @property
    def total_tokens(self) -> int:
        """What is billed: width times height times frames by 1024.

        The first frame is billed as well: the contract's ``"40594"`` for 4.000000 s is 864 times
        496 times 97 by 1024.
        """
        width, height = _SIZES_PX.get(self.aspect_ratio) or _adaptive_size_px(
            self.width_over_height
        )
        return width * height * (FRAMES_PER_S * self.duration_s + 1) // 1024

    @property
    def caption(self) -> tuple[str, ...]:
        """The settings, one line each, as a film shows them."""
        media = [("frame", self.frames), ("reference", self.references)]
        return (
            self.model,
            f"{self.duration_s} s",
            self.aspect_ratio,
            f"audio {'on' if self.audio else 'off'}",
            *(f"{count} {noun}{'s' * (count > 1)}" for noun, count in media if count),
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _duration_s(value: Any) -> int:
    if type(value) is not int:
        return int(rules.DEFAULTS["duration"])
    return min(max(value, 1), MAX_DURATION_S)


def _width_over_height(ratio: str, given: Mapping[str, Any], first_ratio: float | None) -> float:
    if ratio == rules.AspectRatio.ADAPTIVE:
        adaptive = _first_image_ratio(given) if first_ratio is None else _bounded(first_ratio)
        if adaptive is not None:
            return adaptive
    width, _, height = (ratio if ratio in _SIZES_PX else _DEFAULT_RATIO).partition(":")
    return int(width) / int(height)


def _first_image_ratio(given: Mapping[str, Any]) -> float | None:
    """Read an image's shape out of its URL if it is one of the emulator's own gallery.

    The emulator fetches nothing, so that it works (and answers alike) without a network.
    """
    names = ("first_image", "reference_images[0]")
    url = next((value for field, value in rules.media_references(given) if field in names), None)
    try:
        match = _GALLERY_IMAGE.search(urlsplit(_text(url)).path)
    except ValueError:
        return None
    if match is None or match.end() != len(match.string):
        return None
    return _bounded(int(match[1]) / int(match[2]))


def _bounded(ratio: float) -> float:
    return min(max(ratio, _MIN_RATIO), _MAX_RATIO)


def _adaptive_size_px(ratio: float) -> tuple[int, int]:
    width = math.sqrt(_ADAPTIVE_AREA_PX * ratio)
    return (
        _BLOCK_PX * round(width / _BLOCK_PX),
        _BLOCK_PX * round(width / ratio / _BLOCK_PX),
    )
