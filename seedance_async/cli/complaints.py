"""What is wrong with a file of jobs, said before anything is sent."""

from __future__ import annotations

from collections.abc import Collection

from seedance_async.cli import exits
from seedance_async.cli.manifest import Found, Manifest
from seedance_async.cli.terminal import Terminal, count, one_line

_MAX_COMPLAINTS = 20  # less than a screen: a mistake in one line is often in all of them


def complain(
    manifest: Manifest, terminal: Terminal, *, skip_invalid: bool, known: Collection[int] = ()
) -> None:
    """List a manifest's faults.

    Args:
        manifest: The jobs.
        terminal: Where to.
        skip_invalid: Whether the valid jobs are to be sent all the same.
        known: The places of the lines that were complained of before.

    Raises:
        CannotStart: There are faults, and they are not to be skipped or leave nothing to send.
    """
    invalid = manifest.invalid_places.difference(known)
    if not invalid:
        return
    complaints = [_told(manifest, found) for found in manifest.faults(known)]
    for complaint in complaints[:_MAX_COMPLAINTS]:
        terminal.say(complaint, style="red")
    if len(complaints) > _MAX_COMPLAINTS:
        terminal.say(f"... and {len(complaints) - _MAX_COMPLAINTS:,} more", style="red")
    total, all_jobs = len(manifest.invalid), len(manifest.lines)
    if not skip_invalid or total == all_jobs:
        hint = "" if total == all_jobs else ", or send the others with --skip-invalid"
        what = f"{total} of {count(all_jobs, 'job')} invalid, nothing was sent"
        raise exits.CannotStart(f"{what}: mend the file{hint}")
    terminal.say(f"skipping {count(len(invalid), 'invalid job')} of {all_jobs}", style="yellow")


def _told(manifest: Manifest, found: Found) -> str:
    line = found.line
    if not line.clash:
        return one_line(found.told(manifest.source))
    first, *others = line.clash
    return "\n".join([f"{one_line(manifest.source)}:{line.number}: {first}", *others])
