"""What looks at media, and makes them fit the API's rules. Needs the extra ``media``."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedance_async.media.oneoff import Fitted, fit, look

__all__ = ["Fitted", "fit", "look"]


def __getattr__(name: str) -> Any:
    """Bring in the public names when one is asked for; ``worker``'s process needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    public = importlib.import_module(f"{__name__}.oneoff")
    for shown in __all__:
        value = globals()[shown] = getattr(public, shown)
        # Tracebacks, pickles and the reference then show the path to import.
        value.__module__ = __name__
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
