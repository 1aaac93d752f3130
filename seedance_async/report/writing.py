"""From a journal and the videos' folder to the page on disk."""

import contextlib
import datetime as dt
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import anyio.to_thread
import attrs

from seedance_async.batch import on_disk
from seedance_async.budget import PriceTable
from seedance_async.journal import SqliteJournal
from seedance_async.journal.lock import is_written
from seedance_async.lifecycle import JobRecord
from seedance_async.report import facts, page, pictures

FILE_NAME = "report.html"


@attrs.frozen(kw_only=True)
class Report:
    """A page that was written.

    Attributes:
        path: The file.
        jobs: How many jobs it shows, 0 or more.
        videos: How many of their videos are on disk, and can be played.
        pictures: How many of these have a picture; the others have a plain tile.
    """

    path: Path
    jobs: int
    videos: int
    pictures: int


async def write_report(
    journal: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    prices: PriceTable | None = None,
    with_prompts: bool = True,
    with_urls: bool = False,
) -> Report:
    """Write one HTML page about the jobs of a journal, whether a session is writing it or not.

    The videos stay where they are; the page refers to them by paths relative to itself, so that
    both can be moved together. It holds no API key.

    Args:
        journal: The journal's file.
        out: The page's file, or a folder for ``report.html``; an earlier report is replaced. None
            puts it beside the videos, or beside the journal where they are in several folders.
        title: What the page is called; None names it after the journal's folder.
        prices: What the models cost: what the videos cost is shown as well. None shows none.
        with_prompts: Whether it shows the prompts.
        with_urls: Whether it links to the videos at the provider, which anybody who has the page
            can open then, for the 24 hours that they are kept.

    Returns:
        What was written.

    Raises:
        JournalError: There is no such journal, or it cannot be read.
        OSError: The page cannot be written; ``FileExistsError`` where a file that is no report
            has its name.
    """
    async with SqliteJournal(journal, read_only=True) as opened:
        source = opened.path
        lives = [life async for life in opened.lives()]
    files = await anyio.to_thread.run_sync(_files, [record for record, _ in lives], source.parent)
    target = await anyio.to_thread.run_sync(_target, out, source, files)
    made = await pictures.of_videos(files)
    is_running = await anyio.to_thread.run_sync(is_written, source)
    until = _until([record for record, _ in lives], is_running=is_running)
    jobs = [
        facts.job(record, moves, until=until, with_prompts=with_prompts, with_urls=with_urls)
        | facts.cost(record, prices)
        | _place(record, file, target.parent)
        for (record, moves), file in zip(lives, files, strict=True)
    ]
    told = {
        "at": round(until.timestamp(), 3),
        "journal": source.name,
        "running": is_running,
        "prompts": with_prompts,
        "totals": facts.totals(jobs),
        "currency": prices.currency if prices else "",
        "jobs": jobs,
    }
    called = title or f"{source.parent.name or source.name} · Seedance report"
    written = page.make(called, told, made)
    await anyio.to_thread.run_sync(_write, target, written)
    shown = sum(picture is not None for picture in made)
    videos = sum(file is not None for file in files)
    return Report(path=target, jobs=len(jobs), videos=videos, pictures=shown)


def _files(records: Sequence[JobRecord], folder: Path) -> list[Path | None]:
    return [on_disk(record, folder) for record in records]


def _until(records: Sequence[JobRecord], *, is_running: bool) -> dt.datetime:
    """Tell up to when the journal speaks: a batch that was stopped days ago does not go on."""
    now = dt.datetime.now(dt.UTC)
    last = max((record.changed_at for record in records), default=now)
    return max(now, last) if is_running else last


def _target(
    out: str | os.PathLike[str] | None, journal: Path, files: Sequence[Path | None]
) -> Path:
    """Choose the page's file, before anything takes time.

    Raises:
        OSError: It cannot be that one.
    """
    if out is None:
        folders = {os.path.realpath(file.parent) for file in files if file is not None}
        target = Path(*folders if len(folders) == 1 else [journal.parent]) / FILE_NAME
    else:
        named = Path(out)
        target = named / FILE_NAME if named.is_dir() else named
    # By its real folder: the ways from it to the videos must not lead through links.
    target = Path(os.path.realpath(target.parent)) / target.name
    with contextlib.suppress(FileNotFoundError), target.open("rb") as before:
        if before.read(len(page.MARK)) != page.MARK.encode():
            raise FileExistsError(f"{target} is there already and is no report")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _place(record: JobRecord, file: Path | None, folder: Path) -> dict[str, Any]:
    """Say where a job's video is, as seen from the page; a name alone where there is no way."""
    if record.path is None:
        return {}
    name = Path(record.path).name
    if file is None:
        return {"missing": name}
    try:
        way = Path(os.path.relpath(os.path.realpath(file), folder)).as_posix()
    except ValueError:  # on Windows: another drive
        return {"missing": name}
    # A colon would make a scheme of what stands before it, so it is spelled as well.
    return {"file": quote_from_bytes(os.fsencode(way)), "size": record.size_bytes}


def _write(target: Path, text: str) -> None:
    """Put the page in its place, whole: it may be open in a browser."""
    part = target.with_name(f".{uuid.uuid4().hex[:8]}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
