"""Runs the Python blocks of README.md and of these pages as tests, each page as one story.

A page has its own emulator, environment and folder, so that the examples stand as a user writes
them for the real API. Names live on from block to block, and so does the event loop: a block may
``await`` at its top level, as in ``python -m asyncio``.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from seedance_async.emulator import Emulator

ROOT = Path(__file__).parent.parent
PAGES = {ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/guide/*.md")}
SPEED = 600  # the five minutes of the slowest video last half a second


@contextlib.contextmanager
def emulator_in_a_thread(**knobs: Any) -> Iterator[Emulator]:
    """Serve from another thread's loop: the examples have loops of their own."""
    emulator = Emulator(**{"speed": SPEED, **knobs})
    stop, listening = asyncio.Event(), threading.Event()

    async def serve() -> None:
        async with emulator:
            listening.set()
            await stop.wait()

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=runner.run, args=(serve(),))
        thread.start()
        try:
            if not listening.wait(timeout=30):
                raise RuntimeError("the emulator for the examples does not start")
            yield emulator
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Emulator]]:
    """Start an emulator that ends with the test, for the programs in ``docs/examples``."""
    with contextlib.ExitStack() as stack:
        yield lambda **knobs: stack.enter_context(emulator_in_a_thread(**knobs))


@contextlib.contextmanager
def page(namespace: dict[str, Any]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        emulator = stack.enter_context(emulator_in_a_thread())
        stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("SEEDANCE_BASE_URL", emulator.base_url)
        environment.setenv("SEEDANCE_API_KEY", emulator.api_key)
        # Entered last and so left first: what a page leaves running ends before its emulator.
        namespace["_runner"] = stack.enter_context(asyncio.Runner())
        yield


def set_up(namespace: dict[str, Any]) -> None:
    namespace["_page"] = page(namespace)
    namespace["_page"].__enter__()


def tear_down(namespace: dict[str, Any]) -> None:
    namespace["_page"].__exit__(None, None, None)


def evaluate(example: Example) -> None:
    """Run one block; at its own line numbers, so that a traceback points into the page."""
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(
        source, str(example.path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    if code.co_flags & inspect.CO_COROUTINE:
        example.namespace["_runner"].run(eval(code, example.namespace))
    else:
        exec(code, example.namespace)


examples = Sybil(
    parsers=[CodeBlockParser("python", evaluate), SkipParser()],
    pattern="*.md",
    path=str(ROOT),
    setup=set_up,
    teardown=tear_down,
)


collect = examples.pytest()


class Examples:
    """A plugin of its own, since what this file collects by itself ends at this folder."""

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        return collect(file_path, parent) if file_path in PAGES else None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Examples(), "executed-examples")
