"""What went wrong inside: a line without ``--debug``, tracebacks and logs with it.

Whatever goes to stderr from here has no API key in it and no signed URL.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from seedance_async.cli.terminal import one_line, printable

if TYPE_CHECKING:
    import aiohttp

_LIBRARY = "seedance_async"
_log = logging.getLogger(f"{_LIBRARY}.cli")
_MAX_REASON = 200  # characters; --debug has all of it
_HIDDEN = "***"
_SECRET_NAMES = re.compile("KEY|SECRET|TOKEN|PASSWORD", re.IGNORECASE)
_MIN_SECRET = 6  # characters: what is shorter would be found in any text
_QUERY = re.compile(r"(https?://[^\s'\"<>?]+)\?[^\s'\"<>]+")
_BEARER = re.compile(r"(Bearer\s+)[^\s'\"<>]+", re.IGNORECASE)
_secrets: set[str] = set()
_is_on = False


def hide(secret: str) -> None:
    """Let *secret* never be printed by this module."""
    if len(secret) >= _MIN_SECRET:
        _secrets.add(secret)


def is_on() -> bool:
    """Tell whether ``--debug`` was given."""
    return _is_on


def turn_on() -> None:
    """Take the option ``--debug``: everything that is logged goes to stderr from now on."""
    global _is_on  # noqa: PLW0603 -- a process has one command line
    _is_on = True
    for name in ("", _LIBRARY):
        logging.getLogger(name).setLevel(logging.DEBUG)
    # It tells of each statement twice, and of nothing else.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Show what is logged in the block: warnings as lines; with ``--debug`` all, with tracebacks.

    Without this, Python would print a traceback for each error that asyncio logs.
    """
    global _is_on  # noqa: PLW0603
    handlers = {name: _Handler(name) for name in ("", _LIBRARY)}
    loggers = {name: logging.getLogger(name) for name in handlers}
    levels = {name: log.level for name, log in loggers.items()}
    for name, handler in handlers.items():
        loggers[name].addHandler(handler)
    try:
        yield
    finally:
        _is_on = False
        for name, handler in handlers.items():
            loggers[name].removeHandler(handler)
            loggers[name].setLevel(levels[name])


def note(error: BaseException) -> None:
    """Log an error that a command tells of in a line, with its traceback."""
    _log.debug("%s", type(error).__name__, exc_info=error)


def unexpected(error: BaseException) -> str:
    """Tell of an error that nobody foresaw."""
    note(error)
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    name, words = type(error).__name__, one_line(clean(str(error)))[:_MAX_REASON]
    hint = "" if _is_on else " Run it again with --debug, and report what it prints."
    return (
        f"unexpected {name}{': ' if words else ''}{words}\n"
        f"This is a mistake in seedance. What was paid for is in the journal.{hint}"
    )


def clean(text: str) -> str:
    """Take keys, and the queries of URLs, which may be signatures, out of *text*."""
    named = {value for name, value in os.environ.items() if _SECRET_NAMES.search(name)}
    for secret in sorted(_secrets | named, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, _HIDDEN)
    return _BEARER.sub(rf"\1{_HIDDEN}", _QUERY.sub(rf"\1?{_HIDDEN}", text))


def traces() -> list[aiohttp.TraceConfig]:
    """Give what logs each call of an aiohttp session: its method, URL, status and time."""
    import aiohttp  # noqa: PLC0415 -- only who makes calls should pay for it

    config = aiohttp.TraceConfig()

    async def begin(_session: Any, context: Any, _params: Any) -> None:
        context.began = time.monotonic()

    async def end(_session: Any, context: Any, params: Any) -> None:
        spent_s = time.monotonic() - context.began
        _log.debug(
            "%s %s: %s in %.3f s", params.method, params.url, params.response.status, spent_s
        )

    async def fail(_session: Any, context: Any, params: Any) -> None:
        spent_s, error = time.monotonic() - context.began, params.exception
        _log.debug("%s %s: %r after %.3f s", params.method, params.url, error, spent_s)

    config.on_request_start.append(begin)
    config.on_request_end.append(end)
    config.on_request_exception.append(fail)
    return [config]


class _Handler(logging.Handler):
    """Writes to stderr, as it is at that moment: a live display puts itself in its place."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._is_root = not name

    def emit(self, record: logging.LogRecord) -> None:
        is_ours = record.name.partition(".")[0] == _LIBRARY
        if self._is_root and is_ours:  # has a handler of its own
            return
        if not _is_on and record.levelno < logging.WARNING:
            return
        with contextlib.suppress(Exception):
            print(printable(self._spelled(record)), file=sys.stderr, flush=True)  # noqa: T201

    def _spelled(self, record: logging.LogRecord) -> str:
        words = clean(one_line(record.getMessage()))
        if not _is_on:
            return words
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        lines = [f"{at} {record.levelname.lower()} {record.name}: {words}"]
        if record.exc_info and record.exc_info[1] is not None:
            lines += clean("".join(traceback.format_exception(record.exc_info[1]))).splitlines()
        return "\n".join(lines)
