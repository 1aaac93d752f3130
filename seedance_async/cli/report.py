"""``seedance report``: a journal and its videos as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from seedance_async.cli.options import Flag


def report(
    *,
    journal: str | None = None,
    out: str | None = None,
    title: str | None = None,
    prices: Path | None = None,
    no_prompts: Flag = False,
    with_urls: Flag = False,
    opens: Annotated[Flag, Parameter(name="--open")] = False,
) -> int:
    """Write one HTML page about a batch.

    Parameters
    ----------
    journal
        The journal, or its folder; if not given, the one here or in the only folder that has one.
    out
        The page's file, or a folder for report.html; beside the videos if not given.
    title
        What the page is called; named after the folder if not given.
    prices
        A TOML file of what the models cost, as for batch: what the videos cost is shown as well.
    no_prompts
        Leave the prompts out.
    with_urls
        Link to the videos at the provider as well: WHO HAS THE PAGE CAN THEN FETCH THEM.
    opens
        Show it in the browser.
    """
    from seedance_async.cli.reporting import write

    return write(
        journal,
        out,
        opens=opens,
        title=title,
        prices=prices,
        with_prompts=not no_prompts,
        with_urls=with_urls,
    )
