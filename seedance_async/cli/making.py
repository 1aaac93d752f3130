"""One video of ``generate``: made, or taken up where its key stands, and told of."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import attrs

from seedance_async.cli import clash, debugging, exits, folder, gone, past, settling, trouble
from seedance_async.cli.interrupt import stoppable, stopping
from seedance_async.cli.options import OnUnknown
from seedance_async.cli.progress import SingleProgress
from seedance_async.cli.service import Service
from seedance_async.cli.target import Target
from seedance_async.cli.terminal import Terminal, one_line
from seedance_async.errors import (
    AuthenticationError,
    InsufficientBalance,
    InvalidRequest,
    JournalError,
    SeedanceError,
    SubmissionUnknown,
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

    def how_to_go_on(self, key: str) -> str:
        """Say how the job of *key* comes to its end."""
        words = "" if self.key is not None else f"\nwith --key {shlex.quote(key)}"
        if self.on_unknown == "resubmit":
            words = f"{words}\n{'and ' if words else ''}WITHOUT --on-unknown resubmit"
        return f"To go on and pay nothing twice, run the same command again{words}"

    @property
    def how_anew(self) -> str:
        """Say what makes a new job of it."""
        return "run the command again" if self.key is None else "give it another --key"


@attrs.define
class Making:
    """One run of ``generate``; ``key`` is known once the job's turn has come."""

    service: Service
    order: Order
    terminal: Terminal
    key: str | None = attrs.field(init=False, default=None)
    _before: JobRecord | None = attrs.field(init=False, default=None)
    _progress: SingleProgress = attrs.field(init=False)

    async def to_its_end(self) -> int:
        """Make the video, and give the exit code."""
        journal = SqliteJournal(self.order.journal)
        self._progress = SingleProgress(self.terminal)
        instead = "" if self.order.key is not None else ", or give this one a --journal of its own"
        with stoppable(self._say_stopping) as stop, trouble.told_once(self.terminal):
            async with self.service.session(journal=journal, instead=instead) as session:
                folder.prepare(self.order.target.folder)
                if self.service.notice:
                    self.terminal.say(self.service.notice)
                code = exits.OK
                with stop.work():
                    there = await self._look_back(journal)
                    code = exits.OK if there else await self._make(session, journal)
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
            raise exits.CannotStart(trouble.at_start(error, error.message)) from error
        self._before = record
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
            told = "\n".join(clash.lines(record, self.order.request))
            shown = settling.look(self.order.journal, record.key)
            what = f"Nothing was sent: give this one a --key of its own. The old one: {shown}"
            raise exits.CannotStart(f"{told}\n{what}") from invalid

    async def _make(self, session: SeedanceSession, journal: SqliteJournal) -> int:
        order, file = self.order, self.order.target.file
        try:
            with session.subscribe(self._note), self._progress.shown():
                task = await session.submit(
                    order.request, key=order.key, on_unknown=order.on_unknown
                )
                if not self.service.has_own_time:
                    self._progress.follow(task.estimate)
                video = await task.wait(order.timeout_s)
                is_in_the_way = file is not None and await anyio.Path(file).exists()
                path = await video.download(order.target.path(video.id))
        except InvalidRequest as invalid:
            raise exits.CannotStart(all_faults(invalid)) from invalid
        except SeedanceError as error:
            debugging.note(error)
            await self._explain(error, journal)
            refused = isinstance(error, AuthenticationError | InsufficientBalance)
            return exits.REFUSED if refused and error.task_id is None else exits.SOME_FAILED
        if is_in_the_way:
            self.terminal.say(f"replaced {path}")
        self.terminal.give(str(path))
        return exits.OK

    def _note(self, event: Event) -> None:
        self.key = event.key or self.key
        self._progress.note(event)

    async def _explain(self, error: SeedanceError, journal: SqliteJournal) -> None:
        order, is_word = self.order, gone.is_word(self._before)
        why = f" ({settling.why(error)})" if isinstance(error, SubmissionUnknown) else ""
        if gone.is_gone(error):
            self.terminal.say(gone.told(error, by_hand=is_word), style="red")
        elif not why:
            self.terminal.say(_explained(error), style="red")
        # An emulator that ends with the command has nothing left to ask for.
        if self.service.emulate:
            return
        if why:
            await self._say_how_to_settle(journal, why)
        elif gone.is_gone(error) and is_word and self.key is not None:
            self.terminal.say(gone.how_to_mend(self.key, order.journal))
        elif gone.is_gone(error):
            self.terminal.say(gone.anew(order.how_anew))
        elif isinstance(error, VideoFailed):
            self.terminal.say(gone.ended(f"{order.how_anew}."))
        elif error.task_id is not None and self.key is not None:
            self.terminal.say(order.how_to_go_on(self.key))

    async def _say_how_to_settle(self, journal: SqliteJournal, why: str = "") -> None:
        """Tell of a create without an answer, and of the commands to settle it."""
        job = await self._job(journal)
        self.terminal.say(f"UNKNOWN{why}, may have been paid for, not sent again", style=_LOUD)
        if job is None:
            return
        self.terminal.say(f"  {settling.sent(job)}, key {one_line(job.key)}")
        for line in settling.how([job.key], self.order.journal):
            self.terminal.say(line)
        self.terminal.say(self.order.how_to_go_on(job.key))

    async def _job(self, journal: SqliteJournal) -> JobRecord | None:
        with anyio.CancelScope(shield=True):
            try:
                return None if self.key is None else await journal.get(self.key)
            except JournalError as error:
                self.terminal.say(error.message, style=_LOUD)
        return None

    async def _say_what_is_left(self, journal: SqliteJournal) -> None:
        job = await self._job(journal)
        if job is None or job.state is JobState.PLANNED:
            self.terminal.say("stopped: nothing was sent")
        elif job.state is JobState.COMPLETED:
            self.terminal.say(f"stopped: the video is made, but not on disk (task {job.task_id})")
        elif job.state is JobState.SUBMITTED:
            self.terminal.say(f"stopped: task {job.task_id} goes on, and may be paid for")
        elif job.state in (JobState.SUBMITTING, JobState.UNKNOWN):
            self.terminal.say("stopped while the create was on its way")
            await self._say_how_to_settle(journal)
        if job is not None and job.task_id is not None and job.state is not JobState.FAILED:
            self.terminal.say(self.order.how_to_go_on(job.key))


def all_faults(invalid: InvalidRequest) -> str:
    """Spell what is wrong with a request, a line each."""
    faults = "\n".join(f"  {violation}" for violation in invalid.violations)
    return f"invalid, nothing was sent:\n{faults}"


def _explained(error: SeedanceError) -> str:
    if isinstance(error, WaitTimeout):
        return f"not ready yet: {error}; it may be paid for"
    return f"failed: {error}"
