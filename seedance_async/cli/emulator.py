"""``seedance emulator``: the API on this machine, for as long as the command runs."""

from __future__ import annotations

from seedance_async.cli.options import DEFAULT_SPEED, Repeated


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
    import asyncio

    from seedance_async.cli.exits import CannotStart
    from seedance_async.cli.serving import rates, say_accepted, serve
    from seedance_async.cli.terminal import Terminal
    from seedance_async.emulator import Emulator

    terminal = Terminal()
    try:
        server = Emulator(
            speed=speed,
            host=host,
            port=port,
            api_key=api_key,
            concurrency=concurrency,
            max_queued=max_queued,
            creates_per_minute=creates_per_minute,
            failures=failures,
            seed=seed,
            faults=rates(fault or []),
            on_accept=lambda task_id, prompt, is_lost: say_accepted(
                terminal, task_id, prompt, is_lost
            ),
        )
        return asyncio.run(serve(server, terminal))
    except (ImportError, OSError, ValueError) as error:
        raise CannotStart(f"the emulator cannot start: {error}") from error
