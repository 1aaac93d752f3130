"""Options that several commands take, spelled and checked once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from seedance_async.cli.exits import CannotStart

#: An option that is there or not; there is no ``--no-...``.
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
#: An option that may be given several times.
Repeated = Annotated[list[str] | None, Parameter(negative="")]


def _no_option(_: object, value: str) -> None:
    if value.startswith("-") and value != "-" and " " not in value:
        raise ValueError(f"there is no option {value}")


#: For a word that may begin with a hyphen, as ``-`` and "- a cat" do, and a misspelt option does.
HyphenFirst: Parameter = Parameter(allow_leading_hyphen=True, validator=_no_option)
#: Ids of tasks, as words of their own.
TaskIds = Annotated[str, Parameter(name="ID")]
#: Where more of them are taken from.
From = Annotated[Path | None, Parameter(name="--from")]
#: Whether a program reads what is printed.
AsJson = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
#: Whether what would be asked is answered already.
Yes = Annotated[Flag, Parameter(name=("--yes", "-y"))]
#: How a file of jobs is read.
Format = Literal["jsonl", "json", "csv", "yaml", "toml", "text"]
#: What becomes of jobs of which an earlier run does not know whether they were accepted.
OnUnknown = Literal["leave", "resubmit"]
#: Ten times the longest published estimate and more, as the library's own default.
WAIT_S = 3600.0
#: Emulated seconds in a real one.
DEFAULT_SPEED = 60.0


def check_timeout(timeout_s: float) -> float:
    """Check the option ``--timeout``.

    Raises:
        CannotStart: It is not above 0.
    """
    if not timeout_s > 0:
        raise CannotStart(f"--timeout must be above 0 seconds, not {timeout_s:g}")
    return timeout_s


def check_max_in_flight(max_in_flight: int | None) -> None:
    """Check the option ``--max-in-flight``.

    Raises:
        CannotStart: It is not 1 or more.
    """
    if max_in_flight is not None and max_in_flight < 1:
        raise CannotStart(f"--max-in-flight must be at least 1, not {max_in_flight}")


def check_rate(creates_per_minute: float | None) -> None:
    """Check the option ``--creates-per-minute``.

    Raises:
        CannotStart: It is not above 0.
    """
    if creates_per_minute is not None and not 0 < creates_per_minute < float("inf"):
        raise CannotStart(f"--creates-per-minute must be above 0, not {creates_per_minute:g}")
