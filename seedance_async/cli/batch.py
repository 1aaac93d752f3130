"""``seedance batch``: a file of jobs in, a folder of videos and a record of every job out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from seedance_async.cli import exits
from seedance_async.cli.bounds import Bounds
from seedance_async.cli.joboptions import JobOptions
from seedance_async.cli.options import (
    WAIT_S,
    AsJson,
    Flag,
    HyphenFirst,
    OnUnknown,
    Yes,
    check_max_in_flight,
    check_timeout,
)
from seedance_async.naming import DEFAULT_NAMES, NameTemplate

_MANY = 20  # videos that a person is asked about; our choice


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
    dry_run: Flag = False,
    yes: Yes = False,
    quiet: Annotated[Flag, Parameter(name=("--quiet", "-q"))] = False,
    as_json: AsJson = False,
    emulate: Flag = False,
    speed: float | None = None,
    given: JobOptions | None = None,
    bounds: Bounds | None = None,
) -> int:
    """Make a video for each line of a file.

    Parameters
    ----------
    jobs
        The file of jobs; - reads JSONL or prompts from stdin.
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
    dry_run
        Tell what would be sent, skipped and taken up, and what it comes to; send and write nothing.
    yes
        Do not ask; a person at a terminal is asked before more than 20 videos are sent, or as
        many as confirm_above of the profile says.
    quiet
        Show and say nothing as long as nothing wants a hand.
    as_json
        Print what happens, one JSON object a line, in the place of the files' names.
    emulate
        Ask an emulator in this process: no key, no money, test pictures.
    speed
        With --emulate: how many times as fast as real; 60 if not given.
    """
    # Not above: the help needs none of it, and must be quick; so in every command's module.
    import asyncio

    from seedance_async.cli import asked, config, folder, journals, manifest, money
    from seedance_async.cli.complaints import complain
    from seedance_async.cli.order import Order
    from seedance_async.cli.rehearsal import Rehearsal
    from seedance_async.cli.run import Run
    from seedance_async.cli.service import Service
    from seedance_async.cli.terminal import Terminal

    terminal = Terminal()
    service = Service.of(emulate, speed, publish=publish, review=review)
    check_max_in_flight(max_in_flight)
    videos = folder.at_home(out)
    mixed = journals.check_unmixed(videos, emulated=emulate)
    placed = journals.place(journal, videos, emulated=emulate)
    journals.check_whole(journal, placed, videos)
    bounds, profile = bounds or Bounds(), config.profile()
    many = _MANY if profile.confirm_above is None else profile.confirm_above
    order = Order(
        out=videos,
        journal=placed,
        max_in_flight=profile.max_in_flight if max_in_flight is None else max_in_flight,
        timeout_s=check_timeout(timeout),
        file_names=_checked(file_names),
        on_unknown=on_unknown,
        skip_invalid=skip_invalid,
        media_root=None if jobs == manifest.STDIN else folder.at_home(jobs).parent,
        budget=money.read_budget(bounds),
        prices=money.needed_prices(bounds, profile.prices),
        confirm_above=None if yes else many,
        as_json=as_json,
        quiet=quiet,
    )
    read = manifest.read(jobs, checks_hosts=service.checks_hosts, asked=asked.read(given))
    if read.product and not quiet:
        terminal.say(read.product)
    complain(read, terminal, skip_invalid=skip_invalid)
    if mixed:
        terminal.say(mixed, style="yellow")
    work = (Rehearsal if dry_run else Run)(read, terminal, service, order)
    return asyncio.run(work.to_its_end())


def _checked(file_names: str) -> str:
    try:
        return NameTemplate(file_names).text
    except ValueError as error:
        raise exits.CannotStart(f"--file-names: {error}") from error
