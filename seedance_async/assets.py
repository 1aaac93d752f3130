"""The provider's asset library: register what is behind a URL, wait for its review, delete it.

A registration is taken like the paid step: written down before it is sent, sent once, and never
repeated blindly. All calls go through the session's gate for queries.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import hashlib
import json
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import attrs

from seedance_async import references, wire
from seedance_async.asset import (
    Asset,
    AssetKind,
    AssetStatus,
    judge_deletion,
    judge_look,
    judge_registration,
    registration,
)
from seedance_async.calls import Calls, OnUnknown, check_on_unknown, honour_cancellation
from seedance_async.errors import (
    AnswerError,
    AssetFailed,
    AssetUnknown,
    InvalidRequest,
    JournalError,
    SubmissionUnknown,
    UnexpectedAnswer,
    Violation,
    WaitTimeout,
)
from seedance_async.journal import Journal
from seedance_async.ledger import telling, utc_now
from seedance_async.lifetable import ASSET
from seedance_async.pacing import Waiting
from seedance_async.paid import finish
from seedance_async.retry import Again, Patience
from seedance_async.turnaround import Seen
from seedance_async.watch import check_timeout
from seedance_async.wire import Answer, Reply

R = TypeVar("R")
_log = logging.getLogger("seedance_async")
#: How long ``wait_active`` waits unless told otherwise, in seconds. Our choice.
DEFAULT_REVIEW_S = 600.0
_PREFIX, _KEY_DIGITS = "asset:", 16


@attrs.frozen(kw_only=True)
class _Entry:
    """What the journal knows of a registration: sent and no more, or the asset's id."""

    asset_id: str | None
    at: str


class Assets:
    """The asset library, as ``session.assets``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def register(
        self,
        url: str,
        kind: AssetKind | str,
        name: str | None = None,
        *,
        key: str | None = None,
        on_unknown: OnUnknown = "leave",
    ) -> Asset:
        """Register what is behind a public URL; the provider fetches and reviews it.

        The registration is sent at most once, unless the answer proves that nothing was
        registered. The same *key* again, or without one the same *url*, *kind* and *name*, give the
        asset that is there already, also in another process with the same journal, unless its
        review failed or it was deleted.

        Args:
            url: A public http(s) URL.
            kind: One of ``AssetKind``, or its text.
            name: What the provider is to call it.
            key: The caller's own id for the registration, where the URL is another one each time,
                as signed ones are.
            on_unknown: What to do where the answer to an earlier registration was lost: ``leave``
                raises ``SubmissionUnknown``, ``resubmit`` sends it again, and there may be two.

        Returns:
            The asset, ``Processing`` as a rule; see ``wait_active``.

        Raises:
            InvalidRequest: The URL, the kind or the name cannot be right.
            SubmissionUnknown: The answer was lost; an asset may exist.
            AuthenticationError, InsufficientBalance, RequestRefused: Refused.
            RateLimited, ServiceUnavailable: Nothing was accepted for longer than
                ``Retries.create_patience_s``.
            JournalError: It could not be written down.
        """
        check_on_unknown(on_unknown)
        kind = self._checked(url, kind, name)
        body = wire.dump(registration(url, kind, name))
        # The URL may be signed: of it no more than a digest is written down.
        digest = hashlib.sha256(body).hexdigest()
        key = _name(digest[:_KEY_DIGITS] if key is None else key)
        calls = self._calls
        with calls.operation(None):
            async with calls.ledger.alone(key) as had_to_wait:
                known = await self._recall(key)
                if known is not None and known.asset_id is not None:
                    asset = await self._still_there(known.asset_id)
                    if asset is not None:
                        return asset
                # What became unknown a moment ago was not meant by who said so before.
                elif known is not None and (on_unknown == "leave" or had_to_wait):
                    raise SubmissionUnknown(
                        f"the registration {key} is unknown since {known.at} and is not sent "
                        f"again: tell assets.settle({key!r}, ...) the asset's id, if you find it "
                        'at the provider, or say on_unknown="resubmit", and there may be two',
                        None,
                        None,
                        key,
                        digest,
                    )
                asset_id = await self._register(key, digest, body, url)
        status = AssetStatus.PROCESSING.value
        return Asset(id=asset_id, status=status, kind=kind.value, name=name, url=url)

    async def registered(self, key: str) -> Asset | None:
        """Look at the asset that was registered under *key*.

        Returns:
            The asset, also one that failed its review; None where there is none, and where it was
            deleted.

        Raises:
            ValueError: It cannot be a key.
            SeedanceError: As ``get``.
        """
        known = await self._recall(_name(key))
        if known is None or known.asset_id is None:
            return None
        try:
            return await self.get(known.asset_id)
        except AssetUnknown:
            return None

    async def settle(
        self, key: str, *, asset_id: str | None = None, not_created: bool = False
    ) -> None:
        """Say what became of a registration whose answer was lost; sends nothing.

        Args:
            key: The registration's, as ``SubmissionUnknown.key`` gives it.
            asset_id: The asset's id, as found at the provider.
            not_created: That there is none.

        Raises:
            ValueError: Neither or both were said, or it cannot be an id.
            JournalError: No answer of such a registration was lost, or it cannot be written down.
        """
        if (asset_id is not None) == not_created:
            raise ValueError("say one of the two: asset_id=..., or not_created=True")
        with self._calls.operation(None):
            async with self._calls.ledger.alone(key):
                await settle(self._calls.ledger.journal, key, asset_id)

    async def get(self, asset_id: str) -> Asset:
        """Look at an asset.

        Raises:
            ValueError: It cannot be an id.
            AssetUnknown: There is no such asset.
            SeedanceError: The library could not be asked for longer than
                ``Retries.query_patience_s``.
        """
        asset, _ = await self._look(asset_id)
        return asset

    async def wait_active(self, asset_id: str, timeout_s: float | None = DEFAULT_REVIEW_S) -> Asset:
        """Wait until an asset may be used, asking as the session's pacing says.

        Args:
            asset_id: The asset.
            timeout_s: Seconds to wait at the most; 0 or more, None for ever.

        Raises:
            AssetFailed: Its review did not let it pass.
            WaitTimeout: The time is over; the review goes on.
            UnexpectedAnswer: It has a status that nobody knows.
            SeedanceError: As ``get``.
        """
        check_timeout(timeout_s)
        with self._calls.operation(None):
            return await self._wait_active(asset_id, timeout_s)

    async def _wait_active(self, asset_id: str, timeout_s: float | None) -> Asset:
        calls, began, polls = self._calls, self._calls.clock(), 1
        deadline = math.inf if timeout_s is None else began + timeout_s
        course = calls.learned.turnarounds.course(ASSET)
        asset, hint_s = await self._look(asset_id)  # once in any case
        with anyio.CancelScope(deadline=deadline):
            while not _may_be_used(asset):
                waiting = Waiting(
                    model=ASSET,
                    age_s=calls.clock() - began,
                    polls=polls,
                    hint_s=hint_s,
                    jitter=calls.jitter(),
                    course=course,
                )
                await anyio.sleep(max(calls.pacing.delay_s(waiting), 0.0))
                asset, hint_s = await self._look(asset_id)
                polls += 1
                is_running = asset.status == AssetStatus.PROCESSING
                course.saw(Seen.RUNNING if is_running else Seen.ENDED, calls.clock() - began)
            return asset
        message = f"asset {asset_id} is {asset.status} after {timeout_s:g} s"
        raise WaitTimeout(message, None, asset.status)

    async def delete(self, asset_id: str) -> None:
        """Delete an asset, for good.

        Raises:
            ValueError: It cannot be an id.
            AssetUnknown: There is no such asset.
            SeedanceError: As ``get``; it may be deleted or not.
        """
        _check_id(asset_id)

        def judge(reply: Reply, now: dt.datetime) -> Again | AnswerError | None:
            verdict = judge_deletion(reply, now, self._secrets)
            # It was there: a deletion whose answer was lost, aiohttp's own repeats among them.
            return None if isinstance(verdict, AssetUnknown) else verdict

        with self._calls.operation(None):
            await self._look(asset_id)
            await self._repeated("DELETE", asset_id, judge)

    @property
    def _secrets(self) -> tuple[str, ...]:
        return (self._calls.transport.api_key,)

    def _checked(self, url: str, kind: AssetKind | str, name: Any) -> AssetKind:
        problem = references.problem(url)
        if problem is None and url.startswith(references.ASSET_SCHEME):
            problem = "is an asset already"
        broken = [] if problem is None else [Violation("media.reference", "url", problem)]
        if not broken and self._calls.checks_hosts and not references.may_be_public(url):
            message = "points to a host that the provider cannot reach: use a public URL"
            broken.append(Violation("media.public", "url", message))
        kinds = ", ".join(AssetKind)
        if kind not in tuple(AssetKind):
            broken.append(Violation("asset.kind", "kind", f"is not one of {kinds}"))
        if name is not None and (not isinstance(name, str) or not name.strip()):
            broken.append(Violation("name.text", "name", "must be text that is not blank"))
        if broken:
            raise InvalidRequest(broken)
        return AssetKind(kind)

    async def _look(self, asset_id: str) -> tuple[Asset, float | None]:
        """Look at an asset; with the provider's hint when to look again, in seconds."""
        _check_id(asset_id)
        judge = functools.partial(judge_look, asset_id=asset_id, secrets=self._secrets)
        with self._calls.operation(None):
            return await self._repeated("GET", asset_id, judge)

    async def _still_there(self, asset_id: str) -> Asset | None:
        try:
            asset = await self.get(asset_id)
        except AssetUnknown:  # deleted
            return None
        return None if asset.status == AssetStatus.FAILED else asset

    async def _register(self, key: str, digest: str, body: bytes, url: str) -> str:
        calls = self._calls
        judge = functools.partial(
            judge_registration, key=key, digest=digest, secrets=(*self._secrets, url)
        )

        async def send() -> str | Again | AnswerError:
            await honour_cancellation()
            return await finish(self._send_once(key, body, judge), calls.on_the_wire)

        return await self._patiently(calls.retries.create_patience_s, send)

    async def _send_once(
        self,
        key: str,
        body: bytes,
        judge: Callable[[Reply, dt.datetime], str | Again | AnswerError],
    ) -> str | Again | AnswerError:
        """Write down, send, write down; to be run by ``finish`` alone."""
        before = await self._recall(key)
        unknown_before = before if before and not before.asset_id else None
        try:
            await self._remember(key, _Entry(asset_id=None, at=_now()))
        except asyncio.CancelledError:
            await self._remember(key, unknown_before)  # nothing was sent
            raise
        verdict = judge(await self._calls.transport.asset("POST", None, body), utc_now())
        if isinstance(verdict, str):
            try:
                await self._remember(key, _Entry(asset_id=verdict, at=_now()))
            except JournalError as exc:
                # It is registered, and whoever was to read the error may be gone.
                _log.error("asset %s of registration %s is not on record", verdict, key)
                message = f"asset {verdict} is registered, which cannot be written down: "
                raise JournalError(message + exc.message) from exc
        elif not isinstance(verdict, SubmissionUnknown):
            # What was unknown before stays so: that this one was refused says nothing of it.
            await self._remember(key, unknown_before)
        return verdict

    async def _repeated(
        self,
        method: str,
        asset_id: str,
        judge: Callable[[Reply, dt.datetime], R | Again | AnswerError],
    ) -> tuple[R, float | None]:
        """Make a call that may be repeated; with the answer's hint when to make the next one."""
        calls = self._calls

        async def send() -> tuple[R, float | None] | Again | AnswerError:
            reply, now = await calls.transport.asset(method, asset_id), utc_now()
            verdict = judge(reply, now)
            if isinstance(verdict, Again | AnswerError):
                return verdict
            hint_s = wire.retry_after_s(reply.headers, now) if isinstance(reply, Answer) else None
            return verdict, hint_s

        return await self._patiently(calls.retries.query_patience_s, send)

    async def _patiently(
        self, patience_s: float, send: Callable[[], Awaitable[R | Again | AnswerError]]
    ) -> R:
        """Make a call behind the gate for queries, until it has an answer."""
        turns, patience = self._calls.turns, Patience(self._calls.retries, patience_s)
        while True:
            passage = await turns.to_ask(self._calls.standing())
            try:
                verdict = await send()
                # Not where it was given up, which says nothing of the provider.
                turns.answered(passage, verdict if isinstance(verdict, Again) else None)
            finally:
                turns.asked(passage)
            if isinstance(verdict, AnswerError):
                raise verdict
            if not isinstance(verdict, Again):
                return verdict
            await anyio.sleep(patience.failed(verdict, self._calls.clock(), self._calls.jitter()))

    async def _recall(self, key: str) -> _Entry | None:
        return await _recall(self._calls.ledger.journal, key)

    async def _remember(self, key: str, entry: _Entry | None) -> None:
        await _remember(self._calls.ledger.journal, key, entry)


async def settle(journal: Journal, key: str, asset_id: str | None) -> None:
    """Write down what became of a registration whose answer was lost; None for nothing.

    Raises:
        ValueError: It cannot be an id.
        JournalError: No answer of such a registration was lost, or it cannot be written down.
    """
    if asset_id is not None:
        _check_id(asset_id)
    known = await _recall(journal, key) if key.startswith(_PREFIX) else None
    if known is None or known.asset_id is not None:
        raise JournalError(f"the registration {key} is not unknown")
    entry = None if asset_id is None else _Entry(asset_id=asset_id, at=_now())
    await _remember(journal, key, entry)


async def _recall(journal: Journal, key: str) -> _Entry | None:
    with telling(key):
        text = await journal.recall(key)
        if not text:
            return None
        kept: Any = json.loads(text)
        asset_id = kept["asset_id"]
        if asset_id is not None:
            _check_id(asset_id)
        return _Entry(asset_id=asset_id, at=str(kept["at"]))


async def _remember(journal: Journal, key: str, entry: _Entry | None) -> None:
    text = "" if entry is None else json.dumps(attrs.asdict(entry))
    with telling(key):
        await journal.remember(key, text)


def _may_be_used(asset: Asset) -> bool:
    """Tell whether an asset's review is over.

    Raises:
        AssetFailed, UnexpectedAnswer: It cannot be waited for.
    """
    if asset.status == AssetStatus.FAILED:
        raise AssetFailed(f"asset {asset.id} did not pass the provider's review")
    if asset.status not in (AssetStatus.ACTIVE, AssetStatus.PROCESSING):
        raise UnexpectedAnswer(f"asset {asset.id} has the status {asset.status!r}")
    return asset.status == AssetStatus.ACTIVE


def _check_id(asset_id: object) -> None:
    if not isinstance(asset_id, str) or not wire.is_id(asset_id):
        raise ValueError("that cannot be an asset's id: it looks like asset-20260330142158-q75m8")


def _name(key: object) -> str:
    """Give the name under which a registration stands in the journal."""
    if not isinstance(key, str) or not key.strip():
        raise ValueError("key must be text that is not blank")
    return f"{_PREFIX}{key}"


def _now() -> str:
    return f"{utc_now():%Y-%m-%d %H:%M:%S} UTC"
