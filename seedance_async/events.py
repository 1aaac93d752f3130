"""What happened, as values on one stream.

Progress bars, reports, telemetry and users' callbacks all read these; what emits them knows
none of the readers. No event carries a prompt, a key or a signed URL.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator

import attrs

_log = logging.getLogger("seedance_async")


@attrs.frozen(kw_only=True)
class Event:
    """Something happened to a job.

    Attributes:
        key: The job's key; None for a task that was taken up by its id, and where it is about
            no job.
        task_id: The provider's id, once there is one.
    """

    key: str | None
    task_id: str | None = None


@attrs.frozen(kw_only=True)
class Planned(Event):
    """The job's turn has come; nothing is sent yet.

    Attributes:
        index: Its place in its batch, from 0; None for a single call.
        name: What a person calls it.
    """

    index: int | None = None
    name: str | None = None


@attrs.frozen(kw_only=True)
class Resumed(Event):
    """The job was sent earlier, and is taken up where it stands; nothing is sent.

    Attributes:
        status: The provider's last known status of its task; None where it was never asked.
    """

    status: str | None


class Submitted(Event):
    """The provider accepted the job; its id is written down."""

    __slots__ = ()


@attrs.frozen(kw_only=True)
class StateChanged(Event):
    """A query found the task in another status than before."""

    status: str


@attrs.frozen(kw_only=True)
class Throttled(Event):
    """The provider, or the way to it, asked for patience; nothing is lost."""

    wait_s: float
    reason: str


@attrs.frozen(kw_only=True)
class LimitsAdapted(Event):
    """The session goes to another limit than before, within the user's own: of no one job.

    Attributes:
        max_in_flight: How many jobs are let be at the provider now.
        creates_per_minute: How many creates a minute are sent now; None for any number.
        reason: What the provider did, for people.
    """

    key: str | None = None
    max_in_flight: int
    creates_per_minute: float | None
    reason: str


@attrs.frozen(kw_only=True)
class Held(Event):
    """The job waits until what is in flight makes room in the session's budget."""

    reason: str


@attrs.frozen(kw_only=True)
class OverBudget(Event):
    """The job is not sent: it is not within the session's budget; ``reason`` is for people."""

    reason: str


class Completed(Event):
    """The video is made."""

    __slots__ = ()


@attrs.frozen(kw_only=True)
class Downloaded(Event):
    """The video is on disk, whole."""

    size_bytes: int


@attrs.frozen(kw_only=True)
class Failed(Event):
    """The job ended without a video, or without a known end; ``reason`` is for people."""

    reason: str


Subscriber = Callable[[Event], None]


class Stream:
    """Passes each event to every subscriber, in the order of subscription, at once."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    @contextlib.contextmanager
    def subscribe(self, subscriber: Subscriber) -> Iterator[None]:
        """Call *subscriber* with every event inside the ``with`` block.

        It is called in the event loop and must return quickly. What it raises is logged and
        goes no further: a broken progress bar must not hurt a paid job.
        """
        self._subscribers.append(subscriber)
        try:
            yield
        finally:
            self._subscribers.remove(subscriber)

    def emit(self, event: Event) -> None:
        """Pass *event* on."""
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            # Whatever a subscriber does wrong stays with it; a cancellation of its own included.
            except BaseException:  # noqa: BLE001
                _log.exception("a subscriber failed on %s", type(event).__name__)
