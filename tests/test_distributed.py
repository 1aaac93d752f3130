"""Many machines, one account: real workers in processes of their own, at a real Postgres.

Real time, since nothing else can be killed, stopped and restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import postgres
import pytest
from programs import tool

from seedance_async import JobState, VideoRequest
from seedance_async.distributed import DistributedClient
from seedance_async.emulator import Emulator, Fault

PROGRAM = Path(__file__).with_name("distributed_worker.py")
pytestmark = pytest.mark.skipif(
    postgres.reason_to_skip() is not None, reason=postgres.reason_to_skip() or ""
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def dsn(server: postgres.Server) -> str:
    return server.new_database()


class Accepted:
    """What the emulator has accepted: ids by prompts, and when."""

    def __init__(self) -> None:
        self.ids: dict[str, list[str]] = {}
        self.times: list[float] = []
        self._next = anyio.Event()

    def __call__(self, task_id: str, prompt: str, *_: object) -> None:
        self.ids.setdefault(prompt, []).append(task_id)
        self.times.append(time.monotonic())
        self._next.set()

    async def next(self) -> None:
        """Wait for the next create to be accepted; its answer is still to come."""
        self._next = anyio.Event()
        await self._next.wait()

    @property
    def repeated(self) -> dict[str, list[str]]:
        return {prompt: ids for prompt, ids in self.ids.items() if len(ids) > 1}

    def most_within(self, seconds: float) -> int:
        times = sorted(self.times)
        return max(
            sum(1 for at in times[first:] if at < times[first] + seconds)
            for first in range(len(times))
        )


@attrs.define
class Crew:
    """Worker processes at one database and one emulator."""

    told: dict[str, Any]
    folder: Path
    members: list[asyncio.subprocess.Process] = attrs.field(factory=list)

    async def join(self, name: str = "spool", **more: Any) -> asyncio.subprocess.Process:
        told = {**self.told, "spool": str(self.folder / name), **more}
        with (self.folder / f"{len(self.members)}.log").open("wb") as log:
            member = await asyncio.create_subprocess_exec(
                sys.executable,
                str(PROGRAM),
                json.dumps(told),
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(PROGRAM.parent)},
            )
        self.members.append(member)
        assert member.stdout is not None
        said = await asyncio.wait_for(member.stdout.readline(), 60)
        assert said == b"ready\n", self.log()
        return member

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    async def leave(self) -> None:
        for member in self.members:
            if member.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    member.send_signal(signal.SIGCONT)
                    member.terminate()
        for member in self.members:
            try:
                await asyncio.wait_for(member.wait(), 30)
            except TimeoutError:
                member.kill()


@contextlib.asynccontextmanager
async def crew(dsn: str, emulator: Emulator, folder: Path, **more: Any) -> AsyncIterator[Crew]:
    """Have the emulator serve, and a crew that is still to join."""
    async with emulator:
        its = Crew({"dsn": dsn, "base_url": emulator.base_url, **more}, folder)
        try:
            yield its
        finally:
            await its.leave()


def request(number: int) -> VideoRequest:
    return VideoRequest(model="seedance_2_0_fast_pro", prompt=f"film {number}")


async def hand_in(client: DistributedClient, count: int) -> None:
    async def one(number: int) -> None:
        await client.submit(request(number), key=f"job {number}")

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(one, number)


async def until(client: DistributedClient, count: int, *states: JobState, s: float = 90) -> None:
    """Wait until so many jobs are in one of the states."""
    with anyio.fail_after(s):
        while True:
            counted = (await client.counts())["main"]
            if sum(counted.get(state, 0) for state in states) >= count:
                return
            await anyio.sleep(0.1)


ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.UNKNOWN)


async def adopt_unknown(client: DistributedClient, accepted: Accepted) -> int:
    """Settle unknown jobs by what the provider's billing would say."""
    unknown = [record async for record in client.jobs("unknown")]
    for record in unknown:
        ids = accepted.ids.get(record.request.prompt)
        if ids:
            await client.adopt(record.key, ids[0])
        else:
            await client.resubmit(record.key, reason="not in the billing")
    return len(unknown)


async def test_a_worker_is_killed_and_another_joins(dsn: str, tmp_path: Path) -> None:
    jobs, accepted = 500, Accepted()
    emulator = Emulator(speed=100, latency_s=0.5, on_accept=accepted)
    async with crew(dsn, emulator, tmp_path, creates_per_minute=3000) as workers:
        first = await workers.join("a")
        await workers.join("b")
        async with DistributedClient(dsn) as client:
            await hand_in(client, jobs)
            await until(client, 60, *ENDED)
            await accepted.next()
            first.kill()
            await until(client, 100, *ENDED)
            await workers.join("c")
            await until(client, jobs, *ENDED, s=120)
            peak = emulator.stats.peak_in_flight
            unknown = await adopt_unknown(client, accepted)
            results = [client.job(f"job {number}").result(60) for number in range(jobs)]
            records = await asyncio.gather(*results)
    assert {record.state for record in records} == {JobState.COMPLETED}
    assert all(record.path for record in records)
    assert accepted.repeated == {}
    assert emulator.stats.accepted == jobs
    assert 0 < unknown <= 50
    assert peak <= 50
    assert not emulator.stats.refused


async def test_a_worker_that_stands_still_is_replaced_and_stops(dsn: str, tmp_path: Path) -> None:
    jobs, accepted = 100, Accepted()
    emulator = Emulator(speed=100, latency_s=0.5, on_accept=accepted)
    async with crew(dsn, emulator, tmp_path, max_in_flight=20) as workers:
        first = await workers.join("a")
        async with DistributedClient(dsn) as client:
            await hand_in(client, jobs)
            await until(client, 10, *ENDED)
            await accepted.next()
            first.send_signal(signal.SIGSTOP)
            await workers.join("b")
            await until(client, 1, JobState.UNKNOWN)  # what it had on the wire
            await until(client, 50, *ENDED)
            first.send_signal(signal.SIGCONT)
            # The answers waited for it, and so their jobs are not unknown any more.
            await until(client, jobs, JobState.COMPLETED)
            assert await asyncio.wait_for(first.wait(), 30) == 3
            assert first.stdout is not None
            assert await first.stdout.readline() == b"fenced\n"
            assert len(await client.workers()) == 1
    assert accepted.repeated == {}
    assert emulator.stats.accepted == jobs
    assert emulator.stats.peak_in_flight <= 20
    assert not emulator.stats.refused


async def test_postgres_is_away_for_a_while(tmp_path: Path) -> None:
    jobs, accepted = 200, Accepted()
    with postgres.running() as server:
        dsn = server.new_database()
        emulator = Emulator(speed=100, latency_s=0.2, on_accept=accepted)
        async with crew(dsn, emulator, tmp_path, max_in_flight=20) as workers:
            await workers.join("a")
            await workers.join("b")
            async with DistributedClient(dsn) as client:
                await hand_in(client, jobs)
                await until(client, 20, *ENDED)
                await accepted.next()
                await asyncio.to_thread(server.stop)
                before = len(accepted.times)
                await anyio.sleep(20)
                assert len(accepted.times) - before <= 20  # what was intended before
                await asyncio.to_thread(server.start)
                await until(client, jobs, *ENDED)
                counted = (await client.counts())["main"]
                there = len(await client.workers())
            assert [member.returncode for member in workers.members] == [None, None]
    assert counted == {JobState.COMPLETED: jobs}
    assert there == 2
    assert accepted.repeated == {}
    assert emulator.stats.accepted == jobs
    assert emulator.stats.peak_in_flight <= 20


async def test_fifty_clients_with_one_key_make_one_video(dsn: str, tmp_path: Path) -> None:
    emulator = Emulator(speed=600)
    async with crew(dsn, emulator, tmp_path) as workers:
        await workers.join("a")
        await workers.join("b")
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(DistributedClient(dsn)) for _ in range(50)]

            async def one(client: DistributedClient) -> str | None:
                job = await client.submit(request(1), key="tg:12345:678")
                return (await job.result(60)).path

            paths = await asyncio.gather(*map(one, clients))
    assert len(set(paths)) == 1
    assert emulator.stats.accepted == 1


async def test_the_rate_is_the_accounts_and_not_each_workers(dsn: str, tmp_path: Path) -> None:
    accepted = Accepted()
    emulator = Emulator(speed=600, on_accept=accepted)
    async with crew(dsn, emulator, tmp_path, creates_per_minute=30) as workers:
        await workers.join("a")
        await workers.join("b")
        async with DistributedClient(dsn) as client:
            await hand_in(client, 60)
            await until(client, 5, *ENDED)
            counted = (await client.counts())["main"]
            # Each keeps their distance, and together they have begun no more than four fifths.
            assert counted[JobState.PLANNED] >= 60 - 24
            await client.set_limit("main", creates_per_minute=60_000)
            await until(client, 60, JobState.COMPLETED)
    assert accepted.repeated == {}
    assert emulator.stats.accepted == 60


async def test_a_dump_has_no_key_and_no_signed_url(dsn: str, tmp_path: Path) -> None:
    key = "sk-of-an-account-that-nobody-may-read"
    faults = [Fault("create.reset_after_accept"), Fault("query.error_object")]
    emulator = Emulator(speed=600, api_key=key, faults=faults, failures=0.3)
    async with crew(dsn, emulator, tmp_path, api_key=key, out=str(tmp_path / "out")) as workers:
        await workers.join("a")
        async with DistributedClient(dsn) as client:
            await hand_in(client, 12)
            await until(client, 12, *ENDED)
            async with client.batch([], account="main") as outcomes:
                assert [outcome async for outcome in outcomes] == []
    dumped = await anyio.run_process([*tool("pg_dump"), "--inserts", dsn])
    dump = dumped.stdout.decode()
    assert "film 7" in dump  # so that what follows means something
    assert "seedance.watch" in dump
    assert key not in dump
    assert "signature=" not in dump
    assert emulator.base_url not in dump
    assert key not in workers.log()
    assert "signature=" not in workers.log()
    assert "film 7" not in workers.log()
