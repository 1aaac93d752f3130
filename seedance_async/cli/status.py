"""``seedance status``: what the provider says of tasks now."""

from __future__ import annotations

from seedance_async.cli.options import AsJson, From, TaskIds


def status(*task_ids: TaskIds, from_: From = None, as_json: AsJson = False) -> int:
    """Say how tasks stand.

    Parameters
    ----------
    task_ids
        The tasks' ids.
    from_
        A results.jsonl: its tasks that are not on disk.
    as_json
        Print one JSON object a line.
    """
    import asyncio

    from seedance_async.cli import ids
    from seedance_async.cli.asking import ask_all
    from seedance_async.cli.terminal import Terminal

    return asyncio.run(ask_all(ids.chosen(task_ids, from_), as_json, Terminal()))
