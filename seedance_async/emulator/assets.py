"""The asset library: media that were registered by URL, and whether they may be used yet.

Takes *now* on the emulator's clock; never fetches a URL, never sleeps. Spelling answers is
``answers``' business.
"""

from __future__ import annotations

import datetime as dt
import string
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from seedance_async import references, rules
from seedance_async.asset import AssetKind, AssetStatus
from seedance_async.errors import Violation

if TYPE_CHECKING:
    from random import Random

#: A share, or a function that takes the body of a registration.
Rejections = float | Callable[[Mapping[str, Any]], bool]
KINDS = tuple(AssetKind)
#: How long the review of an asset takes. Our choice.
REVIEW_S = 10.0
MAX_ASSETS = 10_000
_SUFFIX_CHARACTERS = string.ascii_lowercase + string.digits
_SUFFIX_LENGTH = 5


@attrs.define(kw_only=True)
class Asset:
    """One registered asset; ``registered_s`` is on the emulator's clock."""

    id: str
    kind: str
    url: str
    name: str | None
    created_at: dt.datetime
    registered_s: float
    rejected: bool = False
    deleted: bool = False

    def status(self, now: float) -> AssetStatus:
        """Tell the asset's status at *now*."""
        if now < self.registered_s + REVIEW_S:
            return AssetStatus.PROCESSING
        return AssetStatus.FAILED if self.rejected else AssetStatus.ACTIVE


class Library:
    """The latest 10,000 assets that were registered, deleted ones included."""

    def __init__(
        self,
        random: Random,
        *,
        chance: Random,
        rejections: Rejections = 0.0,
        max_assets: int = MAX_ASSETS,
    ) -> None:
        """Open an empty library.

        Args:
            random: Makes the ends of the ids.
            chance: Draws the assets that are rejected, where *rejections* is a share.
            rejections: Which do not pass their review.
            max_assets: How many are kept.
        """
        self._random = random
        self._chance = chance
        self._rejections = rejections
        self._max_assets = max_assets
        self._assets: OrderedDict[str, Asset] = OrderedDict()

    def register(
        self, body: Mapping[str, Any], *, fetchable: bool, now: float, created_at: dt.datetime
    ) -> Asset:
        """Register the asset of *body*; ``problem`` has been asked before.

        What is not *fetchable* does not pass its review.
        """
        kind, url, name = body["assetType"], body["url"], body.get("name")
        asset = Asset(
            id=self._new_id(created_at),
            kind=kind,
            url=url,
            name=name,
            created_at=created_at,
            registered_s=now,
            rejected=not fetchable or self._rejects(body),
        )
        self._assets[asset.id] = asset
        while len(self._assets) > self._max_assets:
            self._assets.popitem(last=False)
        return asset

    def _rejects(self, body: Mapping[str, Any]) -> bool:
        if callable(self._rejections):
            return self._rejections(body)
        return self._chance.random() < self._rejections

    def find(self, asset_id: str) -> Asset | None:
        """Look an asset up; None for an unknown, forgotten or deleted one."""
        asset = self._assets.get(asset_id)
        return None if asset is None or asset.deleted else asset

    def delete(self, asset_id: str) -> bool:
        """Delete an asset for good; False if there is none."""
        asset = self.find(asset_id)
        if asset is not None:
            asset.deleted = True
        return asset is not None

    def violations(self, given: Mapping[str, Any], now: float) -> Iterator[Violation]:
        """Find the references to assets that were registered here and may not be used.

        An id that was never registered here passes, so that examples work.
        """
        for field, value in rules.media_references(given):
            if not isinstance(value, str) or not value.startswith(references.ASSET_SCHEME):
                continue
            asset = self._assets.get(value.removeprefix(references.ASSET_SCHEME))
            if asset is None:
                continue
            if asset.deleted:
                yield Violation("media.reference", field, "is an asset that was deleted")
            elif asset.status(now) is AssetStatus.FAILED:
                yield Violation("media.reference", field, "is an asset that failed its review")
            elif asset.status(now) is not AssetStatus.ACTIVE:
                message = "is an asset that is not Active yet: wait for the review to end"
                yield Violation("media.reference", field, message)

    def _new_id(self, created_at: dt.datetime) -> str:
        while True:
            suffix = "".join(self._random.choices(_SUFFIX_CHARACTERS, k=_SUFFIX_LENGTH))
            asset_id = f"asset-{created_at:%Y%m%d%H%M%S}-{suffix}"
            if asset_id not in self._assets:
                return asset_id


def problem(kind: Any, url: Any, name: Any) -> str | None:
    """Say why an asset cannot be registered; None if it can."""
    if kind not in KINDS:
        return f"assetType must be one of {', '.join(KINDS)}"
    if name is not None and not isinstance(name, str):
        return "name must be text"
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        fetchable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fetchable = False
    return None if fetchable else "url must be a public http(s) URL"
