"""``seedance batch``: a file of jobs in, a folder of videos and a record of every job out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from seedance_async.cli import exits
from seedance_async.cli.options import (
    WAIT_S,
    Flag,
    HyphenFirst,
    OnUnknown,
    check_max_in_flight,
    check_timeout,
)
from seedance_async.naming import DEFAULT_NAMES, NameTemplate


def batch(
    jobs: Annotated[str, HyphenFirst],
    /,
    *,
    out: Path,
    file_names: str = DEFAULT_NAMES,
    max_in_flight: int | None = None,
    skip_invalid: Flag = False,
    on_unknown: OnUnknown = "leave",
    journal: str | None = None,
    timeout: float = WAIT_S,
    publish: str | None = None,
    review: Flag = False,
    emulate: Flag = False,
    speed: float | None = None,
) -> int:
    """Make a video for each line of a file.

    Parameters
    ----------
    jobs
        The file of jobs; - reads JSONL from stdin.
    out
        The folder for the videos; made if it is missing.
    file_names
        How they are named, from {index}, {key}, {id} and {name}.
    max_in_flight
        How many jobs may be at the provider at once; the profile's number or 20 if not
        given.
    skip_invalid
        Send the valid jobs even if others are invalid.
    on_unknown
        What to do with jobs of which an earlier run does not know whether they were accepted:
        resubmit sends them again and MAY PAY FOR THEM TWICE.
    journal
        The record of jobs, a file or a folder; in the folder of the videos if not given.
    timeout
        Seconds from a job's submission to its end; the task lives on.
    publish
        Where the provider can fetch local files from: s3://bucket/prefix. With --emulate the
        emulator takes them.
    review
        Have local files pass the asset library's review, as images with faces must.
    emulate
        Ask an emulator in this process: no key, no money, test pictures.
    speed
        With --emulate: how many times as fast as real; 60 if not given.
    """
    # Not above: the help needs none of it, and must be quick; so in every command's module.
    import asyncio

    from seedance_async.cli import config, folder, journals, manifest
    from seedance_async.cli.complaints import complain
    from seedance_async.cli.run import Order, Run
    from seedance_async.cli.service import Service
    from seedance_async.cli.terminal import Terminal

    terminal = Terminal()
    service = Service.of(emulate, speed, publish=publish, review=review)
    check_max_in_flight(max_in_flight)
    videos = folder.at_home(out)
    mixed = journals.check_unmixed(videos, emulated=emulate)
    placed = journals.place(journal, videos, emulated=emulate)
    journals.check_whole(journal, placed, videos)
    order = Order(
        out=videos,
        journal=placed,
        max_in_flight=config.profile().max_in_flight if max_in_flight is None else max_in_flight,
        timeout_s=check_timeout(timeout),
        file_names=_checked(file_names),
        on_unknown=on_unknown,
        skip_invalid=skip_invalid,
        media_root=None if jobs == manifest.STDIN else folder.at_home(jobs).parent,
    )
    read = manifest.read(jobs, checks_hosts=service.checks_hosts)
    complain(read, terminal, skip_invalid=skip_invalid)
    if mixed:
        terminal.say(mixed, style="yellow")
    return asyncio.run(Run(read, terminal, service, order).to_its_end())


def _checked(file_names: str) -> str:
    try:
        return NameTemplate(file_names).text
    except ValueError as error:
        raise exits.CannotStart(f"--file-names: {error}") from error
