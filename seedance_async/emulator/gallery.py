"""The gallery: films and images, made in threads of its own and kept for a while.

However many ask for the same piece at once, it is made once, and goes on being made if whoever
asked first goes away. Knows no task and no HTTP. Pillow and PyAV are imported with the first
piece, not before.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.util
import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs

from seedance_async.emulator.order import Order

#: The image files of a first and a last frame.
Stills = tuple[bytes | None, bytes | None]
CACHE_BYTES = 128 * 2**20
_WORKERS = 2
_NEEDED_MODULES = ("av", "PIL")

_BACKGROUND, _SHAPE, _INK = (38, 70, 83), (42, 157, 143), (255, 255, 255)


@attrs.frozen
class Piece:
    """One file: its bytes, and a strong entity tag with its quotes."""

    content: bytes = attrs.field(repr=False)
    etag: str

    @classmethod
    def of(cls, content: bytes) -> Piece:
        """Tag *content*."""
        return cls(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


class Cache:
    """Keeps the latest pieces, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        """Start with an empty cache of at most *max_bytes*."""
        self._max_bytes = max_bytes
        self._pieces: OrderedDict[object, Piece] = OrderedDict()
        self._used_bytes = 0
        self._lock = threading.Lock()  # each emulator may have a thread of its own

    def find(self, key: object) -> Piece | None:
        """Look a piece up; it is then the latest."""
        with self._lock:
            piece = self._pieces.get(key)
            if piece is not None:
                self._pieces.move_to_end(key)
            return piece

    def keep(self, key: object, piece: Piece) -> None:
        """Keep a piece, unless there is one."""
        with self._lock:
            if key in self._pieces:
                return
            self._pieces[key] = piece
            self._used_bytes += len(piece.content)
            while self._used_bytes > self._max_bytes:
                _, oldest = self._pieces.popitem(last=False)
                self._used_bytes -= len(oldest.content)


# Equal orders make equal films, whichever emulator of this process is asked.
_CACHE = Cache(CACHE_BYTES)


class Gallery:
    """Makes pieces on demand, two at a time, and keeps the latest.

    Those that a *cache* of its own has; None shares one with all others of the process.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        """Start to make nothing."""
        self._cache = _CACHE if cache is None else cache
        self._making: dict[object, asyncio.Future[Piece]] = {}
        self._threads: ThreadPoolExecutor | None = None

    async def film(self, order: Order, stills: Stills = (None, None)) -> Piece:
        """Give the film of *order*, an MP4 that begins and ends with *stills*."""
        key = (order, *(still and hashlib.sha256(still).digest() for still in stills))
        return await self._piece(key, functools.partial(_film, order, stills))

    async def image(self, width_px: int, height_px: int) -> Piece:
        """Give an image of that size, a PNG."""
        size_px = (width_px, height_px)
        return await self._piece(size_px, functools.partial(_image, size_px))

    def close(self) -> None:
        """Let go of what is being made; a thread ends with the piece it is at."""
        for future in list(self._making.values()):
            future.cancel()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def _piece(self, key: object, make: Callable[[], bytes]) -> Piece:
        cached = self._cache.find(key)
        if cached is not None:
            return cached
        future = self._making.get(key)
        if future is None:
            future = self._start(key, make)
        # Shielded: others may be waiting for it too, and whoever went away may come again.
        return await asyncio.shield(future)

    def _start(self, key: object, make: Callable[[], bytes]) -> asyncio.Future[Piece]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="seedance-emulator")
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, lambda: Piece.of(make()))
        self._making[key] = future
        future.add_done_callback(functools.partial(self._made, key))
        return future

    def _made(self, key: object, future: asyncio.Future[Piece]) -> None:
        del self._making[key]
        # Asking for the exception marks it as retrieved: there may be nobody left to wait.
        if future.cancelled() or future.exception() is not None:
            return
        self._cache.keep(key, future.result())


def require_extra() -> None:
    """Check that the extra is there, without importing it.

    Raises:
        ImportError: If PyAV or Pillow is missing.
    """
    missing = [name for name in _NEEDED_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the emulator renders real videos and needs {' and '.join(missing)}: "
            "pip install 'seedance-async[emulator]'"
        )


def _film(order: Order, stills: Stills) -> bytes:
    from seedance_async.emulator import film  # noqa: PLC0415 - needs the extra

    return film.render(
        film.Film(
            prompt=order.prompt,
            duration_s=order.duration_s,
            width_over_height=order.width_over_height,
            audio=order.audio,
            caption=order.caption,
            first_frame=stills[0],
            last_frame=stills[1],
        )
    )


def _image(size_px: tuple[int, int]) -> bytes:
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - needs the extra

    width, height = size_px
    # A palette: 6000 times 6000 px in RGB would be 108 MB.
    image = Image.new("P", size_px, 0)
    image.putpalette([*_BACKGROUND, *_SHAPE, *_INK])
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.1, height * 0.1, width * 0.9, height * 0.9), fill=1)
    draw.text(
        (width / 2, height / 2),
        f"{width} x {height}",
        fill=2,
        font=ImageFont.load_default(size=min(size_px) / 10),
        anchor="mm",
    )
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
