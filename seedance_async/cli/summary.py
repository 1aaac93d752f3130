"""What a person reads when a batch is over: counts first, then everything that wants a hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import attrs

from seedance_async.cli import ids
from seedance_async.cli.manifest import Line
from seedance_async.cli.results import Results
from seedance_async.cli.terminal import Terminal, clock, count, one_line, ranges
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.results import BatchReport, Outcome, OutcomeStatus

_LOUD = "bold red"
_MAX_RANGES = 10


@attrs.frozen(kw_only=True)
class Summary:
    """All that is known at the end of a run.

    Attributes:
        lines: The manifest's jobs, in their order.
        report: Those that ended.
        left: Those that the run was stopped over.
        unsent: Those that nothing was sent for when it was stopped.
        results: The file with all of it.
        emulated: Whether no money was involved.
    """

    lines: Sequence[Line]
    report: BatchReport
    left: Sequence[JobRecord]
    unsent: Sequence[Line]
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
        self._say_unsent(terminal)
        self._say_how_to_go_on(terminal)
        if lost := self.results.lost():
            terminal.say(f"{self.results.path} COULD NOT BE WRITTEN; keep this:", style=_LOUD)
            for line in lost:
                terminal.say(line)

    def _counts(self) -> str:
        counts = counted(self.report, self.left)
        if self.unsent:
            counts.append(f"{len(self.unsent)} not sent")
        spent = clock(self.report.wall_s)
        return f"{count(len(self.lines), 'job')} in {spent}: {', '.join(counts)}"

    def _made(self) -> str:
        tokens = count(self.report.total_tokens, "token")
        folder = self.results.path.parent
        seconds = f"{self.report.video_s:g} s of video"
        records = f" (records in {self.results.path})" if self.results.is_there else ""
        return f"{seconds}, {tokens}, in {folder}{records}"

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
            if not line.faults:  # otherwise they were listed before anything was sent
                faults = getattr(outcome.error, "violations", ())
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
            terminal.say("  Do not send these again: ask for them by their ids.", _LOUD)

    def _say_left(self, terminal: Terminal) -> None:
        """Tell of what the run was stopped over."""
        states = Counter(job.state for job in self.left)
        lost = states[JobState.SUBMITTING] + states[JobState.UNKNOWN]
        if self.emulated:
            if self.left:
                terminal.say(f"{count(len(self.left), 'task')} ended with the emulator", "yellow")
            return
        if running := states[JobState.SUBMITTED]:
            what = f"{count(running, 'task')} at the provider when stopped, may be paid for"
            terminal.say(what, style=_LOUD)
        if made := states[JobState.COMPLETED]:
            terminal.say(f"{count(made, 'video')} made, but not on disk when stopped", style=_LOUD)
        if lost:
            what = f"{count(lost, 'create')} without an answer, may have been paid for"
            terminal.say(f"{what}: look in the provider's billing", style=_LOUD)

    def _say_unsent(self, terminal: Terminal) -> None:
        if not self.unsent:
            return
        spans = list(ranges(line.number for line in self.unsent))
        more = ", ..." if len(spans) > _MAX_RANGES else ""
        listed = ", ".join(islice(spans, _MAX_RANGES))
        jobs = count(len(self.unsent), "job")
        lines = "line" if len(self.unsent) == 1 else "lines"
        terminal.say(f"{jobs} not sent, nothing paid: {lines} {listed}{more}", style="yellow")

    def _say_how_to_go_on(self, terminal: Terminal) -> None:
        """Give the command for what has an id and no file."""
        left = [job.task_id for job in self.left if job.state is not JobState.FAILED]
        ended = [outcome.task_id for outcome in self._may_have_a_video()]
        open_ids = [task_id for task_id in (*ended, *left) if task_id is not None]
        if self.emulated or not open_ids:
            return
        on_record = self.results.is_there and not self.results.lost()
        named = ["--from", self.results.path] if on_record else open_ids
        terminal.say("The provider keeps videos for 24 hours. To bring these to disk:", _LOUD)
        terminal.say(f"  {ids.how(*named, '--out', self.results.path.parent)}")

    def _may_have_a_video(self) -> Iterator[Outcome]:
        yield from (one for one in self._with(OutcomeStatus.COMPLETED) if not one.ok)
        yield from self._with(OutcomeStatus.UNKNOWN)

    @staticmethod
    def _list(
        terminal: Terminal, title: str, entries: Iterator[str] | Sequence[str], style: str
    ) -> None:
        listed = list(entries)
        if listed:
            terminal.say(title, style=style)
        for entry in listed:
            terminal.say(f"  {one_line(entry)}")


def counted(report: BatchReport, left: Sequence[JobRecord] = ()) -> list[str]:
    """Spell how many jobs ended in which way, or were left in which state.

    Args:
        report: Those that ended.
        left: Those that a run was stopped over.
    """
    states = Counter(job.state for job in left)
    unfetched = states[JobState.COMPLETED]
    numbers = Counter(report.counts)
    numbers[OutcomeStatus.COMPLETED] += unfetched
    numbers[OutcomeStatus.FAILED] += states[JobState.FAILED]
    numbers[OutcomeStatus.UNKNOWN] += states[JobState.SUBMITTING] + states[JobState.UNKNOWN]
    unfetched += sum(
        outcome.status is OutcomeStatus.COMPLETED and not outcome.ok for outcome in report.outcomes
    )
    counts = {status: f"{number} {status}" for status, number in numbers.items() if number}
    if unfetched:
        counts[OutcomeStatus.COMPLETED] += f", {unfetched} of them not on disk"
    if running := states[JobState.SUBMITTED]:
        return [*counts.values(), f"{running} at the provider"]
    return [*counts.values()]
