"""Errors on their way through the database: by the name of their class, and what they hold."""

from __future__ import annotations

import json
from typing import Any

from seedance_async import errors
from seedance_async.errors import InvalidRequest, SeedanceError, Violation


def dump(error: SeedanceError) -> str:
    """Spell an error of this library; its cause stays behind."""
    held: Any = list(error.args)
    if isinstance(error, InvalidRequest):
        held = [[each.rule, each.field, each.message] for each in error.violations]
    return json.dumps({"type": type(error).__name__, "args": held})


def load(text: str) -> SeedanceError:
    """Read what ``dump`` spelled; one of a newer version is the plain ``SeedanceError``."""
    kept = json.loads(text)
    kind = getattr(errors, kept["type"], SeedanceError)
    if kind is InvalidRequest:
        return InvalidRequest(Violation(*each) for each in kept["args"])
    error: SeedanceError = kind(*kept["args"])
    return error
