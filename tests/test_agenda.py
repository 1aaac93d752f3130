"""Things by due time: nothing early, nothing lost, and nobody keeps the loop to himself."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from seedance_async.agenda import Agenda


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_things_are_given_in_the_order_in_which_they_fall_due() -> None:
    agenda: Agenda[str] = Agenda()
    for due, thing in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (2.0, "b again")):
        agenda.put(due, thing)
    got = [(await agenda.take(), now()) for _ in range(4)]
    assert got == [
        ("a", pytest.approx(1.0, abs=0.002)),
        ("b", pytest.approx(2.0, abs=0.002)),
        ("b again", pytest.approx(2.0, abs=0.002)),
        ("c", pytest.approx(3.0, abs=0.002)),
    ]


async def test_nothing_is_given_early() -> None:
    """Else a job whose deadline comes would be asked about without end just before it."""
    agenda: Agenda[None] = Agenda()
    for due in (0.1 + 0.2, 1 / 3, 1e6 / 7, 1e6 + 0.0005):
        agenda.put(due, None)
        await agenda.take()
        assert now() >= due


async def test_what_is_due_sooner_wakes_who_waits_for_later_things() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put(100.0, "late")
    async with anyio.create_task_group() as group:

        async def take() -> None:
            assert (await agenda.take(), round(now())) == ("soon", 5)

        group.start_soon(take)
        await anyio.sleep(1)
        agenda.put(5.0, "soon")
    assert len(agenda) == 1


async def test_all_that_is_due_at_once_goes_to_all_who_wait_in_one_turn_of_the_loop() -> None:
    agenda: Agenda[int] = Agenda()
    got: list[int] = []

    async def take() -> None:
        got.append(await agenda.take())

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(take)
        await anyio.sleep(1)
        for number in range(60):
            agenda.put(2.0, number)
        await anyio.sleep(1)
        await asyncio.sleep(0)
        assert sorted(got) == list(range(50))
    assert len(agenda) == 10


async def test_a_taker_that_never_waits_lets_others_have_their_turn() -> None:
    agenda: Agenda[int] = Agenda()
    for number in range(1000):
        agenda.put(0.0, number)
    turns = 0

    async def bystander() -> None:
        nonlocal turns
        while len(agenda):
            turns += 1
            await asyncio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(bystander)
        for _ in range(1000):
            await agenda.take()
    assert turns > 50


@pytest.mark.parametrize("how", ["scope", "native", "timeout"])
@pytest.mark.parametrize("moment", ["waiting", "as it is handed out"])
async def test_whoever_is_cancelled_takes_nothing_away(how: str, moment: str) -> None:
    agenda: Agenda[str] = Agenda()
    scope, got = anyio.CancelScope(), []
    agenda.put(5.0, "it")

    async def give_up() -> None:
        if how == "scope":
            with scope:
                got.append(await agenda.take())
        elif how == "timeout":
            try:
                async with asyncio.timeout(5.0 if moment != "waiting" else 2.0):
                    got.append(await agenda.take())
            except TimeoutError:
                pass
        else:
            got.append(await agenda.take())

    giving_up = asyncio.ensure_future(give_up())
    await anyio.sleep(2.0 if moment == "waiting" else 5.0)
    if how == "scope":
        scope.cancel()
    elif how == "native":
        giving_up.cancel()
    await asyncio.wait({giving_up})
    if got:  # it came before the cancellation did
        return
    with anyio.fail_after(10):
        assert await agenda.take() == "it"


async def test_a_thing_handed_to_one_who_is_cancelled_in_the_same_moment_goes_to_the_next() -> None:
    agenda: Agenda[str] = Agenda()
    first = asyncio.ensure_future(agenda.take())
    second = asyncio.ensure_future(agenda.take())
    await asyncio.sleep(0)
    agenda.put(0.0, "it")
    first.cancel()
    assert await second == "it"
    assert first.cancelled()
    assert len(agenda) == 0
