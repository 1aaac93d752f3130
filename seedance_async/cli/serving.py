"""The emulator as a command runs it: pointed at, told of, and ended by a signal."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import anyio

from seedance_async.cli.exits import OK
from seedance_async.cli.interrupt import stoppable
from seedance_async.cli.terminal import Terminal, count, one_line

if TYPE_CHECKING:
    from seedance_async.emulator import Emulator

_PROMPT_CHARS = 40


def say_accepted(terminal: Terminal, task_id: str, prompt: str, is_lost: bool) -> None:
    """Say what a billing would say: with it, settling can be rehearsed."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    lost = " (answer lost)" if is_lost else ""
    terminal.say(f"{at}  {task_id}{lost}  {one_line(prompt)[:_PROMPT_CHARS]}")


def rates(options: list[str]) -> dict[str, float]:
    """Read the option ``--fault``.

    Raises:
        ValueError: It is not NAME=SHARE.
    """
    shares = {}
    for option in options:
        name, _, share = option.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            what = f"--fault takes NAME=SHARE, such as query.html_502=0.1, not {option!r}"
            raise ValueError(what) from None
    return shares


async def serve(server: Emulator, terminal: Terminal) -> int:
    """Serve until a signal comes, tell what there was, and give the exit code."""
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
