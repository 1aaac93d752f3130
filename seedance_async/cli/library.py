"""The asset library from the command line: registered, looked at, waited for, deleted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from seedance_async import local, references, wire
from seedance_async.asset import Asset, AssetKind, AssetStatus
from seedance_async.cli import debugging, exits, journals, publishing, settling, trouble
from seedance_async.cli.consent import given
from seedance_async.cli.inorder import InOrder
from seedance_async.cli.interrupt import stoppable
from seedance_async.cli.options import OnUnknown
from seedance_async.cli.service import Service
from seedance_async.cli.terminal import Terminal, count, one_line
from seedance_async.errors import (
    InvalidRequest,
    PublishError,
    SeedanceError,
    SubmissionUnknown,
    WaitTimeout,
)
from seedance_async.journal import SqliteJournal
from seedance_async.mediainfo import MediaKind
from seedance_async.publication import LocalFile

if TYPE_CHECKING:
    from seedance_async import SeedanceSession

_KEY_DIGITS = 32  # as the library's own, so that ``--review`` finds what is registered here
Ask = Callable[["SeedanceSession", str], Awaitable[Asset | None]]


@attrs.frozen(kw_only=True)
class Registration:
    """What is to be registered.

    Attributes:
        what: A public URL, or the path of a local file.
        kind: What it is.
        name: What the provider is to call it.
        on_unknown: What to do where the answer to an earlier registration was lost.
        wait_s: How long to wait for the review, in seconds; None not at all.
        as_json: Whether a program reads what is printed.
    """

    what: str
    kind: str
    name: str | None
    on_unknown: OnUnknown
    wait_s: float | None
    as_json: bool

    @property
    def is_file(self) -> bool:
        """Whether it is a local file."""
        return references.is_local(self.what)


async def register(wanted: Registration, service: Service, journal: str | None) -> int:
    """Register it once, and give the exit code.

    Raises:
        CannotStart: It cannot be registered, or there is no journal to be had.
    """
    terminal = Terminal()
    if wanted.is_file and not service.takes_files:
        raise exits.CannotStart(f"a local file: {publishing.OUR_WORDS}")
    path = journals.place(journal, Path(), emulated=False)
    with stoppable(lambda: terminal.say("stopping")) as stop, trouble.told_once(terminal):
        async with service.session(journal=SqliteJournal(path)) as session:
            code = exits.OK
            with stop.work():
                code = await _register(session, wanted, path, terminal)
    return code if stop.signum is None else exits.interrupted(stop.signum)


async def _register(
    session: SeedanceSession,
    wanted: Registration,
    journal: Path,
    terminal: Terminal,
) -> int:
    try:
        asset = await _registered(session, wanted)
        if wanted.wait_s is not None:
            asset = await session.assets.wait_active(asset.id, wanted.wait_s)
    except InvalidRequest as invalid:
        faults = "; ".join(violation.message for violation in invalid.violations)
        raise exits.CannotStart(f"{wanted.what.partition('?')[0]}: {faults}") from invalid
    except SubmissionUnknown as lost:
        debugging.note(lost)
        _tell_lost(lost, journal, terminal)
        return exits.SOME_FAILED
    except SeedanceError as error:
        debugging.note(error)
        terminal.say(_explained(error), style="red")
        return exits.SOME_FAILED
    terminal.give(json.dumps(spelled(asset)) if wanted.as_json else asset.reference)
    if not wanted.as_json and asset.status != AssetStatus.ACTIVE:
        terminal.say(f"{asset.status}; until it may be used: seedance assets wait {asset.id}")
    return exits.OK if asset.status != AssetStatus.FAILED else exits.SOME_FAILED


async def _registered(session: SeedanceSession, wanted: Registration) -> Asset:
    kind = AssetKind(wanted.kind.title())
    if not wanted.is_file:
        return await session.assets.register(
            wanted.what, kind, wanted.name, on_unknown=wanted.on_unknown
        )
    path = local.locate(wanted.what, None)
    try:
        stamp = await asyncio.to_thread(local.stamp, path)
        digest = await asyncio.to_thread(local.digest, path)
    except (OSError, ValueError) as error:
        raise exits.CannotStart(local.unreadable(wanted.what, error)) from error
    key = f"file-{digest[:_KEY_DIGITS]}"
    known = await session.assets.registered(key)
    if known is not None and known.status != AssetStatus.FAILED:
        return known
    file = LocalFile(
        path=path, digest=digest, size_bytes=stamp.size_bytes, kind=MediaKind(wanted.kind)
    )
    url = await _published(session, file)
    return await session.assets.register(
        url, kind, wanted.name, key=key, on_unknown=wanted.on_unknown
    )


async def _published(session: SeedanceSession, file: LocalFile) -> str:
    # The session's own: made of ``--publish``, with the account that it has.
    publisher: Any = session._publisher
    try:
        published = await publisher.publish(file)
    except SeedanceError:
        raise
    except Exception as exc:
        words = wire.clip(f"{type(exc).__name__}: {exc}".removesuffix(": "))
        raise PublishError(f"could not publish {local.shown(file.path.name)}: {words}") from exc
    return str(published.reference)


def _tell_lost(lost: SubmissionUnknown, journal: Path, terminal: Terminal) -> None:
    key = lost.key or "KEY"
    why = one_line(settling.why(lost))
    terminal.say(f"UNKNOWN ({why}): there may be an asset or not", style="bold red")
    terminal.say("Look in the provider's asset library. It is there:")
    terminal.say(f"  {settling.command(key, journal, '--asset-id', 'asset-...')}")
    terminal.say("It is not:")
    terminal.say(f"  {settling.command(key, journal, '--not-created')}")
    terminal.say("Then run the same command again.")


async def each(ids: Sequence[str], ask: Ask, *, as_json: bool, terminal: Terminal) -> int:
    """Do the same with all assets at once, tell of each in its turn, and give the exit code.

    Raises:
        CannotStart: What was given cannot be an id.
    """
    in_order = InOrder(terminal.give)
    codes = dict[int, int]()

    async def one(session: SeedanceSession, index: int, asset_id: str) -> None:
        try:
            asset = await ask(session, asset_id)
        except ValueError as error:
            if isinstance(error, SeedanceError):
                raise
            raise exits.CannotStart(f"{one_line(asset_id)}: {error}") from error
        except SeedanceError as error:
            debugging.note(error)
            codes[index] = exits.SOME_FAILED
            in_order.put(index, _failed(asset_id, error, as_json=as_json))
            return
        codes[index] = exits.SOME_FAILED if asset and _is_unusable(asset) else exits.OK
        in_order.put(index, None if asset is None else _line(asset, as_json=as_json))

    with stoppable(lambda: terminal.say("stopping")) as stop, trouble.told_once(terminal):
        async with Service().session() as session:
            with stop.work():
                await _all(one, session, ids)
            in_order.flush()
    if stop.signum is not None:
        return exits.interrupted(stop.signum)
    return max(codes.values(), default=exits.OK)


async def _all(
    one: Callable[[SeedanceSession, int, str], Coroutine[Any, Any, None]],
    session: SeedanceSession,
    ids: Sequence[str],
) -> None:
    wrong: exits.CannotStart | None = None
    try:
        async with anyio.create_task_group() as group:
            for index, asset_id in enumerate(dict.fromkeys(map(bare, ids))):
                group.start_soon(one, session, index, asset_id)
    except* exits.CannotStart as errors:
        wrong = next(error for error in _leaves(errors) if isinstance(error, exits.CannotStart))
    if wrong is not None:
        raise wrong


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found = list[BaseException]()
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def look(session: SeedanceSession, asset_id: str) -> Asset:
    """Look at an asset."""
    return await session.assets.get(asset_id)


def waiting(timeout_s: float) -> Ask:
    """Give what waits until an asset may be used."""

    async def wait(session: SeedanceSession, asset_id: str) -> Asset:
        return await session.assets.wait_active(asset_id, timeout_s)

    return wait


def deletion(terminal: Terminal) -> Ask:
    """Give what deletes an asset."""

    async def delete(session: SeedanceSession, asset_id: str) -> None:
        await session.assets.delete(asset_id)
        terminal.say(f"{asset_id} is deleted")

    return delete


def may_delete(ids: Sequence[str], terminal: Terminal, *, yes: bool) -> bool:
    """Ask whether the assets may be deleted.

    Raises:
        CannotStart: There is nobody to ask.
    """
    named = one_line(", ".join(ids)) if len(ids) == 1 else count(len(ids), "asset")
    return given(terminal, f"Delete {named} at the provider, for good?", yes=yes)


def bare(asset_id: str) -> str:
    """Take an id also as it stands in a request."""
    return asset_id.removeprefix(references.ASSET_SCHEME)


def spelled(asset: Asset) -> dict[str, Any]:
    """Give an asset as an object for a program; without its URL, which may be signed."""
    created = None if asset.created_at is None else asset.created_at.isoformat()
    return {
        "asset_id": asset.id,
        "reference": asset.reference,
        "status": asset.status,
        "kind": asset.kind,
        "name": asset.name,
        "created_at": created,
        "error": None,
    }


def _line(asset: Asset, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(spelled(asset))
    cells = (asset.id, asset.status, asset.kind, asset.name)
    return one_line(" ".join(cell for cell in cells if cell))


def _failed(asset_id: str, error: SeedanceError, *, as_json: bool) -> str:
    if not as_json:
        return one_line(f"{asset_id} {_explained(error)}")
    told = {"type": type(error).__name__, "message": error.message}
    fields = spelled(Asset(id=asset_id, status="unknown"))
    return json.dumps({**fields, "error": told})


def _explained(error: SeedanceError) -> str:
    late = "; its review goes on" if isinstance(error, WaitTimeout) else ""
    return f"{error.message}{late}"


def _is_unusable(asset: Asset) -> bool:
    return asset.status == AssetStatus.FAILED
