"""What ``seedance doctor`` finds on this machine: nothing here asks anybody else."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import seedance_async
from seedance_async.account import address
from seedance_async.cli import config, journals, keys
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.findings import Finding, ok, problem, warning
from seedance_async.cli.jobrows import Tally
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import JournalError
from seedance_async.journal import SqliteJournal
from seedance_async.journal.lock import is_written
from seedance_async.wire import DEFAULT_BASE_URL

_DISTRIBUTION = "seedance-async"
_OLDEST_SQLITE = (3, 37)  # the first with STRICT tables
_MIB = 2**20
# A video has some MiB; our choice of what is little room for a batch, and what is none.
_LITTLE_BYTES, _NO_BYTES = 1024 * _MIB, 100 * _MIB
_PROXIES = ("https_proxy", "http_proxy", "all_proxy")
_MIN_KEY_CHARS = 16  # no key of any service that we know is shorter; our choice


def versions() -> Iterator[Finding]:
    """Look at what the library stands on."""
    import sqlite3  # noqa: PLC0415 -- as everywhere: only who needs it pays for it

    import aiohttp  # noqa: PLC0415 -- likewise

    what = (
        f"seedance-async {seedance_async.__version__}, Python {platform.python_version()}, "
        f"aiohttp {aiohttp.__version__}, SQLite {sqlite3.sqlite_version}, {platform.system()}"
    )
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        yield problem("versions", what, "the journal needs SQLite 3.37 or newer: a newer Python")
    else:
        yield ok("versions", what)


def extras() -> Iterator[Finding]:
    """Look at what is installed of the extras, as the package itself lists them."""
    wanted: dict[str, list[str]] = {}
    for line in importlib.metadata.requires(_DISTRIBUTION) or ():
        found = re.match(r"""([\w.-]+)[^;]*;.*\bextra == ['"]([\w-]+)['"]""", line)
        if found and found[2] not in ("all", "dev"):
            wanted.setdefault(found[2], []).append(found[1])
    for extra, names in sorted(wanted.items()):
        there = {name: _version(name) for name in names}
        if None not in there.values():
            listed = ", ".join(f"{name} {version}" for name, version in there.items())
            yield ok("extra", f"{extra}: {listed}")
        else:
            missing = ", ".join(name for name, version in there.items() if version is None)
            how = f"pip install 'seedance-async[{extra}]'"
            yield ok("extra", f"{extra}: without {missing}; if you need it: {how}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def settings() -> Iterator[Finding]:
    """Look at the config file, and which profile is in force."""
    try:
        read, profile = config.read(), config.profile()
    except CannotStart as error:
        yield problem("config", str(error), "")
        return
    if not read.exists:
        yield ok("config", f"none ({read.file} is not there)")
        return
    which = f"profile {profile.name}" if profile.name else "no profile"
    names = ", ".join(read.profiles) or "none"
    yield ok("config", f"{read.file}: {which} in force, of: {names}")


def key(source: keys.Source) -> tuple[str | None, list[Finding]]:
    """Look for the key and at its form; gives it, and never shows it."""
    try:
        # As the session does it, so that the judgement is the same.
        found = source.key()
    except CannotStart as error:
        return None, [problem("key", str(error), "")]
    findings = [warning("key", each, "") for each in source.warnings()]
    what = f"from {source.words}, {_length(found)}"
    if not found.isascii() or not found.isprintable() or " " in found:
        hint = "copy it again: no blanks, no quotes, no word Bearer in front"
        return None, [problem("key", f"{what}: has characters in it that no key has", hint)]
    if found[0] in "'\"" or len(found) < _MIN_KEY_CHARS:
        why = "has quotes around it" if found[0] in "'\"" else "is short for a key"
        findings.append(warning("key", f"{what}: {why}", "is it the whole key, and nothing else?"))
    else:
        findings.append(ok("key", what))
    return found, findings


def _length(found: str) -> str:
    """Say how long a key is, roughly: enough to see that half of it is missing."""
    low = len(found) // 20 * 20
    return f"{low} to {low + 19} characters" if low else "fewer than 20 characters"


def base_url(given: str | None) -> tuple[str | None, Finding]:
    """Look at the form of the address; gives it where it can be used."""
    try:
        url, is_public = address(given or DEFAULT_BASE_URL)
    except ValueError as error:
        wrong = str(error).replace("base_url (or SEEDANCE_BASE_URL)", "SEEDANCE_BASE_URL")
        return None, problem("base URL", wrong, "")
    if url.endswith("/v1"):
        hint = "leave /v1 away: it is added to each address"
        return url, warning("base URL", f"{url} ends with /v1", hint)
    if urlsplit(url).scheme == "http" and is_public:
        hint = "write https://, or everybody on the way can read the key"
        return url, warning("base URL", f"{url} is not encrypted", hint)
    whose = "" if given else " (the provider's own)"
    return url, ok("base URL", f"{url}{whose}")


def proxies() -> Iterator[Finding]:
    """Look at what the environment says of proxies, which the library does not use."""
    lower = {name.casefold(): value for name, value in os.environ.items() if value}
    there = [f"{name} = {_host(lower[name])}" for name in _PROXIES if name in lower]
    if there:
        hint = "if the provider cannot be reached without it, calls will fail"
        yield warning("proxy", f"{', '.join(there)}: set, and not used by seedance", hint)
    else:
        yield ok("proxy", "none in the environment")


def _host(url: str) -> str:
    """Give a proxy's host without the password that may stand before it."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "something that is no URL"
    return f"{parts.hostname}{port}"


def room() -> Iterator[Finding]:
    """Look at the current folder: whether a file can be written there, and how large."""
    try:
        here = Path.cwd()
        with tempfile.TemporaryFile(dir=here):
            pass
        free = shutil.disk_usage(here).free
    except OSError as error:
        yield problem("folder", f"cannot be written: {error.strerror}", "give another with --out")
        return
    size = f"{free / 2**30:.1f} GiB free in {here}"
    if free < _LITTLE_BYTES:
        find = problem if free < _NO_BYTES else warning
        yield find("folder", size, "make room: a video has some MiB")
    else:
        yield ok("folder", f"writable, {size}")


async def journal() -> AsyncIterator[Finding]:
    """Look at the journal here, if there is one."""
    try:
        path = journals.find(None)
    except CannotStart as error:
        words = str(error).partition("\n")[0]
        yield ok("journal", "none here" if "no journal here" in words else words.partition(";")[0])
        return
    tally = Tally()
    try:
        async with SqliteJournal(path, read_only=True) as opened:
            async for record in opened.records():
                tally.add(record)
    except JournalError as error:
        yield problem("journal", error.message, "")
        return
    busy = ", being written now" if is_written(path) else ""
    what = f"{path}: {tally.told()}{busy}"
    if tally.unknown:
        hint = "look in the provider's billing, then: seedance jobs settle KEY"
        yield warning("journal", what, hint)
    else:
        yield ok("journal", what)


def terminal(seen: Terminal) -> Iterator[Finding]:
    """Look at what the terminal can do."""
    encoding = getattr(sys.stdout, "encoding", None) or "unknown"
    live = "a live view" if seen.console is not None else "plain lines"
    system = None if seen.console is None else seen.console.color_system
    colours = (
        "" if seen.console is None else f", {f'colours ({system})' if system else 'no colours'}"
    )
    width = "" if seen.width is None else f", {seen.width} columns"
    what = f"{live}{colours}{width}, {encoding}"
    if encoding.casefold().replace("-", "") != "utf8":
        hint = "set PYTHONUTF8=1, or prompts in other scripts may not be shown"
        yield warning("terminal", what, hint)
    else:
        yield ok("terminal", what)
