"""The process that makes pictures of videos: what a broken one breaks is this process alone.

Takes a path a line from stdin, as JSON, and answers each with a line: the first picture of the
video, small, as base64 of WebP, or nothing.
"""

from __future__ import annotations

import base64
import io
import json
import sys

import av.error
from PIL import Image

from seedance_async.media import streams
from seedance_async.media.problem import Problem

_SIDE_PX = 320  # of the longer side: a card is hardly wider; our choice
_QUALITY = 55
_TRIED_PACKETS = 50


def picture(path: str) -> bytes:
    """Give the first picture of a video, small, as WebP; empty where there is none."""
    try:
        with open(path, "rb") as file, streams.opened(file) as container:  # noqa: PTH123
            for stream in streams.pictures(container)[:1]:
                for number, packet in enumerate(container.demux(stream)):
                    if number >= _TRIED_PACKETS:
                        break
                    for frame in packet.decode():
                        return _small(frame)
    except (av.error.FFmpegError, Problem, OSError, ValueError):
        pass
    return b""


def _small(frame: av.VideoFrame) -> bytes:
    scale = _SIDE_PX / max(frame.width, frame.height)
    width, height = (max(round(side * min(scale, 1.0)), 1) for side in (frame.width, frame.height))
    written = io.BytesIO()
    image: Image.Image = frame.reformat(width=width, height=height).to_image()  # type: ignore[no-untyped-call]
    image.save(written, "WEBP", quality=_QUALITY, method=2)
    return written.getvalue()


def main() -> None:
    """Answer until nobody asks."""
    for line in sys.stdin:
        print(base64.b64encode(picture(json.loads(line))).decode(), flush=True)  # noqa: T201
