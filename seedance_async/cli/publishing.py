"""How a command makes local files public: ``--publish`` and ``--review``, and their faults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from seedance_async.cli.exits import CannotStart
from seedance_async.errors import Violation

if TYPE_CHECKING:
    from seedance_async import AssetPublisher, Publisher

#: What ``--publish`` takes besides a bucket.
EMULATOR = "emulator"
_OWN_WORDS = "give the session a publisher"
#: What is said where a local file has nowhere to go.
OUR_WORDS = "say where to publish it with --publish"


def check(publish: str | None, *, review: bool, emulate: bool) -> None:
    """Check the two options, without asking anybody.

    Raises:
        CannotStart: They cannot be used.
    """
    if review and publish is None and not emulate:
        raise CannotStart("--review goes only with --publish, which says where files are published")
    if publish not in (None, EMULATOR) and not str(publish).startswith("s3://"):
        raise CannotStart("--publish takes a bucket, s3://bucket/prefix, or the word emulator")


def publisher_of(
    publish: str, base_url: str, api_key: str, *, review: bool
) -> Publisher | AssetPublisher:
    """Make the publisher that the options ask for.

    Raises:
        CannotStart: It cannot be had.
    """
    made: Any
    if publish == EMULATOR:
        from seedance_async.emulator import EmulatorPublisher  # noqa: PLC0415 -- heavy

        made = EmulatorPublisher(base_url, api_key)
    else:
        made = _bucket(publish)
    if not review:
        return made  # type: ignore[no-any-return]
    from seedance_async import AssetPublisher  # noqa: PLC0415 -- likewise

    return AssetPublisher(made)


def _bucket(url: str) -> Publisher:
    try:
        from seedance_async.s3 import S3Publisher  # noqa: PLC0415 -- an extra

        return S3Publisher(url)
    except (ImportError, ValueError) as error:
        raise CannotStart(f"--publish: {error}") from error
    except Exception as error:  # obstore's own: settings in the environment that it cannot use
        words = str(error).partition("\n")[0]
        raise CannotStart(f"--publish: {words}") from error


def in_our_words(faults: Iterable[Violation]) -> tuple[Violation, ...]:
    """Name the option where a fault names the session's argument."""
    return tuple(
        attrs.evolve(fault, message=fault.message.replace(_OWN_WORDS, OUR_WORDS))
        for fault in faults
    )
