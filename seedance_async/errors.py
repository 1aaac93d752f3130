"""Every exception of the library, under one root.

One class for each question that a caller asks: is it my request, was I charged, may I try
again, is it still running. Data stand in fields, text in ``str()``; all of them pickle and
copy. No key, no prompt and no signed URL ever gets into one.
"""

from collections.abc import Iterable

import attrs


@attrs.frozen
class Violation:
    """One broken rule of the API.

    Attributes:
        rule: The rule's id, for example ``duration.range``.
        field: The request's field in Python's spelling, with an index where it is one entry of
            a list: ``reference_images[2]``.
        message: What is wrong and what to do instead.
    """

    rule: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message} [{self.rule}]"


# Plain classes: the import of so many attrs classes would cost as much as half of the package.
class SeedanceError(Exception):
    """The root of all errors of this library.

    Attributes:
        message: What happened and what to do, free of secrets.
        task_id: The provider's id of the task, wherever one is known. A task with an id may
            have been paid for: ``session.task(task_id)`` takes it up again.
    """

    def __init__(self, message: str = "", task_id: str | None = None, *more: object) -> None:
        # All of a subclass's arguments go through here, since pickling makes the error again
        # from ``args``.
        super().__init__(message, task_id, *more)
        self.message = message
        self.task_id = task_id

    def __str__(self) -> str:
        return self.message if self.task_id is None else f"{self.message} (task {self.task_id})"


class InvalidRequest(SeedanceError, ValueError):
    """The request breaks rules of the API; nothing was sent and nothing was paid.

    Attributes:
        violations: All broken rules at once, in the order of the rule table.
    """

    def __init__(self, violations: Iterable[Violation] = ()) -> None:
        self.violations: tuple[Violation, ...] = tuple(violations)
        count = len(self.violations)
        title = f"invalid request, {count} broken rule{'' if count == 1 else 's'}:"
        super().__init__("\n  ".join([title, *map(str, self.violations)]))
        self.args: tuple[object, ...] = (self.violations,)


class AnswerError(SeedanceError):
    """The root of the errors that an HTTP answer of the API stands behind.

    Attributes:
        http_status: The answer's HTTP status; None when there was no answer.
    """

    def __init__(
        self,
        message: str = "",
        task_id: str | None = None,
        http_status: int | None = None,
        *more: object,
    ) -> None:
        super().__init__(message, task_id, http_status, *more)
        self.http_status = http_status


class AuthenticationError(AnswerError):
    """The API key is missing or was refused (401, 403); nothing was paid."""


class InsufficientBalance(AnswerError):
    """The account cannot pay for the task (402); nothing was paid."""


class RequestRefused(AnswerError):
    """The API read the call and refused it for good; sent again unchanged it fails again."""


class _Busy(AnswerError):
    def __init__(
        self,
        message: str = "",
        task_id: str | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, task_id, http_status, retry_after_s)
        self.retry_after_s = retry_after_s


class RateLimited(_Busy):
    """The API kept refusing for the rate (429) for longer than the session waits.

    Attributes:
        retry_after_s: What the last answer asked to wait, in seconds; None if it did not say.
    """


class ServiceUnavailable(_Busy):
    """The API could not be reached or could not serve; for a create, nothing was accepted.

    Attributes:
        retry_after_s: What the last answer asked to wait, in seconds; None if it did not say.
    """


class SubmissionUnknown(AnswerError):
    """The create was sent and its answer got lost: a task may exist and be billed.

    It is never sent again by itself. Look for it in the provider's billing.

    Attributes:
        key: The job's key.
        digest: SHA-256 of the request as it was sent, in hexadecimal.
    """

    def __init__(
        self,
        message: str = "",
        task_id: str | None = None,
        http_status: int | None = None,
        key: str | None = None,
        digest: str | None = None,
    ) -> None:
        super().__init__(message, task_id, http_status, key, digest)
        self.key = key
        self.digest = digest


class UnexpectedAnswer(AnswerError):
    """The API answered about a task in a way that means neither progress nor an end.

    The task may still run or be complete; nothing is lost as long as its id is kept.
    """


class VideoFailed(SeedanceError):
    """The provider ended the task without a video.

    Attributes:
        reason: The provider's own words, or None when it gave none.
        status: The provider's status, for example ``failed`` or ``cancelled``.
    """

    def __init__(
        self,
        message: str = "",
        task_id: str | None = None,
        reason: str | None = None,
        status: str = "failed",
    ) -> None:
        super().__init__(message, task_id, reason, status)
        self.reason = reason
        self.status = status


class WaitTimeout(SeedanceError, TimeoutError):
    """The wait ended before the task did; the task lives on and can be waited for again.

    Attributes:
        last_status: The last status seen; None when no query had succeeded.
    """

    def __init__(
        self, message: str = "", task_id: str | None = None, last_status: str | None = None
    ) -> None:
        super().__init__(message, task_id, last_status)
        self.last_status = last_status


class DownloadError(SeedanceError):
    """The video is complete but could not be brought to disk; downloading may be repeated."""


class VideoExpired(DownloadError):
    """The provider no longer has the file (it keeps one for 24 hours)."""


class MediaError(SeedanceError):
    """A media file cannot be looked at: unreachable, broken, or no image, video or sound."""


class PublishError(SeedanceError):
    """A local file could not be made public; nothing was sent that needs it."""


class AssetUnknown(RequestRefused):
    """The provider has no asset of that id: it was deleted, or never was."""


class AssetFailed(SeedanceError):
    """The provider's review did not let an asset pass; it cannot be used."""


class BudgetExceeded(SeedanceError):
    """Submitting would go over the budget; nothing was sent."""


class JournalError(SeedanceError):
    """The record of jobs cannot be read or written, or contradicts what is asked."""


class SessionClosed(SeedanceError):
    """The session was closed while this call was under way, or before it began."""
