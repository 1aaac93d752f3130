"""Look at a video or a sound: what it is, how large, how long, and whether all of it is there.

Decodes one picture at the most, which is where a rotation stands. Takes files that can seek; runs
in ``worker``'s process.
"""

from __future__ import annotations

import contextlib
from typing import IO, Any

import av
import av.error
import av.logging

from seedance_async.media.problem import Problem
from seedance_async.mediainfo import MediaInfo, MediaKind

# What people have. Formats that name other files (playlists, concatenations) are not among them:
# a file that was sent to a bot must not make it open another one.
_FORMATS = (
    "mov,matroska,avi,flv,mpegts,mpeg,asf,ogg,mpegvideo,h264,hevc,ivf,mxf,"
    "wav,w64,mp3,flac,aac,aiff,amr,ac3,au,caf,ape,wv,tta,"
    "psd_pipe,jpegxl_pipe,j2k_pipe,dds_pipe,exr_pipe,hdr_pipe,ico,pam_pipe,pbm_pipe,pgm_pipe,"
    "ppm_pipe,pcx_pipe,qoi_pipe,sgi_pipe,sunrast_pipe,svg_pipe"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "", "probesize": "1000000"}
_STILL_BRANDS = ("avif", "avis", "heic", "heix", "mif1", "msf1")
_LONG_S = 60.0  # four times of what the API takes: nobody needs to know more exactly
# A film of more breaks a rule whichever way it stands, so that it may do without its rotation: if
# it cannot be decoded, for want of memory perhaps, or if it is so large that nobody tries.
_MANY_PIXELS, _TOO_MANY_PIXELS = 1800 * 720, 6000 * 6000
_TRIED_PACKETS = 50
# A header that promises more than there is. Containers pad, and tracks end apart.
_SHORT_S, _SHORT = 0.5, 0.95
_NEAR_S = 0.1  # a header that promises so much more is not believed either
_TELLS_LENGTH = ("mp4", "mov", "wav")

av.logging.set_level(None)


def look(file: IO[bytes], size_bytes: int | None, *, is_whole: bool) -> MediaInfo:
    """Look at a video or a sound.

    Args:
        file: Its content, from the beginning.
        size_bytes: How long that is, if it is known.
        is_whole: Whether all of it may be read, to find out how long it really is.

    Raises:
        Problem: It is neither, or broken.
    """
    try:
        with opened(file) as container:
            return _look(container, size_bytes, is_whole)
    except (av.error.FFmpegError, ValueError, UnicodeError) as exc:
        raise Problem(f"is no image, video or sound that can be read ({_reason(exc)})") from None


def opened(file: IO[bytes]) -> Any:
    """Open a video or a sound, which must not make us open another file."""
    return av.open(file, "r", options=_OPTIONS, metadata_errors="replace", io_open=_no_other_file)


def pictures(container: Any) -> list[Any]:
    """Give the streams that make it a video, which the cover of a song does not."""
    return [stream for stream in container.streams.video if not _is_cover(stream)]


def _no_other_file(*_: Any) -> Any:
    raise Problem("refers to another file, which is not opened")


def _look(container: Any, size_bytes: int | None, is_whole: bool) -> MediaInfo:
    name = _container_name(container)
    videos = pictures(container)
    if not videos and not container.streams.audio:
        raise Problem("has neither picture nor sound in it")
    is_video = bool(videos)
    stream = videos[0] if is_video else container.streams.audio[0]
    if stream.codec_context is None:
        raise Problem("is coded in a way that nobody here can read")
    codec = stream.codec_context.codec.canonical_name
    if name == "mp3":  # which to FFmpeg is every layer of MPEG audio
        name = codec
    info = {"container": name, "codec": codec, "size_bytes": size_bytes}
    if is_video and _is_still(container, name):
        width, height = stream.width, stream.height
        if not width or not height:
            raise Problem("is cut short: an image without its size")
        return MediaInfo(kind=MediaKind.IMAGE, width=width, height=height, **info)
    told_s = _told_s(container, stream)
    found = _Found(stream, looks_at_picture=is_video)
    with contextlib.suppress(EOFError, av.error.EOFError):
        for packet in container.demux(stream):
            found.see(packet)
            if found.has_enough(is_whole=is_whole):
                break
    if is_video and found.size is None:
        if stream.width * stream.height <= _MANY_PIXELS:
            raise Problem("has no picture in it that can be decoded")
        found.size = stream.width, stream.height
    duration_s = _duration_s(found, told_s, name, is_whole=is_whole)
    width, height = found.size or (None, None)
    kind = MediaKind.VIDEO if is_video else MediaKind.AUDIO
    return MediaInfo(kind=kind, width=width, height=height, duration_s=duration_s, **info)


def _container_name(container: Any) -> str:
    names = container.format.name.removesuffix("_pipe").split(",")
    if "mp4" in names:
        brand = container.metadata.get("major_brand", "").strip()
        return brand if brand in _STILL_BRANDS else "mov" if brand == "qt" else "mp4"
    if "matroska" in names:
        codecs = {stream.codec_context.name for stream in container.streams if stream.codec_context}
        return "webm" if codecs and codecs <= _WEBM_CODECS else "matroska"
    return "wav" if names[0] == "w64" else str(names[0])


_WEBM_CODECS = {"vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "opus", "vorbis"}


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _is_still(container: Any, name: str) -> bool:
    return container.format.name.endswith("_pipe") or name in (*_STILL_BRANDS, "ico")


def _told_s(container: Any, stream: Any) -> float | None:
    """Give the duration that the header tells, in seconds."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if (told_s := _tagged_s(stream.metadata.get("DURATION", ""))) is not None:
        return told_s
    # The longest of several would be taken for this one's.
    if container.duration is not None and len(container.streams) == 1:
        return float(container.duration / av.time_base)
    return None


def _tagged_s(text: str) -> float | None:
    """Read Matroska's tag ``DURATION``, such as ``00:00:05.016000000``."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


class _Found:
    """What the packets of a stream bring to light."""

    def __init__(self, stream: Any, *, looks_at_picture: bool) -> None:
        self._stream = stream
        self._tries = _TRIED_PACKETS if looks_at_picture else 0
        self.size: tuple[int, int] | None = None
        self._first: float | None = None
        self._end = 0.0
        if looks_at_picture:
            stream.codec_context.thread_count = 1
            if stream.width * stream.height > _TOO_MANY_PIXELS:
                self.size, self._tries = (stream.width, stream.height), 0

    @property
    def lasts_s(self) -> float | None:
        return None if self._first is None else self._end - self._first

    def see(self, packet: Any) -> None:
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None and packet.size:
            at_s = float(at * packet.time_base)
            gap_s = float((packet.duration or 0) * packet.time_base) or self._usual_gap_s()
            self._first = at_s if self._first is None else min(self._first, at_s)
            self._end = max(self._end, at_s + gap_s)
        if self.size is None and self._tries:
            self._tries -= 1
            self._look_at_picture(packet)

    def has_enough(self, *, is_whole: bool) -> bool:
        has_picture = self.size is not None or not self._tries
        return has_picture and (not is_whole or (self.lasts_s or 0.0) > _LONG_S)

    def _look_at_picture(self, packet: Any) -> None:
        with contextlib.suppress(av.error.FFmpegError):
            for frame in packet.decode():
                self.size = frame.width, frame.height
                if frame.rotation % 180:
                    self.size = frame.height, frame.width
                break

    def _usual_gap_s(self) -> float:
        rate = getattr(self._stream, "average_rate", None)
        return float(1 / rate) if rate else 0.0


def _duration_s(
    found: _Found, told_s: float | None, container: str, *, is_whole: bool
) -> float | None:
    if not is_whole:
        return told_s
    lasts_s = found.lasts_s
    if told_s is None or lasts_s is None or (lasts_s > _LONG_S):
        return lasts_s if told_s is None else told_s
    is_short = lasts_s < told_s - _SHORT_S and lasts_s < told_s * _SHORT
    if is_short and container in _TELLS_LENGTH:
        raise Problem(
            f"is cut short: it says that it lasts {told_s:.2f} s, and has {lasts_s:.2f} s in it"
        )
    # A header may be an estimate; where both agree it has the exact number. But for FLV's, in place
    # of which FFmpeg takes the time at which the last picture begins.
    is_exact = told_s - _NEAR_S <= lasts_s <= told_s + _SHORT_S and container != "flv"
    return told_s if is_exact else lasts_s


def _reason(exc: BaseException) -> str:
    words = getattr(exc, "strerror", None)
    return words if isinstance(words, str) and words else type(exc).__name__
