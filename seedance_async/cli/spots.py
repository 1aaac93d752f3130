"""Places in a text: from an offset to a line and a column, both from 1."""

from __future__ import annotations

import bisect
import re
from array import array

_TOO_DEEP = 100


class Spots:
    """The lines of a text, which end with a line feed as editors count them.

    Not as YAML counts: to that a line separator within a text (U+2028) is a line end, too.
    """

    def __init__(self, text: str) -> None:
        # An array: as a list, the lines of a large file would take ten times its size.
        self._starts = array("q", [0])
        self._starts.extend(found.end() for found in re.finditer("\n", text))

    def line(self, offset: int) -> int:
        """Give the number of the line of a character."""
        return bisect.bisect_right(self._starts, offset)

    def column(self, offset: int) -> int:
        """Give the column of a character."""
        return offset - self._starts[self.line(offset) - 1] + 1


def deep_line(text: str) -> int:
    """Give the line on which brackets are first nested deeper than anybody means; 1 if none is."""
    depth = 0
    for found in re.finditer(r"[\[\]{}]", text):  # those in quotes, too: it is near enough
        depth += 1 if found[0] in "[{" else -1
        if depth > _TOO_DEEP:
            return text.count("\n", 0, found.start()) + 1
    return 1
