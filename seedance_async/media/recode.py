"""Code a video or a sound anew: smaller, shorter, or in another format, and otherwise as it was.

Pictures are turned as they are to be shown, and keep their times.
Runs in ``worker``'s process.
"""

from __future__ import annotations

import contextlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import IO, Any

import av
import av.error
import av.filter
from av.codec.context import Flags

from seedance_async.media import streams
from seedance_async.media.problem import Problem
from seedance_async.mediainfo import MediaKind
from seedance_async.mediarules import MAX_LINES
from seedance_async.remedies import Plan

_THREADS = 2  # each takes memory; our choice
# Hardly to be told from what it was made of; our choice.
_H264 = {"preset": "veryfast", "crf": "18"}
_SOUND_BITS_PER_S = 192_000
_FRAME_SAMPLES = {"aac": 1024, "libmp3lame": 1152}
_RATES = (48_000, 44_100, 32_000)  # what AAC and MP3 both have; others become the first
_LIMITED, _BT709 = 1, 1  # AVCOL_RANGE_MPEG, AVCOL_SPC_BT709
# How to turn what was filmed, by the signs of a display matrix (a, b, c, d), where
# x' = a x + c y and y' = b x + d y. Source: ISO/IEC 14496-12, 6.2.2; FFmpeg's filter transpose.
_TURNS = {
    (-1, 0, 0, 1): "hflip",
    (1, 0, 0, -1): "vflip",
    (-1, 0, 0, -1): "hflip,vflip",
    (0, 1, 1, 0): "transpose=cclock_flip",
    (0, 1, -1, 0): "transpose=clock",
    (0, -1, 1, 0): "transpose=cclock",
    (0, -1, -1, 0): "transpose=clock_flip",
}


def recode(file: IO[bytes], to: IO[bytes], plan: Plan) -> int:
    """Code a video or a sound anew.

    Args:
        file: What there is, from the beginning.
        to: Where to write; a file with a name, since an MP4's index is put in front afterwards.
        plan: What to make of it.

    Returns:
        How many packets were left out since they are damaged.

    Raises:
        Problem: It cannot be decoded.
    """
    firsts = _first_frames(file, plan)
    leading = next(iter(firsts.values()))
    origin_s = (leading.pts or 0) * leading.time_base
    file.seek(0)
    with streams.opened(file) as old, _written(to, str(plan.container)) as new:
        tracks: dict[int, _Track] = {}
        for index, first in firsts.items():
            stream = old.streams[index]
            kind = _Pictures if stream.type == "video" else _Sound
            tracks[index] = kind(stream, first, new, plan, origin_s)
        for packet in old.demux(*(old.streams[index] for index in tracks)):
            tracks[packet.stream.index].take(packet)
            if all(track.is_over for track in tracks.values()):
                break
        for track in tracks.values():
            track.end()
        return sum(track.damaged for track in tracks.values())


def _first_frames(file: IO[bytes], plan: Plan) -> dict[int, Any]:
    """Decode the first picture and the first piece of sound, by their streams' indices."""
    # No stream may be touched once its container is closed.
    with streams.opened(file) as container:
        pictures = streams.pictures(container)[:1] if plan.kind is MediaKind.VIDEO else []
        chosen = {stream.index: stream for stream in (*pictures, *container.streams.audio[:1])}
        found: dict[int, Any] = {}
        seen: set[int] = set()
        for packet in container.demux(*chosen.values()):
            index = packet.stream.index
            if packet.size:
                seen.add(index)
            if index not in found:
                for frame in _decoded(packet) or ():
                    found.setdefault(index, frame)
            if len(found) == len(chosen):
                break
        # A track may be empty; one that has something in it must not get lost.
        if lost := seen - found.keys():
            raise Problem(f"has {chosen[lost.pop()].type} in it that cannot be decoded")
    if not found:
        raise Problem("has nothing in it that can be decoded")
    return {index: found[index] for index in chosen if index in found}


def _decoded(packet: Any) -> list[Any] | None:
    """Decode a packet; None where it is damaged."""
    try:
        return list(packet.decode())
    except av.error.EOFError:
        return []
    except av.error.InvalidDataError:
        return None


def _written(to: IO[bytes], container: str) -> Any:
    options = {"movflags": "+faststart"} if container == "mp4" else {}

    # To put the index in front, FFmpeg reads what it has written by its name.
    def again(*_: Any) -> IO[bytes]:
        to.flush()
        return open(to.name, "rb")  # noqa: PTH123 - it closes it

    return av.open(to, "w", format=container, options=options, io_open=again)


class _Track(ABC):
    """One stream on its way: decoded, filtered, coded, written.

    Attributes:
        damaged: How many packets could not be decoded.
        is_over: Whether all that is wanted of it was passed on.
    """

    _first: int  # the time that becomes 0, in units of what is coded

    def __init__(self, old: Any, new: Any) -> None:
        old.thread_type = "AUTO"
        old.codec_context.thread_count = _THREADS
        self.damaged = 0
        self.is_over = False
        self._container = new
        self._graph = av.filter.Graph()
        with contextlib.suppress(AttributeError):  # an older PyAV has one for each processor
            self._graph.threads = 1
        self._coded: Any = None

    def take(self, packet: Any) -> None:
        if self.is_over:
            return
        frames = _decoded(packet)
        if frames is None:
            self.damaged += 1
        for frame in frames or ():
            self._pass(frame)

    def end(self) -> None:
        self._push(None)
        self._container.mux(self._coded.encode(None))

    @abstractmethod
    def _pass(self, frame: Any) -> None:
        """Take a frame that was decoded."""

    def _push(self, frame: Any) -> None:
        self._graph.push(frame)
        self._code()

    def _code(self) -> None:
        for frame in _pulled(self._graph):
            frame.pts -= self._first
            self._container.mux(self._coded.encode(frame))

    def _chain(self, source: Any, *filters: str) -> None:
        steps = [self._graph.add(*step.split("=", 1)) for step in filters]
        self._graph.link_nodes(source, *steps).configure()


def _pulled(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class _Pictures(_Track):
    """The pictures of a video, upright, at their own times."""

    def __init__(self, old: Any, first: Any, new: Any, plan: Plan, origin_s: Fraction) -> None:
        super().__init__(old, new)
        rate = old.average_rate or old.guessed_rate or Fraction(24)
        self._usual = max(1, round(1 / rate / first.time_base))
        self._first = _at(origin_s, first.time_base)
        self._end = self._first
        self._held: Any = None
        self._limit: int | None = None
        if plan.until_s is not None:
            self._limit = self._first + int(Fraction(plan.until_s) / first.time_base)
        turn = _turn(first)
        is_on_its_side = "transpose" in turn
        width, height = first.width, first.height
        if is_on_its_side:
            width, height = height, width
        width, height = _scaled(width, height) if plan.scales else _even(width, height)
        self._make_graph(first, [*filter(None, turn.split(",")), f"scale={width}:{height}"])
        self._coded = new.add_stream("libx264", rate=rate, options=_H264)
        self._coded.width, self._coded.height, self._coded.pix_fmt = width, height, "yuv420p"
        coder = self._coded.codec_context
        coder.time_base, coder.thread_count = first.time_base, _THREADS
        coder.flags |= Flags.frame_duration  # the last picture lasts as long as it did
        coder.color_range, was = _LIMITED, old.codec_context
        coder.colorspace = _BT709 if first.format.is_rgb else was.colorspace
        coder.color_primaries, coder.color_trc = was.color_primaries, was.color_trc
        if shape := old.sample_aspect_ratio:  # pixels need not be square
            coder.sample_aspect_ratio = 1 / shape if is_on_its_side else shape

    def _make_graph(self, first: Any, steps: list[str]) -> None:
        source = self._graph.add_buffer(
            width=first.width,
            height=first.height,
            format=first.format,
            time_base=first.time_base,
        )
        matrix = ":out_color_matrix=bt709" if first.format.is_rgb else ""
        steps[-1] += f":flags=lanczos:out_range=limited{matrix}"
        self._chain(source, *steps, "format=yuv420p", "buffersink")

    def end(self) -> None:
        if self._held is not None:
            self._show(self._end)
        super().end()

    def _pass(self, frame: Any) -> None:
        at = self._end if frame.pts is None else frame.pts  # some containers do not tell
        if self._held is not None and at <= self._held.pts:  # a coder wants one after the other
            return
        if self._held is not None:
            self._show(at)
        self.is_over = self._limit is not None and at >= self._limit
        if not self.is_over:
            frame.pts, self._held = at, frame
            self._end = at + (frame.duration or self._usual)

    def _show(self, until: int) -> None:
        """Pass on the picture that was held back to find out for how long it is shown."""
        frame, self._held = self._held, None
        end = until if self._limit is None else min(until, self._limit)
        frame.duration = end - frame.pts
        self._push(frame)


class _Sound(_Track):
    """Sound, of one or two channels where it is squeezed."""

    def __init__(self, old: Any, first: Any, new: Any, plan: Plan, origin_s: Fraction) -> None:
        super().__init__(old, new)
        name = plan.codec or "aac"
        channels, rate = first.layout.nb_channels, first.sample_rate
        layout, form = first.layout.name, first.format.name
        if samples := _FRAME_SAMPLES.get(name):
            layout, form = "mono" if channels == 1 else "stereo", "fltp"
            rate = rate if rate in _RATES else _RATES[0]
        self._first = _at(origin_s, Fraction(1, rate))
        self._next = _at(origin_s, first.time_base)
        cut = f"atrim=start_pts={self._first}"
        self._end_s = None if plan.until_s is None else origin_s + Fraction(plan.until_s)
        if self._end_s is not None:
            cut += f":end_pts={_at(self._end_s, Fraction(1, rate))}"
        source = self._graph.add_abuffer(
            sample_rate=first.sample_rate,
            format=first.format.name,
            layout=first.layout.name,
            time_base=first.time_base,
        )
        self._chain(
            source,
            f"aresample={rate}:async=1",  # silence where there is a gap
            f"aformat=sample_fmts={form}:channel_layouts={layout}",
            cut,
            f"asetnsamples=n={samples or 1024}:p=0",
            "abuffersink",
        )
        self._coded = new.add_stream(name, rate=rate)
        coder = self._coded.codec_context
        coder.layout, coder.format = layout, form
        if samples:
            coder.bit_rate = _SOUND_BITS_PER_S

    def _pass(self, frame: Any) -> None:
        if frame.pts is None:  # some decoders do not tell
            frame.pts = self._next
        lasts_s = Fraction(frame.samples, frame.sample_rate)
        self._next = frame.pts + _at(lasts_s, frame.time_base)
        if self._end_s is not None and frame.pts * frame.time_base >= self._end_s:
            self.is_over = True
        else:
            self._push(frame)


def _at(seconds: Fraction, time_base: Fraction) -> int:
    return round(seconds / time_base)


def _turn(frame: Any) -> str:
    """Give the filters that show a picture as its display matrix says."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return ""
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    return _TURNS.get(tuple((n > 0) - (n < 0) for n in (a, b, c, d)), "")


def _scaled(width: int, height: int) -> tuple[int, int]:
    """Make the short side 720p."""
    share = Fraction(MAX_LINES, min(width, height))
    return 2 * round(width * share / 2), 2 * round(height * share / 2)


def _even(width: int, height: int) -> tuple[int, int]:
    """Make both sides such as H.264 in its usual colours can have."""
    return width - width % 2, height - height % 2
