"""Media files for tests, made when they are needed; and the processes that look at them."""

from __future__ import annotations

import math
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

HASTE = {
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def picture(width: int = 640, height: int = 480) -> Image.Image:
    return Image.radial_gradient("L").resize((width, height)).convert("RGB")


def video(
    path: Path,
    *,
    size: tuple[int, int] = (640, 480),
    seconds: float = 2.0,
    rate: int = 24,
    codec: str = "libx264",
    rotation: int = 0,
    gaps: Callable[[int], int] = lambda _: 1,
    sound_s: float = 0.0,
    **options: str,
) -> Path:
    """Film a gradient; *gaps* tells how many ticks the next frame comes after each."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, width=size[0], height=size[1])
        stream.codec_context.options = HASTE.get(codec, {})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        if rotation:
            stream.set_display_rotation(rotation)
        sound = mono(container.add_stream("aac", rate=48_000)) if sound_s else None
        still = av.VideoFrame.from_image(picture(*size))
        tick = index = 0
        while tick < round(seconds * rate):
            still.pts, still.time_base = tick, Fraction(1, rate)
            container.mux(stream.encode(still))
            tick, index = tick + gaps(index), index + 1
        container.mux(stream.encode(None))
        if sound is not None:
            beep(container, sound, sound_s)
    return path


def sound(path: Path, seconds: float, codec: str, *, rate: int = 44_100, **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        beep(container, mono(container.add_stream(codec, rate=rate)), seconds)
    return path


def mono(stream: Any) -> Any:
    stream.codec_context.layout = "mono"
    return stream


def beep(container: Any, stream: Any, seconds: float) -> None:
    rate = stream.rate
    samples = round(seconds * rate)
    form = stream.codec_context.format.name
    fifo = av.AudioFifo()
    frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    swing = struct.pack("<100h", *(round(8000 * math.sin(n * math.pi / 50)) for n in range(100)))
    frame.planes[0].update((swing * (samples // 100 + 1))[: 2 * samples])
    for ready in av.AudioResampler(format=form, layout="mono", rate=rate).resample(frame):
        fifo.write(ready)
    while piece := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
        container.mux(stream.encode(piece))
    container.mux(stream.encode(None))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def wait_until(comes_true: Callable[[], bool]) -> None:
    while not comes_true():
        time.sleep(0.005)


def looking() -> Iterator[Path]:
    return (process for process in Path("/proc").glob("[0-9]*") if is_looking(process))


def is_looking(process: Path) -> bool:
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == os.getpid() and b"media.worker" in (process / "cmdline").read_bytes()
    except OSError:
        return False
