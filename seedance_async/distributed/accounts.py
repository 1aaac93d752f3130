"""An account as its workers know it: its key, and how much it may do."""

from __future__ import annotations

import re
from typing import Any

import attrs

from seedance_async.account import Account as Target
from seedance_async.admission import Limits
from seedance_async.watch import check_timeout

_PLAIN = re.compile(r"[\w-]{1,60}", re.ASCII)


def _name(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise ValueError(f"an account's name is up to 60 letters, digits, - and _, not {value!r}")


@attrs.frozen(kw_only=True)
class Account:
    """One account of the provider's, for a worker.

    The limits are the account's over all of its workers. They hold from the first worker's start
    on, until ``DistributedClient.set_limit`` changes them: a worker that is started with others
    says so in the log and goes by what is in force.

    Args:
        name: What jobs call it: up to 60 letters, digits, ``-`` and ``_``.
        api_key: Its key, which stays in the worker's memory; None takes ``SEEDANCE_API_KEY``.
        base_url: Where the API is; None takes ``SEEDANCE_BASE_URL``, or the provider's address.
        max_in_flight: How many jobs may be at the provider at once, at least 1.
        creates_per_minute: How many creates the provider takes in a minute, above 0; four fifths
            of them are used. None leaves it to the provider.
        polls_per_second: How many queries a second *each* worker may make, above 0; None sets no
            limit.
        timeout_s: Seconds from a job's submission to its end; None for ever.

    Raises:
        ValueError: An argument that cannot be used.
        AuthenticationError: There is no key, or it can be none.
    """

    name: str = attrs.field(validator=_name, kw_only=False)
    api_key: str | None = attrs.field(default=None, repr=False)
    base_url: str | None = None
    max_in_flight: int = 20
    creates_per_minute: float | None = None
    polls_per_second: float | None = None
    timeout_s: float | None = attrs.field(default=3600.0, converter=check_timeout)

    def __attrs_post_init__(self) -> None:
        Target.of(self.api_key, self.base_url)
        if self.limits.max_in_flight is None:
            raise ValueError("max_in_flight must be a whole number of at least 1, not None")

    @property
    def limits(self) -> Limits:
        """What a worker's session may do."""
        return Limits(
            max_in_flight=self.max_in_flight,
            creates_per_minute=self.creates_per_minute,
            polls_per_second=self.polls_per_second,
        )
