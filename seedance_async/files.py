"""Local files on their way into a request: each content made public once, and remembered.

What is published costs nothing, so that it may be repeated: a registration in the asset library
is as careful as ``assets`` is. Everything here comes before a create's intent.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import attrs

from seedance_async import local, mediarules, references, wire
from seedance_async.asset import AssetKind
from seedance_async.assets import Assets
from seedance_async.calls import Sendable
from seedance_async.errors import (
    AssetFailed,
    InvalidRequest,
    PublishError,
    SeedanceError,
    SubmissionUnknown,
    Violation,
    WaitTimeout,
)
from seedance_async.journal import Journal
from seedance_async.ledger import Alone, telling, utc_now
from seedance_async.paid import is_ours
from seedance_async.publication import LocalFile, Publication, Published, Publisher
from seedance_async.publishers import AssetPublisher
from seedance_async.request import VideoRequest
from seedance_async.together import together

K = TypeVar("K")
V = TypeVar("V")
_AT_ONCE = 4  # uploads; our choice
_PATIENCE_S = 900.0  # for one of them: what hangs must not keep others waiting for ever; our choice
_KEPT = 4096
# An asset may be deleted while we remember it: after so many seconds it is looked at again.
_ASSET_HOLDS_S = 600.0
_NAME_DIGITS, _DIGEST_DIGITS = 8, 32


@attrs.frozen
class _Found:
    file: LocalFile
    stamp: local.Stamp


@attrs.frozen
class _Failure:
    error: SeedanceError
    at: float


class Files:
    """Makes the local files of requests public.

    Args:
        publisher: Who does it.
        assets: The asset library, for a publisher that goes through it.
        journal: Where it is remembered.
        clock: Gives the event loop's time, in seconds.
        checks_hosts: Whether what is published has to be on a public host.
        root: Where relative paths start; None for the current folder.
    """

    def __init__(
        self,
        publisher: Publisher | AssetPublisher,
        *,
        assets: Assets,
        journal: Journal,
        clock: Callable[[], float],
        checks_hosts: bool,
        root: Path | None,
    ) -> None:
        self._publisher = publisher
        self._assets = assets
        self._journal = journal
        self._clock = clock
        self._checks_hosts = checks_hosts
        self._root = root
        self._places = anyio.Semaphore(_AT_ONCE)
        self._busy: dict[str, anyio.Event | None] = {}
        self._digests: dict[local.Stamp, str] = {}
        self._known: dict[str, Publication] = {}
        self._failed: dict[str, _Failure] = {}

    async def make_public(self, request: VideoRequest) -> Sendable:
        """Put what they are published as in the place of a request's local files.

        At once where that is known already, and will hold long enough.

        Raises:
            InvalidRequest: Files are not there or cannot be read, all of them in ``violations``.
            PublishError: A file could not be made public, or not yet.
            AssetFailed: The review did not let one pass.
            SeedanceError: The asset library cannot be asked.
        """
        paths = request.local_media()
        found = await together(self._find, paths.items(), _AT_ONCE)
        missing = [each for each in found if isinstance(each, Violation)]
        if missing:
            raise InvalidRequest(missing)
        files = [each for each in found if isinstance(each, _Found)]
        public = await together(self._made_public, files, len(files))
        ends = [each.last_use for each in public if each.last_use is not None]
        media = {place: each.reference for place, each in zip(paths, public, strict=True)}
        return Sendable(request=request.with_media(media), until=min(ends, default=None))

    async def _find(self, placed: tuple[str, str]) -> _Found | Violation:
        """Read a file through, for its digest."""
        place, text = placed
        path = local.locate(text, self._root)
        async with Alone(self._busy, f"path {path}"):
            try:
                stamp = await asyncio.to_thread(local.stamp, path)
                digest = self._digests.get(stamp)
                if digest is None:
                    digest = await asyncio.to_thread(local.digest, path)
            except (OSError, ValueError) as exc:
                return Violation("media.readable", place, local.unreadable(text, exc))
        _keep(self._digests, stamp, digest)
        kind = mediarules.expected(place)
        file = LocalFile(path=path, digest=digest, size_bytes=stamp.size_bytes, kind=kind)
        return _Found(file, stamp)

    async def _made_public(self, found: _Found) -> Publication:
        began, digest = self._clock(), found.file.digest
        async with Alone(self._busy, digest) as had_to_wait:
            failed = self._failed.get(digest)
            if failed is not None and had_to_wait and failed.at >= began:  # it was ours as well
                raise copy.copy(failed.error) from failed.error.__cause__
            known = self._known.get(digest)
            if known is not None and known.is_fresh(utc_now()):
                return known
            try:
                if isinstance(self._publisher, AssetPublisher):
                    known = await self._asset(self._publisher, found)
                else:
                    known = await self._url(self._publisher, found)
            except SeedanceError as error:
                _keep(self._failed, digest, _Failure(error, self._clock()))
                raise
            _keep(self._known, digest, known)
            return known

    async def _asset(self, through: AssetPublisher, found: _Found) -> Publication:
        file, name = found.file, local.shown(found.file.path.name)
        key, kind = f"file-{file.digest[:_DIGEST_DIGITS]}", AssetKind(file.kind.title())
        try:
            asset = await self._assets.registered(key)
            if asset is None:
                url = (await self._url(through.publisher, found)).reference
                asset = await self._assets.register(url, kind, key=key)
            asset = await self._assets.wait_active(asset.id, through.timeout_s)
        except AssetFailed as failed:
            raise AssetFailed(f"{name}: {failed.message}") from failed
        except SubmissionUnknown as lost:  # an asset, and not a task
            message = (
                f"{name} may be an asset or not, since the answer to its registration was lost; it "
                f"is not registered again. Look in the asset library, and settle {lost.key}: say "
                "the asset's id, or that it was not created"
            )
            raise PublishError(message) from lost
        except WaitTimeout as late:  # likewise
            raise PublishError(f"{name}: {late.message}; its review goes on") from late
        except InvalidRequest as invalid:  # of a URL that the user has not written
            (broken, *_) = invalid.violations
            raise PublishError(f"what {name} was published as {broken.message}") from invalid
        # Twice, since half of it is spare.
        return Publication.of(Published(asset.reference, 2 * _ASSET_HOLDS_S), utc_now())

    async def _url(self, publisher: Publisher, found: _Found) -> Publication:
        place = publisher.name
        where = hashlib.sha256(place.encode(errors="replace")).hexdigest()[:_NAME_DIGITS]
        name = f"published:{where}:{found.file.digest[:_DIGEST_DIGITS]}"
        known = Publication.load(await self._recall(name) or "") if place else None
        if known is None or not known.is_fresh(utc_now()):
            async with self._places:
                known = await self._publish(publisher, found)
            # What no request may have is a mistake, and to be mended.
            if place and (references.may_be_public(known.reference) or not self._checks_hosts):
                await self._remember(name, known)
        return known

    async def _publish(self, publisher: Publisher, found: _Found) -> Publication:
        began, what = utc_now(), local.shown(found.file.path.name)
        try:
            with anyio.fail_after(_PATIENCE_S):
                published: Any = await publisher.publish(found.file)
        except PublishError:
            raise
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and is_ours(exc):
                raise
            words = wire.clip(f"{type(exc).__name__}: {exc}".removesuffix(": "))
            raise PublishError(f"could not publish {what}: {words}") from exc
        if not isinstance(published, Published):
            kind = type(published).__name__
            raise PublishError(f"publishing {what} gave a {kind}, not a Published")
        problem = references.problem(published.reference)
        if problem is not None:
            raise PublishError(f"what {what} was published as {problem}")
        if not await asyncio.to_thread(_is_still, found.stamp):
            raise PublishError(f"{what} has changed while it was published")
        return Publication.of(published, began)

    async def _recall(self, name: str) -> str | None:
        with telling(name):
            return await self._journal.recall(name)

    async def _remember(self, name: str, publication: Publication) -> None:
        with telling(name):
            await self._journal.remember(name, publication.dump())


def _is_still(stamp: local.Stamp) -> bool:
    """Tell whether a file is what it was."""
    try:
        return local.stamp(stamp.path) == stamp
    except (OSError, ValueError):
        return False


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    kept[key] = value
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]
