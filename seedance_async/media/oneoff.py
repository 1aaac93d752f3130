"""One look, or one file made to fit, with processes that end along with it.

Decides nothing: ``remedies`` does. What is made is looked at again, and gets its name only then.
"""

import asyncio
import contextlib
import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs

from seedance_async import remedies
from seedance_async.errors import MediaError
from seedance_async.looking import Looker, LookingFailed
from seedance_async.mediainfo import MediaInfo
from seedance_async.paid import finish
from seedance_async.remedies import Plan

_ENDINGS = {"jpeg": "jpg"}  # the others are called as they are
_NAME_CHARS = 50  # of a target's name in that of its part: names have at most 255 bytes
_LOST_S = 0.5  # as much as a header may be off; our choice


@attrs.frozen(kw_only=True)
class Fitted:
    """A file that keeps the API's rules about media.

    Attributes:
        path: Where it is; the original, if that fitted already.
        info: What it is.
        changes: What was changed, in words for people; empty if nothing had to be.
    """

    path: Path
    info: MediaInfo
    changes: tuple[str, ...] = ()


async def look(source: str | os.PathLike[str] | bytes) -> MediaInfo:
    """Look at one file, or at what is behind one URL.

    Decides by content, not by name, and checks no rule. Decoders run in a process of their own,
    which ends with the call; to look at the media of many requests, use
    ``SeedanceSession.preflight_all``.

    Args:
        source: A path, an ``http`` or ``https`` URL, or a file's whole content. Of what is behind
            a URL less than 2 MB are fetched, and private addresses are not asked.

    Returns:
        What it is.

    Raises:
        MediaError: It cannot be reached or read, or is no image, video or sound; or the extra
            ``media`` is not installed.
    """
    looker = Looker()
    try:
        if isinstance(source, bytes):
            with _told_of("what was given"):
                return await looker.look(source)
        if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
            with _told_of("what is behind the URL"):
                return await looker.look_behind(source)
        with _told_of(Path(source).name):
            return await looker.look(Path(source))
    finally:
        await looker.close()


async def fit(
    path: str | os.PathLike[str], to: str | os.PathLike[str] | None = None, *, trim: bool = False
) -> Fitted:
    """Make a file fit the API's rules about media, where that takes no guess at what you want.

    Images and videos that are too large become smaller, in the same shape. What is in a format
    that the API does not take, or is sound of too many bytes, is coded anew. Videos and sounds that
    are too long are cut only if you say so. Nothing is made larger or longer, cropped, padded, or
    robbed of its other pictures. The original stays as it is.

    Args:
        path: A local file. Its content decides what it is.
        to: Where to write; what is there is replaced, once all is done. The format does not follow
            from this name. None is beside the original: ``cat.fit.jpg`` for ``cat.avif``.
        trim: Whether to keep only the first 15 seconds of what is longer.

    Returns:
        Where the result is, what it is, and what was changed. A file that fits already is returned
        as it is, and nothing is written.

    Raises:
        MediaError: It cannot be done, with all reasons: the file cannot be read, or breaks a rule
            in a way that only you can mend; or it takes too long (120 s) or too much memory
            (2 GiB); or the result cannot be written; or the extra ``media`` is not installed.
    """
    source = Path(path)
    looker = Looker()
    try:
        with _told_of(source.name):
            before = await looker.look(source)
            plan = remedies.make_plan(before, trim=trim)
            if plan is None:
                return Fitted(path=source, info=before)
            return await _made(looker, source, before, plan, None if to is None else Path(to))
    finally:
        await looker.close()


async def _made(
    looker: Looker, source: Path, before: MediaInfo, plan: Plan, to: Path | None
) -> Fitted:
    near = to or source
    part = near.with_name(f".{near.name[:_NAME_CHARS]}.{uuid.uuid4().hex[:8]}.part")
    # To its end each time: a thread that is left alone might make the part once it was removed.
    try:
        await finish(asyncio.to_thread(_begin, part, source, to))
        damaged = await looker.make_fit(source, part, plan)
        after = await looker.look(part)
        _check(before, after, plan)
        target = to or _beside(source, after)
        await finish(asyncio.to_thread(_settle, part, target))
    finally:
        await finish(asyncio.to_thread(_remove, part))
    changes = remedies.changes(before, after, plan)
    if damaged:
        changes += (f"left out {damaged} damaged piece{'' if damaged == 1 else 's'}",)
    return Fitted(path=target, info=after, changes=changes)


def _check(before: MediaInfo, after: MediaInfo, plan: Plan) -> None:
    """Trust nothing of what was made."""
    if violations := remedies.broken(after):
        reasons = (f"what was made of it {each.message} [{each.rule}]" for each in violations)
        raise MediaError("\n  ".join(["cannot be made to fit:", *reasons]))
    lasts = min(before.duration_s or 0.0, plan.until_s or math.inf)
    if (after.duration_s or 0.0) < lasts - _LOST_S:
        raise MediaError(
            f"is damaged: of its first {lasts:.2f} s only {after.duration_s:.2f} s can be decoded"
        )


def _begin(part: Path, source: Path, to: Path | None) -> None:
    with _writing():
        if to is not None and to.exists() and to.samefile(source):
            raise MediaError("is never written over: give another path to write to")
        part.open("xb").close()


def _settle(part: Path, target: Path) -> None:
    with _writing():
        part.replace(target)


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):
        part.unlink()


def _beside(source: Path, made: MediaInfo) -> Path:
    return source.with_name(f"{source.stem}.fit.{_ENDINGS.get(made.container, made.container)}")


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        words = f"cannot be made to fit: the result cannot be written: {exc.strerror}"
        raise MediaError(words) from exc


@contextlib.contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Put a file's name in front of what is wrong with it."""
    try:
        yield
    except LookingFailed:  # which says nothing of the file
        raise
    except MediaError as error:
        raise MediaError(f"{name} {error}") from error.__cause__
