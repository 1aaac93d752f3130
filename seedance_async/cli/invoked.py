"""The words that the command was called with, for telling how to call it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextvars import ContextVar

WORDS: ContextVar[tuple[str, ...]] = ContextVar("WORDS", default=())


def again(without: Sequence[str] = ()) -> str:
    """Spell the command as it was given, for a person to copy.

    Args:
        without: An option and its value that are to be left out.
    """
    words = list(WORDS.get())
    if without:
        name, value = without
        for place, word in enumerate(words):
            if word == f"{name}={value}":
                del words[place]
                break
            if words[place : place + 2] == [name, value]:
                del words[place : place + 2]
                break
    return shlex.join(["seedance", *words])
