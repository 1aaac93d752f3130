"""Errors on their way through the database: by the name of their class, and what they hold."""

from __future__ import annotations

import json
from typing import Any

import attrs

from seedance_async import errors
from seedance_async.errors import InvalidRequest, SeedanceError, Violation


def dump(error: SeedanceError) -> str:
    """Spell an error of this library; its cause stays behind."""
    held: dict[str, Any] = {**vars(error)}
    if isinstance(error, InvalidRequest):
        held = {"violations": [attrs.astuple(each) for each in error.violations]}
    return json.dumps({"type": type(error).__name__, **held})


def load(text: str) -> SeedanceError:
    """Read what ``dump`` spelled; one of a newer version is the plain ``SeedanceError``."""
    try:
        held = json.loads(text)
        kind = getattr(errors, held.pop("type"), SeedanceError)
        if kind is InvalidRequest:
            return InvalidRequest(Violation(*each) for each in held["violations"])
        error: SeedanceError = kind(held["message"], held["task_id"])
        vars(error).update(held)
    except (ValueError, TypeError, KeyError, AttributeError):
        return SeedanceError("it ended with an error that cannot be read")
    return error
