"""The shelf: files that clients have put here, so that local runs have something public to show.

Takes *now* on the emulator's clock; knows no HTTP.
"""

from __future__ import annotations

import io
from collections import OrderedDict

import attrs

from seedance_async.emulator.gallery import Piece

_ORIENTATION, _ON_ITS_SIDE = 274, 5  # Source: Exif 2.32, table 4
MAX_FILE_BYTES = 128 * 2**20
SHELF_BYTES = 256 * 2**20


@attrs.frozen
class Shelved:
    """One file: its content, what it was declared as, and until when it is public.

    ``ratio`` is an image's width to height as it is shown; None for what is none.
    """

    piece: Piece
    content_type: str
    until_s: float
    ratio: float | None


def ratio_of(content: bytes) -> float | None:
    """Look an image's shape up; None for what is no image. Blocks."""
    from PIL import Image  # noqa: PLC0415 - needs the extra

    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE
    except Exception:  # noqa: BLE001 - a stranger's file may raise anything
        return None
    return height / width if turned else width / height


class Shelf:
    """Keeps the latest files up to a number of bytes."""

    def __init__(self, *, max_bytes: int = SHELF_BYTES) -> None:
        """Start with an empty shelf of at most *max_bytes*."""
        self._max_bytes = max_bytes
        self._files: OrderedDict[str, Shelved] = OrderedDict()
        self._used_bytes = 0

    def put(self, name: str, file: Shelved) -> None:
        """Put a file on the shelf, in the place of one of that name."""
        self._drop(name)
        self._files[name] = file
        self._used_bytes += len(file.piece.content)
        while self._used_bytes > self._max_bytes:
            self._drop(next(iter(self._files)))

    def find(self, name: str) -> Shelved | None:
        """Look a file up, expired or not; None for one that never was, or was dropped."""
        return self._files.get(name)

    def has(self, name: str, now: float) -> bool:
        """Tell whether a file is public at *now*."""
        file = self._files.get(name)
        return file is not None and now < file.until_s

    def _drop(self, name: str) -> None:
        file = self._files.pop(name, None)
        if file is not None:
            self._used_bytes -= len(file.piece.content)
