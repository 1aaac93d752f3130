"""The durable record of jobs: what was planned, sent, accepted and how it ended.

A journal keeps ``JobRecord`` values by their keys and decides nothing; which moves are legal
stands in ``lifecycle``.
"""

from seedance_async.journal._protocol import Journal
from seedance_async.journal.memory import MemoryJournal
from seedance_async.journal.sqlite import SqliteJournal

__all__ = ["Journal", "MemoryJournal", "SqliteJournal"]

Journal.__module__ = MemoryJournal.__module__ = SqliteJournal.__module__ = __name__
