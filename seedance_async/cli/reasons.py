"""Failures by their reasons: what one look tells of a hundred jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import attrs

from seedance_async.cli.terminal import ranges
from seedance_async.errors import (
    AssetFailed,
    AuthenticationError,
    BudgetExceeded,
    InsufficientBalance,
    InvalidRequest,
    MediaError,
    PublishError,
    RateLimited,
    RequestRefused,
    SeedanceError,
    ServiceUnavailable,
    VideoFailed,
)
from seedance_async.results import Outcome

_MAX_RANGES = 8
#: Who says no, in the order in which it is told; the first that fits.
_KINDS: tuple[tuple[type[SeedanceError] | tuple[type[SeedanceError], ...], str], ...] = (
    (VideoFailed, "the provider made no video"),
    ((InvalidRequest, MediaError), "a rule is broken"),
    ((PublishError, AssetFailed), "a file could not be published"),
    ((AuthenticationError, InsufficientBalance), "the account was refused"),
    (RequestRefused, "the provider refused the request"),
    ((RateLimited, ServiceUnavailable), "the service was busy"),
    (BudgetExceeded, "over the budget"),
)
_OTHER = "something else went wrong"


@attrs.frozen(kw_only=True)
class Group:
    """Jobs that failed alike.

    Attributes:
        kind: Who said no.
        reason: Why, in the words of the first.
        outcomes: Those jobs, in the order of the file.
    """

    kind: str
    reason: str
    outcomes: Sequence[Outcome]


def grouped(failed: Iterable[Outcome]) -> list[Group]:
    """Group failures that differ in nothing but ids and numbers, the largest group first."""
    alike: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in failed:
        kind = kind_of(outcome.error)
        alike.setdefault((kind, _shape(_reason(outcome))), []).append(outcome)
    groups = [
        Group(kind=kind, reason=_reason(jobs[0]), outcomes=jobs)
        for (kind, _), jobs in alike.items()
    ]
    order = [name for _, name in _KINDS]
    return sorted(
        groups,
        key=lambda group: (
            order.index(group.kind) if group.kind in order else len(order),
            -len(group.outcomes),
        ),
    )


def kind_of(error: SeedanceError | None) -> str:
    """Tell who said no."""
    return next((name for kind, name in _KINDS if isinstance(error, kind)), _OTHER)


def spans(numbers: Sequence[int]) -> str:
    """Name the lines of a file: ``line 3``, ``lines 1, 5-9``."""
    lines = list(dict.fromkeys(numbers))  # a matrix makes several jobs of one
    listed = list(ranges(lines))
    more = ", ..." if len(listed) > _MAX_RANGES else ""
    return f"line{'' if len(lines) == 1 else 's'} {', '.join(listed[:_MAX_RANGES])}{more}"


def _reason(outcome: Outcome) -> str:
    reason = outcome.error.message if outcome.error else "no reason given"
    return reason.removeprefix("the task failed: ")


def _shape(reason: str) -> str:
    """Give what of a reason is the same for many jobs."""
    return re.sub(r"video_[0-9a-f-]+|[0-9]+", "#", reason)
