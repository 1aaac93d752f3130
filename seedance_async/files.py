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
from seedance_async.errors import (
    AssetFailed,
    InvalidRequest,
    JournalError,
    PublishError,
    SeedanceError,
    SubmissionUnknown,
    Violation,
    WaitTimeout,
)
from seedance_async.journal import Journal
from seedance_async.ledger import Alone, utc_now
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
        root: Where relative paths start; None for the current folder.
    """

    def __init__(
        self,
        publisher: Publisher | AssetPublisher,
        *,
        assets: Assets,
        journal: Journal,
        clock: Callable[[], float],
        root: Path | None,
    ) -> None:
        self._publisher = publisher
        self._assets = assets
        self._journal = journal
        self._clock = clock
        self._root = root
        self._places = anyio.Semaphore(_AT_ONCE)
        self._busy: dict[str, anyio.Event | None] = {}
        self._digests: dict[local.Stamp, str] = {}
        self._known: dict[str, Publication] = {}
        self._failed: dict[str, _Failure] = {}

    async def make_public(self, request: VideoRequest) -> VideoRequest:
        """Put what they are published as in the place of a request's local files.

        At once where that is known already, and will hold long enough.

        Raises:
            InvalidRequest: Files are not there or cannot be read, all of them in ``violations``.
            PublishError: A file could not be made public, or not yet.
            AssetFailed: The review did not let one pass.
            SeedanceError: The asset library cannot be asked.
        """
        paths = request.local_media()
        if not paths:
            return request
        found = await together(self._find, paths.items(), _AT_ONCE)
        missing = [each for each in found if isinstance(each, Violation)]
        if missing:
            raise InvalidRequest(missing)
        files = [each for each in found if isinstance(each, LocalFile)]
        public = await together(self._made_public, files, len(files))
        return request.with_media(dict(zip(paths, public, strict=True)))

    async def _find(self, placed: tuple[str, str]) -> LocalFile | Violation:
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
        return LocalFile(path=path, digest=digest, size_bytes=stamp.size_bytes, kind=kind)

    async def _made_public(self, file: LocalFile) -> str:
        began = self._clock()
        async with Alone(self._busy, file.digest) as had_to_wait:
            failed = self._failed.get(file.digest)
            if failed is not None:
                is_shared = had_to_wait and failed.at >= began
                if is_shared or isinstance(failed.error, AssetFailed):
                    raise copy.copy(failed.error) from failed.error.__cause__
            try:
                return await self._reference(file)
            except SeedanceError as error:
                _keep(self._failed, file.digest, _Failure(error, self._clock()))
                raise

    async def _reference(self, file: LocalFile) -> str:
        publisher = self._publisher
        if isinstance(publisher, AssetPublisher):
            return await self._asset(publisher, file)
        return await self._url(publisher, file)

    async def _asset(self, through: AssetPublisher, file: LocalFile) -> str:
        held = self._known.get(file.digest)
        if held is not None and held.is_fresh(utc_now()):
            return held.reference
        key, kind = f"file-{file.digest[:_DIGEST_DIGITS]}", AssetKind(file.kind.title())
        try:
            asset = await self._assets.registered(key)
            if asset is None:
                url = await self._url(through.publisher, file)
                asset = await self._assets.register(url, kind, key=key)
            asset = await self._assets.wait_active(asset.id, through.timeout_s)
        except (SubmissionUnknown, WaitTimeout) as about:  # an asset, and not a task
            raise PublishError(about.message) from about
        # Twice, since half of it is spare.
        held_s = 2 * _ASSET_HOLDS_S
        held = Publication.of(Published(asset.reference, held_s), utc_now())
        _keep(self._known, file.digest, held)
        return held.reference

    async def _url(self, publisher: Publisher, file: LocalFile) -> str:
        where = hashlib.sha256(publisher.name.encode()).hexdigest()[:_NAME_DIGITS]
        name = f"published:{where}:{file.digest[:_DIGEST_DIGITS]}"
        known = self._known.get(name) or Publication.load(await self._recall(name) or "")
        if known is None or not known.is_fresh(utc_now()):
            async with self._places:
                known = await self._publish(publisher, file)
            await self._remember(name, known)
        _keep(self._known, name, known)
        return known.reference

    async def _publish(self, publisher: Publisher, file: LocalFile) -> Publication:
        began, what = utc_now(), f"{file.path.name} at {publisher.name}"
        try:
            with anyio.fail_after(_PATIENCE_S):
                published: Any = await publisher.publish(file)
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
            raise PublishError(f"what publishing {what} gave {problem}")
        if await asyncio.to_thread(self._is_another, file):
            raise PublishError(f"{file.path.name} has changed while it was published")
        return Publication.of(published, began)

    def _is_another(self, file: LocalFile) -> bool:
        try:
            return self._digests.get(local.stamp(file.path)) != file.digest
        except (OSError, ValueError):
            return True

    async def _recall(self, name: str) -> str | None:
        try:
            return await self._journal.recall(name)
        except JournalError:
            raise
        except Exception as exc:
            raise JournalError(f"the journal does not tell {name}: {type(exc).__name__}") from exc

    async def _remember(self, name: str, publication: Publication) -> None:
        try:
            await self._journal.remember(name, publication.dump())
        except JournalError:
            raise
        except Exception as exc:
            raise JournalError(f"the journal does not keep {name}: {type(exc).__name__}") from exc


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    kept[key] = value
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]
