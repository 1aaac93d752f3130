"""``seedance batch``: a file of jobs in, a folder of videos and a record of every job out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import attrs

from seedance_async.cli import exits, folder, manifest, results
from seedance_async.cli.interrupt import stoppable, stopping
from seedance_async.cli.manifest import Line, Manifest
from seedance_async.cli.options import WAIT_S, Flag, HyphenFirst, check_max_in_flight, check_timeout
from seedance_async.cli.progress import BatchProgress
from seedance_async.cli.results import Results
from seedance_async.cli.service import Service
from seedance_async.cli.summary import Summary
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.events import Event, Planned
from seedance_async.lifecycle import JobRecord
from seedance_async.request import Job
from seedance_async.results import BatchReport, Outcome

if TYPE_CHECKING:
    from seedance_async.session import SeedanceSession

_NAME_CHARS = 200  # more than any terminal shows
_MAX_COMPLAINTS = 20  # less than a screen: a mistake in one line is often in all of them


def batch(
    jobs: Annotated[str, HyphenFirst],
    /,
    *,
    out: Path,
    max_in_flight: int | None = None,
    skip_invalid: Flag = False,
    timeout: float = WAIT_S,
    emulate: Flag = False,
    speed: float | None = None,
) -> int:
    """Make a video for each line of a file.

    Parameters
    ----------
    jobs
        The file of jobs; - reads JSONL from stdin.
    out
        The folder for the videos; made if it is missing.
    max_in_flight
        How many jobs may be at the provider at once; 20 if not given.
    skip_invalid
        Send the valid jobs even if others are invalid.
    timeout
        Seconds from a job's submission to its end; the task lives on.
    emulate
        Ask an emulator in this process: no key, no money, test pictures.
    speed
        With --emulate: how many times as fast as real; 60 if not given.
    """
    terminal = Terminal()
    service = Service.of(emulate, speed)
    check_max_in_flight(max_in_flight)
    timeout_s = check_timeout(timeout)
    read = manifest.read(jobs, checks_hosts=service.checks_hosts)
    _complain(read, terminal, skip_invalid)
    run = _Run(read, terminal, service, folder.at_home(out), max_in_flight, timeout_s)
    return asyncio.run(run.to_its_end())


def _complain(read: Manifest, terminal: Terminal, skip_invalid: bool) -> None:
    complaints = list(read.complaints)
    for complaint in complaints[:_MAX_COMPLAINTS]:
        terminal.say(one_line(complaint), style="red")
    if len(complaints) > _MAX_COMPLAINTS:
        terminal.say(f"... and {len(complaints) - _MAX_COMPLAINTS:,} more", style="red")
    invalid, all_jobs = len(read.invalid), len(read.lines)
    if invalid and (not skip_invalid or invalid == all_jobs):
        hint = "" if invalid == all_jobs else ", or send the others with --skip-invalid"
        what = f"{invalid} of {count(all_jobs, 'job')} invalid, nothing was sent"
        raise exits.CannotStart(f"{what}: mend the file{hint}")
    if invalid:
        terminal.say(f"skipping {count(invalid, 'invalid job')} of {all_jobs}", style="yellow")


@attrs.define
class _Run:
    """One run of a manifest; ``ended`` and ``places`` grow as it goes on."""

    manifest: Manifest
    terminal: Terminal
    service: Service
    out: Path
    max_in_flight: int | None
    timeout_s: float
    ended: list[Outcome] = attrs.field(init=False, factory=list)
    places: dict[str, int] = attrs.field(init=False, factory=dict)
    left: list[JobRecord] = attrs.field(init=False, factory=list)
    progress: BatchProgress | None = attrs.field(init=False, default=None)

    async def to_its_end(self) -> int:
        """Run every job, print the summary, and give the exit code."""
        started = time.monotonic()
        with stoppable(self._say_stopping) as stop:
            async with self.service.session() as session:
                with self._results() as file:
                    self._say_start()
                    try:
                        with stop.work():
                            await self._send_all(session, file)
                    finally:
                        await self._record_left(session, file)
                        summary = self._summary(file, time.monotonic() - started)
                        summary.say(self.terminal)
        if stop.signum is not None:
            return exits.interrupted(stop.signum)
        return exits.OK if summary.report.ok else exits.SOME_FAILED

    def _results(self) -> Results:
        folder.prepare(self.out)
        try:
            return Results(self.out)
        except OSError as error:
            path = self.out / results.FILE_NAME
            raise exits.CannotStart(f"cannot write {path}: {error.strerror}") from error

    def _say_start(self) -> None:
        jobs = count(len(self.manifest.lines), "job")
        if self.service.notice:
            self.terminal.say(self.service.notice)
        self.terminal.say(f"{jobs} from {self.manifest.source}, videos to {self.out}")

    def _say_stopping(self) -> None:
        is_sending = self.progress is not None and self.progress.is_sending
        self.terminal.say(stopping(is_sending), style="yellow")

    async def _send_all(self, session: SeedanceSession, file: Results) -> None:
        lines = self.manifest.lines
        self.progress = progress = BatchProgress(
            self.terminal, [_name(line) for line in lines], [line.label for line in lines]
        )

        def note(event: Event) -> None:
            if isinstance(event, Planned) and event.key is not None and event.index is not None:
                self.places[event.key] = event.index
            progress.note(event)

        with session.subscribe(note), progress.shown():
            async with session.batch(
                [_item(line) for line in lines],
                max_in_flight=self.max_in_flight,
                timeout_s=self.timeout_s,
                out_dir=self.out,
            ) as outcomes:
                async for outcome in outcomes:
                    line = lines[outcome.index]
                    file.write(results.of_outcome(line, outcome, self.out))
                    self.ended.append(outcome)
                    progress.end(outcome, is_known=bool(line.faults))
                    if outcome.path is not None and not self.terminal.shows_results:
                        self.terminal.give(str(outcome.path))

    async def _record_left(self, session: SeedanceSession, file: Results) -> None:
        with anyio.CancelScope(shield=True):
            jobs = [job async for job in session.jobs()]
        self.left = results.left(jobs, [outcome.key for outcome in self.ended if outcome.key])
        for job in self.left:
            index = self.places[job.key]
            file.write(results.of_left(self.manifest.lines[index], index, job))

    def _summary(self, file: Results, wall_s: float) -> Summary:
        in_order = sorted(self.ended, key=lambda outcome: outcome.index)
        lines = self.manifest.lines
        begun = {outcome.index for outcome in in_order} | {
            self.places[job.key] for job in self.left
        }
        return Summary(
            lines=lines,
            report=BatchReport(outcomes=tuple(in_order), wall_s=wall_s),
            left=self.left,
            unsent=[line for index, line in enumerate(lines) if index not in begun],
            results=file,
            emulated=self.service.emulate,
        )


def _item(line: Line) -> Job | Mapping[str, Any]:
    """Give the batch an invalid line as one: files keep their numbers when it is mended."""
    return {} if line.job is None else line.job


def _name(line: Line) -> str:
    """Name a job on the user's own terminal: there its prompt says most if it has no name."""
    prompt = line.job.request.prompt if line.job else ""
    called = line.name or line.key or f"line {line.number}: {prompt}"
    return one_line(called)[:_NAME_CHARS]
