"""Which bytes of a file a ``Range`` header asks for. Source: RFC 9110, section 14."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.ASCII | re.IGNORECASE)
# More digits than any file has bytes; Python refuses to read thousands of them.
_MAX_DIGITS = 18


def select(header: str | None, size_bytes: int) -> range | None:
    """Find the bytes that *header* asks for in a file of *size_bytes*.

    Returns:
        The positions; an empty range where the file has none of them (416); None for the
        whole file: no header, one that is not valid, another unit, or several ranges at once,
        which a server may answer with the whole.
    """
    match = _ONE_RANGE.fullmatch((header or "").strip())
    if match is None or max(map(len, match.groups())) > _MAX_DIGITS:
        return None
    first, last = (int(digits) if digits else None for digits in match.groups())
    if first is None:
        # The last so many bytes; ``bytes=-0`` asks for none, which no file can give.
        return None if last is None else range(max(0, size_bytes - last), size_bytes)
    if last is None:
        return range(first, size_bytes)
    return None if last < first else range(first, min(last + 1, size_bytes))
