"""Who makes local files public: any function, and the asset library behind another publisher.

Those that need a library of their own stand in modules of their own; see ``s3``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from seedance_async.publication import LocalFile, Published, Publisher
from seedance_async.watch import check_timeout

#: A function that makes the file at a path public. It may be a coroutine function; others run in
#: a thread. It gives the URL, or a ``Published`` where that does not hold for ever.
Publish = Callable[[Path], Any]


@attrs.frozen
class _Function:
    call: Publish

    @property
    def name(self) -> str:
        named = inspect.unwrap(getattr(self.call, "func", self.call))
        module = getattr(named, "__module__", "")
        return f"{module}.{getattr(named, '__qualname__', type(named).__qualname__)}"

    async def publish(self, file: LocalFile) -> Published:
        call = self.call
        is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
            type(call).__call__
        )
        given = call(file.path) if is_async else await asyncio.to_thread(call, file.path)
        if inspect.isawaitable(given):
            given = await given
        return given if isinstance(given, Published) else Published(given)


def as_publisher(given: Publisher | Publish) -> Publisher:
    """Take a publisher, or make one of a function.

    Raises:
        TypeError: It is neither.
    """
    if hasattr(given, "publish") and hasattr(given, "name"):
        return given
    if callable(given):
        return _Function(given)
    raise TypeError(
        "publisher must be a function of a path, or have a name and publish(file); not a "
        f"{type(given).__name__}"
    )


@attrs.frozen
class AssetPublisher:
    """Publishes through the provider's asset library, which reviews what it takes.

    For images with faces or virtual avatars, which must have passed that review. Each file is
    published by *publisher*, registered once, and waited for until it may be used; a file that the
    review does not let pass raises ``AssetFailed``, and is not registered again by this session.

    Args:
        publisher: Makes the file public, so that the provider can fetch it for its review: a
            ``Publisher`` or a function of a path.
        timeout_s: Seconds to wait for a review at the most, 0 or more; None for ever.
    """

    publisher: Publisher = attrs.field(converter=as_publisher)
    timeout_s: float | None = attrs.field(default=600.0, converter=check_timeout)
