"""What a command says of one task: a line for a person, an object for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from seedance_async.cli import results
from seedance_async.cli.terminal import one_line
from seedance_async.errors import SeedanceError
from seedance_async.lifecycle import Phase, phase
from seedance_async.results import Outcome, OutcomeStatus
from seedance_async.watch import failure
from seedance_async.wire import TaskState


@attrs.frozen(kw_only=True)
class Told:
    """One task; the fields are those of ``results.jsonl``.

    Attributes:
        task_id: The provider's id.
        status: The provider's status, or ``unknown`` where it could not be learnt.
        duration_s: The video's length in seconds, if the provider said.
        tokens: What was billed, if the provider said.
        error: ``type`` and ``message`` of what went wrong.
    """

    task_id: str
    status: str
    duration_s: float | None = None
    tokens: int | None = None
    error: Mapping[str, str] | None = None

    @classmethod
    def of_state(cls, state: TaskState) -> Told:
        """Tell what the provider said."""
        failed = failure(state) if phase(state) is Phase.FAILED else None
        return cls(
            task_id=state.id,
            status=state.status,
            duration_s=state.actual_duration_s,
            tokens=state.total_tokens,
            error=results.error_fields(failed),
        )

    @classmethod
    def of_error(cls, task_id: str, error: SeedanceError) -> Told:
        """Tell why nothing is known."""
        fields = results.error_fields(error)
        return cls(task_id=task_id, status=OutcomeStatus.UNKNOWN, error=fields)

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Told:
        """Tell how a task ended."""
        return cls(
            task_id=outcome.task_id or "",
            status=outcome.status,
            duration_s=outcome.video.actual_duration_s if outcome.video else None,
            tokens=outcome.video.total_tokens if outcome.video else None,
            error=results.error_fields(outcome.error),
        )

    def spelled(self, as_json: bool) -> str:
        """Spell it as one line."""
        if as_json:
            return json.dumps(attrs.asdict(self))
        why = f": {self.error['message']}" if self.error else ""
        return one_line(f"{self.task_id} {self.status}{why}")
