"""What a person reads when a batch is over: counts first, then everything that wants a hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from seedance_async.budget import PriceTable
from seedance_async.cli import bill, gone, invoked, reasons, settling, trouble
from seedance_async.cli.manifest import Line
from seedance_async.cli.past import Past, Stand
from seedance_async.cli.rest import Rest
from seedance_async.cli.results import Results
from seedance_async.cli.settling import Unknown
from seedance_async.cli.terminal import Terminal, clock, count, one_line
from seedance_async.errors import JournalError
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.results import BatchReport, Outcome, OutcomeStatus

_LOUD = "bold red"
_MAX_NAMED = 3  # of each reason for failure
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
        resubmitted: Whether the run was told to send unknown jobs again.
        prices: What the models cost; None where nobody said.
        over: Why jobs were not sent that are not within the budget, by their places.
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
    resubmitted: bool = False
    over: Mapping[int, str] = attrs.field(factory=dict)
    prices: PriceTable | None = None

    def say(self, terminal: Terminal) -> None:
        """Print it."""
        terminal.say("")
        terminal.say(self._counts(), style="bold")
        terminal.say(self._made())
        self._say_failed(terminal)
        self._say_not_on_disk(terminal)
        self._say_gone(terminal)
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
        if self.over:
            counts.append(f"{len(self.over)} over the budget")
        spent = clock(self.report.wall_s)
        return f"{count(len(self.lines), 'job')} in {spent}: {', '.join(counts)}"

    def _made(self) -> str:
        made = bill.told(self.past, self.report, self.rest, self.prices)
        is_whole = self.results.is_there and not self.results.lost()
        return f"{made} (records in {self.results.path})" if is_whole else made

    def _with(self, status: OutcomeStatus) -> Iterator[Outcome]:
        return (outcome for outcome in self.report.outcomes if outcome.status is status)

    def _say_failed(self, terminal: Terminal) -> None:
        failed = list(self._with(OutcomeStatus.FAILED))
        alone = [one for one in failed if trouble.shared(one.error) is None]
        before = [one for one in alone if self.past.stand(one.key) is Stand.FAILED]
        now = [one for one in alone if self.past.stand(one.key) is not Stand.FAILED]
        self._say_grouped(terminal, "failed:", now)
        if any(one.task_id is None for one in now):
            terminal.say("  What has no task cost nothing; the same command sends it again.")
        self._say_grouped(terminal, "failed before this run, and not sent again:", before)
        if any(one.task_id is not None for one in alone) and not self.emulated:
            retry = settling.look(self.journal, "retry", "--failed")
            terminal.say(gone.ended(f"change the prompt, or:\n  {retry}\n  {self._again}"))
        for reason, jobs in _by_trouble(failed):
            terminal.say(f"{count(jobs, 'job')} not sent, nothing paid: {reason}", style=_LOUD)

    def _say_grouped(self, terminal: Terminal, title: str, failed: Sequence[Outcome]) -> None:
        """Tell of failures by their reasons, of each the first few jobs by name."""
        if not failed:
            return
        terminal.say(title, style="red")
        for group in reasons.grouped(failed):
            what = f"{len(group.outcomes):,} x {group.kind}: {group.reason}"
            terminal.say(f"  {one_line(what)}", style="red")
            for one in group.outcomes[:_MAX_NAMED]:
                task = f" (task {one.task_id})" if one.task_id else ""
                terminal.say(f"    {one_line(f'{self.lines[one.index].label}{task}')}")
            if more := group.outcomes[_MAX_NAMED:]:
                numbers = [self.lines[one.index].number for one in more]
                terminal.say(f"    ... and {len(more):,} more: {reasons.spans(numbers)}")

    def _say_not_on_disk(self, terminal: Terminal) -> None:
        made = [one for one in self._with(OutcomeStatus.COMPLETED) if not one.ok]
        alone = (one for one in made if _is_its_own(one))
        _list(terminal, "made, but not on disk:", map(self._told, alone), style=_LOUD)
        for reason, jobs in _by_trouble(made):
            terminal.say(f"{count(jobs, 'video')} made, but not on disk: {reason}", style=_LOUD)

    def _say_gone(self, terminal: Terminal) -> None:
        """Tell of what running again does not bring back, except a person's word that is wrong."""
        lost = [one for one in self.report.outcomes if one.error and gone.is_gone(one.error)]
        for one in lost:
            is_word = gone.is_word(self.past.known.get(one.key or ""))
            told = gone.told(one.error, by_hand=is_word) if one.error else ""
            terminal.say(one_line(f"{self.lines[one.index].label}: {told}"), style=_LOUD)
            if is_word:
                terminal.say(f"  {gone.how_to_mend(str(one.key), self.journal)}")
        if not all(gone.is_word(self.past.known.get(one.key or "")) for one in lost):
            terminal.say(gone.anew("give the line a new key"))

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
        unknown = self._with(OutcomeStatus.UNKNOWN)
        unseen = [one for one in unknown if one.task_id is not None and _is_its_own(one)]
        unwritten = [one for one in unseen if isinstance(one.error, JournalError) and one.key]
        title = "UNKNOWN, accepted and may have been paid for, its end was not seen:"
        others = (self._told(one) for one in unseen if one not in unwritten)
        _list(terminal, title, others, style=_LOUD)
        if not unwritten:
            return
        what = f"UNKNOWN, accepted, but not in the journal: {count(len(unwritten), 'job')}"
        terminal.say(f"{what}. Tell it the ids once it can be written:", style=_LOUD)
        for one in unwritten:
            verdict = ("--task-id", str(one.task_id))
            terminal.say(f"  {settling.command(str(one.key), self.journal, *verdict)}")

    def _say_unknown(self, terminal: Terminal) -> None:
        """Tell of creates without an answer, and how to settle each."""
        lost = list(self._lost())
        if not lost or self.emulated:
            return
        what = f"UNKNOWN, may have been paid for, not sent again: {count(len(lost), 'job')}"
        terminal.say(what, style=_LOUD)
        for line in settling.lines(lost, self.journal):
            terminal.say(line)

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
        left = self.rest.left
        if left and self.emulated:
            terminal.say(f"{count(len(left), 'task')} ended with the emulator", "yellow")
            return
        for state, what in (
            (JobState.SUBMITTED, "at the provider, may be paid for"),
            (JobState.COMPLETED, "made, but not on disk"),
        ):
            numbers = [
                self.lines[i].number for i, job in sorted(left.items()) if job.state is state
            ]
            if numbers:
                terminal.say(f"{what}: {reasons.spans(numbers)}", style=_LOUD)

    def _say_unsent(self, terminal: Terminal) -> None:
        if self.rest.unsent:
            spans = reasons.spans([line.number for line in self.rest.unsent])
            terminal.say(f"not sent, nothing paid: {spans}", style="yellow")
        if self.over:
            first = next(iter(self.over.values())).removeprefix("not sent, nothing paid: ")
            spans = reasons.spans([self.lines[index].number for index in sorted(self.over)])
            terminal.say(f"over the budget, nothing paid: {spans}", style="yellow")
            terminal.say(f"  {one_line(first)}")
            terminal.say("  With a larger budget, the same command sends them.")

    def _say_how_to_go_on(self, terminal: Terminal) -> None:
        """Say what brings the rest to its end."""
        # A journal that took no id is as stuck as a folder that takes no film.
        is_stuck = any(isinstance(one.error, JournalError) for one in self.report.outcomes)
        is_stuck = is_stuck or any(trouble.shared(one.error) for one in self.report.outcomes)
        unfetched = [
            one for one in self._with(OutcomeStatus.COMPLETED) if not one.ok and _may_come(one)
        ]
        unknown = [one for one in self._with(OutcomeStatus.UNKNOWN) if _may_come(one)]
        running = [one for one in unknown if one.task_id is not None or self.emulated]
        left = [job for job in self.rest.left.values() if job.task_id is not None]
        again = "the same command again"
        if self.resubmitted:
            again = "the command again WITHOUT --on-unknown resubmit"
        if not (is_stuck or unfetched or running or left or self.rest.unsent):
            if any(self._lost()):
                terminal.say(f"Then run {again}.", style="bold")
                terminal.say(f"  {self._again}")
            return
        first = "Make room, or let the folder be written; then\nrun" if is_stuck else "Run"
        paid = "." if self.emulated else " to go on; nothing is paid twice."
        terminal.say(f"{first} {again}{paid}", style="bold")
        terminal.say(f"  {self._again}")
        if not self.emulated and (unfetched or running or left):
            terminal.say(_KEPT)

    @property
    def _again(self) -> str:
        """The command that goes on."""
        return invoked.again(("--on-unknown", "resubmit") if self.resubmitted else ())

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


def _is_its_own(outcome: Outcome) -> bool:
    """Tell whether what went wrong is told of with the job alone, and nowhere else."""
    return trouble.shared(outcome.error) is None and not gone.is_gone(outcome.error)


def _may_come(outcome: Outcome) -> bool:
    return not gone.is_gone(outcome.error)


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
