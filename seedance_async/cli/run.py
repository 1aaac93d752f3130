"""One run of a manifest: what the journal has is left, taken up or sent, and all of it told of."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from seedance_async.budget import Expense
from seedance_async.cli import (
    consent,
    debugging,
    exits,
    files,
    folder,
    money,
    past,
    rest,
    results,
    trouble,
)
from seedance_async.cli.complaints import complain
from seedance_async.cli.feed import Feed
from seedance_async.cli.interrupt import Stop, stoppable, stopping
from seedance_async.cli.left import Asked
from seedance_async.cli.manifest import Line, Manifest
from seedance_async.cli.order import Order
from seedance_async.cli.outlook import Known, Outlook, look_ahead
from seedance_async.cli.past import Past, Stand
from seedance_async.cli.progress import BatchProgress
from seedance_async.cli.rest import Rest
from seedance_async.cli.results import Results
from seedance_async.cli.service import Service
from seedance_async.cli.settling import look
from seedance_async.cli.summary import Summary
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.errors import BudgetExceeded, JournalError, SessionClosed
from seedance_async.estimate import Estimate, flat
from seedance_async.expenses import expected
from seedance_async.journal import SqliteJournal
from seedance_async.learned import RATES
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.rates import Rates
from seedance_async.request import Job
from seedance_async.results import BatchReport, Outcome

if TYPE_CHECKING:
    from seedance_async.batch import Outcomes
    from seedance_async.session import SeedanceSession

_NAME_CHARS = 200  # more than any terminal shows


@attrs.define
class Run:
    """One run; ``ended`` and ``records`` grow as it goes on."""

    manifest: Manifest
    terminal: Terminal
    service: Service
    order: Order
    ended: dict[int, Outcome] = attrs.field(init=False, factory=dict)
    records: dict[str, JobRecord] = attrs.field(init=False, factory=dict)
    past: Past = attrs.field(init=False, default=Past(keys=()))
    progress: BatchProgress | None = attrs.field(init=False, default=None)
    over: dict[int, str] = attrs.field(init=False, factory=dict)
    billed: Expense = attrs.field(init=False, factory=Expense)
    _told: set[str] = attrs.field(init=False, factory=set)
    _feed: Feed = attrs.field(init=False)

    async def to_its_end(self) -> int:
        """Run every job, print the summary, and give the exit code."""
        started = time.monotonic()
        order, journal = self.order, SqliteJournal(self.order.journal)
        self._feed = Feed(self.terminal.give if order.as_json else lambda _: None)
        with stoppable(self._say_stopping) as stop, trouble.told_once(self.terminal):
            async with self.service.session(
                journal=journal,
                media_root=order.media_root,
                budget=order.budget,
                prices=order.prices,
            ) as session:
                folder.prepare(self.order.out)
                await self._look_back(journal)
                with stop.work():
                    await self._look_at_files(session)
                if (early := stop.signum) is not None:
                    self.terminal.say("stopped: nothing was sent")
                    return exits.interrupted(early)
                outlook = await self._look_ahead(journal)
                if not self._is_agreed(outlook):
                    return exits.USAGE
                with self._results() as file:
                    self._say_start(outlook)
                    stop.drain = functools.partial(self._drain, session)
                    try:
                        with stop.work():
                            await self._send_all(session, file)
                    finally:
                        left = await self._take_stock(journal, file)
                        spent = session.spent
                        summary = self._summary(left, file, time.monotonic() - started)
                        code = self._code(stop, summary)
                        if not order.quiet or code != exits.OK:
                            summary.say(self.terminal)
                        self._tell_end(summary, spent, code)
        return code

    def _code(self, stop: Stop, summary: Summary) -> int:
        if stop.signum is not None:
            return exits.interrupted(stop.signum)
        is_whole = summary.report.ok and not self.over
        return exits.OK if is_whole else exits.SOME_FAILED

    def _tell_end(self, summary: Summary, spent: Expense | None, code: int) -> None:
        counts = {str(status): number for status, number in summary.report.counts.items()}
        self._feed.tell(
            "ended",
            {
                "counts": counts,
                "unsent": len(summary.rest.unsent),
                "over_budget": len(self.over),
                "spent": None if spent is None else money.fields(spent),
                "wall_s": round(summary.report.wall_s, 3),
                "exit_code": code,
            },
        )

    async def _look_ahead(self, journal: SqliteJournal) -> Outlook:
        """See what is about to be sent, and what it comes to."""
        try:
            rates = Rates.from_json(await journal.recall(RATES))
        except JournalError:  # what is said of it has to do without
            rates = Rates()
        order = self.order
        known = Known(
            rates=rates,
            prices=order.prices,
            budget=order.budget,
            resubmits=order.on_unknown == "resubmit",
            turnarounds=None,
            slots=order.slots,
        )
        return look_ahead(self.manifest, self.past, known)

    def _is_agreed(self, outlook: Outlook) -> bool:
        """Ask a person at the terminal before much is sent."""
        above = self.order.confirm_above
        is_much = above is not None and outlook.to_send > above and not self.service.emulate
        if not is_much or not self.terminal.is_attended:
            return True
        return consent.given(self.terminal, f"Send {outlook.summed()}?", yes=False)

    def _drain(self, session: SeedanceSession) -> bool:
        """Send nothing more; whether there is anything that is brought to its end."""
        running = 0 if self.progress is None else self.progress.in_flight
        if not running:
            return False
        session.drain()
        self.terminal.say(
            f"stopping: nothing more is sent; waiting for {count(running, 'job')} in flight\n"
            "Ctrl-C again leaves them: their ids are safe, the same command goes on",
            style="yellow",
        )
        return True

    async def _look_back(self, journal: SqliteJournal) -> None:
        """See what was done before, and that no key stands for another request now."""
        out, known = self.order.out, self.manifest.invalid_places
        try:
            if self.service.emulate:
                await past.forget_emulated(journal, out)
            self.past = await past.look_back(journal, self.manifest, out)
        except JournalError as error:
            raise exits.CannotStart(trouble.at_start(error, error.message)) from error
        self.manifest = past.checked(self.manifest, self.past)
        clashing = self.manifest.invalid_places - known
        if not clashing:
            return
        first = self.manifest.lines[min(clashing)]
        try:
            self._complain(known)
        finally:
            shown = look(journal.path, first.key or "KEY")
            what = "Give such a line a new key (a new job, paid for), or put it back as it was."
            self.terminal.say(f"{what}\nWhat a key stands for: {shown}")

    async def _look_at_files(self, session: SeedanceSession) -> None:
        """See that the local files of what is to be sent can be used."""
        known = self.manifest.invalid_places
        self.manifest = await files.checked(
            session,
            self.manifest,
            self.past,
            resubmits=self.order.on_unknown == "resubmit",
            takes_files=self.service.takes_files,
        )
        self._complain(known)
        if files.are_unseen(self.manifest):
            self.terminal.say(f"local files are {files.UNSEEN}", style="yellow")

    def _complain(self, known: Collection[int]) -> None:
        """Complain of invalid lines but the *known* ones, and go on without them."""
        complain(self.manifest, self.terminal, skip_invalid=self.order.skip_invalid, known=known)
        valid = zip(self.manifest.lines, self.past.keys, strict=True)
        keys = tuple(None if line.faults else key for line, key in valid)
        self.past = attrs.evolve(self.past, keys=keys)

    def _results(self) -> Results:
        try:
            return Results(self.order.out)
        except OSError as error:
            path = self.order.out / results.FILE_NAME
            what = trouble.at_start(error, f"cannot write {path}: {error.strerror}")
            raise exits.CannotStart(what) from error

    def _say_start(self, outlook: Outlook) -> None:
        self._feed.tell("started", {"jobs": len(self.manifest.lines), **outlook.told()})
        if self.order.quiet:
            return
        jobs = count(len(self.manifest.lines), "job")
        if self.service.notice:
            self.terminal.say(self.service.notice)
        before = self.past.told()
        what = f"{jobs} from {self.manifest.source}, videos to {self.order.out}"
        self.terminal.say(f"{what}: {before}" if before else what)
        if outlook.to_send and (outlook.expense.tokens or outlook.expense.cost):
            self.terminal.say(f"to send: {outlook.summed()}")
        if outlook.over is not None:
            number, reason = outlook.over
            self.terminal.say(f"{number:,} are not sent: {reason}", style="yellow")
        unknown = self.past.counts[Stand.UNKNOWN]
        if unknown and self.order.on_unknown == "resubmit":
            what = f"SENDING {count(unknown, 'unknown job')} AGAIN: this may pay for them twice"
            self.terminal.say(what, style="bold red")

    def _say_stopping(self) -> None:
        is_sending = self.progress is not None and self.progress.is_sending
        self.terminal.say(stopping(is_sending), style="yellow")

    async def _send_all(self, session: SeedanceSession, file: Results) -> None:
        lines, order = self.manifest.lines, self.order
        self.progress = progress = BatchProgress(
            self.terminal,
            [_name(line) for line in lines],
            [line.label for line in lines],
            quiet=order.quiet or (order.as_json and self.terminal.shows_results),
        )
        progress.spent = lambda: self._spent(session)
        with (
            session.subscribe(progress.note),
            session.subscribe(self._feed.note),
            progress.shown(),
        ):
            async with session.batch(
                [_item(line) for line in lines],
                max_in_flight=order.max_in_flight,
                timeout_s=order.timeout_s,
                out_dir=order.out,
                file_names=order.file_names,
                on_unknown=order.on_unknown,
            ) as outcomes:
                progress.follow(self._estimating(outcomes, progress))
                if not self.service.has_own_time:
                    progress.estimates = outcomes.estimates
                async for outcome in outcomes:
                    self._take(outcome, file, progress)

    def _estimating(self, outcomes: Outcomes, progress: BatchProgress) -> Asked:
        """Make what estimates the end, of the jobs that were not done before."""
        to_come, started = self.past.work_from(), time.monotonic()

        def asked() -> Estimate | None:
            waiting = to_come[progress.taken]
            if not self.service.has_own_time:
                return outcomes.estimate(waiting)
            # The first guess is about the provider's time, and far off: the rate so far will do.
            left = waiting + progress.taken - len(self.ended)
            ended = to_come[0] - left
            return flat((time.monotonic() - started) / ended * left) if ended > 0 else None

        return asked

    def _spent(self, session: SeedanceSession) -> str:
        spent, billed = session.spent, self.billed
        if spent is not None:  # as long as it is not known what those in flight take, without them
            tokens, cost = spent.tokens or billed.tokens, spent.cost or billed.cost
            spent = attrs.evolve(spent, tokens=tokens, cost=cost)
        return money.spent(spent, self.order.budget, self.order.prices)

    def _take(self, outcome: Outcome, file: Results, progress: BatchProgress) -> None:
        line = self.manifest.lines[outcome.index]
        if isinstance(outcome.error, SessionClosed):  # drained: it is as if its turn never came
            progress.put_back(outcome)
            return
        if outcome.error is not None:
            debugging.note(outcome.error)
        record = results.of_outcome(line, outcome, self.order.out)
        self._feed.tell("outcome", attrs.asdict(record))
        file.write(record)
        if isinstance(outcome.error, BudgetExceeded):
            self.over[outcome.index] = outcome.error.message
            progress.put_back(outcome)
            return
        self.ended[outcome.index] = outcome
        if outcome.video is not None and outcome.request is not None:
            tokens = outcome.video.total_tokens or 0
            self.billed += expected(outcome.request, Rates(), self.order.prices, tokens)
        progress.end(outcome, is_known=bool(line.faults) or self._is_known(outcome))
        if outcome.path is None or self.order.as_json:
            return
        if not self.terminal.shows_results:
            self.terminal.give(self._as_typed(outcome.path))

    def _is_known(self, outcome: Outcome) -> bool:
        """Tell whether an outcome is nothing new: the summary has it, once."""
        was = self.past.stand(outcome.key)
        if was is Stand.FAILED or (was is Stand.UNKNOWN and self.order.on_unknown == "leave"):
            return True
        reason = trouble.shared(outcome.error)
        is_told = reason in self._told
        if reason is not None:
            self._told.add(reason)
        return is_told

    def _as_typed(self, path: Path) -> str:
        """Spell a path as the user spells the folder, wherever the journal has it from."""
        spelled = Path(results.spelled(path, self.order.out))
        return str(spelled if spelled.is_absolute() else self.order.out / spelled)

    async def _take_stock(self, journal: SqliteJournal, file: Results) -> Rest:
        lines, keys = self.manifest.lines, frozenset(self.past.keys)
        # Where every job has its outcome, only what a person has to settle is looked up.
        ended = {*self.ended, *self.over}
        wanted = JobState.UNKNOWN if len(ended) == len(lines) else None
        with anyio.CancelScope(shield=True):
            try:
                async for record in journal.records(wanted):
                    if record.key in keys:
                        self.records[record.key] = record
            except JournalError as error:
                self.terminal.say(error.message, style="red")
            stock = await asyncio.to_thread(
                rest.take_stock, lines, self.past, self.records, ended, self.order.out
            )
        for index, job in sorted({**stock.left, **stock.done}.items()):
            path = Path(job.path) if index in stock.done and job.path else None
            on_disk = None if path is None else results.spelled(path, self.order.out)
            file.write(results.of_left(lines[index], index, job, on_disk))
        return stock

    def _summary(self, left: Rest, file: Results, wall_s: float) -> Summary:
        lines = self.manifest.lines
        in_order = tuple(outcome for _, outcome in sorted(self.ended.items()))
        is_person = self.terminal.console is not None
        return Summary(
            lines=lines,
            labels=[_name(line) if is_person else line.label for line in lines],
            past=self.past,
            report=BatchReport(outcomes=in_order, wall_s=wall_s),
            rest=left,
            unknown=self.records,
            results=file,
            journal=self.order.journal,
            emulated=self.service.emulate,
            over=self.over,
            prices=self.order.prices,
            resubmitted=self.order.on_unknown == "resubmit",
        )


def _item(line: Line) -> Job | Mapping[str, Any]:
    """Give the batch an invalid line as one: files keep their numbers when it is mended."""
    return {} if line.job is None else line.job


def _name(line: Line) -> str:
    """Name a job on the user's own terminal: there its prompt says most if it has no name."""
    prompt = line.job.request.prompt if line.job else ""
    called = line.name or line.key or f"{line.label}: {prompt}"
    return one_line(called)[:_NAME_CHARS]
