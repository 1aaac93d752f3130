"""A local file made public: what a publisher is given and gives back, and how long that holds.

Opens nothing and publishes nothing.
"""

import datetime as dt
import json
import mimetypes
import re
from pathlib import Path
from typing import Any, Protocol

import attrs

from seedance_async import references
from seedance_async.mediainfo import MediaKind

# The provider fetches a URL when a task's turn comes, which may be long after its create. Less
# than this before its end a URL is not given out any more; our choice.
_SPARE_S = 3600.0
_FOR_EVER_S = 1e9  # thirty years
_DIGEST_DIGITS = 32
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}", re.ASCII)


@attrs.frozen(kw_only=True)
class LocalFile:
    """A local file that is to be made public.

    Attributes:
        path: Where it is, absolute.
        digest: The SHA-256 of its content, in hexadecimal.
        size_bytes: Its size.
        kind: What it is needed as, by its place in the request.
    """

    path: Path
    digest: str
    size_bytes: int
    kind: MediaKind

    @property
    def object_name(self) -> str:
        """A name by its content, such as ``3f9c….png``: equal files have one, others another."""
        suffix = self.path.suffix.lower()
        return self.digest[:_DIGEST_DIGITS] + (suffix if _SUFFIX.fullmatch(suffix) else "")

    @property
    def media_type(self) -> str:
        """What to declare as ``Content-Type``, guessed from the name's end."""
        return mimetypes.guess_type(self.object_name)[0] or "application/octet-stream"


def _check_reference(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"a publisher gives the URL as text, not {type(value).__name__}")


def _check_lifetime(_: object, __: object, value: Any) -> None:
    if value is not None and not _is_lifetime(value):
        raise ValueError(f"lifetime_s must be above 0 seconds, or None, not {value!r}")


def _is_lifetime(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


@attrs.frozen
class Published:
    """What a file was published as.

    Attributes:
        reference: A public http(s) URL, or ``asset://<assetId>``. It may be signed.
        lifetime_s: For how many seconds it can be fetched, more than 0; None for ever.
    """

    reference: str = attrs.field(repr=False, validator=_check_reference)
    lifetime_s: float | None = attrs.field(default=None, validator=_check_lifetime)


class Publisher(Protocol):
    """Makes local files public, so that the provider can fetch them."""

    @property
    def name(self) -> str:
        """Where it publishes to, such as a bucket's URL, without secrets.

        What was published is remembered under it, in the journal: another name publishes again.
        Under an empty one it is remembered as long as the session lasts.
        """

    async def publish(self, file: LocalFile) -> Published:
        """Make a file public; called once for each content, several files at a time.

        May be called again for the same file, after a crash or once its lifetime is over, and must
        not mind. What it raises fails the jobs that need the file, before anything is paid.
        """


@attrs.frozen(kw_only=True)
class Publication:
    """What is remembered of a file that was published.

    Attributes:
        reference: As what.
        lifetime_s: How long it holds in all; None for ever.
        until: When that is over; None likewise.
    """

    reference: str = attrs.field(repr=False)
    lifetime_s: float | None
    until: dt.datetime | None

    @classmethod
    def of(cls, published: Published, began: dt.datetime) -> "Publication":
        """Take what a publisher gave that *began* then."""
        lifetime_s = published.lifetime_s
        if lifetime_s is None or lifetime_s >= _FOR_EVER_S:
            return cls(reference=published.reference, lifetime_s=None, until=None)
        until = began + dt.timedelta(seconds=lifetime_s)
        return cls(reference=published.reference, lifetime_s=lifetime_s, until=until)

    @property
    def last_use(self) -> dt.datetime | None:
        """Until when it may stand in a create; None for ever."""
        if self.until is None or self.lifetime_s is None:
            return None
        return self.until - dt.timedelta(seconds=min(_SPARE_S, self.lifetime_s / 2))

    def is_fresh(self, now: dt.datetime) -> bool:
        """Tell whether it lasts long enough for a task that is created *now*."""
        if self.until is None or self.lifetime_s is None or self.last_use is None:
            return True
        # A clock that was ahead must not make it live longer.
        is_sound = (self.until - now).total_seconds() <= self.lifetime_s + _SPARE_S
        return now <= self.last_use and is_sound

    def dump(self) -> str:
        """Spell it for the journal."""
        until = None if self.until is None else self.until.isoformat()
        return json.dumps([self.reference, self.lifetime_s, until])

    @classmethod
    def load(cls, text: str) -> "Publication | None":
        """Read what ``dump`` spelled; None for what cannot be that."""
        try:
            reference, lifetime_s, told = json.loads(text)
            until = None if told is None else dt.datetime.fromisoformat(told)
        except (ValueError, TypeError, RecursionError):
            return None
        is_timed = _is_lifetime(lifetime_s) and until is not None and until.tzinfo is not None
        is_lasting = lifetime_s is None and until is None
        if references.problem(reference) is not None or not (is_timed or is_lasting):
            return None
        return cls(reference=reference, lifetime_s=lifetime_s, until=until)
