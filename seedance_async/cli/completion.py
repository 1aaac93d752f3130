"""``seedance completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from seedance_async.cli import exits


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(name="SHELL")], /) -> int:
    """Print what makes a shell complete commands and options.

    Parameters
    ----------
    shell
        Whose: bash, zsh or fish.
    """
    from seedance_async.cli.app import make_app
    from seedance_async.cli.terminal import Terminal

    Terminal().give(make_app().generate_completion(shell=shell).rstrip("\n"))
    return exits.OK
