"""``seedance doctor``: what could keep videos from being made, found before anything is sent."""

from __future__ import annotations

from seedance_async.cli.options import AsJson, Flag


def doctor(*, emulate: Flag = False, as_json: AsJson = False) -> int:
    """Look for what could keep videos from being made.

    Parameters
    ----------
    emulate
        Look at an emulator in this process in the service's place.
    as_json
        Print one JSON object a line.
    """
    import asyncio

    from seedance_async.cli import examination
    from seedance_async.cli.terminal import Terminal

    return asyncio.run(examination.examine(Terminal(), emulate=emulate, as_json=as_json))
