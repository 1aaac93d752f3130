"""What a look at a media file has brought to light, as a value. Looks at nothing itself."""

from enum import StrEnum

import attrs


class MediaKind(StrEnum):
    """What a file's content is, whatever its name says."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


@attrs.frozen(kw_only=True)
class MediaInfo:
    """What a media file is, by its content.

    Attributes:
        kind: Image, video or audio; a sound file with a cover picture is audio.
        container: The file's format, such as ``jpeg``, ``mp4``, ``wav``.
        codec: How the content is coded, such as ``h264``, ``mp3``; for most images the same as
            ``container``.
        width: Pixels from left to right as displayed, which is after the file's own rotation
            (EXIF's, or a video's display matrix); None for audio.
        height: Pixels from top to bottom, likewise.
        duration_s: Seconds from the first to the end of the last picture or sound; None for an
            image, and where a header does not tell and the rest is too large to fetch.
        size_bytes: The file's size; None where a server does not tell.
        animated: Whether an image has more than one frame.
    """

    kind: MediaKind
    container: str
    codec: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    size_bytes: int | None = None
    animated: bool = False

    @property
    def coding(self) -> str:
        """Container and codec, or the one word for both."""
        return self.container if self.container == self.codec else f"{self.container}, {self.codec}"

    def __str__(self) -> str:
        """Describe it to a person: ``video (mp4, h264), 1280 x 720 px, 5.0 s``."""
        words = [f"{'animated ' if self.animated else ''}{self.kind} ({self.coding})"]
        if self.width is not None:
            words.append(f"{self.width} x {self.height} px")
        if self.duration_s is not None:
            words.append(f"{self.duration_s:.2f} s")
        if self.size_bytes is not None:
            words.append(f"{self.size_bytes:,} bytes")
        return ", ".join(words)
