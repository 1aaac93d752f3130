"""What becomes of a task that has ended: a ``Video``, and its file on disk, which is written down.

Knows the API's own host only to ask for a fresh URL; how a file is fetched is in ``download``.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import attrs

from seedance_async import download, wire
from seedance_async.errors import JournalError, VideoExpired
from seedance_async.events import Downloaded, Stream
from seedance_async.fairness import Standing
from seedance_async.ledger import Ledger, TrackedJob, key_in, utc_now
from seedance_async.lifecycle import JobState, Phase, phase
from seedance_async.results import Video
from seedance_async.retry import Again, judge_query
from seedance_async.transport import Transport
from seedance_async.turns import Turns
from seedance_async.watch import Watch, failure
from seedance_async.wire import Answer, TaskState

_log = logging.getLogger("seedance_async")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Fetches:
    """The videos of one session.

    Attributes:
        operation: Runs a block about a task so that closing the session ends it.
        turns: Who may ask now.
    """

    transport: Transport
    ledger: Ledger
    events: Stream
    operation: Callable[[str | None], AbstractContextManager[None]]
    turns: Turns

    def video(self, watch: Watch, job: TrackedJob | None) -> Video:
        """Give the video of a watched task that has ended.

        Raises:
            VideoFailed: It ended without one.
        """
        if watch.task is None:
            raise watch.timeout()
        if phase(watch.task) is not Phase.COMPLETED:
            raise failure(watch.task)
        request = None if job is None else job.record.request
        return Video.of(watch.task, request, functools.partial(self._download, job))

    async def _download(self, job: TrackedJob | None, video: Video, path: Path) -> Path:
        with self.operation(video.id):
            return await self.fetch(video, path, job)

    async def fetch(
        self,
        video: Video,
        path: Path,
        job: TrackedJob | None = None,
        *,
        replaces: bool = True,
        is_again: bool = False,
    ) -> Path:
        """Bring a video to disk; a URL that is gone is asked for once more.

        Args:
            video: The video.
            path: The file to write.
            job: The job that it belongs to, for writing the file down.
            replaces: As in ``download.fetch``.
            is_again: As there.

        Returns:
            The file's path; another than *path* where a file that is there is in the way.

        Raises:
            DownloadError: See ``Video.download``.
        """
        fetch = functools.partial(
            download.fetch,
            self.transport.http,
            path=path,
            task_id=video.id,
            replaces=replaces,
            is_again=is_again,
        )
        try:
            written, size_bytes = await fetch(url=video.url)
        except VideoExpired:
            fresh = await self._fresh_url(video)
            if fresh is None:
                raise
            written, size_bytes = await fetch(url=fresh)
        if job is not None and job.record.task_id == video.id:
            await self._on_disk(job, written, size_bytes)
        self.events.emit(Downloaded(key=key_in(job), task_id=video.id, size_bytes=size_bytes))
        return written

    async def _on_disk(self, job: TrackedJob, path: Path, size_bytes: int) -> None:
        where = str(path.absolute())  # noqa: ASYNC240 -- asks for the current folder alone
        file = {"path": where, "size_bytes": size_bytes, "downloaded_at": utc_now()}
        try:
            if job.record.state is JobState.COMPLETED:
                await self.ledger.move(job, JobState.COMPLETED, **file)
        # The next run finds the file where it would put it.
        except JournalError as unwritten:
            _log.error("the journal lacks the file of task %s: %s", job.record.task_id, unwritten)

    async def _fresh_url(self, video: Video) -> str | None:
        passage = await self.turns.to_ask(Standing(flow=self.turns.singles))
        try:
            reply = await self.transport.query(video.id)
            verdict = judge_query(reply, utc_now(), task_id=video.id)
            self.turns.answered(passage, verdict if isinstance(verdict, Again) else None)
        finally:
            self.turns.asked(passage)
        read = wire.read_task(reply.body, asked_id=video.id) if isinstance(reply, Answer) else None
        url = read.video_url if isinstance(read, TaskState) else None
        return None if url == video.url else url
