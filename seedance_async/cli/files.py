"""The local files of a manifest's jobs: looked at before the first of them is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from seedance_async.cli.exits import CannotStart
from seedance_async.cli.manifest import Manifest
from seedance_async.cli.past import Past, Stand
from seedance_async.cli.publishing import in_our_words
from seedance_async.errors import InvalidRequest, MediaError, Violation
from seedance_async.request import VideoRequest

#: What is said where the extra is missing.
UNSEEN = "not looked at before they are sent: pip install 'seedance-async[media]'"

if TYPE_CHECKING:
    from seedance_async.session import SeedanceSession


async def checked(
    session: SeedanceSession,
    manifest: Manifest,
    past: Past,
    *,
    resubmits: bool,
    takes_files: bool,
) -> Manifest:
    """Fault every line whose job is to be sent, and whose local files cannot be used.

    Args:
        session: The session, which has a publisher if it *takes_files*.
        manifest: The jobs.
        past: How they stood before.
        resubmits: Whether unknown jobs are sent again.
        takes_files: Whether local files are published.

    Raises:
        CannotStart: What looks at files does not work here.
    """
    stands = {Stand.UNSENT, Stand.UNKNOWN} if resubmits else {Stand.UNSENT}
    requests: dict[int, VideoRequest] = {}
    for index, (line, key) in enumerate(zip(manifest.lines, past.keys, strict=True)):
        request = line.job.request if line.job else None
        if request is not None and past.stand(key) in stands and request.local_media():
            requests[index] = request
    faults = await _looked_at(session, requests) if takes_files else _refused(requests)
    lines = [
        attrs.evolve(line, job=None, faults=faults[index]) if faults.get(index) else line
        for index, line in enumerate(manifest.lines)
    ]
    return attrs.evolve(manifest, lines=tuple(lines))


def are_unseen(manifest: Manifest) -> bool:
    """Tell whether there are local files, and nobody here who could look at them."""
    from seedance_async.looking import is_available  # noqa: PLC0415 -- brings in aiohttp

    jobs = (line.job for line in manifest.lines if line.job)
    return not is_available() and any(job.request.local_media() for job in jobs)


def _refused(requests: Mapping[int, VideoRequest]) -> dict[int, tuple[Violation, ...]]:
    faults: dict[int, tuple[Violation, ...]] = {}
    for index, request in requests.items():
        try:
            request.check_submission(hosts=False)
        except InvalidRequest as invalid:
            faults[index] = in_our_words(invalid.violations)
    return faults


async def _looked_at(
    session: SeedanceSession, requests: Mapping[int, VideoRequest]
) -> dict[int, tuple[Violation, ...]]:
    if not requests:
        return {}
    try:
        looked = await session.preflight_all(requests.values(), local_only=True)
    except MediaError as error:
        raise CannotStart(error.message) from error
    return {index: each.violations for index, each in zip(requests, looked, strict=True)}
