"""What a reply means for the call that got it: accepted, again, refused or unknown.

The table at the end of the API's contract, and nothing else: a create is sent again only where
its reply proves that nothing was accepted. Whatever is not in the table counts as unknown. A
query changes nothing and may always be repeated.
"""

import datetime as dt
from collections.abc import Sequence

import attrs

from seedance_async import wire
from seedance_async.errors import (
    AnswerError,
    AuthenticationError,
    InsufficientBalance,
    RateLimited,
    RequestRefused,
    SeedanceError,
    ServiceUnavailable,
    SubmissionUnknown,
    UnexpectedAnswer,
)
from seedance_async.lifecycle import Phase, phase
from seedance_async.request import VideoRequest
from seedance_async.wire import Answer, BusinessFailure, NoAnswer, Reply, TaskState

_REFUSALS: dict[int, type[AnswerError]] = {
    400: RequestRefused,
    401: AuthenticationError,
    402: InsufficientBalance,
    403: AuthenticationError,
    404: RequestRefused,
    408: RequestRefused,
    413: RequestRefused,
    422: RequestRefused,
}
_NOT_FOUND = 404
_TOO_MANY = 429
_UNAVAILABLE = 503
_HTTP_OK = range(200, 300)
_HTTP_CLIENT_ERRORS = range(400, 500)


@attrs.frozen(kw_only=True, eq=False)
class Again:
    """The call may be made again.

    Attributes:
        error: What to raise when nobody wants to wait any longer.
        wait_s: What the provider asked to wait, in seconds; None if it did not say.
        outage: Whether time is likely to heal it. If not, the answer is odd, and a few of them
            in a row are enough.
    """

    error: SeedanceError
    wait_s: float | None = None
    outage: bool = True

    @property
    def is_refusal(self) -> bool:
        """Whether the provider asked for a pause, rather than being out of reach or odd."""
        return self.wait_s is not None or isinstance(self.error, RateLimited)


def judge_create(
    reply: Reply,
    now: dt.datetime,
    *,
    key: str,
    request: VideoRequest,
    secrets: Sequence[str] = (),
) -> TaskState | Again | AnswerError:
    """Tell what became of a create.

    Args:
        reply: What came back.
        now: The time, for a ``Retry-After`` that is a date.
        key: The job's key, for the error.
        request: What was asked for, likewise.
        secrets: What is to be taken out of the provider's words.

    Returns:
        The task where one was accepted; ``Again`` where certainly nothing was and it may be
        sent again; otherwise the error: ``SubmissionUnknown`` where a task may exist, any
        other class where the provider refused.
    """
    certain = sent_in_vain(reply, now, secrets)
    if certain is not None:
        return certain
    if isinstance(reply, NoAnswer):
        return _lost(reply.reason, None, key, request)
    if reply.status not in _HTTP_OK:
        return _lost(wire.failure_message(reply, secrets), reply.status, key, request)
    read = wire.read_task(reply.body, secrets=secrets)
    if isinstance(read, BusinessFailure):
        return RequestRefused(read.message, None, reply.status)
    if isinstance(read, wire.Unreadable):
        reason = reply.cut or read.reason
        return _lost(f"HTTP {reply.status} with {reason}", reply.status, key, request)
    return read


def sent_in_vain(
    reply: Reply, now: dt.datetime, secrets: Sequence[str] = ()
) -> Again | AnswerError | None:
    """Tell whether a reply proves that a call which is sent once was not carried out.

    Returns:
        ``Again`` where it may be sent again, the error where the provider refused; None where
        it may have been carried out.
    """
    if isinstance(reply, NoAnswer):
        if reply.sent:
            return None
        return Again(error=ServiceUnavailable(f"cannot reach the API: {reply.reason}"))
    wait_s = wire.retry_after_s(reply.headers, now)
    if reply.status == _TOO_MANY or (reply.status == _UNAVAILABLE and wait_s is not None):
        return _busy(reply, wait_s, secrets)
    if reply.status in _REFUSALS:
        words = wire.failure_message(reply, secrets)
        if reply.status == _NOT_FOUND:
            words += " (is the base URL right? it is what stands before /v1)"
        return _REFUSALS[reply.status](words, None, reply.status)
    return None


def judge_query(
    reply: Reply, now: dt.datetime, *, task_id: str, secrets: Sequence[str] = ()
) -> TaskState | Again:
    """Tell what a query brought to light.

    Returns:
        The task, running or ended; or ``Again``, with the error that carries the task's id.
    """
    again = unanswered(reply, now, secrets)
    if isinstance(reply, NoAnswer) or again is not None:
        assert again is not None  # noqa: S101 -- for the types: no answer is one of these
        again.error.task_id = task_id
        return again
    read = wire.read_task(reply.body, asked_id=task_id, secrets=secrets)
    if isinstance(read, TaskState) and reply.status in _HTTP_OK and phase(read) is not Phase.ODD:
        return read
    # A body that was cut off is the line's doing, and lines heal.
    return Again(error=_unexpected(reply, read, task_id), outage=reply.cut is not None)


def unanswered(reply: Reply, now: dt.datetime, secrets: Sequence[str] = ()) -> Again | None:
    """Tell why a call that may always be repeated got no answer; None where it got one."""
    if isinstance(reply, NoAnswer):
        return Again(error=ServiceUnavailable(f"cannot reach the API: {reply.reason}"))
    if reply.status == _TOO_MANY or reply.status >= 500:  # noqa: PLR2004
        return _busy(reply, wire.retry_after_s(reply.headers, now), secrets)
    if reply.status in _HTTP_CLIENT_ERRORS:
        error_class = _REFUSALS.get(reply.status, RequestRefused)
        error = error_class(wire.failure_message(reply, secrets), None, reply.status)
        return Again(error=error, outage=False)
    return None


def _busy(reply: Answer, wait_s: float | None, secrets: Sequence[str]) -> Again:
    error_class = RateLimited if reply.status == _TOO_MANY else ServiceUnavailable
    message = wire.failure_message(reply, secrets)
    return Again(error=error_class(message, None, reply.status, wait_s), wait_s=wait_s)


def _lost(reason: str, status: int | None, key: str, request: VideoRequest) -> SubmissionUnknown:
    message = (
        f"the create of job {key} was sent and its answer is lost ({reason}): a task may exist "
        "and be billed, so it is not sent again; look for it in the provider's billing"
    )
    return SubmissionUnknown(message, None, status, key, request.digest)


def _unexpected(
    reply: Answer, read: TaskState | BusinessFailure | wire.Unreadable, task_id: str
) -> UnexpectedAnswer:
    if isinstance(read, BusinessFailure):
        what = f"the API answered {read.message}"
    elif isinstance(read, wire.Unreadable):
        what = f"the answer cannot be read: {read.reason}"
    elif read.status == "completed":
        what = "the task is completed, but without a video URL"
    else:
        what = f"the task has a status that is not known: {read.status[:40]!r}"
    return UnexpectedAnswer(f"HTTP {reply.status}: {what}", task_id, reply.status)


@attrs.frozen(kw_only=True)
class Retries:
    """How long to go on where going on is safe.

    Args:
        create_patience_s: How long a create is offered again while the provider accepts
            nothing of the session's (unreachable, 429, 503 with ``Retry-After``), in seconds.
            Our choice.
        query_patience_s: How long queries may fail in a row, in seconds, before the wait for
            a task ends with the last error. Our choice.
        odd_answers: How many answers in a row that waiting will not heal (4xx, unreadable,
            unknown status) end the wait. Our choice.
        first_s: The first pause between two tries, in seconds; each next one is twice as long.
        cap_s: The longest pause, in seconds; the provider's own ``Retry-After`` may be longer.
    """

    create_patience_s: float = attrs.field(default=1800.0, validator=attrs.validators.ge(0))
    query_patience_s: float = attrs.field(default=1800.0, validator=attrs.validators.ge(0))
    odd_answers: int = attrs.field(default=6, validator=attrs.validators.ge(1))
    first_s: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    cap_s: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))


class Patience:
    """Counts the failures in a row of one call, and says how long to wait or that it is enough."""

    __slots__ = ("_odd", "_patience_s", "_pause_s", "_retries", "_since")

    def __init__(self, retries: Retries, patience_s: float) -> None:
        self._retries = retries
        self._patience_s = patience_s
        self.reset()

    def reset(self) -> None:
        """Forget all failures: the call went through."""
        self._since: float | None = None
        self._odd = 0
        self._pause_s = self._retries.first_s

    def failed(
        self, again: Again, now: float, jitter: float, *, since: float | None = None
    ) -> float:
        """Note a failure.

        Args:
            again: The failure.
            now: The time, in seconds on any steady clock.
            jitter: A random number from 0 inclusive to 1 exclusive.
            since: From when on the failures count; None for the first one since ``reset``.

        Returns:
            How long to wait before the next try, in seconds: what the provider asked for, or
            half to all of a pause that doubles up to the cap; never past the end of patience.

        Raises:
            SeedanceError: The failure's own error, when patience is at its end.
        """
        if since is not None:
            self._since = since
        elif self._since is None:
            self._since = now
        self._odd = 0 if again.outage else self._odd + 1
        left_s = self._since + self._patience_s - now
        too_long = again.wait_s is not None and again.wait_s > left_s
        if left_s <= 0 or too_long or self._odd >= self._retries.odd_answers:
            raise again.error
        pause_s = self._pause_s * (0.5 + jitter / 2)
        # Grows by multiplying: ``factor ** n`` overflows a float after a day of trying.
        self._pause_s = min(self._pause_s * 2, self._retries.cap_s)
        # What was asked for is spread as well: all who were told the same must not come at once.
        told_s = None if again.wait_s is None else again.wait_s + pause_s * jitter
        return pause_s if told_s is None else told_s
