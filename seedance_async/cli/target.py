"""Where single videos go: to the file that ``--out`` names, or to a folder under their ids."""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs

from seedance_async.cli import folder
from seedance_async.cli.exits import CannotStart


@attrs.frozen(kw_only=True)
class Target:
    """Where to.

    Attributes:
        folder: Where the files stand.
        file: The one file that was named; None where the tasks' ids name them.
    """

    folder: Path
    file: Path | None = None

    @classmethod
    def of(cls, out: str | None, *, many: bool = False) -> Target:
        """Read the option ``--out``: a folder if it is one or ends as one, else a file.

        Args:
            out: What was given; None is the folder where the user is.
            many: Whether there may be more than one video, which do not go into one file.

        Raises:
            CannotStart: Many videos cannot go there.
        """
        path = folder.at_home(out or ".")
        if many and path.is_file():
            raise CannotStart(f"--out must name a folder here: {path} is a file")
        if many or path.is_dir() or (out or "").endswith(("/", os.sep)):
            return cls(folder=path)
        return cls(folder=path.parent, file=path)

    def path(self, task_id: str) -> Path:
        """Name the file of a task; the provider's id must not choose the folder."""
        name = re.sub(r"[^A-Za-z0-9_-]", "-", task_id)
        return self.file or self.folder / f"{name}.mp4"

    def has(self, task_id: str) -> bool:
        """Tell whether the task's own file is there: it appears whole, and is never replaced."""
        return self.file is None and self.path(task_id).exists()
