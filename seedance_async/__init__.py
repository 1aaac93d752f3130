"""Make videos with Seedance 2.0 from async Python, paying for each of them once.

Start with ``SeedanceSession`` and ``VideoRequest``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedance_async._public import *  # noqa: F403

__version__ = "0.1.0"

__all__ = [
    "Adaptive",
    "AspectRatio",
    "Asset",
    "AssetFailed",
    "AssetKind",
    "AssetPublisher",
    "AssetStatus",
    "AssetUnknown",
    "AuthenticationError",
    "Backoff",
    "BatchReport",
    "Budget",
    "BudgetExceeded",
    "DownloadError",
    "Estimate",
    "Expense",
    "Fixed",
    "InsufficientBalance",
    "InvalidRequest",
    "Job",
    "JobRecord",
    "JobState",
    "Journal",
    "JournalError",
    "Limits",
    "LocalFile",
    "MediaError",
    "MediaInfo",
    "MediaKind",
    "MemoryJournal",
    "Model",
    "Move",
    "Outcome",
    "OutcomeStatus",
    "Outcomes",
    "Pacing",
    "Preflight",
    "Price",
    "PriceTable",
    "PublishError",
    "Published",
    "Publisher",
    "RateLimited",
    "RequestRefused",
    "Retries",
    "SeedanceError",
    "SeedanceSession",
    "ServiceUnavailable",
    "SessionClosed",
    "Spread",
    "SqliteJournal",
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


def __getattr__(name: str) -> Any:
    """Bring in all public names with the first one that is asked for.

    They need aiohttp, whose import takes ten times as long as all the rest together, and which
    the command line's ``--help`` can do without.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    public = importlib.import_module(f"{__name__}._public")
    globals().update({shown: getattr(public, shown) for shown in public.__all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
