"""Looks at the media of requests before anything is paid for; each distinct one once.

Joins the looks with the rules. Decides nothing about when: whoever submits does.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import anyio
import attrs

from seedance_async import local, references, rules
from seedance_async.asset import Asset, AssetStatus
from seedance_async.errors import (
    AssetUnknown,
    InvalidRequest,
    MediaError,
    Violation,
)
from seedance_async.ledger import Alone
from seedance_async.looking import Looker, LookingFailed, is_available
from seedance_async.mediainfo import MediaInfo
from seedance_async.remedies import remedy
from seedance_async.request import VideoRequest
from seedance_async.rules import Stage
from seedance_async.together import together

# For so many seconds a look holds, our choice: what is behind a URL may be another thing tomorrow,
# a host that is out of reach may be back soon, and a review may end at any moment.
_HOLDS_S, _PROBLEM_HOLDS_S = 600.0, 30.0
_READABLE, _ACTIVE = "media.readable", "asset.active"
_KEPT = 4096
_AT_ONCE = 8  # hosts that are asked at the same time; our choice


@attrs.frozen(kw_only=True)
class Preflight:
    """What a look at a request's media has brought to light.

    Attributes:
        request: The request.
        media: What stands at each place, such as ``first_image`` or ``reference_videos[1]``.
            Assets are not in it: nobody can look at them but the provider.
        violations: All broken rules about media; ``media.readable`` for what cannot be looked
            at, ``asset.active`` for an asset that may not be used (yet).
    """

    request: VideoRequest
    media: Mapping[str, MediaInfo]
    violations: tuple[Violation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no rule is broken."""
        return not self.violations


# None for an asset that may be used, and for a file that is there, and no more known of it.
_Found = MediaInfo | Violation | None


@attrs.frozen
class _Kept:
    until: float
    found: _Found


class Preflights:
    """Looks at requests; remembers for ten minutes what it has seen.

    Args:
        look_up: Gives an asset as it is now.
        clock: Gives the event loop's time, in seconds.
        to_private: Whether URLs may lead to private addresses.
        root: Where relative paths of local files start; None for the current folder.
    """

    def __init__(
        self,
        look_up: Callable[[str], Awaitable[Asset]],
        clock: Callable[[], float],
        *,
        to_private: bool,
        root: Path | None,
    ) -> None:
        self._root = root
        self._look_up = look_up
        self._clock = clock
        self._to_private = to_private
        self._looker: Looker | None = None
        self._places = anyio.Semaphore(_AT_ONCE)
        self._kept: dict[str | local.Stamp, _Kept] = {}
        self._busy: dict[str, anyio.Event | None] = {}

    async def check(self, request: VideoRequest, *, local_only: bool = False) -> None:
        """Look at a request's media.

        Raises:
            InvalidRequest: Rules are broken, all of them in ``violations``.
            MediaError: The extra ``media`` is not installed.
        """
        preflight = await self.look(request, local_only=local_only)
        if not preflight.ok:
            raise InvalidRequest(preflight.violations)

    async def look(self, request: VideoRequest, *, local_only: bool = False) -> Preflight:
        """Look at a request's media, and say what is wrong with them.

        Args:
            request: The request.
            local_only: Whether to look at local files alone; then without the extra as well, which
                tells no more than that they are there.

        Raises:
            MediaError: The extra ``media`` is not installed.
            SeedanceError: The asset library cannot be asked.
        """
        places = tuple(request.local_media().items() if local_only else request.media())
        if not local_only and request.local_media():
            self._ready()  # or say what is missing
        seen = await together(self._once, [reference for _, reference in places], len(places))
        found = {place: each for (place, _), each in zip(places, seen, strict=True)}
        media = {place: each for place, _ in places if isinstance(each := found[place], MediaInfo)}
        unseen = [
            attrs.evolve(each, field=place)
            for place, _ in places
            if isinstance(each := found[place], Violation) and each.rule not in request.waive
        ]
        broken = rules.violations(media, waive=request.waive, stage=Stage.MEDIA)
        local_places = request.local_media()
        helped = (
            _helped(each, media[each.field]) if each.field in local_places else each
            for each in broken
        )
        return Preflight(request=request, media=media, violations=(*unseen, *helped))

    async def look_at_all(
        self, requests: Sequence[VideoRequest], *, local_only: bool = False
    ) -> Sequence[Preflight]:
        """Look at many requests, some at a time; as ``look``."""
        look = functools.partial(self.look, local_only=local_only)
        return await together(look, requests, _AT_ONCE)

    async def close(self) -> None:
        """End what looks."""
        if self._looker is not None:
            await self._looker.close()

    async def _once(self, reference: str) -> _Found:
        async with Alone(self._busy, reference):
            if not references.is_local(reference):
                return await self._remembered(reference, lambda: self._look(reference))
            path = local.locate(reference, self._root)
            try:
                stamp = await asyncio.to_thread(local.stamp, path)
            except (OSError, ValueError) as exc:
                return Violation(_READABLE, "", local.unreadable(reference, exc))
            if not is_available():
                return None
            looker = self._ready()
            return await self._remembered(stamp, lambda: _readable(looker.look(path)))

    async def _remembered(
        self, key: str | local.Stamp, look: Callable[[], Awaitable[_Found]]
    ) -> _Found:
        kept = self._kept.get(key)
        if kept is None or kept.until < self._clock():
            found = await look()
            kept = self._kept[key] = _Kept(self._clock() + _holds_s(found), found)
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return kept.found

    async def _look(self, reference: str) -> _Found:
        if reference.startswith(references.ASSET_SCHEME):
            return await self._look_up_asset(reference.removeprefix(references.ASSET_SCHEME))
        looker = self._ready()
        async with self._places:
            return await _readable(looker.look_behind(reference))

    def _ready(self) -> Looker:
        if self._looker is None:
            self._looker = Looker(to_private=self._to_private)
        return self._looker

    async def _look_up_asset(self, asset_id: str) -> Violation | None:
        try:
            asset = await self._look_up(asset_id)
        except (AssetUnknown, ValueError):
            return Violation(_ACTIVE, "", "is an asset that the provider does not know")
        if asset.status == AssetStatus.ACTIVE:
            return None
        message = f"is an asset that is {asset.status}: only Active ones may be used"
        return Violation(_ACTIVE, "", message)


def _helped(broken: Violation, info: MediaInfo) -> Violation:
    """Offer what can make a local file fit."""
    words = remedy(broken.rule, info)
    if words is None:
        return broken
    return attrs.evolve(broken, message=f"{broken.message}; {words}")


async def _readable(looked: Awaitable[MediaInfo]) -> _Found:
    try:
        return await looked
    except LookingFailed:
        raise
    except MediaError as error:
        return Violation(_READABLE, "", str(error))


def _holds_s(found: _Found) -> float:
    if not isinstance(found, Violation):
        return _HOLDS_S
    return _PROBLEM_HOLDS_S if found.rule == _READABLE else 0.0
