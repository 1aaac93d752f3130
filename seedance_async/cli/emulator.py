"""``seedance emulator``: the API on this machine, for as long as the command runs."""

from __future__ import annotations

import asyncio
import functools
import shlex
import time
from typing import TYPE_CHECKING

import anyio

from seedance_async.cli.exits import OK, CannotStart
from seedance_async.cli.interrupt import stoppable
from seedance_async.cli.options import Repeated
from seedance_async.cli.service import DEFAULT_SPEED
from seedance_async.cli.terminal import Terminal, count, one_line

if TYPE_CHECKING:
    from seedance_async.emulator import Emulator

_PROMPT_CHARS = 40


def emulator(
    *,
    port: int = 8080,
    host: str = "127.0.0.1",
    speed: float = DEFAULT_SPEED,
    api_key: str = "emulator",
    concurrency: int | None = None,
    max_queued: int | None = None,
    creates_per_minute: int | None = None,
    failures: float = 0.0,
    seed: int = 0,
    fault: Repeated = None,
) -> int:
    """Run the API on this machine.

    Parameters
    ----------
    port
        Where to listen; 0 takes a free port.
    host
        The address to listen on.
    speed
        Emulated seconds in a real one; at 1 a video takes minutes, as it really does.
    api_key
        The key that clients must have.
    concurrency
        How many tasks are processed at once, others being queued; any number if not given.
    max_queued
        How many may be queued before creates are refused; any number if not given.
    creates_per_minute
        How many creates are accepted in an emulated minute; any number if not given.
    failures
        The share of tasks that fail, 0 to 1.
    seed
        Decides how long tasks take, which fail, and which calls meet a fault.
    fault
        NAME=SHARE: the share of calls that a fault comes upon, such as
        create.reset_after_accept=0.05; may be given several times.
    """
    from seedance_async import emulator as emulation  # noqa: PLC0415 -- aiohttp's server is heavy

    terminal = Terminal()
    try:
        server = emulation.Emulator(
            speed=speed,
            host=host,
            port=port,
            api_key=api_key,
            concurrency=concurrency,
            max_queued=max_queued,
            creates_per_minute=creates_per_minute,
            failures=failures,
            seed=seed,
            faults=_rates(fault or []),
            on_accept=functools.partial(_say_accepted, terminal),
        )
        return asyncio.run(_serve(server, terminal))
    except (ImportError, OSError, ValueError) as error:
        raise CannotStart(f"the emulator cannot start: {error}") from error


def _say_accepted(terminal: Terminal, task_id: str, prompt: str, is_lost: bool) -> None:
    """Say what a billing would say: with it, settling can be rehearsed."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    lost = " (answer lost)" if is_lost else ""
    terminal.say(f"{at}  {task_id}{lost}  {one_line(prompt)[:_PROMPT_CHARS]}")


def _rates(options: list[str]) -> dict[str, float]:
    rates = {}
    for option in options:
        name, _, share = option.partition("=")
        try:
            rates[name] = float(share)
        except ValueError:
            what = f"--fault takes NAME=SHARE, such as query.html_502=0.1, not {option!r}"
            raise ValueError(what) from None
    return rates


async def _serve(server: Emulator, terminal: Terminal) -> int:
    with stoppable(lambda: None) as stop:
        async with server:
            _point_at(server, terminal)
            with stop.work():
                await anyio.sleep_forever()
            stats = server.stats
    accepted = count(stats.accepted, "task")
    ended = f"{stats.completed} completed, {stats.failed} failed"
    terminal.say(f"stopped: {accepted} accepted, {ended}")
    for name, calls in sorted(stats.faults.items()):
        terminal.say(f"fault {name}: {count(calls, 'call')}")
    return OK


def _point_at(server: Emulator, terminal: Terminal) -> None:
    terminal.say("The emulator is up; Ctrl-C ends it. Point clients at it with:")
    terminal.give(f"export SEEDANCE_BASE_URL={shlex.quote(server.base_url)}")
    terminal.give(f"export SEEDANCE_API_KEY={shlex.quote(server.api_key)}")
