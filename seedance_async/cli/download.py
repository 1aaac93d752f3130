"""``seedance download``: the videos of tasks, brought to disk."""

from __future__ import annotations

from seedance_async.cli.options import WAIT_S, From, TaskIds, check_timeout


def download(
    *task_ids: TaskIds, from_: From = None, out: str | None = None, timeout: float = WAIT_S
) -> int:
    """Bring the videos of tasks to disk.

    Parameters
    ----------
    task_ids
        The tasks' ids.
    from_
        A results.jsonl: its tasks that are not on disk.
    out
        The folder, made if it is missing, or for one ID the file; here if not given.
    timeout
        Seconds to wait at the most for tasks that still run; they live on.
    """
    from seedance_async.cli import ids
    from seedance_async.cli.takeup import TakeUp
    from seedance_async.cli.target import Target

    chosen = ids.chosen(task_ids, from_)
    return TakeUp(
        ids=chosen,
        target=Target.of(out, many=from_ is not None or len(chosen) > 1),
        timeout_s=check_timeout(timeout),
        spell=lambda outcome: None if outcome.path is None else str(outcome.path),
    ).run()
