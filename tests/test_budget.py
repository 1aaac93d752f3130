"""Budgets: what is counted, what waits, what is refused; and draining."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import DONE, ScriptedApi, error
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_files import picture

from seedance_async import (
    Budget,
    BudgetExceeded,
    Fixed,
    InsufficientBalance,
    Job,
    JournalError,
    Limits,
    MemoryJournal,
    Outcome,
    OutcomeStatus,
    Price,
    PriceTable,
    Retries,
    SeedanceError,
    SeedanceSession,
    SessionClosed,
    SubmissionUnknown,
    VideoRequest,
    WaitTimeout,
)
from seedance_async.emulator import Emulator, Fault
from seedance_async.events import Event, Held, OverBudget
from seedance_async.expenses import Expenses
from seedance_async.lifecycle import JobRecord, JobState
from seedance_async.purse import Purse
from seedance_async.rates import Rates, seconds_of

FAST, PRO = "seedance_2_0_fast_pro", "seedance_2_0_pro"
TOKENS_OF_4_S = 40_594  # what the emulator bills for 16:9 at 4 s


def request(n: int, duration: int = 4, model: str = FAST) -> VideoRequest:
    return VideoRequest(model=model, prompt=f"Cat number {n}", duration=duration)


def requests(count: int, duration: int = 4) -> list[VideoRequest]:
    return [request(n, duration) for n in range(count)]


def opened(emulator: Emulator, **options: Any) -> SeedanceSession:
    return SeedanceSession(
        emulator.api_key, base_url=emulator.base_url, **{"pacing": Fixed(5), **options}
    )


def refused(outcomes: tuple[Outcome, ...]) -> list[int]:
    return [one.index for one in outcomes if isinstance(one.error, BudgetExceeded)]


# ---- values


@pytest.mark.parametrize("name", ["max_videos", "max_video_seconds", "max_tokens", "max_cost"])
@pytest.mark.parametrize("wrong", [-1, "many", float("nan"), True])
def test_a_bound_is_a_number_of_0_or_more(name: str, wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="0 or more"):
        Budget(**{name: wrong})


def test_a_table_of_prices_is_read_and_every_mistake_is_named() -> None:
    table = PriceTable.from_mapping(
        {"currency": "USD", PRO: {"per_million_tokens": 7.5}, FAST: {"per_second": "0.10"}}
    )
    assert table.currency == "USD"
    assert table.prices[PRO].of(5, 200_000) == Decimal("1.5")
    assert table.prices[PRO].of(5, None) is None
    assert table.prices[FAST].of(5, None) == Decimal("0.50")
    for wrong, named in (
        ({"seedance_2_0_prro": {"per_second": 1}}, "did you mean seedance_2_0_pro"),
        ({PRO: {"per_minute": 1}}, "per_video, per_second, per_million_tokens"),
        ({PRO: {}}, "needs one or more"),
        ({PRO: 3}, "needs one or more"),
        ({PRO: {"per_second": "a lot"}}, f"the price of {PRO}: an amount of money"),
        ({PRO: {"per_second": -1}}, "0 or more"),
    ):
        with pytest.raises(ValueError, match=named):
            PriceTable.from_mapping(wrong)


def test_a_bound_for_money_needs_prices() -> None:
    with pytest.raises(ValueError, match="needs prices"):
        SeedanceSession("key", budget=Budget(max_cost=5))


def test_rates_tell_what_videos_of_a_kind_take_and_outlive_the_process() -> None:
    rates = Rates()
    assert rates.tokens(request(1)) is None
    rates.note(request(1, 4), 100)
    rates.note(request(1, 8), 240)
    spread = rates.tokens(request(1, 12))
    assert spread is not None
    assert (spread.low, spread.expected, spread.high) == (300, 340, 360)
    wide = VideoRequest(model=FAST, prompt="x", duration=4, aspect_ratio="21:9")
    # Of a shape that was not seen, as much as all of its model; of another model nothing.
    assert rates.tokens(wide) == rates.tokens(request(1, 4))
    assert rates.tokens(request(1, model=PRO)) is None
    again = Rates.from_json(rates.to_json())
    assert again.tokens(request(1, 12)) == spread


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "7", '{"a": 1}', "[[1]]", '[["m", "s", 1, 1, 0, [1, 1], [1, 1]]]',
     '[["m", "s", 1, -1, 1, [1, 1], [1, 1]]]', '[["m", "s", 1, 1, 1, [], [1, 1]]]', "[null]"],
)  # fmt: skip
def test_rates_that_cannot_be_read_are_none(text: str | None) -> None:
    assert Rates.from_json(text).to_json() == "[]"


# ---- bounds that are known beforehand


async def test_nothing_is_created_beyond_the_number_of_videos(emulator: Emulator) -> None:
    events: list[Event] = []
    async with opened(emulator, budget=Budget(max_videos=5)) as session:
        with session.subscribe(events.append):
            report = await session.run_batch(requests(12), max_in_flight=3)
        assert session.spent is not None
        assert (session.spent.videos, session.spent.video_s) == (5, 20)
        states = Counter([job.state async for job in session.jobs()])
    assert emulator.stats.accepted == 5
    assert refused(report.outcomes) == [5, 6, 7, 8, 9, 10, 11]
    assert report.counts[OutcomeStatus.COMPLETED] == 5
    assert not report.ok
    # What was not sent is planned: nothing went wrong with it.
    assert states == {JobState.COMPLETED: 5, JobState.PLANNED: 7}
    assert sum(isinstance(event, OverBudget) for event in events) == 7


async def test_a_smaller_job_behind_one_that_does_not_fit_is_sent(emulator: Emulator) -> None:
    jobs = [request(0, 8), request(1, 5), request(2, 4)]
    async with opened(emulator, budget=Budget(max_video_seconds=12)) as session:
        report = await session.run_batch(jobs, max_in_flight=1)
    assert refused(report.outcomes) == [1]


async def test_a_single_call_beyond_the_budget_raises(emulator: Emulator) -> None:
    async with opened(emulator, budget=Budget(max_videos=1)) as session:
        await session.generate(request(1))
        with pytest.raises(BudgetExceeded, match="over the budget of 1 videos: 1 spent"):
            await session.submit(request(2))
    assert emulator.stats.accepted == 1


async def test_the_same_batch_again_is_within_the_same_budget(
    emulator: Emulator, tmp_path: Path
) -> None:
    journal = tmp_path / "jobs.sqlite"
    for _ in range(2):
        async with opened(emulator, budget=Budget(max_videos=4), journal=journal) as session:
            report = await session.run_batch(requests(9))
            assert len(refused(report.outcomes)) == 5
            assert session.spent is not None
            assert session.spent.videos == 4
    assert emulator.stats.accepted == 4
    async with opened(emulator, budget=Budget(max_videos=6), journal=journal) as session:
        report = await session.run_batch(requests(9))
    assert (emulator.stats.accepted, len(refused(report.outcomes))) == (6, 3)


async def test_what_was_made_before_counts_before_anything_is_sent(
    emulator: Emulator, tmp_path: Path
) -> None:
    journal = tmp_path / "jobs.sqlite"
    async with opened(emulator, journal=journal) as session:
        await session.run_batch([Job(request=request(8), key="last")])
    jobs = [*requests(8), Job(request=request(8), key="last")]
    async with opened(emulator, budget=Budget(max_videos=3), journal=journal) as session:
        report = await session.run_batch(jobs, max_in_flight=20)
    assert emulator.stats.accepted == 3
    assert report.outcomes[-1].status is OutcomeStatus.SKIPPED


async def test_of_a_source_without_an_end_no_more_is_read(emulator: Emulator) -> None:
    numbers = itertools.count()

    def endless() -> Iterator[VideoRequest]:
        return (request(n) for n in numbers)

    async with opened(emulator, budget=Budget(max_videos=3)) as session:
        report = await session.run_batch(endless(), max_in_flight=2)
    assert report.counts[OutcomeStatus.COMPLETED] == 3
    assert next(numbers) < 10


async def test_a_create_that_is_refused_gives_its_place_back(api: ScriptedApi) -> None:
    """The second waits for the first, which may cost nothing, and does."""
    held, made = anyio.Event(), list[str]()

    async def refusing(request: Any) -> Any:
        await held.wait()
        return await error(402, "no money")(request)

    api.creates = [refusing, DONE]
    budget = Budget(max_videos=1)
    async with SeedanceSession("key", base_url=api.base_url, budget=budget) as session:

        async def first() -> None:
            with pytest.raises(InsufficientBalance):
                await session.submit(request(1))

        async def second() -> None:
            made.append((await session.submit(request(2))).id)

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await anyio.sleep(0.1)
            group.start_soon(second)
            await anyio.sleep(0.1)
            assert api.count("POST") == 1
            held.set()
    assert len(made) == 1
    assert api.count("POST") == 2


# ---- bounds that are known when videos are made


PRICES = PriceTable({FAST: Price(per_million_tokens=10), PRO: Price(per_second=1)}, "USD")


async def test_the_first_of_a_model_goes_alone_and_tells_what_one_takes(
    emulator: Emulator,
) -> None:
    in_flight: list[int] = []
    budget = Budget(max_tokens=5 * TOKENS_OF_4_S)
    async with opened(emulator, budget=budget) as session:

        def note(_: Event) -> None:
            stats = emulator.stats
            in_flight.append(stats.accepted - stats.completed - stats.failed)

        with session.subscribe(note):
            report = await session.run_batch(requests(9), max_in_flight=9)
        spent = session.spent
    assert report.counts[OutcomeStatus.COMPLETED] == 5
    assert report.total_tokens == 5 * TOKENS_OF_4_S
    assert spent is not None
    assert spent.tokens is not None
    assert (spent.tokens.is_exact, spent.tokens.expected) == (True, 5 * TOKENS_OF_4_S)
    assert set(in_flight[: in_flight.index(0, 5)]) <= {0, 1}
    assert max(in_flight) == 4


async def test_what_was_learned_is_known_to_the_next_session(
    emulator: Emulator, tmp_path: Path
) -> None:
    journal = tmp_path / "jobs.sqlite"
    async with opened(emulator, journal=journal, prices=PRICES) as session:
        unknown = session.forecast(requests(3))
        assert (unknown.videos, unknown.video_s) == (3, 12)
        assert (unknown.tokens, unknown.cost) == (None, None)
        await session.generate(request(99))
    async with opened(emulator, journal=journal, prices=PRICES) as session:
        known = session.forecast(requests(3))
    assert known.tokens is not None
    assert known.cost is not None
    assert known.tokens.expected == 3 * TOKENS_OF_4_S
    assert known.cost.expected == Decimal(3 * TOKENS_OF_4_S) / 100_000


async def test_money_is_counted_by_the_prices(emulator: Emulator) -> None:
    budget = Budget(max_cost="9.99")
    jobs = [request(n, 4, PRO) for n in range(4)]  # 4 USD each, whatever they take
    async with opened(emulator, budget=budget, prices=PRICES) as session:
        report = await session.run_batch(jobs)
        assert session.spent is not None
        assert session.spent.cost is not None
        assert session.spent.cost.expected == 8
    assert refused(report.outcomes) == [2, 3]
    assert str(report.outcomes[2].error) == (
        "not sent, nothing paid: over the budget of 9.99 USD: 8.00 spent, and this one takes 4.00"
    )


async def test_what_is_known_of_a_cost_counts_while_the_tokens_are_not(
    emulator: Emulator,
) -> None:
    table = PriceTable({FAST: Price(per_second=1, per_million_tokens=1)})
    async with opened(emulator, budget=Budget(max_cost=5), prices=table) as session:
        with pytest.raises(BudgetExceeded, match=r"and this one takes 8\.00"):
            await session.submit(request(1, 8))
        await session.submit(request(2, 4))
    assert emulator.stats.accepted == 1


async def test_what_has_no_price_is_not_sent(emulator: Emulator) -> None:
    table = PriceTable({PRO: Price(per_second=1)})
    async with opened(emulator, budget=Budget(max_cost=100), prices=table) as session:
        with pytest.raises(BudgetExceeded, match=f"no price for {FAST}"):
            await session.submit(request(1))


async def test_a_provider_that_tells_no_tokens_stops_what_is_bounded_by_them(
    api: ScriptedApi,
) -> None:
    api.queries = [{**DONE, "totalTokens": None}]
    budget = Budget(max_tokens=1_000_000)
    async with SeedanceSession("key", base_url=api.base_url, budget=budget) as session:
        await session.generate(request(1))
        with pytest.raises(BudgetExceeded, match="does not tell what videos"):
            await session.submit(request(2))


async def test_who_waits_for_the_first_looks_after_it_where_nobody_else_does(
    emulator: Emulator,
) -> None:
    async with opened(emulator, budget=Budget(max_tokens=10 * TOKENS_OF_4_S)) as session:
        await session.submit(request(1))  # and nobody waits for it
        tasks = [None, None]

        async def another(n: int) -> None:
            tasks[n] = await session.submit(request(2 + n))

        async with anyio.create_task_group() as group:
            group.start_soon(another, 0)
            group.start_soon(another, 1)
        assert all(tasks)
    assert emulator.stats.accepted == 3


async def test_a_task_that_is_given_up_counts_and_is_not_waited_for() -> None:
    async with Emulator(concurrency=1) as emulator:
        journal = MemoryJournal()
        async with opened(emulator, journal=journal) as session:
            await session.generate(request(0))
        budget = Budget(max_tokens=2 * TOKENS_OF_4_S)
        async with opened(emulator, journal=journal, budget=budget) as session:
            task = await session.submit(request(1))
            other = await session.submit(request(2))
            with pytest.raises(WaitTimeout):
                await task.wait(0)
            with pytest.raises(WaitTimeout):
                await other.wait(0)
            with pytest.raises(BudgetExceeded, match="spent, and this one takes"):
                await session.submit(request(3))


async def test_what_is_sent_again_though_unknown_counts_twice() -> None:
    plan = [Fault("create.reset_after_accept")]
    async with (
        Emulator(faults=plan) as emulator,
        opened(emulator, budget=Budget(max_videos=3)) as session,
    ):
        with pytest.raises(SubmissionUnknown):
            await session.submit(request(1), key="a")
        await session.submit(request(1), key="a", on_unknown="resubmit")
        await session.submit(request(2))
        with pytest.raises(BudgetExceeded):
            await session.submit(request(3))
        assert session.spent is not None
        assert session.spent.videos == emulator.stats.accepted == 3


KINDS = st.sampled_from(["max_videos", "max_video_seconds", "max_tokens", "max_cost"])


@given(
    kind=KINDS,
    share=st.floats(0, 1.1),
    failing=st.sets(st.integers(0, 59)),
    cut=st.integers(0, 59),
    seed=st.integers(0, 1000),
    lost=st.sampled_from([0.0, 0.15]),
)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_a_budget_holds_with_50_in_flight_whatever_happens(
    *, kind: str, share: float, failing: set[int], cut: int, seed: int, lost: float
) -> None:
    """Failures, lost answers, refusals, and a run that is broken off and taken up again."""
    is_fixed = kind in ("max_tokens", "max_cost")  # of the others, videos of any length
    jobs = [request(n, 4 if is_fixed else 4 + (n * 7 + seed) % 12) for n in range(60)]
    names = {job.prompt: job for job in jobs}
    accepted: list[VideoRequest] = []
    truth = {
        "max_videos": lambda each: 1,
        "max_video_seconds": lambda each: each.duration,
        "max_tokens": lambda each: TOKENS_OF_4_S,
        "max_cost": lambda each: Decimal(TOKENS_OF_4_S) / 100_000,
    }[kind]
    all_of_it = sum(map(truth, jobs))
    bound = int(all_of_it * Decimal(share)) if kind != "max_cost" else all_of_it * Decimal(share)

    def come_to() -> Any:
        return sum(map(truth, accepted))

    def fails(body: Any) -> str | None:
        return "no" if int(body["prompt"].split()[-1]) in failing else None

    def accept(_: str, prompt: str, __: bool) -> None:
        if prompt in names:
            accepted.append(names[prompt])
            assert come_to() <= bound

    journal = MemoryJournal()
    async with Emulator(
        failures=fails,
        seed=seed,
        on_accept=accept,
        faults={"create.reset_after_accept": lost, "create.retry_429_seconds": 0.1,
                "create.reset_before_accept": 0.05, "query.html_502": 0.05},
    ) as emulator:  # fmt: skip
        if is_fixed:  # the first tells what one takes
            async with opened(emulator, journal=journal) as session:
                for n in range(1000, 1020):
                    with contextlib.suppress(SubmissionUnknown):
                        await session.generate(request(n))
                        break
        for run in range(2):
            async with opened(
                emulator,
                journal=journal,
                budget=Budget(**{kind: bound}),
                prices=PRICES,
                limits=Limits(max_in_flight=50),
                retries=Retries(create_patience_s=3600),
            ) as session:
                ended = []
                async with session.batch(jobs) as outcomes:
                    async for outcome in outcomes:
                        ended.append(outcome)
                        if run == 0 and len(ended) > cut:
                            break
                assert session.spent is not None
                counted = {
                    "max_videos": session.spent.videos,
                    "max_video_seconds": session.spent.video_s,
                }
                if kind in counted:
                    assert counted[kind] >= come_to()
    assert come_to() <= bound
    # Nothing was kept back that was within the budget, of a create that was taken.
    over = [one for one in ended if isinstance(one.error, BudgetExceeded)]
    smallest = min((truth(jobs[one.index]) for one in over), default=None)
    lost_ones = sum(one.status is OutcomeStatus.UNKNOWN and one.task_id is None for one in ended)
    if smallest is not None and not lost_ones:
        assert come_to() + smallest > bound


async def test_a_job_of_an_earlier_run_is_looked_after_while_those_before_it_wait(
    emulator: Emulator, tmp_path: Path
) -> None:
    """They wait to see what it costs; its own turn would come behind theirs."""
    journal = tmp_path / "jobs.sqlite"
    old = Job(request=request(99), key="old")
    async with opened(emulator, journal=journal) as session:
        await session.submit(old.request, key=old.key)
    budget = Budget(max_tokens=3 * TOKENS_OF_4_S)
    async with opened(emulator, budget=budget, journal=journal) as session:
        with anyio.fail_after(3600):
            report = await session.run_batch([*requests(3), old], max_in_flight=2)
    assert refused(report.outcomes) == [2]
    assert report.outcomes[3].video is not None
    assert emulator.stats.accepted == 3


async def test_a_job_of_an_earlier_run_that_does_not_end_is_not_waited_for_for_ever(
    tmp_path: Path,
) -> None:
    journal = tmp_path / "jobs.sqlite"
    async with Emulator(speed=1e-5) as emulator:
        async with opened(emulator, journal=journal) as session:
            await session.submit(request(99), key="old")
        jobs = [*requests(2), Job(request=request(99), key="old")]
        async with opened(emulator, budget=Budget(max_tokens=10**6), journal=journal) as session:
            with anyio.fail_after(3600):
                report = await session.run_batch(jobs, max_in_flight=2, timeout_s=600)
    assert [type(one.error) for one in report.outcomes] == [WaitTimeout] * 3


async def test_a_batch_beside_another_does_not_forget_what_that_one_has_reserved(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The journal still has as planned what is about to be sent."""
    budget, slowly = Budget(max_videos=2), Limits(creates_per_minute=1)
    journal = tmp_path / "jobs.sqlite"
    async with opened(emulator, budget=budget, journal=journal, limits=slowly) as session:

        async def later() -> None:
            await anyio.sleep(1)
            await session.run_batch([request(2), request(3), request(0), request(1)])

        async with anyio.create_task_group() as group:
            group.start_soon(later)
            await session.run_batch([request(0), request(1)])
        assert session.spent is not None
        assert session.spent.videos == emulator.stats.accepted == 2


async def test_of_those_who_wait_for_room_only_those_are_called_for_whom_there_is_some() -> None:
    """Each change would have all of thousands look otherwise."""
    purse = Purse(Expenses(Budget(max_videos=1), None, Rates))
    assert purse.reserve("first", request(0)) is None
    assert purse.reserve("second", request(1)) is not None
    planned = JobRecord(key="first", request=request(0), planned_at=datetime.now(UTC))
    with purse.waiting(request(1)) as one, purse.waiting(request(2)) as other:
        purse.note(planned)  # it was refused
        assert (one.called.is_set(), other.called.is_set()) == (True, False)
    with purse.waiting(request(2)) as other:
        with purse.waiting(request(1)), contextlib.suppress(TimeoutError):
            raise TimeoutError  # without a call, it hands nothing on
        assert not other.called.is_set()
        with purse.waiting(request(1)):
            purse.wake()
        assert other.called.is_set()
    with purse.waiting(request(1)) as one, purse.waiting(request(2)) as other:
        assert purse.reserve("first", request(0)) is None
        purse.note(planned.moved(JobState.UNKNOWN, datetime.now(UTC)))
        assert one.called.is_set()
        assert other.called.is_set()


class ForgetfulJournal(MemoryJournal):
    """Takes no end of a job."""

    async def put(self, record: JobRecord) -> None:
        if record.state is JobState.COMPLETED:
            raise JournalError("the disk is full")
        await super().put(record)


async def test_what_an_end_cost_is_known_though_it_cannot_be_written_down(
    emulator: Emulator,
) -> None:
    budget = Budget(max_tokens=2 * TOKENS_OF_4_S)
    async with opened(emulator, budget=budget, journal=ForgetfulJournal()) as session:
        with anyio.fail_after(3600):
            report = await session.run_batch(requests(3), max_in_flight=3)
    assert refused(report.outcomes) == [2]


async def test_what_was_to_be_sent_again_and_was_not_counts_once() -> None:
    async with (
        Emulator(faults=[Fault("create.reset_after_accept")]) as emulator,
        opened(emulator, budget=Budget(max_videos=3), limits=Limits(max_in_flight=1)) as session,
    ):
        with pytest.raises(SubmissionUnknown):
            await session.submit(request(1), key="a")
        await session.submit(request(2))  # takes the only place
        for _ in range(3):
            with anyio.move_on_after(0.1):
                await session.submit(request(1), key="a", on_unknown="resubmit")
        assert session.spent is not None
        assert session.spent.videos == emulator.stats.accepted == 2


async def test_what_was_never_created_by_a_persons_word_makes_room() -> None:
    async with (
        Emulator(faults=[Fault("create.reset_before_accept")]) as emulator,
        opened(emulator, budget=Budget(max_videos=1)) as session,
    ):
        with pytest.raises(SubmissionUnknown):
            await session.submit(request(1), key="a")
        await session.settle("a", not_created=True)
        await session.submit(request(2))
        assert emulator.stats.accepted == 1


@pytest.mark.parametrize(
    ("duration", "counted"), [(60.0, 60), ("60", 60), (7.5, 8), (-1, 15), ("long", 15), (True, 15)]
)
def test_a_duration_whose_rule_was_waived_counts_as_it_is_sent(duration: Any, counted: int) -> None:
    asked = VideoRequest(model=FAST, prompt="x", duration=duration, waive=["duration.range"])
    assert seconds_of(asked) == counted


@given(
    seed=st.integers(0, 10**6),
    videos=st.integers(0, 12),
    kind=st.sampled_from(["max_videos", "max_tokens"]),
    room=st.sampled_from([1, 3, 50]),
)
@settings(max_examples=25, deadline=None)
async def test_a_budget_holds_over_batches_and_calls_about_the_same_jobs_that_are_cancelled(
    seed: int, videos: int, kind: str, room: int
) -> None:
    """Who waits gets its turn or its refusal in the end, and nothing stays reserved."""
    chance, accepted = random.Random(seed), list[str]()
    jobs = [Job(request=request(n), key=f"job {n}") for n in range(20)]
    budget = Budget(**{kind: videos * (TOKENS_OF_4_S if kind == "max_tokens" else 1)})

    async def cut_short(work: Callable[[], Awaitable[object]]) -> None:
        await anyio.sleep(chance.random() * 200)
        with anyio.move_on_after(chance.choice([0.01, 1, 60, 10**6])):
            with contextlib.suppress(SeedanceError):
                await work()

    async def batch() -> None:
        await session.run_batch(
            chance.sample(jobs, 12),
            max_in_flight=chance.choice([1, 4, None]),
            timeout_s=chance.choice([10, 1800]),
            on_unknown=chance.choice(["leave", "resubmit"]),
        )

    async def call() -> None:
        job = chance.choice(jobs)
        again: Any = chance.choice(["leave", "resubmit"])
        task = await session.submit(job.request, key=job.key, on_unknown=again)
        await task.wait(chance.choice([0, 10, 10**5]))

    journal = MemoryJournal()
    async with Emulator(
        seed=seed,
        failures=0.2,
        on_accept=lambda task_id, *_: accepted.append(task_id),
        faults={"create.reset_after_accept": 0.1, "create.reset_before_accept": 0.05,
                "create.retry_429_seconds": 0.2},
    ) as emulator:  # fmt: skip
        async with opened(emulator, journal=journal) as session:
            while session.forecast([request(0)]).tokens is None:
                with contextlib.suppress(SeedanceError):
                    await session.generate(request(1000))
        before, limits = len(accepted), Limits(max_in_flight=room)
        async with opened(emulator, journal=journal, budget=budget, limits=limits) as session:
            with anyio.fail_after(10**6):
                async with anyio.create_task_group() as group:
                    for work in (batch, batch, *[call] * 12):
                        group.start_soon(cut_short, work)
            assert len(accepted) - before <= videos
            assert session.spent is not None
            assert len(accepted) - before <= session.spent.videos <= videos


# ---- draining


async def test_who_is_told_that_a_job_is_held_may_drain_at_once(emulator: Emulator) -> None:
    async with opened(emulator, budget=Budget(max_tokens=10**6)) as session:

        def drain(event: Event) -> None:
            if isinstance(event, Held):
                session.drain()

        with session.subscribe(drain):
            await session.submit(request(1))
            with anyio.fail_after(1), pytest.raises(SessionClosed):
                await session.submit(request(2))


async def test_a_drained_batch_sends_no_more_and_brings_what_it_sent_to_its_end(
    emulator: Emulator, tmp_path: Path
) -> None:
    read: list[int] = []

    def source() -> Iterator[VideoRequest]:
        for n in range(100):
            read.append(n)
            yield request(0)  # equal ones share one film

    async with opened(emulator, journal=tmp_path / "jobs.sqlite") as session:
        ended: list[Outcome] = []
        async with session.batch(source(), max_in_flight=4, out_dir=tmp_path) as outcomes:
            async for outcome in outcomes:
                ended.append(outcome)
                session.drain()
        unsent = [one for one in ended if isinstance(one.error, SessionClosed)]
        done = [one for one in ended if one.ok]
        assert len(done) == emulator.stats.accepted == emulator.stats.completed
        assert all(one.path and one.path.is_file() for one in done)
        assert len(done) + len(unsent) == len(ended) == len(read) < 10
        states = Counter([job.state async for job in session.jobs()])
        assert states[JobState.PLANNED] == len(unsent)
        with pytest.raises(SessionClosed, match="draining"):
            await session.submit(request(1000))
    async with opened(emulator, journal=tmp_path / "jobs.sqlite") as session:
        report = await session.run_batch([request(0)] * 6, out_dir=tmp_path)
        assert report.ok


async def test_draining_turns_away_who_waits_for_a_place_and_for_the_budget() -> None:
    async with Emulator(concurrency=1) as emulator:
        for options in (
            {"limits": Limits(max_in_flight=1)},
            {"budget": Budget(max_tokens=10**6)},
        ):
            async with opened(emulator, **options) as session:
                task = await session.submit(request(1))

                async def too_late(session: SeedanceSession = session) -> None:
                    with pytest.raises(SessionClosed, match="draining"):
                        await session.submit(request(2), key="late")

                async with anyio.create_task_group() as group:
                    group.start_soon(too_late)
                    await anyio.sleep(1)
                    session.drain()
                await task.wait()
                (late,) = [job async for job in session.jobs("planned")]
                assert late.key == "late"


async def test_no_files_are_published_once_it_is_draining(
    emulator: Emulator, tmp_path: Path
) -> None:
    published: list[Path] = []

    async def publish(path: Path) -> str:
        published.append(path)
        return "https://media.example.com/cat.png"

    picture().save(tmp_path / "cat.png")
    asked = VideoRequest(model=PRO, prompt="It wakes up", first_image="cat.png")
    async with opened(emulator, publisher=publish, media_root=tmp_path) as session:
        session.drain()
        with pytest.raises(SessionClosed, match="draining"):
            await session.submit(asked)
    assert not published


async def test_a_create_on_the_wire_is_finished_and_waited_for_when_draining() -> None:
    async with Emulator(latency_s=2) as emulator, opened(emulator) as session:

        async def soon() -> None:
            await anyio.sleep(1)
            session.drain()

        async with anyio.create_task_group() as group:
            group.start_soon(soon)
            report = await session.run_batch(requests(3), max_in_flight=3)
    assert report.ok
    assert emulator.stats.accepted == 3
