"""The same jobs with the same journal again: what is sent, asked for, fetched and left alone."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from conftest import DONE, TASK_ID, ScriptedApi, error, never, plain, reset, task_json

from seedance_async import (
    BatchReport,
    DownloadError,
    Fixed,
    InvalidRequest,
    Job,
    JobRecord,
    JobState,
    JournalError,
    MemoryJournal,
    OutcomeStatus,
    Retries,
    SeedanceSession,
    ServiceUnavailable,
    SqliteJournal,
    SubmissionUnknown,
    VideoExpired,
    VideoFailed,
    VideoRequest,
    WaitTimeout,
)
from seedance_async.emulator import Emulator, Fault, FaultPlan
from seedance_async.events import Event
from seedance_async.paid import abandon

Open = Callable[..., contextlib.AbstractAsyncContextManager[SeedanceSession]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "videos"


@pytest.fixture
def again(emulator: Emulator, path: Path) -> Open:
    """Open a session at the emulator as a new process would, with the journal of the last."""

    @contextlib.asynccontextmanager
    async def opened(**more: Any) -> AsyncIterator[SeedanceSession]:
        async with SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, pacing=Fixed(5), journal=path, **more
        ) as session:
            yield session

    return opened


@pytest.fixture
def at(api: ScriptedApi, path: Path) -> Open:
    """The same at the scripted API."""

    @contextlib.asynccontextmanager
    async def opened(**more: Any) -> AsyncIterator[SeedanceSession]:
        async with SeedanceSession(
            "key", base_url=api.base_url, pacing=Fixed(5), journal=path, **more
        ) as session:
            yield session

    return opened


def requests(count: int) -> list[VideoRequest]:
    return [
        VideoRequest(model="seedance_2_0_fast_pro", prompt=f"Cat {number}", duration=4)
        for number in range(count)
    ]


def statuses(report: BatchReport) -> list[str]:
    return [outcome.status.value for outcome in report.outcomes]


async def states(session: SeedanceSession) -> dict[str, str]:
    return {job.key: job.state.value async for job in session.jobs()}


# --- a batch again


async def test_what_is_made_and_on_disk_is_skipped(
    again: Open, emulator: Emulator, folder: Path
) -> None:
    async with again() as session:
        first = await session.run_batch(requests(1) * 3, out_dir=folder)
    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    async with again() as session:
        second = await session.run_batch(requests(1) * 3, out_dir=folder)
    assert statuses(second) == ["skipped"] * 3
    assert second.ok
    assert [one.path for one in second.outcomes] == [one.path for one in first.outcomes]
    assert [one.video.id for one in second.outcomes if one.video] == list(emulator.accepted_ids)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files
    assert (second.total_tokens, second.video_s) == (0, 0)


async def test_without_a_folder_what_is_made_is_skipped(again: Open, emulator: Emulator) -> None:
    for expected in ("completed", "skipped"):
        async with again() as session:
            assert statuses(await session.run_batch(requests(2))) == [expected] * 2
    assert emulator.stats.accepted == 2


async def test_what_is_made_but_not_on_disk_is_fetched(
    again: Open, emulator: Emulator, folder: Path
) -> None:
    async with again() as session:
        await session.run_batch(requests(2))
    async with again() as session:
        report = await session.run_batch(requests(2), out_dir=folder)
    assert statuses(report) == ["completed"] * 2
    assert sorted(path.name for path in folder.iterdir()) == ["0001.mp4", "0002.mp4"]
    assert emulator.stats.accepted == 2


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"half")])
async def test_a_file_that_was_removed_or_spoilt_is_fetched_again(
    again: Open, folder: Path, spoil: Callable[[Path], object]
) -> None:
    async with again() as session:
        (first,) = (await session.run_batch(requests(1), out_dir=folder)).outcomes
    assert first.path is not None
    size = first.path.stat().st_size
    spoil(first.path)
    async with again() as session:
        (second,) = (await session.run_batch(requests(1), out_dir=folder)).outcomes
    assert second.status == "completed"
    assert second.path is not None
    assert second.path.stat().st_size == size


async def test_a_folder_may_be_moved_between_two_runs(
    again: Open, folder: Path, tmp_path: Path
) -> None:
    async with again() as session:
        await session.run_batch(requests(2), out_dir=folder)
    folder.rename(tmp_path / "moved")
    async with again() as session:
        report = await session.run_batch(requests(2), out_dir=tmp_path / "moved")
    assert statuses(report) == ["skipped"] * 2
    assert {one.path.parent for one in report.outcomes if one.path} == {tmp_path / "moved"}


async def test_a_url_that_is_gone_is_asked_for_once_more(
    again: Open, emulator: Emulator, folder: Path
) -> None:
    async with again() as session:
        await session.run_batch(requests(1))
        await anyio.sleep(25 * 3600)
    async with again() as session:
        (outcome,) = (await session.run_batch(requests(1), out_dir=folder)).outcomes
    assert outcome.status == "completed"
    assert isinstance(outcome.error, VideoExpired)
    assert outcome.task_id == emulator.accepted_ids[0]
    assert emulator.stats.accepted == 1


async def test_what_is_at_the_provider_is_asked_for_and_not_sent(
    again: Open, emulator: Emulator
) -> None:
    async with again() as session:
        report = await session.run_batch(requests(2), timeout_s=1)
    assert all(isinstance(one.error, WaitTimeout) for one in report.outcomes)
    async with again() as session:
        assert statuses(await session.run_batch(requests(2))) == ["completed"] * 2
    assert emulator.stats.accepted == 2


async def test_a_batch_that_was_left_goes_on_where_it_stopped(
    again: Open, emulator: Emulator, folder: Path
) -> None:
    jobs = requests(1) * 9  # equal ones share one film
    async with (
        again() as session,
        session.batch(jobs, max_in_flight=3, out_dir=folder) as outcomes,
    ):
        await anext(outcomes)
    assert 1 < emulator.stats.accepted < 9
    async with again() as session:
        report = await session.run_batch(jobs, out_dir=folder)
    assert report.ok
    assert emulator.stats.accepted == 9
    assert len(list(folder.iterdir())) == 9


async def test_what_the_provider_failed_stays_failed(at: Open, api: ScriptedApi) -> None:
    api.queries = [task_json("failed", error="content rejected")]
    for _ in range(2):
        async with at() as session:
            (outcome,) = (await session.run_batch(requests(1))).outcomes
        assert outcome.status == "failed"
        assert isinstance(outcome.error, VideoFailed)
        assert (outcome.error.reason, outcome.task_id) == ("content rejected", TASK_ID)
    assert (api.count("POST"), api.count("GET")) == (1, 1)


@pytest.mark.parametrize("refusal", [402, 422, 429])
async def test_what_never_became_a_task_is_sent_again(
    at: Open, api: ScriptedApi, refusal: int
) -> None:
    api.creates = [error(refusal)]
    async with at(retries=Retries(create_patience_s=0)) as session:
        assert statuses(await session.run_batch(requests(1))) == ["failed"]
        assert list((await states(session)).values()) == ["failed"]
    api.creates = [task_json("queued")]
    async with at() as session:
        assert statuses(await session.run_batch(requests(1))) == ["completed"]
        (job,) = [job async for job in session.jobs()]
    assert (job.attempts, job.error) == (2, None)


async def test_what_is_unknown_is_left_alone_and_told(at: Open, api: ScriptedApi) -> None:
    api.creates = [reset]
    jobs = [Job(request=each, key=f"job-{number}") for number, each in enumerate(requests(1))]
    for _ in range(3):
        async with at() as session:
            (outcome,) = (await session.run_batch(jobs)).outcomes
            assert await states(session) == {"job-0": "unknown"}
        assert outcome.status == "unknown"
        assert isinstance(outcome.error, SubmissionUnknown)
        assert outcome.error.key == "job-0"
        assert outcome.error.digest == jobs[0].request.digest
    assert "is unknown since 20" in outcome.error.message
    assert "billing" in outcome.error.message
    assert api.count("POST") == 1


async def test_what_a_journal_of_ones_own_left_on_its_way_is_unknown(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    journal = MemoryJournal()
    planned = JobRecord(key="k", request=request_, planned_at=dt.datetime.now(dt.UTC))
    await journal.plan(planned)
    await journal.put(planned.moved(JobState.SUBMITTING, planned.planned_at))
    async with SeedanceSession("key", base_url=api.base_url, journal=journal) as session:
        with pytest.raises(SubmissionUnknown):
            await session.submit(request_, key="k")
        assert await states(session) == {"k": "unknown"}
    assert api.count("POST") == 0


async def test_what_is_unknown_is_sent_again_only_where_that_is_asked_for(
    at: Open, api: ScriptedApi
) -> None:
    api.creates = [reset, reset, task_json("queued")]
    seen = []
    for on_unknown in ("leave", "resubmit", "leave", "resubmit"):
        async with at() as session:
            report = await session.run_batch(requests(1), on_unknown=on_unknown)
        seen.append((statuses(report)[0], api.count("POST")))
    assert seen == [("unknown", 1), ("unknown", 2), ("unknown", 2), ("completed", 3)]


async def test_only_two_ways_with_unknown_jobs_are_known(session: SeedanceSession) -> None:
    with pytest.raises(ValueError, match="on_unknown must be 'leave' or 'resubmit'"):
        await session.run_batch(requests(1), on_unknown="retry")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_unknown"):
        await session.submit(requests(1)[0], on_unknown="again")  # type: ignore[arg-type]


async def test_equal_requests_are_told_apart_by_their_places(
    again: Open, emulator: Emulator
) -> None:
    (request,) = requests(1)
    async with again() as session:
        await session.run_batch([request] * 2)
    async with again() as session:
        report = await session.run_batch([request] * 3)
    assert statuses(report) == ["skipped", "skipped", "completed"]
    assert emulator.stats.accepted == 3


async def test_jobs_may_change_their_places_in_the_file(again: Open, emulator: Emulator) -> None:
    async with again() as session:
        await session.run_batch(requests(3))
    async with again() as session:
        report = await session.run_batch([*requests(4)[::-1]])
    assert statuses(report) == ["completed", "skipped", "skipped", "skipped"]
    assert emulator.stats.accepted == 4


async def test_without_a_journal_the_same_batch_is_made_again(
    session: SeedanceSession, emulator: Emulator
) -> None:
    for _ in range(2):
        assert statuses(await session.run_batch(requests(2))) == ["completed"] * 2
    assert emulator.stats.accepted == 4


async def test_metadata_is_the_callers_and_may_change(again: Open) -> None:
    def job(row: int) -> Job:
        request = VideoRequest(model="seedance_2_0_pro", prompt="A cat", metadata={"row": row})
        return Job(request=request, key="k")

    for row in (1, 2):
        async with again() as session:
            (outcome,) = (await session.run_batch([job(row)])).outcomes
        assert outcome.request is not None
        assert outcome.request.metadata == {"row": row}


async def test_a_key_of_another_request_is_an_error_that_shows_both(
    again: Open, emulator: Emulator
) -> None:
    def job(**fields: Any) -> Job:
        given = {"model": "seedance_2_0_pro", "prompt": "a secret cat", **fields}
        return Job(request=VideoRequest(**given), key="k")

    async with again() as session:
        await session.run_batch([job()])
    async with again() as session:
        changed = job(duration=9, prompt="a secret dog")
        report = await session.run_batch([changed])
        with pytest.raises(InvalidRequest):
            await session.submit(changed.request, key="k")
    (outcome,) = report.outcomes
    assert outcome.status == "invalid"
    (violation,) = outcome.error.violations  # type: ignore[union-attr]
    assert (violation.rule, violation.field) == ("key.request", "key")
    assert "'k' is the key of another request, planned at 20" in violation.message
    assert "duration 5 there and 9 here" in violation.message
    assert "prompt <12 characters, SHA-256 " in violation.message
    assert "secret" not in violation.message
    assert emulator.stats.accepted == 1


async def test_events_tell_what_is_taken_up(again: Open) -> None:
    async with again() as session:
        await session.run_batch(requests(1), timeout_s=1)
    for status in ("queued", "completed"):
        seen: list[Event] = []
        async with again() as session:
            with session.subscribe(seen.append):
                await session.run_batch(requests(1))
        names = [type(event).__name__ for event in seen]
        assert names[:2] == ["Planned", "Resumed"]
        assert "Submitted" not in names
        assert getattr(seen[1], "status", "") == status
        assert seen[1].task_id is not None


async def test_a_crash_between_the_file_and_its_record_makes_no_second_copy(
    again: Open, folder: Path, path: Path, tmp_path: Path
) -> None:
    async with again() as session:
        await session.run_batch(requests(1))
    before = path.read_bytes()
    async with again() as session:
        await session.run_batch(requests(1), out_dir=folder)
    path.write_bytes(before)
    async with again() as session:
        report = await session.run_batch(requests(1), out_dir=folder)
    assert [file.name for file in folder.iterdir()] == ["0001.mp4"]
    assert report.ok


# --- one job again


async def test_a_key_gives_the_same_task_in_the_next_process(
    again: Open, emulator: Emulator, request_: VideoRequest, tmp_path: Path
) -> None:
    async with again() as session:
        first = await session.submit(request_, key="order-7")
    async with again() as session:
        task = await session.submit(request_, key="order-7")
        assert task.id == first.id
        assert (task.key, task.request) == ("order-7", request_)
        video = await task.wait()
    async with again() as session:
        made = await session.generate(request_, key="order-7")
        assert made.id == video.id
        await made.download(tmp_path / "cat.mp4")
        (job,) = [job async for job in session.jobs()]
    assert job.path == str(tmp_path / "cat.mp4")
    assert job.size_bytes == (tmp_path / "cat.mp4").stat().st_size
    assert emulator.stats.accepted == 1


async def test_without_a_key_each_call_is_a_job_of_its_own(
    again: Open, emulator: Emulator, request_: VideoRequest
) -> None:
    for _ in range(2):
        async with again() as session:
            await session.submit(request_)
            await session.submit(request_)
    assert emulator.stats.accepted == 4


async def test_many_calls_with_one_key_at_once_pay_once(
    again: Open, emulator: Emulator, request_: VideoRequest
) -> None:
    ids = set()

    async def submit(session: SeedanceSession) -> None:
        ids.add((await session.submit(request_, key="k")).id)

    async with again() as session, anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(submit, session)
    assert len(ids) == emulator.stats.accepted == 1


async def test_the_next_of_one_key_tries_where_the_first_was_cancelled(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [error(429, Retry_After="60"), task_json("queued")]
    async with at() as session:
        with anyio.move_on_after(5):
            await session.submit(request_, key="k")
        assert (await session.submit(request_, key="k")).id == TASK_ID
    assert api.count("POST") == 2


async def test_a_single_unknown_job_is_not_sent_again(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [reset, task_json("queued")]
    for _ in range(2):
        async with at() as session:
            with pytest.raises(SubmissionUnknown) as caught:
                await session.submit(request_, key="k")
            assert (caught.value.key, caught.value.digest) == ("k", request_.digest)
    assert api.count("POST") == 1
    async with at() as session:
        assert (await session.generate(request_, key="k", on_unknown="resubmit")).id == TASK_ID


async def test_a_failed_video_stays_failed_without_being_asked_for(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.queries = [task_json("failed", error="no")]
    for _ in range(2):
        async with at() as session:
            with pytest.raises(VideoFailed):
                await session.generate(request_, key="k")
    assert (api.count("POST"), api.count("GET")) == (1, 1)


async def test_a_task_taken_up_by_its_id_is_known_to_the_journal(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    async with at() as session:
        task_id = (await session.submit(request_, key="k")).id
    async with at() as session:
        task = session.task(task_id)
        video = await task.wait()
        assert (task.key, task.request, video.request) == ("k", request_, request_)
        assert await states(session) == {"k": "completed"}
        stranger = session.task("video_of_somebody_else")
        api.queries = [{**DONE, "id": stranger.id}]
        assert (await stranger.wait()).request is None


# --- what the journal knows


async def test_the_journal_knows_a_jobs_whole_life(
    again: Open, request_: VideoRequest, tmp_path: Path
) -> None:
    async with again() as session:
        video = await session.generate(request_, key="k")
        await video.download(tmp_path / "cat.mp4")
        (job,) = [job async for job in session.jobs("completed")]
        history = await session.history("k")
        assert await session.history("none") == []
    assert (job.key, job.task_id, job.request, job.attempts) == ("k", video.id, request_, 1)
    assert job.video_url == video.url
    assert job.planned_at <= job.intended_at <= job.submitted_at <= job.ended_at  # type: ignore[operator]
    assert job.downloaded_at is not None
    assert job.video_expires_at > job.downloaded_at  # type: ignore[operator]
    told = [move.state for move in history]
    assert told[:3] == ["planned", "submitting", "submitted"]
    assert told[-2:] == ["completed", "completed"]
    assert [move.path for move in history][-2:] == [None, job.path]
    assert [move.at for move in history] == sorted(move.at for move in history)


async def test_refusals_on_the_way_are_remembered(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [error(429, "slow down"), task_json("queued")]
    async with at() as session:
        await session.submit(request_, key="k")
        history = await session.history("k")
        (job,) = [job async for job in session.jobs()]
    assert [move.state for move in history] == [
        *["planned", "submitting"] * 2,
        "submitted",
    ]
    assert "slow down" in str(history[2].error)
    assert (job.attempts, job.error) == (2, None)


async def test_a_journal_in_use_is_told_before_anything_is_sent(again: Open) -> None:
    async with again():
        with pytest.raises(JournalError, match="is being written by this process"):
            async with again():
                pass
    async with again():
        pass


# --- settling


@pytest.fixture
async def unknown(at: Open, api: ScriptedApi, request_: VideoRequest) -> None:
    api.creates = [reset, task_json("queued")]
    async with at() as session:
        with pytest.raises(SubmissionUnknown):
            await session.submit(request_, key="k")


@pytest.mark.usefixtures("unknown")
async def test_an_unknown_job_whose_task_was_found_is_asked_for(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    async with at() as session:
        settled = await session.settle("k", task_id=TASK_ID)
        assert (settled.state, settled.task_id) == (JobState.SUBMITTED, TASK_ID)
    async with at() as session:
        report = await session.run_batch([Job(request=request_, key="k")])
    assert statuses(report) == ["completed"]
    assert api.count("POST") == 1


@pytest.mark.usefixtures("unknown")
async def test_an_unknown_job_that_was_not_created_is_sent(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    async with at() as session:
        assert (await session.settle("k", not_created=True)).state is JobState.PLANNED
        assert (await session.generate(request_, key="k")).id == TASK_ID
    assert api.count("POST") == 2


@pytest.mark.usefixtures("unknown")
async def test_an_id_that_was_mistyped_can_be_mended_until_it_is_confirmed(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    async with at() as session:
        await session.settle("k", task_id="video_mistyped")
        await session.settle("k", task_id=TASK_ID)
        await session.generate(request_, key="k")
        with pytest.raises(JournalError, match="k is completed: only unknown jobs are settled"):
            await session.settle("k", task_id="video_other")
        told = [move.task_id for move in await session.history("k")]
    assert told[-4:] == ["video_mistyped", None, TASK_ID, TASK_ID]
    assert api.count("POST") == 1


@pytest.mark.usefixtures("unknown")
async def test_a_persons_word_can_be_taken_back_until_something_comes_of_it(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    async with at() as session:
        for word in ({"task_id": "video_mistyped"}, {"not_created": True}, {"task_id": TASK_ID}):
            settled = await session.settle("k", **word)  # type: ignore[arg-type]
            assert settled.task_id == word.get("task_id")
        assert (await session.generate(request_, key="k")).id == TASK_ID
    assert api.count("POST") == 1


async def test_a_job_that_was_never_sent_has_no_id_to_be_given(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [error(429, Retry_After="60")]
    async with at() as session:
        await session._journal.plan(
            JobRecord(key="k", request=request_, planned_at=dt.datetime.now(dt.UTC))
        )
        with pytest.raises(JournalError, match="k is planned: only unknown jobs are settled"):
            await session.settle("k", task_id=TASK_ID)


async def test_a_journal_is_of_one_service(api: ScriptedApi, path: Path) -> None:
    elsewhere = "https://api.example.com"
    async with SeedanceSession("key", base_url=api.base_url, journal=path):
        pass
    with pytest.raises(JournalError, match="made at a private address, not at api"):
        async with SeedanceSession("key", base_url=elsewhere, journal=path):
            pass
    async with SeedanceSession("key", base_url="http://localhost:9", journal=path):
        pass  # another private address may be the same emulator, started again


@pytest.mark.usefixtures("unknown")
async def test_settling_refuses_what_cannot_be(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    async with at() as session:
        for wrong in ({}, {"task_id": TASK_ID, "not_created": True}):
            with pytest.raises(ValueError, match="say one of the two"):
                await session.settle("k", **wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="cannot be a task's id"):
            await session.settle("k", task_id="two words")
        with pytest.raises(JournalError, match="there is no job other"):
            await session.settle("other", not_created=True)
        await session.submit(request_, key="mine")
        with pytest.raises(JournalError, match="belongs to job mine"):
            await session.settle("k", task_id=TASK_ID)
        assert (await states(session))["k"] == "unknown"


# --- the disk


async def test_a_disk_that_takes_no_more_stops_downloads_with_one_error_and_loses_no_id(
    again: Open, emulator: Emulator, folder: Path
) -> None:
    below = folder / "below"
    async with (
        again() as session,
        session.batch(requests(1) * 6, max_in_flight=2, out_dir=below) as outcomes,
    ):
        ended = [await anext(outcomes)]
        folder.rename(folder.with_name("away"))
        folder.write_text("a file is in the way")
        ended += [outcome async for outcome in outcomes]
    assert [outcome.status for outcome in ended] == [OutcomeStatus.COMPLETED] * 6
    errors = [outcome.error for outcome in ended if outcome.path is None]
    assert len(errors) >= 4
    assert all(isinstance(each, DownloadError) and each.task_id for each in errors)
    assert sum("downloads were stopped: " in str(each) for each in errors) >= len(errors) - 2
    folder.unlink()
    async with again() as session:
        assert {job.state async for job in session.jobs()} == {JobState.COMPLETED}
        report = await session.run_batch(requests(1) * 6, out_dir=below)
    assert report.ok
    assert emulator.stats.accepted == 6


async def test_files_are_named_by_the_template(again: Open, folder: Path) -> None:
    jobs = [Job(request=each, key="k/0", name="A b") for each in requests(1)]
    async with again() as session:
        report = await session.run_batch(jobs, out_dir=folder, file_names="{name}_{key}_{id}")
        with pytest.raises(ValueError, match="cannot name files"):
            await session.run_batch(jobs, out_dir=folder, file_names="../{key}")
    task_id = report.outcomes[0].task_id
    assert [path.name for path in folder.iterdir()] == [f"A-b_k-0_{task_id}.mp4"]


# --- faults of the provider that a run leaves behind, and the next one mends


@pytest.mark.parametrize(
    "odd", [plain(200, "<html>"), {**DONE, "video_url": None}, {**DONE, "status": "paused"}, never]
)
async def test_an_odd_end_leaves_the_job_to_the_next_run(
    at: Open, api: ScriptedApi, odd: Any
) -> None:
    api.queries = [odd]
    patience = Retries(query_patience_s=20, odd_answers=2)
    async with at(retries=patience) as session:
        (outcome,) = (await session.run_batch(requests(1))).outcomes
        assert list((await states(session)).values()) == ["submitted"]
    assert (outcome.status, outcome.task_id) == ("unknown", TASK_ID)
    api.queries = [DONE]
    async with at() as session:
        assert statuses(await session.run_batch(requests(1))) == ["completed"]
    assert api.count("POST") == 1


async def test_an_outage_while_creating_costs_nothing_twice(
    emulator: Emulator, again: Open
) -> None:
    async with again(retries=Retries(create_patience_s=1)) as session, emulator.refusing():
        report = await session.run_batch(requests(2))
    assert all(isinstance(one.error, ServiceUnavailable) for one in report.outcomes)
    async with again() as session:
        assert (await session.run_batch(requests(2))).ok
    assert emulator.stats.accepted == 2


async def test_lost_answers_are_all_accounted_for(tmp_path: Path) -> None:
    plan = FaultPlan(script=(Fault("create.reset_after_accept", times=2),))
    async with Emulator(faults=plan) as emulator:
        for _ in range(3):
            async with SeedanceSession(
                emulator.api_key,
                base_url=emulator.base_url,
                pacing=Fixed(5),
                journal=tmp_path / "j.sqlite",
            ) as session:
                report = await session.run_batch(requests(5))
                known = {job.task_id async for job in session.jobs() if job.task_id}
        assert sorted(statuses(report)) == ["skipped"] * 3 + ["unknown"] * 2
        assert known < set(emulator.accepted_ids)
        assert emulator.stats.accepted == 5


# --- attacks


async def test_a_key_with_a_nul_is_refused(session: SeedanceSession, emulator: Emulator) -> None:
    with pytest.raises(InvalidRequest, match=r"key\.text"):
        await session.submit(requests(1)[0], key="a\0b")
    assert emulator.stats.accepted == 0


async def test_two_sessions_on_one_journal_object_pay_once(
    api: ScriptedApi, path: Path, request_: VideoRequest
) -> None:
    """The journal itself holds the intent, whatever else is wrong."""
    api.creates = [error(429, Retry_After="5"), task_json("queued")]
    ended: list[object] = []

    async def submit(session: SeedanceSession) -> None:
        try:
            ended.append((await session.submit(request_, key="k")).id)
        except JournalError as refused:
            ended.append(refused.message)

    async with SqliteJournal(path) as journal:
        one = SeedanceSession("key", base_url=api.base_url, journal=journal)
        other = SeedanceSession("key", base_url=api.base_url, journal=journal)
        async with one, other, anyio.create_task_group() as group:
            group.start_soon(submit, one)
            group.start_soon(submit, other)
        (job,) = [job async for job in journal.records()]
    assert job.task_id == TASK_ID
    assert sum(status == TASK_ID for status in ended) == 1
    assert any("another program is sending it" in str(status) for status in ended)
    assert api.count("POST") == 2  # the one that was refused for the rate, and one that was paid


async def test_a_link_to_a_journal_is_that_journal(again: Open, path: Path) -> None:
    link = path.with_name("link.sqlite")
    async with again():
        link.symlink_to(path)
        with pytest.raises(JournalError, match="is being written by this process"):
            await SqliteJournal(link).open()


async def test_another_current_folder_changes_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    first = SqliteJournal("journal.sqlite")
    await first.open()
    monkeypatch.chdir(tmp_path / "b")
    async with SqliteJournal("journal.sqlite"):
        await first.close()
        with pytest.raises(JournalError, match="being written"):
            await SqliteJournal("journal.sqlite").open()


async def test_of_many_who_resubmit_at_once_one_sends(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [reset]
    ended: list[BaseException] = []

    async def submit(session: SeedanceSession) -> None:
        try:
            await session.submit(request_, key="k", on_unknown="resubmit")
        except SubmissionUnknown as unknown:
            ended.append(unknown)

    for sent in (1, 2):
        async with at() as session, anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(submit, session)
        assert (len(ended), api.count("POST")) == (5 * sent, sent)


@pytest.mark.parametrize("answer", [error(402), error(422), error(429, Retry_After="9999")])
@pytest.mark.usefixtures("unknown")
async def test_a_resubmission_that_was_not_accepted_leaves_the_job_unknown(
    at: Open, api: ScriptedApi, request_: VideoRequest, answer: Any
) -> None:
    api.creates = [answer]
    job = Job(request=request_, key="k")
    async with at() as session:
        (outcome,) = (await session.run_batch([job], on_unknown="resubmit")).outcomes
        assert await states(session) == {"k": "unknown"}
    assert outcome.status == "unknown"
    assert isinstance(outcome.error, SubmissionUnknown)
    sent = api.count("POST")
    async with at() as session:
        assert statuses(await session.run_batch([job])) == ["unknown"]
        assert (await session.settle("k", task_id=TASK_ID)).task_id == TASK_ID
    assert api.count("POST") == sent


async def test_metadata_that_is_changed_later_hurts_nobody(at: Open, api: ScriptedApi) -> None:
    tags: list[object] = ["a"]
    request = VideoRequest(model="seedance_2_0_pro", prompt="A cat", metadata={"tags": tags})
    tags.append({"not", "JSON"})
    async with at() as session:
        report = await session.run_batch([Job(request=request, key="k"), *requests(3)])
        (job, *_) = [job async for job in session.jobs()]
    assert statuses(report) == ["completed"] * 4
    assert job.request.metadata == {"tags": ["a"]}


@pytest.mark.parametrize("depth", [300, 900, 960, 980, 990])
async def test_an_answer_that_is_nested_too_deep_keeps_its_id_and_hurts_nobody(
    at: Open, api: ScriptedApi, depth: int
) -> None:
    body = json.dumps(task_json("queued"))[:-1] + ', "odd": ' + "[" * depth + "]" * depth + "}"
    api.creates = [plain(200, body), task_json("queued")]
    async with at() as session:
        report = await session.run_batch(requests(3), max_in_flight=1)
        ids = [job.task_id async for job in session.jobs()]
    assert statuses(report)[1:] == ["completed"] * 2
    assert ids[0] == TASK_ID or statuses(report)[0] == "unknown"


async def test_a_video_of_a_mistyped_id_is_not_the_jobs(
    at: Open, api: ScriptedApi, request_: VideoRequest
) -> None:
    api.creates = [reset]
    async with at() as session:
        with pytest.raises(SubmissionUnknown):
            await session.submit(request_, key="k")
        await session.settle("k", task_id="video_of_somebody_else")

        async def mended(_: web.Request) -> web.Response:
            await session.settle("k", task_id=TASK_ID)
            return web.json_response({**DONE, "id": "video_of_somebody_else"})

        api.queries = [mended]
        await (await session.submit(request_, key="k")).wait()
        (job,) = [job async for job in session.jobs()]
    assert (job.state, job.task_id, job.video_url) == (JobState.SUBMITTED, TASK_ID, None)


async def test_giving_up_while_the_intent_is_written_leaves_the_job_unsent(
    api: ScriptedApi, request_: VideoRequest
) -> None:
    class Slow(MemoryJournal):
        async def put(self, record: JobRecord) -> None:
            if record.state is JobState.SUBMITTING:
                await anyio.sleep(5)
            await super().put(record)

    async with SeedanceSession("key", base_url=api.base_url, journal=Slow()) as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.submit, request_)
            await anyio.sleep(1)
            abandon()
            group.cancel_scope.cancel()
        assert list((await states(session)).values()) == ["planned"]
    assert api.count("POST") == 0


async def test_a_journal_that_is_removed_while_in_use_stops_what_costs_money(
    again: Open, emulator: Emulator, path: Path
) -> None:
    async with again() as session:
        await session.run_batch(requests(1))
        path.unlink()
        (outcome,) = (await session.run_batch(requests(2)[1:])).outcomes
    assert isinstance(outcome.error, JournalError)
    assert "removed or replaced while in use" in outcome.error.message
    assert emulator.stats.accepted == 1
