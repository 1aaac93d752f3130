"""The public names, gathered from the modules where they are made."""

from seedance_async.admission import Limits
from seedance_async.asset import Asset, AssetKind, AssetStatus
from seedance_async.batch import Outcomes
from seedance_async.budget import Budget, Expense, Price, PriceTable, Spread
from seedance_async.errors import (
    AssetFailed,
    AssetUnknown,
    AuthenticationError,
    BudgetExceeded,
    DownloadError,
    InsufficientBalance,
    InvalidRequest,
    JournalError,
    MediaError,
    PublishError,
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
from seedance_async.estimate import Estimate
from seedance_async.journal import Journal, MemoryJournal, SqliteJournal
from seedance_async.lifecycle import JobRecord, JobState, Move
from seedance_async.mediainfo import MediaInfo, MediaKind
from seedance_async.pacing import Adaptive, Backoff, Fixed, Pacing
from seedance_async.preflight import Preflight
from seedance_async.publication import LocalFile, Published, Publisher
from seedance_async.publishers import AssetPublisher
from seedance_async.request import Job, VideoRequest
from seedance_async.results import BatchReport, Outcome, OutcomeStatus, Video
from seedance_async.retry import Retries
from seedance_async.rules import AspectRatio, Model
from seedance_async.session import SeedanceSession
from seedance_async.task import VideoTask
from seedance_async.wire import TaskState

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
]

# Tracebacks, pickles and the reference then show the path to import.
for _name in __all__:
    globals()[_name].__module__ = "seedance_async"
