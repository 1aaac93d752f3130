"""A video's bytes to disk: streamed, checked, and renamed into place whole.

They go to a part first: a hidden file beside the target, locked while it is written, whose name
is the same in every run, so that what a killed process left is taken over. No API key is sent to
the video's host, and its URL, which may be signed, gets into no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import filecmp
import hashlib
import itertools
import os
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
import attrs
from yarl import URL

from seedance_async.errors import DownloadError
from seedance_async.locking import lock
from seedance_async.paid import finish
from seedance_async.transfer import Transfer

_BOX_HEAD_BYTES = 8
_IS_WINDOWS = sys.platform == "win32"  # it neither renames nor removes a file that is open
_PART_CHARS = 40  # of the target's name, of up to four bytes each; the digest has the rest
_DIGEST_DIGITS = 16

# What the next file in the same folder would meet as well: no room left, nothing may be written,
# the device is failing or gone. Not here is what is the matter with one name or one file: EISDIR,
# ENAMETOOLONG, EILSEQ, EFBIG, ENOENT. Source: open(2), write(2), link(2) and errno(3) of Linux;
# ESTALE and ENOTCONN are what a network folder says that went away.
_DISK_TROUBLE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
    | {errno.ENODEV, errno.ENXIO, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN}
)
# A file that somebody has open, as a virus scanner does; to Python, too, it is an EACCES.
# Source: "System Error Codes", ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
_WINDOWS_BUSY = frozenset({32, 33})


async def fetch(
    http: aiohttp.ClientSession,
    url: str,
    path: Path,
    task_id: str,
    *,
    replaces: bool = True,
    is_again: bool = False,
) -> tuple[Path, int]:
    """Stream the MP4 at *url* to *path*; a broken transfer goes on where it stopped.

    Args:
        http: What to fetch it with; no key is sent.
        url: Where it is.
        path: Where to.
        task_id: The task, for errors and for the part's name.
        replaces: Whether a file that is there is replaced; if not, a number is added to the name.
        is_again: Whether an earlier run may have fetched it without writing that down; then a
            file of that name with the same content is the result.

    Returns:
        The file's path, and its size in bytes.

    Raises:
        VideoExpired: The host no longer has it.
        DownloadError: It cannot be fetched, is no MP4, or cannot be written; then its cause is the
            file system's error, see ``is_disk_trouble``.
    """
    target = _verbatim(url)
    if target is None:
        raise DownloadError("the provider gave a URL that cannot be fetched", task_id)
    if not path.name:
        raise DownloadError(f"cannot write {str(path)!r}: it names no file", task_id)
    opened: list[_Part] = []
    with writing(path, task_id):
        try:
            # To its end, though cancelled: a file that is opened is a file to be closed.
            await finish(asyncio.to_thread(_open, path, task_id, opened))
            part = opened[0]
            transfer = Transfer(
                http=http, url=target, task_id=task_id, file=part.file, is_whole=_is_whole
            )
            await transfer.run()
            # To its end as well: a thread that is left alone with the name of a part that was let
            # go could give away what another download has there by then.
            settled = await finish(asyncio.to_thread(_settle, part, path, replaces, is_again))
            return settled, transfer.got_bytes
        finally:
            for part in opened:
                part.discard()


@contextlib.contextmanager
def writing(path: Path, task_id: str | None = None) -> Iterator[None]:
    """Turn what a file system may raise in the block into a ``DownloadError`` about *path*."""
    try:
        yield
    except (OSError, ValueError) as exc:  # ValueError: a NUL, or letters that it has no form for
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise DownloadError(f"cannot write {path}: {reason}", task_id) from exc


def prepare_folder(folder: Path) -> None:
    """Make *folder* and see whether files can be written there.

    Raises:
        DownloadError: They cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def is_disk_trouble(error: DownloadError) -> bool:
    """Tell whether the folder takes no file at all any more, rather than not this one."""
    cause = error.__cause__
    if not isinstance(cause, OSError) or getattr(cause, "winerror", None) in _WINDOWS_BUSY:
        return False
    return cause.errno in _DISK_TROUBLE


def is_there(path: Path, size_bytes: int) -> bool:
    """Tell whether *path* is a whole MP4 of *size_bytes*. Blocks, and never raises."""
    try:
        found = path.stat()
        # Asked before it is opened: a pipe would wait for a writer.
        if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
            return False
        with path.open("rb") as file:
            return _is_whole(file, size_bytes)
    except (OSError, ValueError):  # ValueError: a NUL, or letters that it has no form for
        return False


@attrs.frozen(eq=False)
class _Part:
    """A file that takes a video until it is whole; nobody else writes to it while it is open."""

    path: Path
    file: BinaryIO

    def is_in_place(self) -> bool:
        """Tell whether its name is still its own: another may have removed or renamed it."""
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), self.path.lstat())
        except OSError:
            return False

    def discard(self) -> None:
        """Remove it, unless it has become the target; what cannot be removed stays."""
        with contextlib.suppress(OSError):
            if _IS_WINDOWS:  # pragma: no cover -- no such machine in CI
                # Whoever took the name over has it open, so that it cannot be removed here.
                self.file.close()
                self.path.unlink(missing_ok=True)
            elif self.is_in_place():  # and under our lock until it is closed
                self.path.unlink()
        with contextlib.suppress(OSError):  # what could not be written does not matter any more
            self.file.close()


def _open(path: Path, task_id: str, opened: list[_Part]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whose = os.fsencode(path.name) + b"\0" + task_id.encode(errors="surrogatepass")
    digest = hashlib.sha256(whose).hexdigest()[:_DIGEST_DIGITS]
    usual = path.with_name(f".{path.name[:_PART_CHARS]}.{digest}.part")
    part = _take(usual)
    if part is None:
        own = usual.with_suffix(f".{uuid.uuid4().hex[:8]}.part")
        part = _Part(own, own.open("xb+"))
    opened.append(part)


def _take(path: Path) -> _Part | None:
    """Make a part, or take one that was left behind, to be begun anew; None if it is in use."""
    with contextlib.ExitStack() as closing, contextlib.suppress(OSError):
        # An OSError is no answer yet: what is the matter with the folder meets the next name too.
        part = _Part(path, closing.enter_context(open(path, "rb+", opener=_make)))
        try:
            lock(part.file)
        except BlockingIOError:
            return None
        except OSError:
            # The file system has no locks, and so nobody uses a part of this name. On Windows
            # somebody may, but then it cannot be removed.
            part.discard()
            return None
        if not part.is_in_place():  # whoever had it was done with it just now
            return None
        if os.fstat(part.file.fileno()).st_nlink > 1:
            path.unlink()  # the process was killed when it had the target's name as well
            return _take(path)
        closing.pop_all()
        return part
    return None


def _make(path: str, flags: int) -> int:
    # The name can be known beforehand, and a link there could lead anywhere.
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_whole(file: BinaryIO, size_bytes: int) -> bool:
    """Tell whether a file is an MP4 of which nothing is missing.

    It is a row of boxes, each beginning with its size and type (ISO/IEC 14496-12, 4.2), the first
    of type ``ftyp``; an error page is none, and one that was cut short ends within a box. What
    comes behind the film's index and data (``moov``, ``mdat``) may be anything.
    """
    at, seen = 0, set[bytes]()
    while at < size_bytes:
        file.seek(at)
        head = file.read(16)
        kind, box_bytes = head[4:8], int.from_bytes(head[:4])
        if box_bytes == 1:  # the size did not fit: it follows the type, in eight bytes
            box_bytes = int.from_bytes(head[8:])
        elif box_bytes == 0:  # the last box, to the end of the file
            box_bytes = size_bytes - at
        if at == 0 and kind != b"ftyp":
            return False
        if box_bytes < _BOX_HEAD_BYTES or at + box_bytes > size_bytes:
            return seen >= {b"moov", b"mdat"}
        seen.add(kind)
        at += box_bytes
    return size_bytes > 0


def _settle(part: _Part, path: Path, replaces: bool, is_again: bool) -> Path:
    """Bring the part to the disk itself and give it its name; nobody else's file is lost by it."""
    part.file.flush()
    os.fsync(part.file.fileno())
    if _IS_WINDOWS:  # pragma: no cover -- no such machine in CI
        part.file.close()
    settled = part.path.replace(path) if replaces else _settle_beside(part.path, path, is_again)
    _sync_folder(path.parent)
    return settled


def _settle_beside(part: Path, path: Path, is_again: bool) -> Path:
    """Rename the part to *path*, or to the next free name, unless the video has one of them."""
    for number in itertools.count(1):
        free = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            _rename_new(part, free)
        except FileExistsError:
            # Without an earlier run the same bytes are another job's, whose file is its own.
            if not is_again or not _is_same(part, free):
                continue
        return free
    raise AssertionError  # numbers do not end


def _rename_new(part: Path, free: Path) -> None:
    """Rename as Windows does: a file that is there was paid for, and stays."""
    if _IS_WINDOWS:  # pragma: no cover -- no such machine in CI
        part.rename(free)
        return
    try:
        os.link(part, free)  # fails where there is a file, unlike a rename
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(free):
            raise FileExistsError from None
        part.rename(free)
    else:
        part.unlink()


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too, where that can be asked for: not on Windows."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _is_same(part: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(part, other, shallow=False)
    except OSError:
        return False


def _verbatim(url: str) -> URL | None:
    """Leave a URL as it was signed: quoting it anew could break the signature."""
    try:
        target = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        # Asked for here, because yarl looks at an encoded URL's host and port no sooner.
        fetchable = target.scheme in ("http", "https") and target.host and target.port
    except ValueError:
        return None
    return target if fetchable else None
