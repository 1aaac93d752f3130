"""``--json``: what happens in a run, for programs, one object a line on stdout."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from seedance_async.events import Event


class Feed:
    """Spells events.

    Args:
        give: Takes a line.
    """

    def __init__(self, give: Callable[[str], None]) -> None:
        self._give = give

    def note(self, event: Event) -> None:
        """Give an event of the session."""
        name = re.sub("(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        self.tell(name, attrs.asdict(event))

    def tell(self, name: str, fields: Mapping[str, Any]) -> None:
        """Give an object of the kind *name*."""
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self._give(json.dumps({"event": name, "at": at, **fields}))
