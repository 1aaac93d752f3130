"""What the package shows: names, types, and what its import costs."""

from __future__ import annotations

import os
import subprocess
import sys
import typing

import pytest

import seedance_async
from seedance_async import _public


def python(code: str) -> str:
    # Coverage measures child processes too, and brings modules of its own into them.
    env = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=env,
    )
    return ran.stdout.strip()


def test_the_fixed_names_are_there() -> None:
    fixed = """SeedanceSession VideoRequest Model AspectRatio Video Outcome BatchReport VideoTask
    Limits Adaptive Fixed Backoff Journal SeedanceError InvalidRequest AuthenticationError
    InsufficientBalance RequestRefused RateLimited ServiceUnavailable SubmissionUnknown
    UnexpectedAnswer VideoFailed WaitTimeout DownloadError VideoExpired BudgetExceeded
    JournalError""".split()
    assert set(fixed) <= set(seedance_async.__all__) <= set(dir(seedance_async))
    assert seedance_async.__all__ == sorted(seedance_async.__all__)
    assert sorted([*_public.__all__, "__version__"]) == seedance_async.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = seedance_async.nonsense


@pytest.mark.parametrize("name", sorted(set(seedance_async.__all__) - {"__version__"}))
def test_a_public_object_lives_in_the_package_and_says_what_it_is(name: str) -> None:
    value = getattr(seedance_async, name)
    assert value.__module__ == "seedance_async"
    assert value.__doc__
    if isinstance(value, type):
        typing.get_type_hints(value)


def test_the_import_takes_no_extra_and_aiohttp_only_with_a_name() -> None:
    heavy = (
        "{'av', 'PIL', 'rich', 'cyclopts', 'aiosqlite', 'sqlite3', 'dbos', 'opentelemetry', 'yaml'}"
    )
    loaded = f"import sys; print(sorted({heavy} & set(sys.modules)), 'aiohttp' in sys.modules)"
    assert python(f"import seedance_async; {loaded}") == "[] False"
    assert python(f"from seedance_async import SeedanceSession; {loaded}") == "[] True"
    assert python(f"import seedance_async.emulator; {loaded}") == "[] True"


def test_a_star_import_brings_everything() -> None:
    assert python("from seedance_async import *; print(SeedanceSession.__name__)") == (
        "SeedanceSession"
    )
