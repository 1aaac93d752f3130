"""What a person reads when a batch is over: counts first, then everything that wants a hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import attrs

from seedance_async.cli import settling, trouble
from seedance_async.cli.manifest import Line
from seedance_async.cli.past import Past, Stand
from seedance_async.cli.rest import Rest
from seedance_async.cli.results import Results
from seedance_async.cli.settling import Unknown
from seedance_async.cli.terminal import Terminal, clock, count, one_line, ranges
from seedance_async.errors import JournalError
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.results import BatchReport, Outcome, OutcomeStatus

_LOUD = "bold red"
_MAX_RANGES = 10
_MAX_BEFORE = 20  # of what was told of in full when it came
_LOST = frozenset({JobState.UNKNOWN, JobState.SUBMITTING})
_KEPT = "The provider keeps a video for 24 hours."


@attrs.frozen(kw_only=True)
class Summary:
    """All that is known at the end of a run.

    Attributes:
        lines: The manifest's jobs, in their order.
        labels: What a person knows them by.
        past: What was known of them before the run.
        report: Those that ended.
        rest: Those that did not.
        unknown: What the journal says now of those that are unknown, by their keys.
        results: The file with all of it.
        journal: The journal.
        emulated: Whether no money was involved.
    """

    lines: Sequence[Line]
    labels: Sequence[str]
    past: Past
    report: BatchReport
    rest: Rest
    unknown: Mapping[str, JobRecord]
    results: Results
    journal: Path
    emulated: bool

    def say(self, terminal: Terminal) -> None:
        """Print it."""
        terminal.say("")
        terminal.say(self._counts(), style="bold")
        terminal.say(self._made())
        self._say_failed(terminal)
        self._say_not_on_disk(terminal)
        _list(terminal, "invalid, skipped:", self._invalid(), style="yellow")
        self._say_unseen(terminal)
        self._say_unknown(terminal)
        self._say_left(terminal)
        self._say_unsent(terminal)
        self._say_how_to_go_on(terminal)
        self._say_lost(terminal)

    def _counts(self) -> str:
        left = [*self.rest.left.values(), *self.rest.done.values()]
        counts = counted(self.report, left, skipped=self.rest.skipped)
        if self.rest.unsent:
            counts.append(f"{len(self.rest.unsent)} not sent")
        spent = clock(self.report.wall_s)
        return f"{count(len(self.lines), 'job')} in {spent}: {', '.join(counts)}"

    def _made(self) -> str:
        made = f"{self.report.video_s:g} s of video, {count(self.report.total_tokens, 'token')},"
        if not any(self._with(OutcomeStatus.COMPLETED)) and not self.rest.done:
            made = "no new video"
        records = f" (records in {self.results.path})" if self.results.is_there else ""
        return f"{made} in {self.results.path.parent}{records}"

    def _with(self, status: OutcomeStatus) -> Iterator[Outcome]:
        return (outcome for outcome in self.report.outcomes if outcome.status is status)

    def _say_failed(self, terminal: Terminal) -> None:
        failed = list(self._with(OutcomeStatus.FAILED))
        alone = [one for one in failed if trouble.shared(one.error) is None]
        before = [one for one in alone if self.past.stand(one.key) is Stand.FAILED]
        now = [one for one in alone if self.past.stand(one.key) is not Stand.FAILED]
        _list(terminal, "failed:", map(self._told, now), style="red")
        if any(one.task_id is None for one in now):
            terminal.say("  What has no task cost nothing; the same command sends it again.")
        title = "failed before this run, and not sent again (under a new key it would be):"
        _list(terminal, title, map(self._told, before[:_MAX_BEFORE]), style="red")
        if (more := len(before) - _MAX_BEFORE) > 0:
            shown = settling.look(self.journal, "--state", "failed")
            terminal.say(f"  ... and {more:,} more: {shown}")
        for reason, jobs in _by_trouble(failed):
            terminal.say(f"{count(jobs, 'job')} not sent, nothing paid: {reason}", style=_LOUD)

    def _say_not_on_disk(self, terminal: Terminal) -> None:
        made = [one for one in self._with(OutcomeStatus.COMPLETED) if not one.ok]
        alone = (one for one in made if trouble.shared(one.error) is None)
        _list(terminal, "made, but not on disk:", map(self._told, alone), style=_LOUD)
        for reason, jobs in _by_trouble(made):
            terminal.say(f"{count(jobs, 'video')} made, but not on disk: {reason}", style=_LOUD)

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

    def _say_unseen(self, terminal: Terminal) -> None:
        """Tell of tasks that have an id and whose end was not seen."""
        unseen = [one for one in self._with(OutcomeStatus.UNKNOWN) if one.task_id is not None]
        title = "UNKNOWN, accepted and may have been paid for, its end was not seen:"
        _list(terminal, title, map(self._told, unseen), style=_LOUD)
        unwritten = [one for one in unseen if isinstance(one.error, JournalError) and one.key]
        if unwritten:
            terminal.say("  Where the journal lacks an id, tell it:", style=_LOUD)
        for one in unwritten:
            verdict = ("--task-id", str(one.task_id))
            terminal.say(f"    {settling.command(str(one.key), self.journal, *verdict)}")

    def _say_unknown(self, terminal: Terminal) -> None:
        """Tell of creates without an answer, and how to settle each."""
        lost = list(self._lost())
        if not lost or self.emulated:
            return
        what = f"UNKNOWN, may have been paid for, and not sent again: {count(len(lost), 'job')}"
        terminal.say(what, style=_LOUD)
        for line in settling.lines(lost, self.journal):
            terminal.say(line)
        terminal.say(
            "  Look in the provider's billing whether these tasks exist, say so with one of the "
            "two commands each, and run the same command again.",
            style=_LOUD,
        )

    def _lost(self) -> Iterator[Unknown]:
        left = self.rest.left.items()
        lost = {index: record for index, record in left if record.state in _LOST}
        for one in self._with(OutcomeStatus.UNKNOWN):
            if one.task_id is None and one.key is not None and one.request is not None:
                unread = JobRecord(key=one.key, request=one.request, planned_at=one.started_at)
                lost[one.index] = self.unknown.get(one.key, unread)
        for index, record in sorted(lost.items()):
            yield Unknown(label=self.labels[index], record=record)

    def _say_left(self, terminal: Terminal) -> None:
        """Tell of what the run was stopped over."""
        left = self.rest.left.values()
        states = Counter(job.state for job in left)
        if self.emulated:
            if left:
                terminal.say(f"{count(len(left), 'task')} ended with the emulator", "yellow")
            return
        if running := states[JobState.SUBMITTED]:
            what = f"{count(running, 'task')} at the provider when stopped, may be paid for"
            terminal.say(what, style=_LOUD)
        if made := states[JobState.COMPLETED]:
            terminal.say(f"{count(made, 'video')} made, but not on disk when stopped", style=_LOUD)

    def _say_unsent(self, terminal: Terminal) -> None:
        unsent = self.rest.unsent
        if not unsent:
            return
        spans = list(ranges(line.number for line in unsent))
        more = ", ..." if len(spans) > _MAX_RANGES else ""
        listed = ", ".join(islice(spans, _MAX_RANGES))
        lines = "line" if len(unsent) == 1 else "lines"
        what = f"{count(len(unsent), 'job')} not sent, nothing paid: {lines} {listed}{more}"
        terminal.say(what, style="yellow")

    def _say_how_to_go_on(self, terminal: Terminal) -> None:
        """Say what brings the rest to its end."""
        is_stuck = any(trouble.shared(one.error) for one in self.report.outcomes)
        unfetched = [one for one in self._with(OutcomeStatus.COMPLETED) if not one.ok]
        unknown = self._with(OutcomeStatus.UNKNOWN)
        running = [one for one in unknown if one.task_id is not None or self.emulated]
        left = [job for job in self.rest.left.values() if job.task_id is not None]
        if not (is_stuck or unfetched or running or left or self.rest.unsent):
            return
        first = "Make room, or let the folder be written; then run" if is_stuck else "Run"
        if self.emulated:
            terminal.say(f"{first} the same command again to go on.")
            return
        kept = f" {_KEPT}" if unfetched or running or left else ""
        what = f"{first} the same command again to go on; nothing is paid twice.{kept}"
        terminal.say(what, style="bold")

    def _say_lost(self, terminal: Terminal) -> None:
        """Give what is on no disk: with the whole folder, the journal may be gone as well."""
        lost, path = self.results.lost(), self.results.path
        if lost and self.journal.is_file():
            lines = count(len(lost), "line")
            shown = settling.look(self.journal)
            terminal.say(f"{path} lacks {lines}; the jobs are in the journal: {shown}", style=_LOUD)
        elif lost:
            terminal.say(f"{path} COULD NOT BE WRITTEN; keep this:", style=_LOUD)
            for line in lost:
                terminal.say(line)


def _by_trouble(outcomes: Iterable[Outcome]) -> Sequence[tuple[str, int]]:
    reasons = Counter(trouble.shared(outcome.error) for outcome in outcomes)
    return [(reason, number) for reason, number in reasons.items() if reason is not None]


def _list(terminal: Terminal, title: str, entries: Iterable[str], style: str) -> None:
    listed = list(entries)
    if listed:
        terminal.say(title, style=style)
    for entry in listed:
        terminal.say(f"  {one_line(entry)}")


def counted(report: BatchReport, left: Iterable[JobRecord] = (), *, skipped: int = 0) -> list[str]:
    """Spell how many jobs ended in which way, or were left in which state.

    Args:
        report: Those that ended.
        left: Those that a run was stopped over.
        skipped: How many more were made before.
    """
    jobs = list(left)
    states = Counter(job.state for job in jobs)
    unfetched = sum(job.state is JobState.COMPLETED and job.path is None for job in jobs)
    numbers = Counter(report.counts)
    numbers[OutcomeStatus.COMPLETED] += states[JobState.COMPLETED]
    numbers[OutcomeStatus.FAILED] += states[JobState.FAILED]
    numbers[OutcomeStatus.UNKNOWN] += states[JobState.SUBMITTING] + states[JobState.UNKNOWN]
    numbers[OutcomeStatus.SKIPPED] += skipped
    unfetched += sum(
        outcome.status is OutcomeStatus.COMPLETED and not outcome.ok for outcome in report.outcomes
    )
    counts = {status: f"{number} {status}" for status, number in numbers.items() if number}
    if unfetched:
        counts[OutcomeStatus.COMPLETED] += f", {unfetched} of them not on disk"
    if numbers[OutcomeStatus.SKIPPED]:
        counts[OutcomeStatus.SKIPPED] += " (made before)"
    if running := states[JobState.SUBMITTED]:
        return [*counts.values(), f"{running} at the provider"]
    return [*counts.values()]
