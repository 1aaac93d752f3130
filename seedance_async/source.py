"""The requests of a batch, as callers give them: lists, generators, async iterables.

Read lazily; what an item is, is told when its turn has come, so that a bad one costs no other.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from seedance_async.errors import InvalidRequest, Violation
from seedance_async.request import Job, VideoRequest

BatchItem = VideoRequest | Job | Mapping[str, Any]
BatchSource = Iterable[BatchItem] | AsyncIterable[BatchItem]


def length(source: BatchSource) -> int | None:
    """Tell how many items there are; None where nobody knows without reading them."""
    # Not of anything that has a length: of a query to a database, say, it takes its time.
    return len(source) if isinstance(source, Sequence | AbstractSet) else None


def job_of(item: object) -> Job:
    """Read an item.

    Raises:
        InvalidRequest: It is no request, or breaks a rule.
    """
    if isinstance(item, Job):
        return item
    if isinstance(item, VideoRequest):
        return Job(request=item)
    if isinstance(item, Mapping):
        return Job.from_mapping(item)
    kind = type(item).__name__
    message = f"must be a VideoRequest, a Job or a mapping of fields, not {kind}"
    raise InvalidRequest([Violation("job.type", "job", message)])


def iterate(source: BatchSource) -> AsyncIterator[BatchItem]:
    """Give the items of *source* one by one.

    Raises:
        TypeError: It is none.
    """
    if isinstance(source, AsyncIterable):
        return aiter(source)
    if isinstance(source, str | bytes | Mapping) or not isinstance(source, Iterable):
        kind = type(source).__name__
        raise TypeError(f"a batch takes an iterable of requests, sync or async, not {kind}")
    return _Lazily(iter(source))


class _Lazily:
    """A plain iterator behind ``anext``; unlike an async generator, it needs no closing."""

    def __init__(self, items: Iterator[BatchItem]) -> None:
        self._items = items

    def __aiter__(self) -> AsyncIterator[BatchItem]:
        return self

    async def __anext__(self) -> BatchItem:
        for item in self._items:
            return item
        raise StopAsyncIteration
