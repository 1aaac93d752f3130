"""One video of ``generate``: made, or taken up where its key stands, and told of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from seedance_async.cli import exits, folder, ids, past, settling
from seedance_async.cli.interrupt import stoppable, stopping
from seedance_async.cli.options import OnUnknown
from seedance_async.cli.progress import SingleProgress
from seedance_async.cli.service import Service
from seedance_async.cli.target import Target
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import (
    AuthenticationError,
    InsufficientBalance,
    InvalidRequest,
    JournalError,
    SeedanceError,
    SubmissionUnknown,
    VideoExpired,
    VideoFailed,
    WaitTimeout,
)
from seedance_async.events import Event
from seedance_async.journal import SqliteJournal
from seedance_async.ledger import check_same
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.request import VideoRequest

if TYPE_CHECKING:
    from seedance_async.session import SeedanceSession

_LOUD = "bold red"


@attrs.frozen(kw_only=True)
class Order:
    """What was asked for.

    Attributes:
        request: What to make.
        key: The caller's own id for the job; None makes a new one.
        out: Where to, as the caller said it.
        target: The same, read.
        journal: The journal's file.
        on_unknown: What becomes of the job if an earlier call left it unknown.
        timeout_s: Seconds to wait at the most.
    """

    request: VideoRequest
    key: str | None
    out: str | None
    target: Target
    journal: Path
    on_unknown: OnUnknown
    timeout_s: float

    def how_to_go_on(self, task_id: str) -> str:
        """Say how to get at a video that may have been paid for."""
        if self.key is not None:
            return "To go on, run the same command again: nothing is paid twice."
        place = () if self.out is None else ("--out", self.out)
        return f"A video is kept for 24 hours. To bring it to disk: {ids.how(task_id, *place)}"


@attrs.define
class Making:
    """One run of ``generate``; ``key`` is known once the job's turn has come."""

    service: Service
    order: Order
    terminal: Terminal
    key: str | None = attrs.field(init=False, default=None)
    _progress: SingleProgress = attrs.field(init=False)

    async def to_its_end(self) -> int:
        """Make the video, and give the exit code."""
        journal = SqliteJournal(self.order.journal)
        self._progress = SingleProgress(self.terminal)
        with stoppable(self._say_stopping) as stop:
            async with self.service.session(journal=journal) as session:
                folder.prepare(self.order.target.folder)
                if self.service.notice:
                    self.terminal.say(self.service.notice)
                code = exits.OK
                with stop.work():
                    there = await self._look_back(journal)
                    code = exits.OK if there else await self._make(session)
                if stop.signum is not None:
                    if not self.service.emulate:
                        await self._say_what_is_left(journal)
                    code = exits.interrupted(stop.signum)
        return code

    def _say_stopping(self) -> None:
        self.terminal.say(stopping(self._progress.is_sending))

    async def _look_back(self, journal: SqliteJournal) -> bool:
        """See what the key stands for; whether the video is where it is wanted already."""
        order, key = self.order, self.order.key
        try:
            if self.service.emulate:
                await past.forget_emulated(journal, order.target.folder)
            record = None if key is None else await journal.get(key)
        except JournalError as error:
            raise exits.CannotStart(error.message) from error
        if record is None:
            return False
        self._check_same(record)
        if record.state is JobState.UNKNOWN and order.on_unknown == "resubmit":
            self.terminal.say("SENDING IT AGAIN: this may pay for it twice", style=_LOUD)
        if record.path is None or not past.whole_on_disk([record], order.target.folder):
            return False
        path = Path(record.path)
        if order.target.file is not None and order.target.file.absolute() != path:
            return False
        self.terminal.say(f"made before, on {settling.local(record.ended_at or record.changed_at)}")
        self.terminal.give(str(order.target.file or path))
        return True

    def _check_same(self, record: JobRecord) -> None:
        try:
            check_same(record, self.order.request)
        except InvalidRequest as invalid:
            shown = settling.look(self.order.journal, record.key)
            what = f"{all_faults(invalid)}\nwhat the key stands for: {shown}"
            raise exits.CannotStart(what) from invalid

    async def _make(self, session: SeedanceSession) -> int:
        order = self.order
        try:
            with session.subscribe(self._note), self._progress.shown():
                video = await session.generate(
                    order.request,
                    key=order.key,
                    timeout_s=order.timeout_s,
                    on_unknown=order.on_unknown,
                )
                path = await video.download(order.target.path(video.id))
        except InvalidRequest as invalid:
            raise exits.CannotStart(all_faults(invalid)) from invalid
        except SeedanceError as error:
            self._explain(error)
            refused = isinstance(error, AuthenticationError | InsufficientBalance)
            return exits.REFUSED if refused and error.task_id is None else exits.SOME_FAILED
        self.terminal.give(str(path))
        return exits.OK

    def _note(self, event: Event) -> None:
        self.key = event.key or self.key
        self._progress.note(event)

    def _explain(self, error: SeedanceError) -> None:
        self.terminal.say(_explained(error), style="red")
        # An emulator that ends with the command has nothing left to ask for.
        if self.service.emulate:
            return
        if isinstance(error, SubmissionUnknown):
            self._say_how_to_settle()
        elif isinstance(error, VideoFailed | VideoExpired):
            if self.order.key is not None:
                self.terminal.say("To have it made again, give it another --key.")
        elif error.task_id is not None:
            self.terminal.say(self.order.how_to_go_on(error.task_id))

    def _say_how_to_settle(self) -> None:
        """Give the commands for a job of which nobody knows whether it was accepted."""
        if self.key is None:
            return
        self.terminal.say("Look in the provider's billing whether there is a task, and say so:")
        for verdict in (("--task-id", "ID"), ("--not-created",)):
            self.terminal.say(f"  {settling.command(self.key, self.order.journal, *verdict)}")

    async def _say_what_is_left(self, journal: SqliteJournal) -> None:
        try:
            job = None if self.key is None else await journal.get(self.key)
        except JournalError as error:
            self.terminal.say(error.message, style=_LOUD)
            return
        if job is None or job.state is JobState.PLANNED:
            self.terminal.say("stopped: nothing was sent")
        elif job.state is JobState.COMPLETED:
            self.terminal.say(f"stopped: the video is made, but not on disk (task {job.task_id})")
        elif job.state is JobState.SUBMITTED:
            self.terminal.say(f"stopped: task {job.task_id} lives on and may be paid for")
        elif job.state in (JobState.SUBMITTING, JobState.UNKNOWN):
            what = "stopped while the create was on its way: a task may exist and be paid for"
            self.terminal.say(what, style=_LOUD)
            self._say_how_to_settle()
        if job is not None and job.task_id is not None and job.state is not JobState.FAILED:
            self.terminal.say(self.order.how_to_go_on(job.task_id))


def all_faults(invalid: InvalidRequest) -> str:
    """Spell what is wrong with a request, a line each."""
    faults = "\n".join(f"  {violation}" for violation in invalid.violations)
    return f"invalid, nothing was sent:\n{faults}"


def _explained(error: SeedanceError) -> str:
    if isinstance(error, SubmissionUnknown):
        return f"UNKNOWN, may have been paid for: {error}"
    if isinstance(error, WaitTimeout):
        return f"not ready yet: {error}; it may be paid for"
    return f"failed: {error}"
