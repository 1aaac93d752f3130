"""The torture: a client that is killed again and again, at an emulator where everything goes wrong.

The emulator runs here, on a real loop; the client is ``torture_client`` in a process of its own,
ended with SIGKILL and started again with the same journal, jobs and folder. What the emulator saw
is held against the journal and the folder. Shared by ``test_torture`` and the benchmark.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum, auto
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import av
from aiohttp import web
from torture_client import RUN_HEADER, prompt

from seedance_async import JobRecord, JobState, JournalError
from seedance_async.emulator import Emulator, FaultPlan, film
from seedance_async.emulator.gallery import Gallery, Piece, Stills
from seedance_async.emulator.handlers import VIDEOS_PATH
from seedance_async.emulator.mishaps import FAULTS, Call
from seedance_async.emulator.order import Order
from seedance_async.journal import SqliteJournal

CLIENT = Path(__file__).with_name("torture_client.py")
# A task takes 0.05 to 0.15 s.
SPEED = 1200
# The library gives a download that stands still a minute, which is not to be set. A gateway
# before the provider's store loses patience sooner, and then the connection breaks.
_GATEWAY_S = 0.6
_FRAMES_LOOKED_AT = 3
_LOOK_S = 0.002
_MOST_CLEAN_RUNS = 8
# A kill leaves as many unknown at the most, and the others are wanted for what comes later.
_IN_FLIGHT = 8
# Each answer that never comes costs as much; a busy machine is not always as quick as that, and
# then there is one more job that is unknown.
_TIMEOUT_S = 1.0
_SHARE_THAT_FAILS = 20  # one in so many


# ---- what goes wrong


def rates(share: float = 0.02) -> dict[str, float]:
    """Give every fault its share of the calls that it fits.

    None of them is for ever, so none has to be left out: each comes upon one call, and the next
    about the same task has its own luck. Assets alone have none: a batch makes no such call.
    """
    given = {name: share for name, mishap in FAULTS.items() if not name.startswith(Call.ASSET)}
    # They come upon the rest of a broken download only, which is rare.
    for kind in ("ignored_range", "changed_etag", "changed_under_range"):
        given[f"download.{kind}"] = 2.5 * share
    # A date has whole seconds: each stops all queries and creates for up to one.
    for name in given:
        if name.endswith("_date"):
            given[name] = share / 2
    return given


def plan(share: float = 0.02) -> FaultPlan:
    return FaultPlan(rates=rates(share), slow_s=0.03, retry_after_s=0)


# ---- the emulator, and what it sees


class Sight(StrEnum):
    """What can be seen of a client from where the provider stands."""

    CREATE_CAME = auto()
    ACCEPTED = auto()
    CREATE_ANSWERED = auto()
    QUERY_CAME = auto()
    DOWNLOAD_CAME = auto()
    DOWNLOAD_ANSWERED = auto()


@attrs.define(eq=False)
class Watcher:
    """Sees every call first, whatever becomes of it.

    Attributes:
        creates: The creates that came whole: the client's run, and the prompt.
        accepted: The prompts of those that were accepted, in the order of their ids.
        seen: How much was seen of what.
        tell: What to call with every sight, before anything else happens.
    """

    creates: list[tuple[int, str]] = attrs.field(factory=list)
    accepted: list[str] = attrs.field(factory=list)
    seen: Counter[Sight] = attrs.field(factory=Counter)
    tell: Callable[[Sight], None] = lambda _: None

    def see(self, sight: Sight) -> None:
        self.seen[sight] += 1
        self.tell(sight)

    def accept(self, body: Mapping[str, Any]) -> str | None:
        """Note a create that is being accepted, and fail a few tasks, the same ones each time."""
        self.accepted.append(body["prompt"])
        self.see(Sight.ACCEPTED)
        fails = zlib.crc32(body["prompt"].encode()) % _SHARE_THAT_FAILS == 0
        return "The prompt was rejected." if fails else None

    @web.middleware
    async def watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.method == "POST":
            body = json.loads(await request.read())
            self.creates.append((int(request.headers[RUN_HEADER]), body["prompt"]))
            self.see(Sight.CREATE_CAME)
            answer = await handler(request)
            self.see(Sight.CREATE_ANSWERED)
            return answer
        if not request.path.startswith(VIDEOS_PATH):
            self.see(Sight.QUERY_CAME)
            return await handler(request)
        return await self._download(request, handler)

    async def _download(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.see(Sight.DOWNLOAD_CAME)
        try:
            async with asyncio.timeout(_GATEWAY_S):
                answer = await handler(request)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        self.see(Sight.DOWNLOAD_ANSWERED)
        return answer


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


@functools.cache
def _any_film() -> bytes:
    any_cat = film.Film(
        prompt="Any cat", duration_s=4, width_over_height=16 / 9, audio=False, caption=()
    )
    return film.render(any_cat)


class Stock(Gallery):
    """One real film for all, each with its prompt behind it in a box that players skip.

    Rendering takes a quarter of a second of processor time, and the torture wants hundreds.
    """

    def __init__(self, padding_bytes: int = 0) -> None:
        super().__init__()
        self._picture = _any_film() + _box(b"free", bytes(padding_bytes))

    async def film(self, order: Order, stills: Stills = (None, None)) -> Piece:
        return Piece.of(self.content(order.prompt))

    def content(self, of_prompt: str) -> bytes:
        return self._picture + _box(b"free", of_prompt.encode())


class WatchedEmulator(Emulator):
    """An emulator in whose calls somebody looks, and which is quick about its films."""

    def __init__(self, *, padding_bytes: int = 0, **options: Any) -> None:
        self.watcher = Watcher()
        super().__init__(
            speed=SPEED, failures=self.watcher.accept, api_key="nobody-may-read-this", **options
        )
        self.stock = self._service.gallery = Stock(padding_bytes)

    def _prepared(self, app: web.Application) -> web.AppRunner:
        app.middlewares.insert(0, self.watcher.watch)
        return super()._prepared(app)

    @property
    def tasks(self) -> Sequence[tuple[str, str]]:
        """The prompt and the id of every accepted task."""
        return tuple(zip(self.watcher.accepted, self.accepted_ids, strict=True))


# ---- the client's process


@attrs.frozen
class Moment:
    """When to kill a client: so long after it did something for the so-manieth time.

    Attributes:
        sight: What it must do first; None for being started.
        waits_for: What must be true besides.
    """

    sight: Sight | None = None
    nth: int = 1
    delay_s: float = 0.0
    waits_for: Callable[[], bool] = lambda: True

    def __str__(self) -> str:
        return self.sight or "started"


def a_moment(random: Random, creates: int) -> Moment:
    """Choose one of those that could hurt, within the first *creates* creates of a run."""
    nth = random.randint(1, max(1, creates))
    later = random.randint(1, 4)
    return random.choice(
        (
            Moment(None, 1, random.uniform(0.4, 0.8)),  # perhaps while the journal is opened
            Moment(Sight.CREATE_CAME, nth),
            Moment(Sight.CREATE_CAME, nth, random.uniform(0, 0.3)),
            *[Moment(Sight.ACCEPTED, nth)] * 2,  # the answer never leaves
            *[Moment(Sight.CREATE_ANSWERED, nth, random.uniform(0, 0.006))] * 2,
            Moment(Sight.QUERY_CAME, 2 * nth, random.uniform(0, 0.05)),
            *[Moment(Sight.DOWNLOAD_CAME, later, random.uniform(0, 0.02))] * 2,
            Moment(Sight.DOWNLOAD_ANSWERED, later, random.uniform(0, 0.03)),
        )
    )


@attrs.frozen
class Ended:
    """How a client's process ended."""

    killed: bool
    told: Sequence[Mapping[str, Any]]
    problems: Sequence[str]

    @property
    def statuses(self) -> dict[int, str]:
        """Each job's outcome, by its number."""
        return {line["number"]: line["status"] for line in self.told}


@attrs.define(eq=False)
class Client:
    """A program with its journal and its folder, which can be run again and again."""

    emulator: WatchedEmulator
    folder: Path
    jobs: int
    in_flight: int = 1
    timeout_s: float = 30.0
    runs: int = 0

    @property
    def out(self) -> Path:
        return self.folder / "videos"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    async def run(self, moment: Moment | None = None, *options: str) -> Ended:
        """Run it to its end, or to the *moment* at which it is killed."""
        self.runs += 1
        process = await self._start(options)
        try:
            with self._killing(process, moment):
                printed, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        killed = process.returncode == -signal.SIGKILL
        lines = printed.decode().splitlines()
        # A killed process may have printed half of a line.
        told = [json.loads(line) for line in lines if line.endswith("}")]
        problems = [f"run {self.runs} said: {complaints.decode()[-2000:]}"] if complaints else []
        if process.returncode and not killed:
            problems.append(f"run {self.runs} ended with {process.returncode}")
        return Ended(killed, told, problems)

    async def _start(self, options: Sequence[str]) -> asyncio.subprocess.Process:
        numbers = {"--jobs": self.jobs, "--in-flight": self.in_flight, "--run": self.runs}
        places = {"--journal": self.journal, "--out": self.out, "--timeout-s": self.timeout_s}
        given = {"--base-url": self.emulator.base_url, **places, **numbers}
        words = (str(word) for pair in given.items() for word in pair)
        kept = {name: value for name, value in os.environ.items() if "SEEDANCE" not in name}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(CLIENT),
            *words,
            *options,
            env={**kept, "SEEDANCE_API_KEY": self.emulator.api_key},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    @contextlib.contextmanager
    def _killing(
        self, process: asyncio.subprocess.Process, moment: Moment | None
    ) -> Iterator[None]:
        """Have the process killed at that moment, if it comes to it."""
        if moment is None:
            yield
            return
        watcher, loop, pending, seen = self.emulator.watcher, asyncio.get_running_loop(), [], 0

        def kill() -> None:
            if not moment.waits_for():
                pending.append(loop.call_later(_LOOK_S, kill))
            elif process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()

        def soon() -> None:
            if moment.delay_s:
                pending.append(loop.call_later(moment.delay_s, kill))
            else:
                kill()

        def look(sight: Sight) -> None:
            nonlocal seen
            seen += sight is moment.sight
            if sight is moment.sight and seen == moment.nth:
                soon()

        watcher.tell = look
        if moment.sight is None:
            soon()
        try:
            yield
        finally:
            watcher.tell = lambda _: None
            for timer in pending:
                timer.cancel()

    async def records(self) -> dict[str, JobRecord]:
        """Read the journal, by prompts; a copy of it, so that the next run finds it as it was."""
        with TemporaryDirectory() as copied:
            for file in self.folder.glob(f"{self.journal.name}*"):
                shutil.copy(file, copied)
            copy = Path(copied) / self.journal.name
            if not copy.exists() or not copy.stat().st_size:
                return {}
            async with SqliteJournal(copy, read_only=True) as journal:
                return {record.request.prompt: record async for record in journal.records()}

    async def life(self, key: str) -> Sequence[JobState]:
        """Tell the states that a job went through, each once while it lasted."""
        async with SqliteJournal(self.journal, read_only=True) as journal:
            moves = await journal.history(key)
        return [state for state, _ in itertools.groupby(move.state for move in moves)]

    def files(self) -> set[Path]:
        return set(self.out.iterdir()) if self.out.exists() else set()

    def has_bytes(self) -> bool:
        """Tell whether something of a film is on disk."""
        return any(path.stat().st_size for path in self.files())


# ---- the torture


@attrs.frozen(kw_only=True)
class Report:
    """What happened.

    Attributes:
        kills: How often a client was killed, by what it had just done.
        violations: What must never be, one sentence each.
    """

    jobs: int
    runs: int
    kills: Mapping[str, int]
    creates: int
    accepted: int
    states: Mapping[str, int]
    files: int
    seen: Mapping[str, int]
    faults: Mapping[str, int]
    violations: Sequence[str]
    wall_s: float


async def torture(folder: Path, *, jobs: int, kills: int, seed: int) -> Report:
    """Run *jobs* jobs, killing the client *kills* times on the way, and hold it to its promises."""
    started_s = time.monotonic()
    async with WatchedEmulator(faults=plan(), seed=seed) as emulator:
        client = Client(emulator, folder, jobs, in_flight=_IN_FLIGHT, timeout_s=_TIMEOUT_S)
        trial = _Trial(client, Random(seed))
        await trial.kill_again_and_again(kills)
        await trial.bring_to_an_end()
        await trial.run_in_vain()
        records = await client.records()
        watcher, stats = emulator.watcher, emulator.stats
        return Report(
            jobs=jobs,
            runs=client.runs,
            kills=trial.kills,
            creates=len(watcher.creates),
            accepted=stats.accepted,
            states=Counter(record.state.value for record in records.values()),
            files=len(client.files()),
            seen=dict(watcher.seen),
            faults=stats.faults,
            violations=[*trial.problems, *await violations(client, records, trial.barred)],
            wall_s=time.monotonic() - started_s,
        )


@attrs.define(eq=False)
class _Trial:
    """One torture as it goes on.

    Attributes:
        barred: Which jobs must not be sent any more, with the run after which that was so and
            what they were.
    """

    client: Client
    random: Random
    kills: Counter[str] = attrs.field(factory=Counter)
    barred: dict[str, tuple[int, JobState]] = attrs.field(factory=dict)
    problems: list[str] = attrs.field(factory=list)

    async def kill_again_and_again(self, times: int) -> None:
        creates = max(1, self.client.jobs // times)  # so that something is left for each kill
        moment = a_moment(self.random, creates)
        while self.kills.total() < times:
            if await self._run(moment):
                self.kills[str(moment)] += 1
                moment = a_moment(self.random, creates)
            else:
                # It ended first, having too little left to do; starting up takes its time always.
                moment = Moment(delay_s=self.random.uniform(0.1, 0.5))

    async def bring_to_an_end(self) -> None:
        """Run without kills until another run would change nothing."""
        for _ in range(_MOST_CLEAN_RUNS):
            await self._run(None)
            if all_is_done(await self.client.records(), self.client.jobs):
                return
        self.problems.append(f"there was still something to do after {_MOST_CLEAN_RUNS} runs")

    async def run_in_vain(self) -> None:
        """Run once more, and see that it does nothing."""
        seen, before = self._traces(), await self.client.records()
        ended = await self.client.run()
        self.problems += ended.problems
        if self._traces() != seen:
            self.problems.append("a run with nothing left to do made calls or changed files")
        for number, status in ended.statuses.items():
            record = before[prompt(number)]
            if status != _TOLD[record.state]:
                self.problems.append(f"job {number} is {record.state} and was told as {status}")
        if await self.client.records() != before:
            self.problems.append("a run with nothing left to do changed the journal")

    def _traces(self) -> object:
        files = {(path.name, path.stat().st_mtime_ns) for path in self.client.files()}
        return dict(self.client.emulator.watcher.seen), files

    async def _run(self, moment: Moment | None) -> bool:
        ended = await self.client.run(moment)
        self.problems += ended.problems
        await self._take_stock()
        return ended.killed

    async def _take_stock(self) -> None:
        """Look into the journal as the run left it, for what must hold at any time."""
        accepted = set(self.client.emulator.watcher.accepted)
        try:
            records = await self.client.records()
        except JournalError as error:
            records = {}
            if accepted:
                self.problems.append(f"the journal cannot be read: {error}")
        run = self.client.runs
        for text, record in records.items():
            if not may_be_sent(record):
                self.barred.setdefault(text, (run, record.state))
        self.problems += [
            f"after run {run}, {text!r} is accepted, and the journal would send it again"
            for text in accepted
            if text not in records or may_be_sent(records[text])
        ]


#: What a run tells of a job that needs nothing any more.
_TOLD = {
    JobState.COMPLETED: "skipped",
    JobState.FAILED: "failed",
    JobState.UNKNOWN: "unknown",
}


def may_be_sent(record: JobRecord) -> bool:
    """Tell whether a record is of a job of which certainly nothing was accepted."""
    is_unsent = record.state in (JobState.PLANNED, JobState.FAILED)
    return is_unsent and record.task_id is None


def all_is_done(records: Mapping[str, JobRecord], jobs: int) -> bool:
    """Tell whether a further run would change nothing."""
    return len(records) == jobs and all(
        record.state is JobState.UNKNOWN
        or (record.state is JobState.FAILED and record.task_id is not None)
        or (record.state is JobState.COMPLETED and record.path is not None)
        for record in records.values()
    )


# ---- what must hold in the end


async def violations(
    client: Client,
    records: Mapping[str, JobRecord],
    barred: Mapping[str, tuple[int, JobState]],
) -> list[str]:
    """List what must never be; empty if all is well."""
    tasks, creates = client.emulator.tasks, client.emulator.watcher.creates
    stats = client.emulator.stats
    found = [
        *_without_an_end(records, client.jobs),
        *_paid_twice(tasks),
        *_ids_that_differ(tasks, records),
        *_sent_again(creates, barred),
        *_bad_files(client, records),
        *_written_keys(client),
    ]
    for record in records.values():
        if record.state is JobState.UNKNOWN:
            found += _unsent_unknown(record, await client.life(record.key))
    if stats.leaked_keys:
        found.append(f"the key went to another host {stats.leaked_keys} times")
    return found


def _without_an_end(records: Mapping[str, JobRecord], jobs: int) -> Iterator[str]:
    if len(records) != jobs:
        yield f"the journal has {len(records)} of {jobs} jobs"
    for text, record in records.items():
        if record.state not in _TOLD:
            yield f"{text!r} is still {record.state}"
        if record.state is JobState.COMPLETED and record.task_id is None:
            yield f"{text!r} is completed, and has no id"


def _paid_twice(tasks: Sequence[tuple[str, str]]) -> Iterator[str]:
    for text, times in Counter(text for text, _ in tasks).items():
        if times > 1:
            yield f"{text!r} was accepted {times} times"


def _ids_that_differ(
    tasks: Sequence[tuple[str, str]], records: Mapping[str, JobRecord]
) -> Iterator[str]:
    accepted = dict(tasks)
    for text, record in records.items():
        if record.task_id is not None and record.task_id != accepted.get(text):
            yield f"{text!r} has the id {record.task_id}, not {accepted.get(text)}"
    for text, task_id in tasks:
        record = records.get(text)
        if record is None:
            yield f"{task_id} of {text!r} is accepted, and no job of the journal"
        elif record.task_id is None and record.state is not JobState.UNKNOWN:
            yield f"{task_id} of {text!r} is lost: the job is {record.state} without an id"


def _sent_again(
    creates: Sequence[tuple[int, str]], barred: Mapping[str, tuple[int, JobState]]
) -> Iterator[str]:
    for run, text in creates:
        since, state = barred.get(text, (run, None))
        if run > since:
            yield f"{text!r} was sent in run {run}, having been {state} after run {since}"


def _unsent_unknown(record: JobRecord, life: Sequence[JobState]) -> Iterator[str]:
    if list(life[-2:]) != [JobState.SUBMITTING, JobState.UNKNOWN]:
        yield f"{record.request.prompt!r} is unknown, and its life was {', '.join(life)}"


def _bad_files(client: Client, records: Mapping[str, JobRecord]) -> Iterator[str]:
    owned = {}
    for text, record in records.items():
        if record.path is not None:
            path = (client.out / record.path).resolve()
            if path in owned:
                yield f"{path.name} is the file of {text!r} and of {owned[path]!r}"
            owned[path] = text
            yield from _bad_film(path, record, client.emulator.stock.content(text))
    for path in sorted(client.files()):
        if path.resolve() not in owned:
            yield f"{path.name} is nobody's"


def _bad_film(path: Path, record: JobRecord, content: bytes) -> Iterator[str]:
    if not path.exists():
        yield f"{path.name} is missing"
        return
    size_bytes = path.stat().st_size
    if size_bytes != record.size_bytes:
        yield f"{path.name} has {size_bytes} bytes, and {record.size_bytes} on record"
    if path.read_bytes() != content:
        yield f"{path.name} is not the film of {record.request.prompt!r}, or not all of it"
    if not can_be_played(path):
        yield f"{path.name} cannot be played"


def _written_keys(client: Client) -> Iterator[str]:
    key = client.emulator.api_key.encode()
    for path in client.folder.iterdir():
        if path.is_file() and key in path.read_bytes():
            yield f"the key stands in {path.name}"


def can_be_played(path: Path) -> bool:
    try:
        with av.open(path) as container:
            frames = container.decode(video=0)
            return all(next(frames, None) is not None for _ in range(_FRAMES_LOOKED_AT))
    except av.FFmpegError:
        return False


def counted(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(faults.items()))
