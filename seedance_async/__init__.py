"""Make videos with Seedance 2.0 from async Python, paying for each of them once.

Start with ``SeedanceSession`` and ``VideoRequest``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from seedance_async.admission import Limits
from seedance_async.errors import (
    AuthenticationError,
    BudgetExceeded,
    DownloadError,
    InsufficientBalance,
    InvalidRequest,
    JournalError,
    RateLimited,
    RequestRefused,
    SeedanceError,
    ServiceUnavailable,
    SessionClosed,
    SubmissionUnknown,
    UnexpectedAnswer,
    VideoExpired,
    VideoFailed,
    Violation,
    WaitTimeout,
)
from seedance_async.journal import Journal, MemoryJournal
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.pacing import Adaptive, Backoff, Fixed, Pacing
from seedance_async.request import Job, VideoRequest
from seedance_async.results import BatchReport, Outcome, OutcomeStatus, Video
from seedance_async.retry import Retries
from seedance_async.rules import AspectRatio, Model
from seedance_async.wire import TaskState

if TYPE_CHECKING:
    from seedance_async.batch import Outcomes
    from seedance_async.session import SeedanceSession, VideoTask

__all__ = [
    "Adaptive",
    "AspectRatio",
    "AuthenticationError",
    "Backoff",
    "BatchReport",
    "BudgetExceeded",
    "DownloadError",
    "Fixed",
    "InsufficientBalance",
    "InvalidRequest",
    "Job",
    "JobRecord",
    "JobState",
    "Journal",
    "JournalError",
    "Limits",
    "MemoryJournal",
    "Model",
    "Outcome",
    "OutcomeStatus",
    "Outcomes",
    "Pacing",
    "RateLimited",
    "RequestRefused",
    "Retries",
    "SeedanceError",
    "SeedanceSession",
    "ServiceUnavailable",
    "SessionClosed",
    "SubmissionUnknown",
    "TaskState",
    "UnexpectedAnswer",
    "Video",
    "VideoExpired",
    "VideoFailed",
    "VideoRequest",
    "VideoTask",
    "Violation",
    "WaitTimeout",
    "__version__",
]

__version__ = "0.1.0"

# What needs aiohttp, whose import takes ten times as long as all the rest together, and which
# the command line's ``--help`` can do without.
_LAZY = {"Outcomes": "batch", "SeedanceSession": "session", "VideoTask": "session"}


def _live_here(value: Any) -> Any:
    """Make a public object say that it lives in the package: tracebacks and pickles show it."""
    value.__module__ = __name__
    return value


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LAZY[name]}")
    value = globals()[name] = _live_here(getattr(module, name))
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


for _name in {*__all__} - {*_LAZY, "__version__"}:
    _live_here(globals()[_name])
del _name
