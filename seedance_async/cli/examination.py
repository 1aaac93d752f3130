"""All checks of ``seedance doctor``, in the order in which they are told."""

from __future__ import annotations

import contextlib

from seedance_async.cli import checkup, exits, keys, reach
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.findings import Report, ok, problem
from seedance_async.cli.service import Service
from seedance_async.cli.terminal import Terminal


async def examine(terminal: Terminal, *, emulate: bool, as_json: bool) -> int:
    """Make all checks, and give the exit code.

    Raises:
        CannotStart: There is no emulator.
    """
    report = Report(terminal, as_json=as_json)
    report.take(checkup.versions())
    report.take(checkup.extras())
    report.take(checkup.settings())
    report.take(checkup.room())
    async for finding in checkup.journal():
        report.take([finding])
    report.take(checkup.terminal(terminal))
    report.take(checkup.proxies())
    async with contextlib.AsyncExitStack() as stack:
        if emulate:
            key, url = await Service(emulate=True).emulated(stack)
            report.take([ok("key", "that of the emulator"), ok("base URL", f"{url} (emulated)")])
            await _service(report, url, key)
        else:
            await _account(report)
    return exits.OK if report.is_well() else exits.SOME_FAILED


async def _account(report: Report) -> None:
    try:
        source = keys.source()
    except CannotStart as error:
        report.take([problem("account", str(error), "")])
        return
    key, findings = checkup.key(source)
    report.take(findings)
    url, finding = checkup.base_url(source.base_url)
    report.take([finding])
    if url is not None:
        await _service(report, url, key)


async def _service(report: Report, url: str, key: str | None) -> None:
    is_reached = True
    async for finding in reach.way(url):
        is_reached = is_reached and finding.level != "problem"
        report.take([finding])
    if is_reached and key is None:
        report.take([ok("API", "not asked, nor the clock compared: that needs a key")])
    elif is_reached and key is not None:
        async for finding in reach.answer(url, key):
            report.take([finding])
