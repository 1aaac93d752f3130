"""Whom a command talks to: the provider, or an emulator inside this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

import seedance_async
from seedance_async.account import Account, address
from seedance_async.budget import Budget, PriceTable
from seedance_async.cli import config, debugging, folder, keys, publishing, trouble
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.options import DEFAULT_SPEED
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import AuthenticationError, JournalError
from seedance_async.journal import SqliteJournal
from seedance_async.wire import DEFAULT_BASE_URL

_FASTEST = 1_000_000  # times as fast as real; beyond, all times are one

if TYPE_CHECKING:
    import aiohttp


@attrs.frozen(kw_only=True)
class Service:
    """Whom to talk to.

    Attributes:
        emulate: Whether to emulate it.
        speed: Emulated seconds in a real one, more than 0.
        may_emulate: Whether the command has an option for it.
        publish: Where local files are published; None for nowhere, but with *emulate*, where the
            emulator takes them.
        review: Whether they go through the asset library.
    """

    emulate: bool = False
    speed: float = DEFAULT_SPEED
    may_emulate: bool = False
    publish: str | None = None
    review: bool = False

    @classmethod
    def of(
        cls,
        emulate: bool,
        speed: float | None,
        *,
        publish: str | None = None,
        review: bool = False,
    ) -> Service:
        """Take the options of a command.

        Raises:
            CannotStart: They contradict each other.
        """
        if speed is not None and not emulate:
            raise CannotStart("--speed goes only with --emulate: the provider has its own speed")
        if speed is not None and not 0 < speed <= _FASTEST:
            raise CannotStart(f"--speed must be above 0, and at most {_FASTEST:,}, not {speed:g}")
        if publish is None:
            publish = config.profile().publish
        publishing.check(publish, review=review, emulate=emulate)
        return cls(
            emulate=emulate,
            speed=DEFAULT_SPEED if speed is None else speed,
            may_emulate=True,
            # A rehearsal leaves nothing in a bucket.
            publish=publishing.EMULATOR if emulate else publish,
            review=review,
        )

    @classmethod
    def at_provider(cls, publish: str | None) -> Service:
        """Take the options of a command that has no emulator of its own.

        Raises:
            CannotStart: They cannot be used.
        """
        publish = config.profile().publish if publish is None else publish
        publishing.check(publish, review=False, emulate=False)
        return cls(publish=publish)

    @property
    def takes_files(self) -> bool:
        """Whether local files may stand in a request."""
        return self.publish is not None

    @property
    def checks_hosts(self) -> bool:
        """Whether ``media.public`` applies: it rests where the service is on a private host.

        With --emulate it applies, so that a rehearsal passes nothing that the provider refuses.
        """
        if self.emulate:
            return True
        try:
            return address(_base_url(keys.source()))[1]
        except ValueError:  # the session says what is wrong with it
            return True

    @property
    def has_own_time(self) -> bool:
        """Whether tasks take other times than the provider's."""
        return self.emulate and self.speed != 1

    @property
    def notice(self) -> str | None:
        """What a person has to know before anything starts."""
        if not self.emulate:
            return None
        speed = f"{self.speed:g} times as fast as real"
        return f"emulated: no key, no money; videos are test pictures ({speed})"

    @contextlib.asynccontextmanager
    async def session(
        self,
        *,
        limits: seedance_async.Limits | None = None,
        journal: SqliteJournal | None = None,
        instead: str = "",
        media_root: Path | None = None,
        budget: Budget | None = None,
        prices: PriceTable | None = None,
    ) -> AsyncIterator[seedance_async.SeedanceSession]:
        """Open a session, and its journal, which is closed behind it.

        Args:
            limits: How much at once; None takes the library's own.
            journal: Where jobs are written down; None is for what makes no jobs.
            instead: What may be done where another process has the journal, besides waiting.
            media_root: Where relative paths of local files start; None for the current folder.
            budget: The most that its jobs may come to.
            prices: What the models cost.

        Raises:
            CannotStart: There is no key, no usable address, no emulator, or no journal to be had.
        """
        async with contextlib.AsyncExitStack() as stack:
            session = await self._made(
                stack,
                limits=limits,
                journal=journal,
                media_root=media_root,
                budget=budget,
                prices=prices,
            )
            if journal is not None:
                folder.prepare(journal.path.parent)
                await stack.enter_async_context(_opened(journal, instead))
            try:
                await stack.enter_async_context(session)
            except JournalError as error:  # it was made at another service
                raise CannotStart(error.message) from error
            yield session

    async def _made(
        self,
        stack: contextlib.AsyncExitStack,
        *,
        limits: seedance_async.Limits | None,
        **options: Any,
    ) -> seedance_async.SeedanceSession:
        looked_at = "SEEDANCE_API_KEY"
        if self.emulate:
            key, url = await self.emulated(stack)
        else:
            source = keys.source()
            looked_at, url = source.words, _base_url(source)
            # Without a profile it is the library that looks into the environment.
            key = "" if source.profile is None else source.key()
            for warning in source.warnings():
                Terminal().say(f"warning: {warning}", style="yellow")
        try:
            account = Account.of(key, url)
            debugging.hide(account.api_key)
            publisher = self.publish and publishing.publisher_of(
                self.publish, account.base_url, account.api_key, review=self.review
            )
            return seedance_async.SeedanceSession(
                account.api_key,
                base_url=account.base_url,
                publisher=publisher or None,
                limits=self._limits(limits),
                http=await _traced(stack) if debugging.is_on() else None,
                **options,
            )
        except AuthenticationError as error:
            # The library speaks of its own argument as well.
            wrong = error.message.partition(" or pass")[0]
            where = "" if looked_at in wrong else f": look at {looked_at}"
            hint = ". --emulate needs no key" if self.may_emulate else ""
            if not where and (profiles := config.read().profiles):
                hint = f", or say --profile {' or '.join(profiles)}{hint}"
            raise CannotStart(f"{wrong}{where}{hint}") from error
        except ValueError as error:
            wrong = str(error).replace("base_url (or SEEDANCE_BASE_URL)", "SEEDANCE_BASE_URL")
            raise CannotStart(wrong) from error

    def _limits(self, limits: seedance_async.Limits | None) -> seedance_async.Limits | None:
        """Add what the profile says; an emulator has a clock of its own, and no such limit."""
        rate = None if self.emulate else config.profile().creates_per_minute
        if rate is None:
            return limits
        return attrs.evolve(limits or seedance_async.Limits(), creates_per_minute=rate)

    async def emulated(self, stack: contextlib.AsyncExitStack) -> tuple[str, str]:
        """Start an emulator, and give its key and its address."""
        from seedance_async.emulator import Emulator  # noqa: PLC0415 -- aiohttp's server is heavy

        try:
            emulator = Emulator(speed=self.speed)
            await stack.enter_async_context(emulator)
        except (ImportError, OSError, ValueError) as error:
            raise CannotStart(str(error)) from error
        return emulator.api_key, emulator.base_url


def _base_url(source: keys.Source) -> str:
    """Give a profile's address, where it has none the provider's own, and never another's."""
    return source.base_url or DEFAULT_BASE_URL


async def _traced(stack: contextlib.AsyncExitStack) -> aiohttp.ClientSession:
    """Give an HTTP session that logs its calls."""
    import aiohttp  # noqa: PLC0415 -- the module's other users may need none

    return await stack.enter_async_context(aiohttp.ClientSession(trace_configs=debugging.traces()))


@contextlib.asynccontextmanager
async def _opened(journal: SqliteJournal, instead: str) -> AsyncIterator[None]:
    try:
        await journal.open()
    except JournalError as error:
        raise CannotStart(trouble.of_journal(error, journal.path, instead)) from error
    try:
        yield
    finally:
        await journal.close()
