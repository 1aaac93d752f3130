"""What a person reads when a batch is over: counts first, then everything that wants a hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from seedance_async.cli.manifest import Line
from seedance_async.cli.results import Results
from seedance_async.cli.terminal import Terminal, clock, count, one_line
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.results import BatchReport, Outcome, OutcomeStatus

_LOUD = "bold red"


@attrs.frozen(kw_only=True)
class Summary:
    """All that is known at the end of a run.

    Attributes:
        lines: The manifest's jobs, in their order.
        report: Those that ended.
        left: Those that the run was stopped over.
        results: The file with all of it.
        emulated: Whether no money was involved.
    """

    lines: Sequence[Line]
    report: BatchReport
    left: Sequence[JobRecord]
    results: Results
    emulated: bool

    def say(self, terminal: Terminal) -> None:
        """Print it."""
        terminal.say("")
        terminal.say(self._counts(), style="bold")
        terminal.say(self._made())
        self._list(terminal, "failed:", self._failed(), style="red")
        self._list(terminal, "made, but not on disk:", self._not_on_disk(), style=_LOUD)
        self._list(terminal, "invalid, skipped:", self._invalid(), style="yellow")
        self._say_unknown(terminal)
        self._say_left(terminal)
        if self.results.unwritten:
            terminal.say(f"{self.results.path} COULD NOT BE WRITTEN; keep this:", style=_LOUD)
            for line in self.results.unwritten:
                terminal.say(line)

    def _counts(self) -> str:
        counts = [f"{number} {status}" for status, number in self.report.counts.items() if number]
        ended = len(self.report.outcomes)
        if ended < len(self.lines):
            counts.append(f"{len(self.lines) - ended} not ended")
        spent = clock(self.report.wall_s)
        return f"{count(len(self.lines), 'job')} in {spent}: {', '.join(counts)}"

    def _made(self) -> str:
        tokens = count(self.report.total_tokens, "token")
        folder = self.results.path.parent
        seconds = f"{self.report.video_s:g} s of video"
        return f"{seconds}, {tokens}, in {folder} (records in {self.results.path})"

    def _with(self, status: OutcomeStatus) -> Iterator[Outcome]:
        return (outcome for outcome in self.report.outcomes if outcome.status is status)

    def _failed(self) -> Iterator[str]:
        return (self._told(outcome) for outcome in self._with(OutcomeStatus.FAILED))

    def _not_on_disk(self) -> Iterator[str]:
        completed = self._with(OutcomeStatus.COMPLETED)
        return (self._told(outcome) for outcome in completed if not outcome.ok)

    def _invalid(self) -> Iterator[str]:
        for outcome in self._with(OutcomeStatus.INVALID):
            line = self.lines[outcome.index]
            faults = line.faults or getattr(outcome.error, "violations", ())
            yield f"{line.label}: {'; '.join(str(fault) for fault in faults)}"

    def _told(self, outcome: Outcome) -> str:
        reason = outcome.error.message if outcome.error else "no reason given"
        task = f" (task {outcome.task_id})" if outcome.task_id else ""
        return f"{self.lines[outcome.index].label}: {reason}{task}"

    def _say_unknown(self, terminal: Terminal) -> None:
        unknown = list(self._with(OutcomeStatus.UNKNOWN))
        lost = [self._told(outcome) for outcome in unknown if outcome.task_id is None]
        running = [self._told(outcome) for outcome in unknown if outcome.task_id is not None]
        title = "UNKNOWN, may have been paid for, and not sent again:"
        self._list(terminal, title, lost, style=_LOUD)
        if lost:
            terminal.say("  Look in the provider's billing whether these tasks exist.", _LOUD)
        title = "UNKNOWN, accepted and may have been paid for, its end was not seen:"
        self._list(terminal, title, running, style=_LOUD)
        if running:
            terminal.say("  Do not send these again before asking for them by their ids.", _LOUD)

    def _say_left(self, terminal: Terminal) -> None:
        """Tell of what the run was stopped over."""
        with_id = [job for job in self.left if job.task_id is not None]
        running = [job for job in with_id if job.state is JobState.SUBMITTED]
        made = [job for job in with_id if job.state is JobState.COMPLETED]
        lost = [job for job in self.left if job.state in (JobState.SUBMITTING, JobState.UNKNOWN)]
        where = "their ids are in" if len(with_id) > 1 else "its id is in"
        if self.emulated:
            if self.left:
                terminal.say(f"{count(len(self.left), 'task')} ended with the emulator", "yellow")
            return
        if running:
            what = f"{count(len(running), 'task')} at the provider when stopped, may be paid for"
            terminal.say(f"{what}: {where} {self.results.path}", style=_LOUD)
        if made:
            what = f"{count(len(made), 'video')} made, but not on disk when stopped"
            terminal.say(f"{what}: {where} {self.results.path}", style=_LOUD)
        if lost:
            what = f"{count(len(lost), 'create')} without an answer, may have been paid for"
            terminal.say(f"{what}: look in the provider's billing", style=_LOUD)

    @staticmethod
    def _list(
        terminal: Terminal, title: str, entries: Iterator[str] | Sequence[str], style: str
    ) -> None:
        listed = list(entries)
        if listed:
            terminal.say(title, style=style)
        for entry in listed:
            terminal.say(f"  {one_line(entry)}")
