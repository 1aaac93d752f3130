"""Who makes local files public: any function, and the asset library behind another publisher.

Those that need a library of their own stand in modules of their own; see ``s3``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import attrs

from seedance_async.publication import LocalFile, Published, Publisher
from seedance_async.watch import check_timeout

#: A function that makes the file at a path public. It may be a coroutine function; others run in
#: a thread. It gives the URL, or a ``Published`` with its lifetime.
Publish = Callable[[Path], Any]
# A function does not tell for how long its URL holds. A day, so that what went wrong is not taken
# for right for ever; our choice.
_PLAIN_LIFETIME_S = 86_400.0
_THREADS = 4


@attrs.frozen
class _Function:
    call: Publish
    # Of its own: the event loop's may be full of other work, and must not be full of this.
    threads: ThreadPoolExecutor = attrs.field(
        init=False, repr=False, factory=lambda: ThreadPoolExecutor(_THREADS, "seedance publish")
    )

    @property
    def name(self) -> str:
        """What the function is called; empty for those of which several may be called so."""
        call = self.call
        if not inspect.isfunction(call) or "<" in call.__qualname__:
            return ""
        return f"{call.__module__}.{call.__qualname__}"

    async def publish(self, file: LocalFile) -> Published:
        call = self.call
        if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__):
            given = await call(file.path)
        else:
            loop = asyncio.get_running_loop()
            given = await loop.run_in_executor(self.threads, call, file.path)
            if inspect.isawaitable(given):
                given = await given
        return given if isinstance(given, Published) else Published(given, _PLAIN_LIFETIME_S)


def as_publisher(given: Publisher | Publish) -> Publisher:
    """Take a publisher, or make one of a function.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(given, type):
        if callable(getattr(given, "publish", None)) and isinstance(
            getattr(given, "name", None), str
        ):
            return cast("Publisher", given)
        if callable(given):
            return _Function(given)
    what = given.__name__ if isinstance(given, type) else f"a {type(given).__name__}"
    raise TypeError(
        f"publisher must be a function of a path, or have a name and publish(file); not {what}"
    )


@attrs.frozen
class AssetPublisher:
    """Publishes through the provider's asset library, which reviews what it takes.

    For images with faces or virtual avatars, which must have passed that review. Each file is
    published by *publisher*, registered once, and waited for until it may be used. One that the
    review does not let pass raises ``AssetFailed``, until its asset was deleted.

    Args:
        publisher: Makes the file public, so that the provider can fetch it for its review: a
            ``Publisher`` or a function of a path.
        timeout_s: Seconds to wait for a review at the most, 0 or more; None for ever.
    """

    publisher: Publisher = attrs.field(converter=as_publisher)
    timeout_s: float | None = attrs.field(default=600.0, converter=check_timeout)
