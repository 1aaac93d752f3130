"""The client, killed: at moments that could cost a video or an id, and at random ones.

Real time and real processes, since nothing else can be killed. What is checked in the end stands
in ``torture``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from torture import (
    Client,
    Moment,
    Report,
    Sight,
    WatchedEmulator,
    all_is_done,
    counted,
    torture,
    violations,
)
from torture_client import key, prompt

from seedance_async import JobState
from seedance_async.emulator import Fault

JOBS = 2
FIRST_FILE = "0001-a-cat.mp4"
PLANNED, SUBMITTING, SUBMITTED = JobState.PLANNED, JobState.SUBMITTING, JobState.SUBMITTED
COMPLETED, UNKNOWN = JobState.COMPLETED, JobState.UNKNOWN
#: More than is gathered before it is written, so that half of it is on disk.
LARGE_BYTES = 4 << 20

Clients = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def anyio_backend() -> str:
    """A real loop: processes know nothing of virtual time."""
    return "asyncio"


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    @asynccontextmanager
    async def open_client(*script: Fault, padding_bytes: int = 0) -> AsyncIterator[Client]:
        async with WatchedEmulator(faults=script, padding_bytes=padding_bytes) as emulator:
            yield Client(emulator, tmp_path, JOBS)

    return open_client


def sent(client: Client, number: int = 1) -> int:
    """Count the creates of a job that came to the provider."""
    return [text for _, text in client.emulator.watcher.creates].count(prompt(number))


async def check_end(client: Client) -> None:
    records = await client.records()
    assert await violations(client, records, {}) == []
    assert all_is_done(records, JOBS)


# ---- around the create


async def test_a_create_that_was_on_the_wire_is_unknown_and_never_sent_again(clients: Clients):
    async with clients(Fault("create.hang_after_accept")) as client:
        assert (await client.run(Moment(Sight.ACCEPTED))).killed
        assert (await client.records())[prompt(1)].state is UNKNOWN
        ended = await client.run()
        assert ended.statuses == {1: "unknown", 2: "completed"}
        assert await client.life(key(1)) == [PLANNED, SUBMITTING, UNKNOWN]
        assert sent(client) == 1
        await check_end(client)


async def test_an_id_that_did_not_reach_the_journal_leaves_the_job_unknown(clients: Clients):
    async with clients() as client:
        assert (await client.run(None, "--die", "before", "submitted", key(1))).killed
        assert client.emulator.stats.accepted == 1
        assert (await client.run()).statuses == {1: "unknown", 2: "completed"}
        assert await client.life(key(1)) == [PLANNED, SUBMITTING, UNKNOWN]
        assert sent(client) == 1
        await check_end(client)


async def test_a_job_whose_intent_is_not_on_record_is_sent_once_by_the_next_run(clients: Clients):
    async with clients() as client:
        assert (await client.run(None, "--die", "before", "submitting", key(1))).killed
        assert sent(client) == 0
        assert set((await client.run()).statuses.values()) == {"completed"}
        assert await client.life(key(1)) == [PLANNED, SUBMITTING, SUBMITTED, COMPLETED]
        assert sent(client) == 1
        await check_end(client)


async def test_an_intent_that_is_on_record_is_unknown_though_nothing_was_sent(clients: Clients):
    async with clients() as client:
        assert (await client.run(None, "--die", "after", "submitting", key(1))).killed
        assert (await client.run()).statuses[1] == "unknown"
        assert sent(client) == 0
        await check_end(client)


async def test_a_task_whose_id_is_on_record_is_asked_about_by_the_next_run(clients: Clients):
    async with clients() as client:
        assert (await client.run(None, "--die", "after", "submitted", key(1))).killed
        assert (await client.records())[prompt(1)].state is SUBMITTED
        assert set((await client.run()).statuses.values()) == {"completed"}
        assert await client.life(key(1)) == [PLANNED, SUBMITTING, SUBMITTED, COMPLETED]
        assert sent(client) == 1
        await check_end(client)


# ---- around the download


async def test_a_video_whose_completion_is_on_record_is_brought_to_disk(clients: Clients):
    async with clients() as client:
        assert (await client.run(None, "--die", "after", "completed", key(1))).killed
        assert client.files() == set()
        await client.run()
        await check_end(client)


async def test_a_download_that_was_cut_by_a_kill_leaves_one_whole_file(clients: Clients):
    async with clients(Fault("download.stall"), padding_bytes=LARGE_BYTES) as client:
        moment = Moment(
            Sight.DOWNLOAD_CAME,
            waits_for=lambda: any(file.stat().st_size for file in client.files()),
        )
        assert (await client.run(moment)).killed
        assert [path.suffix for path in client.files()] == [".part"]
        await client.run()
        await check_end(client)


async def test_a_file_in_its_place_and_not_on_record_is_not_fetched_into_a_second_one(
    clients: Clients,
):
    async with clients() as client:
        assert (await client.run(None, "--die", "before", "downloaded", key(1))).killed
        assert [path.suffix for path in client.files()] == [".mp4"]
        await client.run()
        assert len(client.files()) == JOBS
        await check_end(client)


async def test_a_file_that_still_has_its_temporary_name_too_is_not_written_over(clients: Clients):
    async with clients(Fault("download.stall", nth=2), padding_bytes=LARGE_BYTES) as client:
        assert (await client.run(Moment(Sight.DOWNLOAD_CAME))).killed
        (part,) = client.files()
        # As after a kill between giving the file its name and taking the old one away.
        content = client.emulator.stock.content(prompt(1))
        part.write_bytes(content)
        os.link(part, client.out / FIRST_FILE)
        half = Moment(
            Sight.DOWNLOAD_CAME,
            waits_for=lambda: part.exists() and 0 < part.stat().st_size < len(content),
        )
        assert (await client.run(half)).killed
        assert (client.out / FIRST_FILE).read_bytes() == content
        await client.run()
        assert len(client.files()) == JOBS
        await check_end(client)


async def test_a_file_that_is_on_record_is_left_alone(clients: Clients):
    async with clients() as client:
        assert (await client.run(None, "--die", "after", "downloaded", key(1))).killed
        assert (await client.run()).statuses == {1: "skipped", 2: "completed"}
        await check_end(client)


# ---- everything at once


@pytest.mark.parametrize("seed", [1])
async def test_nothing_is_paid_twice_or_lost_while_everything_goes_wrong(tmp_path: Path, seed: int):
    report: Report = await torture(tmp_path, jobs=50, kills=6, seed=seed)
    assert report.violations == [], counted(report.faults)
    assert sum(report.kills.values()) == 6
    assert report.states["completed"] > 5
