"""What ``seedance jobs`` reads: a journal on this machine, or the database of many machines."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import attrs

from seedance_async.cli import dsn, jobrows, settling
from seedance_async.journal import Journal, SqliteJournal
from seedance_async.lifecycle import JobRecord


class Records(Protocol):
    """Where jobs are written down."""

    @property
    def where(self) -> str:
        """What a person knows it by."""

    def opened(self) -> AbstractAsyncContextManager[Journal]:
        """Open it for reading only, beside whoever writes.

        Raises:
            JournalError: It cannot be read.
        """

    def is_missing(self, record: JobRecord) -> bool:
        """Tell whether a job's file was there and is not any more. Blocks."""

    def how(self, keys: Sequence[str]) -> Iterator[str]:
        """Say how the unknown jobs of *keys* are settled."""


@attrs.frozen
class OfJournal:
    """Those of a journal, by its file."""

    path: Path

    @property
    def where(self) -> str:
        """The file."""
        return str(self.path)

    def opened(self) -> AbstractAsyncContextManager[Journal]:
        """Open it for reading only; see ``Records``."""
        return SqliteJournal(self.path, read_only=True)

    def is_missing(self, record: JobRecord) -> bool:
        """Look for a job's file, beside the journal too."""
        return jobrows.is_missing(record, self.path.parent)

    def how(self, keys: Sequence[str]) -> Iterator[str]:
        """Say how unknown jobs are settled."""
        return settling.how(keys, self.path)


@attrs.frozen
class OfDatabase:
    """Those of many machines, by their database's address."""

    dsn: str = attrs.field(repr=False)

    @property
    def where(self) -> str:
        """The address without its password."""
        return dsn.shown(self.dsn)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Journal]:
        """Open it for reading only; see ``Records``."""
        database = dsn.existing(self.dsn)
        from seedance_async.distributed.shared import SharedJournal  # noqa: PLC0415 -- an extra

        try:
            await database.thread(database.check_version)
            yield SharedJournal(database)
        finally:
            database.close()

    def is_missing(self, _: JobRecord) -> bool:
        """Tell nothing: the files are where the workers are."""
        return False

    def how(self, keys: Sequence[str]) -> Iterator[str]:
        """Say how unknown jobs are settled."""
        key = shlex.quote(keys[0]) if len(keys) == 1 else "KEY"
        yield "Look in the provider's billing (which may have another time zone) for a task made"
        yield "at that time. It is there:"
        yield f"  seedance worker adopt {key} video_..."
        yield "It is not, and the job is to be sent again:"
        yield f"  seedance worker resubmit {key} --reason 'not in the billing'"
