"""The options of every command that reads a file of jobs: what all share, and what varies.

Read in ``asked``.
"""

from __future__ import annotations

from typing import Annotated

import attrs
from cyclopts import Parameter

from seedance_async.cli.options import Format


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class JobOptions:
    """What a user says of all jobs of a file.

    Parameters
    ----------
    set_
        FIELD=VALUE for all jobs without that field; may be repeated.
    matrix
        FIELD=V1,V2,... to make every job with every combination; may be repeated.
    format_
        How to read the file, whatever its name ends with.
    """

    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None
    matrix: Annotated[list[str] | None, Parameter(name="--matrix", negative="")] = None
    format_: Annotated[Format | None, Parameter(name="--format")] = None
