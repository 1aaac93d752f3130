"""The durable record of jobs: what was planned, sent, accepted and how it ended.

A journal keeps ``JobRecord`` values by their keys and decides nothing; which moves are legal
stands in ``lifecycle``.
"""

from seedance_async.journal._protocol import Journal
from seedance_async.journal.memory import MemoryJournal

__all__ = ["Journal", "MemoryJournal"]

Journal.__module__ = MemoryJournal.__module__ = __name__
