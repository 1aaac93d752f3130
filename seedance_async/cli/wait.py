"""``seedance wait``: until tasks have ended."""

from __future__ import annotations

from seedance_async.cli.options import WAIT_S, AsJson, From, TaskIds, check_timeout


def wait(
    *task_ids: TaskIds, from_: From = None, timeout: float = WAIT_S, as_json: AsJson = False
) -> int:
    """Wait until tasks have ended.

    Parameters
    ----------
    task_ids
        The tasks' ids.
    from_
        A results.jsonl: its tasks that are not on disk.
    timeout
        Seconds to wait at the most; the tasks live on.
    as_json
        Print one JSON object a line.
    """
    from seedance_async.cli import ids
    from seedance_async.cli.takeup import TakeUp
    from seedance_async.cli.told import Told

    return TakeUp(
        ids=ids.chosen(task_ids, from_),
        target=None,
        timeout_s=check_timeout(timeout),
        spell=lambda outcome: Told.of_outcome(outcome).spelled(as_json),
    ).run()
