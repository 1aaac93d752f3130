"""Calls that take too long are cut off, each at its own time, and nobody else is."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from seedance_async.cutoff import Cutoff


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_each_call_has_its_own_time() -> None:
    cutoff, cut_at = Cutoff(10.0), []

    async def hang(after_s: float) -> None:
        await anyio.sleep(after_s)
        with pytest.raises(TimeoutError), cutoff.call():
            await anyio.sleep_forever()
        cut_at.append(now())

    async with anyio.create_task_group() as group:
        for after_s in (0, 1, 1, 25):
            group.start_soon(hang, after_s)
    assert cut_at == pytest.approx([10, 11, 11, 35], abs=0.01)


async def test_a_call_in_time_is_left_alone_and_so_is_its_task() -> None:
    cutoff = Cutoff(10.0)
    for _ in range(3):
        with cutoff.call():
            await anyio.sleep(9)
    await anyio.sleep(100)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_what_the_block_raises_goes_through() -> None:
    with pytest.raises(ValueError, match="mine"), Cutoff(10.0).call():
        raise ValueError("mine")


@pytest.mark.parametrize("how", ["scope", "native", "timeout"])
async def test_whoever_else_cancels_means_it(how: str) -> None:
    cutoff = Cutoff(10.0)

    async def hang() -> None:
        with cutoff.call():
            await anyio.sleep_forever()

    if how == "scope":
        with anyio.move_on_after(5) as scope:
            await hang()
        assert scope.cancelled_caught
    elif how == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await hang()
    else:
        hanging = asyncio.ensure_future(hang())
        await anyio.sleep(5)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
    assert now() == pytest.approx(5, abs=0.01)
    await anyio.sleep(20)  # no cut comes behind


async def test_a_cancellation_in_the_same_moment_is_not_taken_for_a_cut() -> None:
    cutoff = Cutoff(10.0)

    async def hang() -> None:
        with cutoff.call():
            await anyio.sleep_forever()

    hanging = asyncio.ensure_future(hang())
    asyncio.get_running_loop().call_at(10.0, hanging.cancel)
    with pytest.raises(asyncio.CancelledError):
        await hanging
