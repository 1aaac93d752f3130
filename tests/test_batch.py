"""Many jobs: bounded, lazy, and every one of them to its end."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import av
import pytest
from conftest import DONE, ScriptedApi, error, reset, task_json

from seedance_async import (
    DownloadError,
    Fixed,
    InvalidRequest,
    Job,
    Limits,
    Outcome,
    OutcomeStatus,
    SeedanceError,
    SeedanceSession,
    SessionClosed,
    SubmissionUnknown,
    UnexpectedAnswer,
    VideoFailed,
    VideoRequest,
    WaitTimeout,
)
from seedance_async.emulator import Emulator


def now() -> float:
    return asyncio.get_running_loop().time()


def requests(count: int) -> list[VideoRequest]:
    return [
        VideoRequest(model="seedance_2_0_fast_pro", prompt=f"Cat number {n}", duration=4)
        for n in range(count)
    ]


def statuses(outcomes: Any) -> list[str]:
    return [outcome.status for outcome in outcomes]


async def test_a_batch_gives_each_outcome_as_it_ends(session: SeedanceSession) -> None:
    seen: list[Outcome] = []
    async with session.batch(requests(10)) as outcomes:
        async for outcome in outcomes:
            assert outcome.video is not None
            assert outcome.ended_at >= outcome.started_at
            seen.append(outcome)
    assert sorted(outcome.index for outcome in seen) == list(range(10))
    assert [outcome.index for outcome in seen] != list(range(10))
    assert len({outcome.key for outcome in seen}) == 10


async def test_a_report_is_in_input_order_with_sums(session: SeedanceSession) -> None:
    report = await session.run_batch(requests(7))
    assert [outcome.index for outcome in report.outcomes] == list(range(7))
    assert report.ok
    assert report.counts == {**dict.fromkeys(OutcomeStatus, 0), OutcomeStatus.COMPLETED: 7}
    assert report.video_s == 28
    assert report.total_tokens == sum(
        outcome.video.total_tokens or 0 for outcome in report.outcomes if outcome.video
    )
    assert 60 < report.wall_s < 250


async def test_a_thousand_jobs_fifty_at_a_time_thirty_made_to_fail() -> None:
    doomed = {f"Cat number {n}" for n in range(0, 990, 33)}
    assert len(doomed) == 30

    def fails(body: Any) -> str | None:
        return "content rejected" if body["prompt"] in doomed else None

    async with Emulator(failures=fails) as emulator:
        async with SeedanceSession(
            emulator.api_key, base_url=emulator.base_url, pacing=Fixed(30)
        ) as session:
            report = await session.run_batch(requests(1000), max_in_flight=50)
            ended = [job.state async for job in session.jobs()]
        assert emulator.stats.accepted == 1000
        assert emulator.stats.peak_in_flight <= 50
        assert emulator.stats.peak_in_flight >= 45
        known = {outcome.task_id for outcome in report.outcomes}
        assert known == set(emulator.accepted_ids)
    failed = [outcome for outcome in report.outcomes if outcome.status == "failed"]
    assert {o.request.prompt for o in failed if o.request} == doomed
    assert all(isinstance(outcome.error, VideoFailed) for outcome in failed)
    assert report.counts[OutcomeStatus.COMPLETED] == 970
    assert sorted(set(ended)) == ["completed", "failed"]
    assert len(ended) == 1000


@pytest.mark.parametrize("limit", [1, 3, 40])
async def test_never_more_in_flight_than_asked_for(limit: int) -> None:
    async with (
        Emulator() as emulator,
        SeedanceSession(
            emulator.api_key,
            base_url=emulator.base_url,
            pacing=Fixed(5),
            limits=Limits(max_in_flight=limit),
        ) as session,
    ):
        await session.run_batch(requests(10))
        assert emulator.stats.peak_in_flight == min(limit, 10)


async def test_a_generator_is_read_as_slots_get_free(session: SeedanceSession) -> None:
    taken = 0

    def endless() -> Iterator[VideoRequest]:
        nonlocal taken
        while True:
            taken += 1
            yield requests(1)[0]

    async with session.batch(endless(), max_in_flight=4) as outcomes:
        ended = 0
        async for _ in outcomes:
            ended += 1
            assert taken <= 4 + ended
            if ended == 20:
                break
    assert taken <= 24


async def test_a_slow_reader_holds_the_batch_back(
    session: SeedanceSession, emulator: Emulator
) -> None:
    async with session.batch(requests(50), max_in_flight=3) as outcomes:
        await anyio.sleep(10_000)
        assert emulator.stats.accepted <= 6
        assert len([outcome async for outcome in outcomes]) == 50


async def test_async_iterables_are_read_as_well(session: SeedanceSession) -> None:
    async def arriving() -> AsyncIterator[VideoRequest]:
        for request in requests(3):
            await anyio.sleep(100)
            yield request

    report = await session.run_batch(arriving())
    assert report.ok
    assert len(report.outcomes) == 3


async def test_an_empty_batch_ends_at_once(session: SeedanceSession) -> None:
    report = await session.run_batch([])
    assert report.outcomes == ()
    assert report.ok
    assert report.wall_s == 0


async def test_an_invalid_request_is_that_jobs_outcome(
    session: SeedanceSession, emulator: Emulator
) -> None:
    items: list[Any] = [
        requests(1)[0],
        {"model": "seedance_2_0", "prompt": "x"},
        Job(request=requests(1)[0], key="mine", name="the cat"),
        {"model": "seedance_2_0_pro", "prompt": "y", "generateAudio": False, "key": "mine"},
        {"model": "seedance_2_0_pro", "prompt": "y", "duration": 99, "size": 1},
        42,
        {"model": "seedance_2_0_pro", "prompt": "y", "name": "last"},
    ]
    report = await session.run_batch(items)
    assert statuses(report.outcomes) == [
        *("completed", "invalid", "completed", "invalid", "invalid", "invalid", "completed")
    ]
    rules = [
        [violation.rule for violation in outcome.error.violations]
        for outcome in report.outcomes
        if isinstance(outcome.error, InvalidRequest)
    ]
    assert rules == [
        ["model.needs_reference_video"],
        ["key.unique"],
        ["field.known", "duration.range"],
        ["job.type"],
    ]
    assert report.outcomes[2].key == "mine"
    assert report.outcomes[6].name == "last"
    assert emulator.stats.accepted == 3


async def test_a_source_that_fails_stops_feeding_and_hurts_no_job(
    session: SeedanceSession, emulator: Emulator
) -> None:
    def breaking() -> Iterator[VideoRequest]:
        yield from requests(5)
        raise LookupError("my file is gone")

    ended = []
    with pytest.raises(LookupError, match="my file is gone"):  # noqa: PT012
        async with session.batch(breaking()) as outcomes:
            async for outcome in outcomes:
                ended.append(outcome)  # noqa: PERF401 -- what came before the error counts
    assert statuses(ended) == ["completed"] * 5
    assert emulator.stats.accepted == 5


@pytest.mark.parametrize("wrong", ["jobs.jsonl", {"model": "x"}, 7, None, requests(1)[0]])
async def test_what_is_no_batch_is_refused_at_once(session: SeedanceSession, wrong: Any) -> None:
    with pytest.raises(TypeError, match="iterable of requests"):
        await session.run_batch(wrong)


async def test_a_limit_that_makes_no_sense_is_refused(session: SeedanceSession) -> None:
    with pytest.raises(ValueError, match="max_in_flight"):
        await session.run_batch([], max_in_flight=0)


async def test_the_readers_own_exception_arrives_bare(
    session: SeedanceSession, emulator: Emulator
) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with session.batch(requests(30), max_in_flight=5) as outcomes:
            async for _ in outcomes:
                raise ZeroDivisionError
    known = [job.task_id async for job in session.jobs() if job.task_id]
    assert set(known) == set(emulator.accepted_ids)


async def test_leaving_early_ends_the_workers_and_every_id_is_known(
    session: SeedanceSession, emulator: Emulator
) -> None:
    async with session.batch(requests(30), max_in_flight=5) as outcomes:
        await anext(outcomes)
    accepted = emulator.stats.accepted
    known = [job.task_id async for job in session.jobs() if job.task_id]
    assert set(known) == set(emulator.accepted_ids)
    await anyio.sleep(10_000)
    assert emulator.stats.accepted == accepted < 30


async def test_every_kind_of_end_stands_beside_the_others(
    scripted: SeedanceSession, api: ScriptedApi
) -> None:
    def made(n: int) -> dict[str, Any]:
        return {**task_json("queued"), "id": f"video_{n}"}

    async def by_id(request: Any) -> Any:
        from aiohttp import web

        task_id = request.path.rpartition("/")[2]
        answers = {
            "video_0": {**DONE, "id": "video_0"},
            "video_1": {"id": "video_1", "status": "failed", "error": "rejected"},
            "video_2": {"id": "video_2", "status": "teleported"},
            "video_3": {"id": "video_3", "status": "processing"},
        }
        return web.json_response(answers[task_id])

    api.creates = [made(0), made(1), made(2), made(3), reset, error(400), error(402)]
    api.queries = [by_id]
    async with scripted.batch(requests(7), max_in_flight=1, timeout_s=600) as outcomes:
        ended = [outcome async for outcome in outcomes]
    assert [(outcome.status, outcome.task_id) for outcome in ended] == [
        ("completed", "video_0"),
        ("failed", "video_1"),
        ("unknown", "video_2"),
        ("unknown", "video_3"),
        ("unknown", None),
        ("failed", None),
        ("failed", None),
    ]
    assert [type(outcome.error).__name__ for outcome in ended[1:]] == [
        *("VideoFailed", "UnexpectedAnswer", "WaitTimeout"),
        *("SubmissionUnknown", "RequestRefused", "InsufficientBalance"),
    ]
    assert isinstance(ended[2].error, UnexpectedAnswer)
    assert isinstance(ended[3].error, WaitTimeout)
    assert isinstance(ended[4].error, SubmissionUnknown)
    assert api.count("POST") == 7
    assert not any(outcome.ok for outcome in ended[1:])


async def test_a_jobs_deadline_is_its_own(api: ScriptedApi) -> None:
    api.queries = [task_json("processing")]
    async with SeedanceSession("key", base_url=api.base_url, pacing=Fixed(7)) as session:
        started = now()
        report = await session.run_batch(requests(3), timeout_s=100)
    assert statuses(report.outcomes) == ["unknown"] * 3
    assert now() - started == pytest.approx(100, abs=0.1)


async def test_throttled_creates_go_through_in_the_end(emulator: Emulator) -> None:
    async with Emulator(creates_per_minute=10) as strict:
        async with SeedanceSession(
            strict.api_key, base_url=strict.base_url, pacing=Fixed(10)
        ) as session:
            report = await session.run_batch(requests(30), max_in_flight=30)
        assert report.ok
        assert strict.stats.accepted == 30
        assert strict.stats.refused[429] > 0


async def test_a_slow_account_gets_every_job_through_without_losing_patience() -> None:
    async with (
        Emulator(creates_per_minute=1) as slow,
        SeedanceSession(slow.api_key, base_url=slow.base_url, pacing=Fixed(60)) as session,
    ):
        report = await session.run_batch(requests(45), max_in_flight=45)
        assert report.ok
        assert report.wall_s > 44 * 60


async def test_a_batch_downloads_what_it_makes(
    emulator: Emulator, session: SeedanceSession, tmp_path: Path
) -> None:
    jobs = [
        Job(request=requests(1)[0], name="A cat / in the ../ rain"),
        Job(request=VideoRequest(model="seedance_2_0_pro", prompt="A dog", generate_audio=False)),
    ]
    report = await session.run_batch(jobs, out_dir=tmp_path / "videos")
    assert report.ok
    names = [outcome.path.name for outcome in report.outcomes if outcome.path]
    assert names == ["0001-A-cat-in-the-rain.mp4", "0002.mp4"]
    assert {path.name for path in (tmp_path / "videos").iterdir()} == set(names)
    for outcome, (seconds, sound) in zip(report.outcomes, [(4, True), (5, False)], strict=True):
        with av.open(str(outcome.path)) as film:
            assert film.duration is not None
            assert film.duration / 1e6 == pytest.approx(seconds, abs=0.2)
            assert bool(film.streams.audio) is sound


async def test_a_video_that_is_there_already_was_paid_for_and_stays(
    session: SeedanceSession, tmp_path: Path
) -> None:
    reports = [await session.run_batch(requests(1), out_dir=tmp_path) for _ in range(3)]
    paths = [outcome.path for report in reports for outcome in report.outcomes]
    assert [path.name for path in paths if path] == ["0001.mp4", "0001-2.mp4", "0001-3.mp4"]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("wrong", ["file", "file/below", "nul\0", "x" * 300])
async def test_a_folder_that_cannot_be_written_is_told_before_anything_is_paid(
    session: SeedanceSession, emulator: Emulator, tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot write"):
        await session.run_batch(requests(2), out_dir=tmp_path / wrong)
    assert emulator.stats.accepted == 0


async def test_a_folder_that_goes_away_fails_no_job_and_keeps_the_videos(
    session: SeedanceSession, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"

    def vanishing() -> Iterator[VideoRequest]:
        yield from requests(2)
        folder.rmdir()
        folder.write_text("a file, not a folder")

    report = await session.run_batch(vanishing(), out_dir=folder)
    assert statuses(report.outcomes) == ["completed", "completed"]
    assert not report.ok
    for outcome in report.outcomes:
        assert outcome.video is not None
        assert "cannot write" in str(outcome.error)


async def test_two_batches_into_one_folder_overwrite_nothing(
    session: SeedanceSession, tmp_path: Path
) -> None:
    reports = []

    async def run() -> None:
        reports.append(await session.run_batch(requests(3), out_dir=tmp_path))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
    paths = {outcome.path for report in reports for outcome in report.outcomes}
    assert len(paths) == len(list(tmp_path.iterdir())) == 6


async def test_closing_the_session_ends_its_batches(session: SeedanceSession) -> None:
    async def close() -> None:
        await anyio.sleep(30)
        await session.close()

    async with anyio.create_task_group() as group:
        group.start_soon(close)
        with pytest.raises(SessionClosed):
            await session.run_batch(requests(30), max_in_flight=5)
    assert now() < 60


async def test_two_batches_share_a_session(session: SeedanceSession) -> None:
    reports = []

    async def run() -> None:
        reports.append(await session.run_batch(requests(5)))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
    keys = [outcome.key for report in reports for outcome in report.outcomes]
    assert len(set(keys)) == 10
    assert all(report.ok for report in reports)


async def test_a_job_in_flight_costs_a_heap_entry_not_a_task(api: ScriptedApi) -> None:
    api.queries = [task_json("processing")]
    async with (
        SeedanceSession("key", base_url=api.base_url, pacing=Fixed(1e6)) as session,
        session.batch(iter(requests(1000)), max_in_flight=1000, timeout_s=None),
    ):
        await anyio.sleep(1000)
        assert api.count("POST") == 1000
        assert len(asyncio.all_tasks()) < 200


async def test_a_batch_is_iterated_by_hand_to_its_end(session: SeedanceSession) -> None:
    async with session.batch(requests(1)) as outcomes:
        assert (await anext(outcomes)).status == "completed"
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(outcomes)


HUGE = 10**5000
BAD_LINES: list[Any] = [
    {"waive": 5},
    {"waive": True},
    {"waive": [{}]},
    {"waive": "duration.rang"},
    {"duration": HUGE},
    {"model": HUGE},
    {"model": ["seedance_2_0_pro"]},
    {"prompt": "\ud800"},
    {"first_image": "https://a..b/x.png"},
    {"metadata": {"a": float("nan")}},
    {"key": "\ud800"},
]


async def test_no_bad_line_however_odd_hurts_another(
    session: SeedanceSession, emulator: Emulator
) -> None:
    good = {"model": "seedance_2_0_fast_pro", "prompt": "x", "duration": 4}
    report = await session.run_batch([good, *({**good, **bad} for bad in BAD_LINES), good])
    assert statuses(report.outcomes) == ["completed", *["invalid"] * len(BAD_LINES), "completed"]
    for outcome in report.outcomes:
        repr(outcome)


async def test_what_waivers_let_through_hurts_no_other(session: SeedanceSession) -> None:
    waived = {"model": ["x"], "prompt": "x", "waive": ["model.known"]}
    lists = {"model": "seedance_2_0_pro", "prompt": "x", "reference_images": {"a": 1}}
    lists["waive"] = ["reference_images.count"]
    frame = {"model": "seedance_2_0_pro", "prompt": "x", "first_image": 5}
    frame["waive"] = ["media.reference"]
    report = await session.run_batch([waived, lists, frame, *requests(1)])
    assert statuses(report.outcomes) == ["failed", "failed", "failed", "completed"]
    for outcome in report.outcomes:
        repr(outcome)


async def test_a_source_that_is_cancelled_inside_is_told_and_hurts_no_job(
    session: SeedanceSession,
) -> None:
    async def source() -> AsyncIterator[VideoRequest]:
        yield requests(1)[0]
        raise asyncio.CancelledError

    ended = []
    with pytest.raises(SeedanceError, match="source of requests was cancelled"):  # noqa: PT012
        async with session.batch(source()) as outcomes:
            async for outcome in outcomes:
                ended.append(outcome)  # noqa: PERF401
    assert statuses(ended) == ["completed"]


async def test_a_subscriber_that_is_cancelled_inside_hurts_no_job(
    session: SeedanceSession,
) -> None:
    def subscriber(_: object) -> None:
        raise asyncio.CancelledError

    with session.subscribe(subscriber):
        assert (await session.run_batch(requests(2))).ok


async def test_outcomes_end_with_their_block(session: SeedanceSession) -> None:
    async with session.batch(requests(5)) as outcomes:
        await anext(outcomes)
    with pytest.raises(StopAsyncIteration):
        await anext(outcomes)


async def test_a_pacing_that_raises_ends_its_job_with_the_id_and_no_other(
    emulator: Emulator,
) -> None:
    class Moody:
        def delay_s(self, waiting: Any) -> float:
            return 1 / (waiting.polls - 3) if waiting.model == "seedance_2_0_pro" else 20

    moody = VideoRequest(model="seedance_2_0_pro", prompt="x", duration=4)
    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, pacing=Moody()
    ) as session:
        report = await session.run_batch([*requests(2), moody])
    assert statuses(report.outcomes) == ["completed", "completed", "unknown"]
    odd = report.outcomes[2]
    assert odd.task_id in emulator.accepted_ids
    assert odd.error is not None
    assert isinstance(odd.error.__cause__, ZeroDivisionError)


async def test_a_report_pickles(session: SeedanceSession) -> None:
    report = await session.run_batch(requests(2))
    again = pickle.loads(pickle.dumps(report))
    assert again == report
    assert again.outcomes[0].video.raw == report.outcomes[0].video.raw


async def test_a_batch_whose_workers_are_cancelled_from_outside_does_not_end_quietly(
    session: SeedanceSession,
) -> None:
    async def meddle() -> None:
        await anyio.sleep(20)
        for task in asyncio.all_tasks():
            if task.get_name() == "seedance ask":
                task.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(meddle)
        with pytest.raises(SeedanceError, match="its workers were cancelled"):
            await session.run_batch(requests(5))
    assert [job.state async for job in session.jobs()] == ["submitted"] * 5


async def test_a_deadline_is_waited_for_without_a_storm_of_queries(
    session: SeedanceSession, emulator: Emulator
) -> None:
    """In virtual time, where a query takes none, it would go on for ever."""
    report = await session.run_batch(requests(3), timeout_s=12.3456)
    assert report.counts[OutcomeStatus.UNKNOWN] == 3
    assert emulator.stats.queries <= 9


async def test_a_pacing_that_gives_no_number_ends_its_own_job_alone(emulator: Emulator) -> None:
    class Once:
        calls = 0

        def delay_s(self, waiting: Any) -> float:
            self.calls += 1
            return float("nan") if self.calls == 3 else 5.0

    async with SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, pacing=Once()
    ) as session:
        with anyio.fail_after(3600):
            report = await session.run_batch(requests(6), max_in_flight=3)
    assert report.counts[OutcomeStatus.COMPLETED] == 5
    (lost,) = (each for each in report.outcomes if not each.ok)
    assert lost.status is OutcomeStatus.UNKNOWN
    assert lost.task_id in emulator.accepted_ids
