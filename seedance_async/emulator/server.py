"""``Emulator``: the API as an HTTP server on this machine; starts, stops, and keeps the clock.

What it answers is ``handlers``' business.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import math
import random
import time
import uuid
from collections.abc import AsyncIterator, Collection
from types import TracebackType
from typing import Self

import anyio
from aiohttp import web

from seedance_async import rules
from seedance_async.emulator.account import Account, Failures
from seedance_async.emulator.assets import Library, Rejections
from seedance_async.emulator.faults import Decider, FaultPlan, Faults
from seedance_async.emulator.gallery import Gallery, require_extra
from seedance_async.emulator.handlers import EmulatorStats, OnAccept, Service
from seedance_async.emulator.publishing import EmulatorPublisher

# Twice this is what a handler still has when the emulator stops, in real seconds.
_SHUTDOWN_S = 0.05
_CLEANUP_S = 5.0
# What clients in this process need to learn that their idle connections are closed.
_FAREWELL_S = 0.01
_MAX_PORT = 65_535
_PUBLISHED_TTL_S = 86_400.0  # Source: the contract
_LEAST_TTL_S = 600.0  # in real seconds; our choice


class Emulator:
    """The video-generation API on this machine, without a bill.

    Speaks the whole contract: it checks the key and every rule, walks tasks through their
    states at the published speeds, hands out a real MP4 and forgets it when its time is over.
    It has three things more than the API: images of any size under
    ``/media/{width}x{height}.png``; a place for files of the client's own (see ``publisher``);
    and, at a *speed* other than 1, a ``Retry-After`` with the answers about unfinished tasks,
    the published advice of asking every 20 s on this clock. It never connects to anything.

    An asynchronous context manager; ``start`` and ``stop`` do the same by hand. Once stopped it
    may be started again on the same port, to play an outage: tasks go on meanwhile.

    Memory is bounded: the latest 20,000 ended tasks and 10,000 assets are kept, and 128 MiB of
    films for all emulators of a process; see ``accepted_ids``. A task is unknown a day after its
    video expired.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "emulator",
        concurrency: int | None = None,
        max_queued: int | None = None,
        creates_per_minute: int | None = None,
        retry_after: bool = True,
        failures: Failures = 0.0,
        rejections: Rejections = 0.0,
        latency_s: float = 0.0,
        video_ttl_s: float | None = None,
        seed: int = 0,
        waive: Collection[str] = (),
        faults: Faults = None,
        on_accept: OnAccept | None = None,
    ) -> None:
        """Set an emulator up; nothing listens before ``start``.

        Args:
            speed: Emulated seconds in a real one, more than 0. It scales all times but
                *latency_s*.
            host: The address to listen on.
            port: The port, 0 to 65535; 0 takes a free one.
            api_key: The key to ask for, not empty.
            concurrency: How many tasks are processed at once, 1 or more; others wait as
                ``queued``. None for any number.
            max_queued: How many may wait beyond *concurrency*, 0 or more; others get a 429.
                None for any number.
            creates_per_minute: How many creates are accepted within any 60 emulated seconds, 1
                or more; others get a 429. None for any number.
            retry_after: Whether such a 429 says when to come again.
            failures: The share of tasks that fail, 0.0 to 1.0 inclusive, or a function that
                takes the body of a create and returns the failure's message, or None for a
                task that is to succeed. It is called in the event loop.
            rejections: The share of assets that do not pass their review, 0.0 to 1.0 inclusive, or
                a function that takes the body of a registration and tells whether it does not.
                It is called in the event loop.
            latency_s: Real seconds that every answer of the API takes, 0 or more. A create is
                accepted before them.
            video_ttl_s: Emulated seconds for which a video can be fetched, more than 0. None
                takes the API's 24 hours, or ten real minutes where that is longer: at high
                speeds a day is over before a client can ask.
            seed: What decides how long tasks take, which fail, and which calls meet a fault.
                Ids are never the same twice, so that a journal may outlive the emulator.
            waive: Ids of rules that are not checked.
            faults: What goes wrong with calls: a ``FaultPlan``, or its rates or its script
                alone. They come upon creates, queries, downloads of videos, and assets.
            on_accept: Called in the event loop with each create that is accepted: the task's id,
                its prompt, and whether a fault keeps the id from the client.

        Raises:
            ValueError: If an argument is out of its bounds; the message names it.
        """
        _check_numbers(speed=speed)
        if video_ttl_s is None:
            video_ttl_s = max(_PUBLISHED_TTL_S, _LEAST_TTL_S * speed)
        _check_numbers(video_ttl_s=video_ttl_s)
        _check_counts(concurrency=concurrency, creates_per_minute=creates_per_minute)
        _check_queue(max_queued, concurrency)
        if not 0 <= latency_s < math.inf:
            raise ValueError(f"latency_s must be 0 or more seconds, not {latency_s!r}")
        for name, share in (("failures", failures), ("rejections", rejections)):
            if not callable(share) and not 0 <= share <= 1:
                raise ValueError(f"{name} must be a share from 0.0 to 1.0, not {share!r}")
        _check_address(host, port, api_key)
        self._host, self._port = host, port
        self._account = Account(
            random.Random(seed),  # noqa: S311 - for chance that can be repeated
            # Unlike all other chance not seeded: a second run must not repeat the first one's.
            new_id=lambda: f"video_{uuid.uuid4()}",
            concurrency=concurrency,
            max_queued=max_queued,
            creates_per_minute=creates_per_minute,
            failures=failures,
            video_ttl_s=video_ttl_s,
        )
        self._service = Service(
            account=self._account,
            library=Library(
                random.SystemRandom(),
                chance=random.Random(f"assets {seed}"),  # noqa: S311 - can be repeated
                rejections=rejections,
            ),
            gallery=Gallery(),
            api_key=api_key,
            speed=speed,
            latency_s=latency_s,
            retry_after=retry_after,
            video_ttl_s=video_ttl_s,
            waived=_checked_waivers(waive),
            faults=Decider(
                FaultPlan.of(faults),
                random.Random(f"faults {seed}"),  # noqa: S311 - for chance that can be repeated
                nth_task=self._account.nth_id,
            ),
            on_accept=on_accept,
        )
        self._runner: web.AppRunner | None = None
        self._other_runner: web.AppRunner | None = None
        self._has_clock = False

    @property
    def base_url(self) -> str:
        """Where the emulator listens, ``http://127.0.0.1:PORT``; known once it has started.

        Raises:
            RuntimeError: If it has never been started.
        """
        if not self._service.base_url:
            raise RuntimeError("the emulator has not been started: use `async with Emulator(...)`")
        return self._service.base_url

    @property
    def api_key(self) -> str:
        """The key that is asked for."""
        return self._service.api_key

    @functools.cached_property
    def publisher(self) -> EmulatorPublisher:
        """What makes local files public here, for ``SeedanceSession(publisher=...)``.

        They are kept in memory, the latest 256 MiB, as long as a video could be fetched.
        """
        return EmulatorPublisher(self.base_url, self.api_key)

    @property
    def stats(self) -> EmulatorStats:
        """What the emulator has seen so far."""
        return self._service.stats

    @property
    def accepted_ids(self) -> tuple[str, ...]:
        """The ids of all accepted tasks, in the order of acceptance: the latest 200,000."""
        return tuple(self._account.accepted_ids)

    async def start(self) -> None:
        """Listen; the emulator's clock starts with the first start.

        Raises:
            ImportError: If the extra ``emulator`` is not installed.
            OSError: If the port cannot be had.
            RuntimeError: If it is listening already.
        """
        if self._runner is not None:
            raise RuntimeError("the emulator is listening already")
        require_extra()
        self._runner = self._prepared(self._service.app())
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
            self._service.base_url, self._port = _address(self._runner)
            await self._start_other_host()
        except BaseException:
            await self.stop()
            raise
        if not self._has_clock:
            self._start_clock()

    async def _start_other_host(self) -> None:
        """Listen where the fault ``redirect`` sends calls, if it may come."""
        if any(name.endswith(".redirect") for name in self._service.faults.plan.names):
            self._other_runner = self._prepared(self._service.other_app())
            await self._other_runner.setup()
            await web.TCPSite(self._other_runner, self._host, 0).start()
            self._service.other_url, _ = _address(self._other_runner)

    @staticmethod
    def _prepared(app: web.Application) -> web.AppRunner:
        return web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Refuse all connections for as long as the block lasts, then listen again.

        Calls under way are answered; connections that stand idle are closed, so that nothing
        new comes through. Tasks go on meanwhile. Stopping the emulator within the block is
        allowed, and starting it again ends the outage.

        Raises:
            RuntimeError: If it is not listening.
            OSError: If another program took the port meanwhile.
        """
        runner = self._runner
        if runner is None or runner.server is None or not runner.sites:
            raise RuntimeError("the emulator is not listening")
        for site in tuple(runner.sites):
            await site.stop()
        at_work = set(self._service.at_work.values())
        for connection in runner.server.connections:
            # aiohttp's own ``close`` leaves an idle connection open, and deaf.
            (connection.close if connection in at_work else connection.force_close)()
        await anyio.sleep(_FAREWELL_S)
        try:
            yield
        finally:
            if self._runner is runner:
                await web.TCPSite(runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening, without waiting for clients; harmless if it is not listening."""
        runners = [each for each in (self._runner, self._other_runner) if each is not None]
        self._runner = self._other_runner = None
        gallery = self._service.gallery
        # Before the handlers are waited for: they wait for films, and a loop in virtual time
        # lets no shutdown time pass while a thread is at work.
        gallery.close()
        try:
            if runners:
                with anyio.move_on_after(_CLEANUP_S, shield=True):
                    at_work = [task for task in self._service.at_work if task is not None]
                    for runner in runners:
                        await runner.cleanup()
                    # Measured with aiohttp 3.14: it does not await the end of handlers that it
                    # cancels, and lets those go on whose clients have gone away.
                    for task in at_work:
                        task.cancel()
                    if at_work:
                        await asyncio.wait(at_work)
        finally:
            gallery.close()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    def _start_clock(self) -> None:
        # The loop's clock and not the machine's, so that a loop in virtual time takes us along.
        loop, speed = asyncio.get_running_loop(), self._service.speed
        started_s = loop.time()
        self._service.clock = lambda: (loop.time() - started_s) * speed
        self._service.started_unix_s = time.time()
        self._has_clock = True


def _address(runner: web.AppRunner) -> tuple[str, int]:
    """Give the URL of what listens, and its port."""
    address, port = runner.addresses[0][:2]
    return f"http://{_reachable(address)}:{port}", port


def _reachable(address: str) -> str:
    """Spell a bound address as a URL's host; what listens everywhere is reached on loopback."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")  # noqa: PLR2004
    return str(ip) if ip.version == 4 else f"[{ip}]"  # noqa: PLR2004


def _check_numbers(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be more than 0, not {value!r}")


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{name} must be a whole number from 1, or None, not {value!r}")


def _check_queue(max_queued: int | None, concurrency: int | None) -> None:
    if max_queued is None:
        return
    if type(max_queued) is not int or max_queued < 0:
        raise ValueError(f"max_queued must be a whole number from 0, or None, not {max_queued!r}")
    if concurrency is None:
        raise ValueError("max_queued needs a concurrency: without one nothing waits")


def _check_address(host: str, port: int, api_key: str) -> None:
    if not 0 <= port <= _MAX_PORT:
        raise ValueError(f"port must be from 0 to {_MAX_PORT}, not {port!r}")
    if not host or not api_key:
        raise ValueError(f"{'api_key' if host else 'host'} must not be empty")


def _checked_waivers(waive: Collection[str]) -> frozenset[str]:
    waived = frozenset((waive,) if isinstance(waive, str) else waive)
    if not waived <= rules.RULE_IDS:
        unknown = ", ".join(sorted(waived - rules.RULE_IDS))
        raise ValueError(f"waive names no rule of the API: {unknown}")
    return waived
