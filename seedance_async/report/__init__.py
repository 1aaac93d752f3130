"""A batch as one HTML page to look at: its videos, its failures, where the time went.

The page stands on its own: one file that asks nobody for anything, and opens from the disk. The
pictures of the videos need the extra ``report`` (PyAV, Pillow); without it there are plain tiles.
"""

from seedance_async.report.writing import Report, write_report

__all__ = ["Report", "write_report"]

Report.__module__ = write_report.__module__ = __name__
