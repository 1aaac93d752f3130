"""``seedance worker`` at work: from its start to the signal that ends it.

A first signal lets go of everything but the creates that are on the wire; one more gives up on
these as well, and they become unknown.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import attrs

from seedance_async import paid
from seedance_async.cli import debugging, dsn, exits, folder
from seedance_async.cli.interrupt import stoppable
from seedance_async.cli.overseeing import spelled
from seedance_async.cli.shift import Shift
from seedance_async.cli.terminal import Terminal, count
from seedance_async.distributed import Account, DistributedWorker, WorkerFenced
from seedance_async.errors import DownloadError


@attrs.frozen(kw_only=True)
class Post:
    """What a worker is to do.

    Attributes:
        dsn: The database.
        accounts: Whose jobs.
        out: Where to, a folder or ``s3://bucket/prefix``.
        spool: The folder for ids.
        migrate: Whether to make the tables.
    """

    dsn: str
    accounts: Sequence[Account]
    out: str
    spool: Path
    migrate: bool


async def work(post: Post, terminal: Terminal) -> int:
    """Work until a signal comes, and give the exit code.

    Raises:
        CannotStart: The database, the folder or the spool cannot be used.
    """
    is_folder = not post.out.startswith("s3://")
    out = str(folder.at_home(post.out).absolute()) if is_folder else post.out
    shift = Shift(terminal, lambda: worker.in_flight)
    with dsn.told():
        worker = DistributedWorker(
            post.dsn,
            accounts=post.accounts,
            out=out,
            spool=post.spool,
            subscriber=shift.note,
            migrate=post.migrate,
        )
    await _find(post.dsn)
    async with contextlib.AsyncExitStack() as stack:
        # A signal while it begins is kept in mind: creates may be on the wire already.
        with stoppable(worker.stop) as early, shift.shown():
            await _begin(stack, worker)
            with dsn.told():
                await _tell(post, out, terminal)
            is_fenced = early.signum is None and await _is_fenced(worker, shift)
        if is_fenced:
            what = "this worker was silent for too long, and others have its jobs: start it again"
            terminal.say(what, style="bold red")
        with _leaving(terminal):
            await stack.aclose()
    terminal.say(f"stopped: {shift.done}")
    return exits.SOME_FAILED if is_fenced else exits.OK


async def _find(where: str) -> None:
    """Look whether there is a database: a worker would be patient with one that is not there.

    Raises:
        CannotStart: There is none.
    """
    database = dsn.database(where)
    try:
        with dsn.told():
            await database.run(lambda _: None)
    finally:
        database.close()


async def _begin(stack: contextlib.AsyncExitStack, worker: DistributedWorker) -> None:
    try:
        with dsn.told():
            await stack.enter_async_context(worker)
    except DownloadError as error:
        raise exits.CannotStart(error.message) from error
    except exits.CannotStart as error:
        hint = "; where another role makes the tables, say --no-migrate"
        raise exits.CannotStart(f"{error}{hint if 'permission' in str(error) else ''}") from error


async def _tell(post: Post, out: str, terminal: Terminal) -> None:
    async with dsn.client(post.dsn) as client:
        for account in post.accounts:
            limits = spelled(await client.set_limit(account.name))
            terminal.say(f"working for account {account.name}: {limits}, over all workers")
    terminal.say(f"  jobs from {dsn.shown(post.dsn)}")
    terminal.say(f"  videos to {out}")
    terminal.say(f"  ids of paid tasks in {post.spool}")
    terminal.say("Ctrl-C or SIGTERM ends it; other workers go on with what is under way")


async def _is_fenced(worker: DistributedWorker, shift: Shift) -> bool:
    """Work until a signal comes, or others have taken this worker for dead; whether they have."""
    async with anyio.create_task_group() as group:
        group.start_soon(shift.by_the_minute)
        try:
            await worker.run_forever()
        except WorkerFenced as fenced:
            debugging.note(fenced)
            return True
        finally:
            group.cancel_scope.cancel()
    return False


@contextlib.contextmanager
def _leaving(terminal: Terminal) -> Iterator[None]:
    """Finish the creates on the wire in the block; a signal that comes now gives up on them."""
    with stoppable(lambda: terminal.say(leaving(paid.under_way()))) as stop:
        stop.request(signal.SIGTERM)  # it has come
        yield


def leaving(sending: int) -> str:
    """Say what a worker does that was told to end, with so many creates on the wire."""
    if not sending:
        return "leaving: no create is on the wire"
    them = "is" if sending == 1 else "are"
    return (
        f"leaving: {count(sending, 'create')} on the wire {them} finished first\n"
        "Ctrl-C again gives up on them: they become UNKNOWN"
    )
