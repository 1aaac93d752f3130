"""Plain text to jobs: a prompt a line, and nothing else; all the rest comes from the options."""

from __future__ import annotations

from seedance_async.cli.document import Document


def read(text: str) -> Document:
    """Read the lines; blank ones are left out, and so are blanks around a prompt."""
    # Not ``splitlines``: a prompt may hold U+2028 and its like.
    lines = enumerate(text.split("\n"), start=1)
    rows = [(number, {"prompt": line.strip()}) for number, line in lines if line.strip()]
    return Document(rows=rows, noun="prompt")
