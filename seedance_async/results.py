"""What comes back: a finished ``Video``, a job's ``Outcome``, a batch's ``BatchReport``.

Values only. ``Video.download`` goes through a function that the session put into it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs

from seedance_async import wire
from seedance_async.errors import DownloadError, SeedanceError
from seedance_async.request import VideoRequest
from seedance_async.wire import TaskState

Fetch = Callable[["Video", Path], Awaitable[Path]]


@attrs.frozen(kw_only=True)
class Video:
    """A finished video, still at the provider.

    Attributes:
        id: The provider's id of the task.
        url: Where the MP4 is, for 24 hours after completion; needs no authorization, so treat
            it as a secret.
        model: The backend model that made it; may differ from the one asked for.
        created_at: When the task was created, in UTC.
        actual_duration_s: Its length in seconds; None if the provider did not say.
        total_tokens: What was billed; None if the provider did not say.
        request: What was asked for; None for a task that was taken up by its id.
    """

    id: str
    url: str = attrs.field(repr=False)
    model: str | None = None
    created_at: dt.datetime | None = None
    actual_duration_s: float | None = None
    total_tokens: int | None = None
    request: VideoRequest | None = None
    _body: bytes = attrs.field(default=b"{}", repr=False)
    _fetch: Fetch | None = attrs.field(default=None, repr=False, eq=False)

    @property
    def raw(self) -> dict[str, Any]:
        """The provider's whole answer, fields unknown to us included; read anew each time."""
        return wire.loaded(self._body)

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process has no session to be fetched through.
        return {field.name: getattr(self, field.name) for field in attrs.fields(Video)[:-1]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {**state, "_fetch": None}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, task: TaskState, request: VideoRequest | None, fetch: Fetch) -> "Video":
        """Make the video of a completed task."""
        if task.video_url is None:
            raise ValueError(f"task {task.id} has no video")
        return cls(
            id=task.id,
            url=task.video_url,
            model=task.model,
            created_at=task.created_at,
            actual_duration_s=task.actual_duration_s,
            total_tokens=task.total_tokens,
            request=request,
            body=task.body,
            fetch=fetch,
        )

    async def download(self, path: str | Path) -> Path:
        """Stream the MP4 to *path*; the file appears there whole or not at all.

        Folders on the way are made; a file that is there already is replaced.

        Args:
            path: The file to write.

        Returns:
            The file's path.

        Raises:
            VideoExpired: The provider no longer has it.
            DownloadError: It could not be fetched, is no MP4, or cannot be written.
        """
        if self._fetch is None:
            raise DownloadError("this video came without a session to fetch it", self.id)
        return await self._fetch(self, Path(path))


class OutcomeStatus(StrEnum):
    """How a job of a batch ended."""

    COMPLETED = "completed"  #: the video is there
    FAILED = "failed"  #: refused, or ended by the provider without a video
    UNKNOWN = "unknown"  #: may have been paid for, and the end is not known; see the error
    INVALID = "invalid"  #: breaks a rule; nothing was sent
    SKIPPED = "skipped"  #: made by an earlier run and, where asked for, on disk


_MADE = frozenset({OutcomeStatus.COMPLETED, OutcomeStatus.SKIPPED})


@attrs.frozen(kw_only=True)
class Outcome:
    """How one job of a batch ended.

    Attributes:
        index: The job's place in the input, from 0.
        key: Its key; None where it was too broken to have one.
        name: What a person calls it.
        request: What was asked for; None where no valid request could be made.
        status: How it ended.
        video: The video, when completed or skipped.
        error: What went wrong; beside a video, why it is not on disk.
        path: The file, when downloaded.
        task_id: The provider's id, wherever one is known.
        started_at: When its turn came, in UTC.
        ended_at: When it ended, in UTC.
    """

    index: int
    key: str | None = None
    name: str | None = None
    request: VideoRequest | None = None
    status: OutcomeStatus
    video: Video | None = None
    error: SeedanceError | None = None
    path: Path | None = None
    task_id: str | None = None
    started_at: dt.datetime
    ended_at: dt.datetime

    @property
    def ok(self) -> bool:
        """Whether all that was asked for is there, the file included."""
        return self.status in _MADE and self.error is None


@attrs.frozen(kw_only=True)
class BatchReport:
    """A whole batch.

    Attributes:
        outcomes: One for each job, in input order.
        wall_s: How long it took, in seconds.
    """

    outcomes: tuple[Outcome, ...]
    wall_s: float

    @property
    def counts(self) -> Mapping[OutcomeStatus, int]:
        """How many jobs ended in which way; every way is present."""
        counted = Counter(outcome.status for outcome in self.outcomes)
        return {status: counted[status] for status in OutcomeStatus}

    @property
    def ok(self) -> bool:
        """Whether every video is made and, where asked for, on disk."""
        return all(outcome.ok for outcome in self.outcomes)

    @property
    def total_tokens(self) -> int:
        """What was billed, skipped jobs apart, as far as the provider said."""
        return sum(video.total_tokens or 0 for video in self._videos())

    @property
    def video_s(self) -> float:
        """Seconds of video made, skipped jobs apart, as far as the provider said."""
        return sum(video.actual_duration_s or 0.0 for video in self._videos())

    def _videos(self) -> Iterator[Video]:
        for outcome in self.outcomes:
            if outcome.video is not None and outcome.status is not OutcomeStatus.SKIPPED:
                yield outcome.video
