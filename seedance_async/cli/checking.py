"""A file of jobs checked to its end, and every fault told with its line.

Sends nothing and costs nothing: needs no key, opens no journal.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from seedance_async.cli import exits, folder, manifest
from seedance_async.cli.manifest import Asked, Found, Line, Manifest
from seedance_async.cli.service import Service
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.cli.unusable import FileFault, Unusable
from seedance_async.errors import MediaError

_COLUMN = re.compile(r"column (\d+)")
# What stands in the place of a field where the line as a whole is at fault.
_WHOLE = frozenset({"line", "row", "job"})


def check(jobs: str, asked: Asked, *, looks_at_files: bool, as_json: bool) -> int:
    """Check a file of jobs, and give the exit code."""
    report = _Report(Terminal(), as_json=as_json)
    try:
        read = manifest.read(jobs, checks_hosts=Service().checks_hosts, asked=asked)
    except Unusable as unusable:
        report.tell_unusable(unusable)
        return exits.USAGE
    local = [place for place, line in enumerate(read.lines) if _names_files(line)]
    if local and looks_at_files:
        root = None if jobs == manifest.STDIN else folder.at_home(jobs).parent
        read = asyncio.run(_with_files_looked_at(read, local, root))
    report.tell(read, local=len(local), looked=looks_at_files)
    return exits.USAGE if read.invalid else exits.OK


def _names_files(line: Line) -> bool:
    return line.job is not None and bool(line.job.request.local_media())


async def _with_files_looked_at(
    read: Manifest, places: Sequence[int], root: Path | None
) -> Manifest:
    # It needs no session for local files alone; and importing it brings in aiohttp.
    from seedance_async.preflight import Preflights  # noqa: PLC0415

    async def no_assets(asset_id: str) -> Any:
        raise NotImplementedError(asset_id)

    clock = asyncio.get_running_loop().time
    looks = Preflights(no_assets, clock, to_private=False, root=root)
    requests = [job.request for place in places if (job := read.lines[place].job)]
    try:
        looked = await looks.look_at_all(requests, local_only=True)
    except MediaError as error:
        raise exits.CannotStart(error.message) from error
    finally:
        await looks.close()
    lines = list(read.lines)
    for place, each in zip(places, looked, strict=True):
        if each.violations:
            lines[place] = attrs.evolve(lines[place], job=None, faults=tuple(each.violations))
    return attrs.evolve(read, lines=tuple(lines))


@attrs.frozen
class _Report:
    """Faults go to stdout, one a line; what they come to goes to stderr, or is the last line."""

    terminal: Terminal
    as_json: bool = attrs.field(kw_only=True)

    def tell(self, read: Manifest, *, local: int, looked: bool) -> None:
        if read.product and not self.as_json:
            self.terminal.say(read.product)
        faults = 0
        for found in read.faults():
            faults += 1
            self._give(_of_line(read.source, found), found.told(read.source))
        valid = [line.job.request for line in read.lines if line.job]
        summary = {
            "jobs": len(read.lines),
            "valid": len(valid),
            "invalid": len(read.invalid),
            "faults": faults,
            "seconds": sum(request.duration for request in valid),
        }
        if self.as_json:
            self._give_summary(read.source, summary)
            return
        for words in _summed_up(summary):
            self.terminal.say(words, style="red" if faults else "green")
        if local:
            self.terminal.say(_of_files(local, looked=looked), style="yellow")

    def tell_unusable(self, unusable: Unusable) -> None:
        for fault in unusable.faults:
            self._give(_of_file(unusable.source, fault), fault.told(unusable.source))
        if self.as_json:
            faults = len(unusable.faults)
            summary = {"jobs": 0, "valid": 0, "invalid": 0, "faults": faults, "seconds": 0}
            self._give_summary(unusable.source, summary)

    def _give(self, fault: dict[str, Any], words: str) -> None:
        self.terminal.give(json.dumps(fault) if self.as_json else one_line(words))

    def _give_summary(self, source: str, numbers: dict[str, int]) -> None:
        self.terminal.give(json.dumps({"type": "summary", "file": source, **numbers}))


def _summed_up(summary: dict[str, int]) -> Iterator[str]:
    jobs, seconds = count(summary["jobs"], "job"), f"{summary['seconds']:,} s of video"
    if not summary["faults"]:
        yield f"{jobs}, {seconds}: all valid"
    else:
        faults = count(summary["faults"], "fault")
        yield f"{summary['invalid']:,} of {jobs} invalid, {faults}; the others: {seconds}"


def _of_files(jobs: int, *, looked: bool) -> str:
    from seedance_async.cli.files import UNSEEN  # noqa: PLC0415 -- only where there are some
    from seedance_async.looking import is_available  # noqa: PLC0415 -- likewise

    if not looked or not is_available():
        return f"local files are {UNSEEN if looked else 'not looked at'}"
    what = "names local files" if jobs == 1 else "name local files"
    return f"{count(jobs, 'job')} {what}: batch needs --publish to send them"


def _of_line(source: str, found: Found) -> dict[str, Any]:
    fault, line = found.violation, found.line
    column = _COLUMN.fullmatch(fault.field)
    is_whole = column is not None or fault.field in _WHOLE
    return {
        "type": "fault",
        "file": source,
        "line": line.number,
        "column": int(column[1]) if column else None,
        "key": line.key,
        "field": None if is_whole else fault.field,
        "rule": fault.rule,
        "message": found.message,
        "severity": "error",
    }


def _of_file(source: str, fault: FileFault) -> dict[str, Any]:
    return {
        "type": "fault",
        "file": source,
        "line": fault.line,
        "column": fault.column,
        "key": None,
        "field": fault.field,
        "rule": fault.rule,
        "message": fault.message,
        "severity": "error",
    }
