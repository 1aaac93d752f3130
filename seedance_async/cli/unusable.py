"""What keeps a whole file of jobs from being used: found by the readers, told with its place."""

from __future__ import annotations

import attrs

from seedance_async.cli.exits import CannotStart
from seedance_async.cli.terminal import one_line

_SHOWN_CHARS = 400  # more than any message of ours has of its own


@attrs.frozen(kw_only=True)
class FileFault:
    """One fault of a file as a whole.

    Attributes:
        rule: The id of what it breaks, such as ``yaml.syntax``.
        message: What is wrong and what to do instead.
        line: Where, from 1; None where it is nowhere in particular.
        column: Where in the line, from 1; None where nobody knows.
        field: The field that it is about, where it is about one.
    """

    rule: str
    message: str
    line: int | None = None
    column: int | None = None
    field: str | None = None

    def told(self, source: str) -> str:
        """Spell it for a person: ``file:line: message``."""
        place = source if self.line is None else f"{source}:{self.line}"
        if self.field is None:
            return f"{place}: {cut(self.message)}"
        return f"{place}: {cut(self.field)}: {cut(self.message)} [{self.rule}]"


def cut(text: str) -> str:
    """Put what may quote a file on one line of bounded length."""
    line = one_line(text)
    return line if len(line) <= _SHOWN_CHARS else f"{line[:_SHOWN_CHARS]}…"


class Unreadable(Exception):
    """A text cannot be read as the jobs that it should hold; nobody said yet where it is from."""

    def __init__(self, *faults: FileFault) -> None:
        super().__init__(*faults)
        self.faults = faults


class Unusable(CannotStart):
    """A file of jobs cannot be used at all; nothing was sent.

    Attributes:
        source: The file, as the user called it.
        faults: What is wrong with it, at least one.
    """

    def __init__(self, source: str, *faults: FileFault) -> None:
        super().__init__("\n".join(fault.told(source) for fault in faults))
        self.source = source
        self.faults = faults
