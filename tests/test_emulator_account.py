"""The emulator's account, orders, assets and ranges: plain calls with an explicit *now*."""

from __future__ import annotations

import datetime as dt
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

from seedance_async.asset import AssetStatus
from seedance_async.emulator import ranges
from seedance_async.emulator.account import (
    FAILURE_MESSAGES,
    Account,
    Status,
    Task,
    TooManyCreates,
    TooManyTasks,
)
from seedance_async.emulator.assets import Library, problem
from seedance_async.emulator.order import Order

PRO = {"model": "seedance_2_0_pro", "prompt": "A cat"}
FAST = {"model": "seedance_2_0_fast_pro", "prompt": "A cat"}


def make_account(*, seed: int = 0, **settings: Any) -> Account:
    numbers = itertools.count()
    return Account(Random(seed), new_id=lambda: f"video_{next(numbers)}", **settings)


def create(account: Account, now: float = 0.0, **fields: Any) -> Task:
    given = {**PRO, **fields}
    return account.create(Order.of(given), now, body=given)


def test_a_task_walks_from_queued_to_completed() -> None:
    account = make_account()
    task = create(account, 100.0)
    walk = [account.find(task.id, now) for now in (100.0, task.starts_s, task.ends_s)]
    assert [found is task for found in walk] == [True] * 3
    assert task.status(100.0) is Status.QUEUED
    assert task.status(task.starts_s) is Status.PROCESSING
    assert task.status(task.ends_s - 0.001) is Status.PROCESSING
    assert task.status(task.ends_s) is Status.COMPLETED
    assert 2 <= task.starts_s - 100 <= 6


@pytest.mark.parametrize(
    ("model", "shortest_s", "longest_s"),
    [
        ("seedance_2_0", 120, 300),
        ("seedance_2_0_pro", 120, 300),
        ("seedance_2_0_fast", 60, 180),
        ("seedance_2_0_fast_pro", 60, 180),
    ],
)
def test_tasks_take_as_long_as_published(model: str, shortest_s: int, longest_s: int) -> None:
    account = make_account()
    for duration in (4, 15) * 200:
        images = ["https://example.com/1.png"] * (9 if duration > 4 else 0)
        task = create(account, model=model, duration=duration, reference_images=images)
        assert shortest_s <= task.ends_s - task.created_s <= longest_s


def test_longer_videos_and_references_take_longer() -> None:
    def mean_s(**fields: Any) -> float:
        account = make_account()
        return sum(create(account, **fields).ends_s for _ in range(200)) / 200

    images = ["https://example.com/1.png"] * 4
    assert mean_s(duration=4) + 20 < mean_s(duration=15)
    assert mean_s(duration=4) + 20 < mean_s(duration=4, reference_images=images)
    assert mean_s(duration=4) + 5 < mean_s(duration=4, first_image=images[0])


def test_the_seed_decides_and_nothing_else() -> None:
    def fates(seed: int) -> list[tuple[float, str | None]]:
        account = make_account(seed=seed, failures=0.5)
        return [(task.ends_s, task.failure) for task in (create(account) for _ in range(20))]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)


def test_the_share_of_failures_leaves_the_times_alone() -> None:
    sunny, rainy = make_account(), make_account(failures=1.0)
    assert [create(sunny).ends_s for _ in range(9)] == [create(rainy).ends_s for _ in range(9)]


def test_what_exceeds_the_concurrency_waits_queued_for_the_first_free_slot() -> None:
    account = make_account(concurrency=2)
    tasks = [create(account) for _ in range(5)]
    early, late = sorted(task.ends_s for task in tasks[:2])
    assert [tasks[2].starts_s, tasks[3].starts_s] == sorted(
        [early, min(late, tasks[2].ends_s)],
    )
    moments = sorted({moment for task in tasks for moment in (task.starts_s, task.ends_s)})
    running = [sum(task.status(now) is Status.PROCESSING for task in tasks) for now in moments]
    assert max(running) == 2
    assert tasks[4].status(early) is Status.QUEUED
    assert account.peak_in_flight == 5


def test_a_slot_that_is_free_is_not_waited_for() -> None:
    account = make_account(concurrency=1)
    first = create(account)
    second = create(account, first.ends_s + 50)
    assert second.starts_s <= first.ends_s + 56


def test_the_rate_allows_so_many_in_any_minute() -> None:
    account = make_account(creates_per_minute=2)
    create(account, 0.0)
    create(account, 30.0)
    with pytest.raises(TooManyCreates) as full:
        create(account, 45.0)
    assert full.value.wait_s == 15
    create(account, 60.0)
    with pytest.raises(TooManyCreates) as full:
        create(account, 60.0)
    assert full.value.wait_s == 30
    assert account.accepted == 3


@pytest.mark.parametrize("max_queued", [0, 3])
def test_what_exceeds_the_queue_is_refused_until_a_task_ends(max_queued: int) -> None:
    account = make_account(concurrency=2, max_queued=max_queued)
    tasks = [create(account) for _ in range(2 + max_queued)]
    with pytest.raises(TooManyTasks) as full:
        create(account, 10.0)
    first_end_s = min(task.ends_s for task in tasks)
    assert full.value.wait_s == first_end_s - 10
    create(account, first_end_s)
    assert account.accepted == account.peak_in_flight + 1 == 3 + max_queued


def test_a_share_of_the_tasks_fails_with_various_messages() -> None:
    account = make_account(failures=0.25)
    failures = Counter(create(account).failure for _ in range(4_000))
    assert 900 < 4_000 - failures.pop(None) < 1_100
    assert set(failures) == set(FAILURE_MESSAGES)


@pytest.mark.parametrize(("share", "failed"), [(0.0, 0), (1.0, 50)])
def test_none_or_all_can_fail(share: float, failed: int) -> None:
    account = make_account(failures=share)
    assert sum(create(account).failure is not None for _ in range(50)) == failed


def test_a_callable_decides_from_the_body() -> None:
    def judge(body: Mapping[str, Any]) -> str | None:
        return "no dogs" if "dog" in body["prompt"] else None

    account = make_account(failures=judge)
    good, bad = create(account), create(account, prompt="A dog")
    assert (good.failure, bad.failure) == (None, "no dogs")
    assert bad.status(bad.ends_s) is Status.FAILED


def test_a_callable_that_raises_leaves_the_account_as_it_was() -> None:
    def broken(_: Mapping[str, Any]) -> str | None:
        raise LookupError

    account = make_account(failures=broken, concurrency=1, creates_per_minute=1)
    for _ in range(3):
        with pytest.raises(LookupError):
            create(account)
    assert (account.accepted, account.in_flight, len(account.accepted_ids)) == (0, 0, 0)


def test_counts_follow_the_clock() -> None:
    account = make_account(failures=lambda body: "no" if body["prompt"] == "bad" else None)
    tasks = [create(account, prompt=prompt) for prompt in ("good", "bad", "good")]
    account.settle(max(task.ends_s for task in tasks))
    assert (account.in_flight, account.completed, account.failed) == (0, 2, 1)
    create(account, 1_000.0)
    assert (account.in_flight, account.peak_in_flight, account.accepted) == (1, 3, 4)
    assert list(account.accepted_ids) == [f"video_{number}" for number in range(4)]


def test_an_ended_task_is_forgotten_a_day_after_its_video_expired() -> None:
    account = make_account(video_ttl_s=100)
    task = create(account)
    assert account.find(task.id, task.ends_s + 100 + 86_399) is task
    assert account.find(task.id, task.ends_s + 100 + 86_400) is None


def test_memory_is_bounded_over_100_000_tasks_and_none_in_flight_is_forgotten() -> None:
    account = make_account(max_ended=1_000)
    known_at_most, now = 0, 0.0
    for number in range(100_000):
        now = number * 0.5
        task = create(account, now)
        known_at_most = max(known_at_most, len(account))
        assert account.find(task.id, now) is task
    assert account.peak_in_flight < 700  # two a second, for at most 300 s
    assert known_at_most <= account.peak_in_flight + 1_000
    assert account.find("video_0", now) is None
    in_flight = [f"video_{number}" for number in range(100_000 - 200, 100_000)]
    assert all(account.find(task_id, now) for task_id in in_flight)


def test_all_tasks_in_flight_are_known_however_many() -> None:
    account = make_account(max_ended=10)
    tasks = [create(account) for _ in range(5_000)]
    assert len(account) == account.in_flight == 5_000
    account.settle(max(task.ends_s for task in tasks))
    assert len(account) == 10
    latest = sorted(tasks, key=lambda task: task.ends_s)[-10:]
    assert all(account.find(task.id, 400.0) is task for task in latest)


def test_a_task_keeps_no_more_of_a_prompt_than_a_film_shows() -> None:
    task = create(make_account(), prompt="x" * 500_000)
    assert sys.getsizeof(task.order.prompt) < 2_100


# ---- orders


def test_tokens_are_those_of_the_contracts_sample() -> None:
    assert Order.of({**PRO, "duration": 4}).total_tokens == 40_594
    assert type(Order.of({**PRO, "aspect_ratio": "adaptive"}).total_tokens) is int


def test_an_order_takes_the_apis_defaults() -> None:
    order = Order.of(PRO)
    assert (order.duration_s, order.audio) == (5, True)
    assert order.width_over_height == pytest.approx(16 / 9)
    assert order.caption == ("seedance_2_0_pro", "5 s", "16:9", "audio on")


@pytest.mark.parametrize(
    ("fields", "ratio"),
    [
        ({"aspect_ratio": "9:16"}, 9 / 16),
        ({"aspect_ratio": "21:9"}, 21 / 9),
        ({"aspect_ratio": "adaptive"}, 16 / 9),
        ({"aspect_ratio": "adaptive", "first_image": "http://h/media/300x600.png"}, 0.5),
        ({"aspect_ratio": "adaptive", "first_image": "http://h/x/media/900x600.png?a=1"}, 1.5),
        ({"aspect_ratio": "adaptive", "reference_images": ["http://h/media/9x6.png"]}, 1.5),
        ({"aspect_ratio": "adaptive", "first_image": "http://h/media/6000x300.png"}, 2.5),
        ({"aspect_ratio": "adaptive", "first_image": "http://h/media/300x6000.png"}, 0.4),
        ({"aspect_ratio": "adaptive", "first_image": "http://h/media/0x300.png"}, 16 / 9),
        ({"aspect_ratio": "adaptive", "first_image": "http://h/media/300x600.pngx"}, 16 / 9),
        ({"aspect_ratio": "adaptive", "first_image": "asset://asset-1"}, 16 / 9),
        ({"aspect_ratio": "adaptive", "first_image": "http://[/media/300x600.png"}, 16 / 9),
        ({"aspect_ratio": "1:1", "first_image": "http://h/media/300x600.png"}, 1.0),
    ],
)
def test_the_shape_of_a_film(fields: dict[str, Any], ratio: float) -> None:
    assert Order.of({**PRO, **fields}).width_over_height == pytest.approx(ratio)


def test_an_order_survives_whatever_a_waived_rule_lets_through() -> None:
    odd: dict[str, Any] = {
        "model": 1,
        "prompt": None,
        "duration": True,
        "aspect_ratio": {},
        "first_image": [],
    }
    order = Order.of({**odd, "reference_images": "x", "generate_audio": "no"})
    assert (order.model, order.prompt, order.duration_s, order.audio) == ("", "", 5, True)
    assert Order.of({**PRO, "duration": 10**9}).duration_s == 60
    assert Order.of({**PRO, "duration": -3}).duration_s == 1
    assert not Order.of({**PRO, "generate_audio": False}).audio


def test_the_caption_counts_media() -> None:
    images = ["https://example.com/1.png"] * 2
    assert Order.of({**FAST, "reference_images": images}).caption[-1] == "2 references"
    assert Order.of({**FAST, "first_image": images[0]}).caption[-1] == "1 frame"


# ---- assets

NOW = dt.datetime(2026, 3, 30, 14, 21, 58, tzinfo=dt.UTC)


def register(library: Library, now: float = 0.0) -> str:
    url = "https://example.com/1.png"
    body = {"assetType": "Image", "url": url}
    return library.register(body, fetchable=True, now=now, created_at=NOW).id


def test_an_asset_is_active_after_its_review() -> None:
    library = Library(Random(0), chance=Random(1))
    asset = library.find(register(library, 5.0))
    assert asset is not None
    assert asset.id.startswith("asset-20260330142158-")
    assert len(asset.id) == len("asset-20260330142158-q75m8")
    assert asset.status(14.9) is AssetStatus.PROCESSING
    assert asset.status(15.0) is AssetStatus.ACTIVE


def test_only_active_or_unknown_assets_may_be_referred_to() -> None:
    library = Library(Random(0), chance=Random(1))
    ready, gone, fresh = register(library), register(library), register(library, 50.0)
    library.delete(gone)
    given = {"reference_images": [f"asset://{name}" for name in (ready, gone, fresh, "other")]}
    broken = list(library.violations(given, 50.0))
    assert [(each.rule, each.field) for each in broken] == [
        ("media.reference", "reference_images[1]"),
        ("media.reference", "reference_images[2]"),
    ]


def test_a_deleted_asset_is_gone_for_good() -> None:
    library = Library(Random(0), chance=Random(1))
    asset_id = register(library)
    assert library.delete(asset_id)
    assert library.find(asset_id) is None
    assert not library.delete(asset_id)


def test_what_is_rejected_or_cannot_be_fetched_fails_its_review() -> None:
    rejected = Library(Random(0), chance=Random(1), rejections=lambda body: "1.png" in body["url"])
    by_chance = [Library(Random(0), chance=Random(1), rejections=0.5) for _ in range(2)]
    asset = rejected.find(register(rejected))
    assert asset is not None
    assert (asset.status(9.9), asset.status(10.0)) == ("Processing", "Failed")
    (violation,) = rejected.violations({"first_image": f"asset://{asset.id}"}, 10.0)
    assert violation.message == "is an asset that failed its review"
    lost = Library(Random(0), chance=Random(1))
    body = {"assetType": "Image", "url": "https://example.com"}
    assert lost.register(body, fetchable=False, now=0.0, created_at=NOW).rejected
    draws = [[each._rejects({}) for _ in range(20)] for each in by_chance]
    assert draws[0] == draws[1]
    assert 0 < sum(draws[0]) < 20


def test_the_library_keeps_the_latest() -> None:
    library = Library(Random(0), chance=Random(1), max_assets=3)
    ids = [register(library) for _ in range(5)]
    assert [library.find(asset_id) is not None for asset_id in ids] == [False] * 2 + [True] * 3


@pytest.mark.parametrize(
    ("kind", "url", "name", "word"),
    [
        ("image", "https://example.com/1.png", None, "assetType"),
        (["Image"], "https://example.com/1.png", None, "assetType"),
        ("Image", "ftp://example.com/1.png", None, "url"),
        ("Image", "https:///1.png", None, "url"),
        ("Image", "http://[", None, "url"),
        ("Image", None, None, "url"),
        ("Image", "https://example.com/1.png", 7, "name"),
    ],
)
def test_what_cannot_be_registered(kind: Any, url: Any, name: Any, word: str) -> None:
    assert word in (problem(kind, url, name) or "")


def test_what_can_be_registered() -> None:
    for kind in ("Image", "Video", "Audio", "Document"):
        assert problem(kind, "http://example.com/1", "a name") is None


# ---- ranges


@pytest.mark.parametrize(
    ("header", "positions"),
    [
        (None, None),
        ("bytes=0-", range(100)),
        ("bytes=0-0", range(1)),
        ("bytes=10-19", range(10, 20)),
        ("bytes=90-500", range(90, 100)),
        ("bytes=-10", range(90, 100)),
        ("bytes=-500", range(100)),
        ("Bytes = 5-6", range(5, 7)),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("items=0-5", None),
        ("bytes=x-y", None),
        (f"bytes={'9' * 5000}-", None),
    ],
)
def test_the_bytes_that_are_asked_for(header: str | None, positions: range | None) -> None:
    assert ranges.select(header, 100) == positions


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_bytes_that_the_file_does_not_have(header: str) -> None:
    assert ranges.select(header, 100) == range(0)


def test_a_core_module_imports_no_clock_and_no_loop() -> None:
    core: list[Callable[..., Any]] = [Account, Library, Order, ranges.select]
    for thing in core:
        names = vars(sys.modules[thing.__module__])
        assert not {"asyncio", "anyio", "aiohttp", "time", "random"} & set(names)
