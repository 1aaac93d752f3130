"""``seedance validate``: every line of a file of jobs, and every rule."""

from __future__ import annotations

from typing import Annotated

from seedance_async.cli.joboptions import JobOptions
from seedance_async.cli.options import AsJson, Flag, HyphenFirst


def validate(
    jobs: Annotated[str, HyphenFirst],
    /,
    *,
    no_files: Flag = False,
    as_json: AsJson = False,
    given: JobOptions | None = None,
) -> int:
    """Check a file of jobs.

    Parameters
    ----------
    jobs
        The file of jobs; - reads JSONL or prompts from stdin.
    no_files
        Do not look at the local files that it names.
    as_json
        Print one JSON object a line, for editors and scripts.
    """
    from seedance_async.cli import asked
    from seedance_async.cli.checking import check

    return check(jobs, asked.read(given), looks_at_files=not no_files, as_json=as_json)
