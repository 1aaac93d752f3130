"""The local files of a manifest's jobs: looked at before the first of them is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from seedance_async.cli.exits import CannotStart
from seedance_async.cli.manifest import Manifest
from seedance_async.cli.past import Past, Stand
from seedance_async.errors import MediaError
from seedance_async.request import VideoRequest

if TYPE_CHECKING:
    from seedance_async.session import SeedanceSession


async def checked(
    session: SeedanceSession, manifest: Manifest, past: Past, *, resubmits: bool
) -> Manifest:
    """Fault every line whose job is to be sent, and whose local files cannot be used.

    Raises:
        CannotStart: What looks at files does not work here.
    """
    stands = {Stand.UNSENT, Stand.UNKNOWN} if resubmits else {Stand.UNSENT}
    requests: dict[int, VideoRequest] = {}
    for index, (line, key) in enumerate(zip(manifest.lines, past.keys, strict=True)):
        request = line.job.request if line.job else None
        if request is not None and past.stand(key) in stands and request.local_media():
            requests[index] = request
    if not requests:
        return manifest
    try:
        looked = await session.preflight_all(requests.values(), local_only=True)
    except MediaError as error:
        raise CannotStart(error.message) from error
    lines = list(manifest.lines)
    for index, found in zip(requests, looked, strict=True):
        if not found.ok:
            lines[index] = attrs.evolve(lines[index], job=None, faults=found.violations)
    return attrs.evolve(manifest, lines=tuple(lines))
