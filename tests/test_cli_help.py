"""The help: quick, since it imports nothing that does work, and whole."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import seedance_async
from seedance_async import JobState
from seedance_async.cli import jobs
from seedance_async.cli.app import make_app
from seedance_async.cli.commands import COMMANDS, ENVIRONMENT, EXAMPLES, ending

# What takes longest to import, and the beginnings of what does a command's work.
HEAVY = """asyncio anyio aiohttp aiosqlite sqlite3 sqlalchemy dbos ssl cattrs keyring rich.live
rich.progress
seedance_async._public seedance_async.wire seedance_async.request seedance_async.lifecycle
seedance_async.journal seedance_async.emulator seedance_async.cli.service seedance_async.cli.run
""".split()
ASK = """
import contextlib, io, json, sys
from seedance_async.cli.app import run
heavy, told = json.loads(sys.argv[1]), {}
for name in ["", *json.loads(sys.argv[2])]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = run([*name.split(), "--help"])
    told[name] = [code, sorted(heavy & sys.modules.keys()), out.getvalue()]
print(json.dumps(told))
""".replace("heavy &", "set(heavy) &")


def helps() -> dict[str, tuple[int, list[str], str]]:
    # Coverage brings modules of its own into child processes.
    env = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    ran = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(HEAVY), json.dumps(list(COMMANDS))],
        capture_output=True,
        text=True,
        check=True,
        env={**env, "COLUMNS": "80"},
    )
    return json.loads(ran.stdout)


def test_every_help_is_shown_and_imports_nothing_that_does_work() -> None:
    for name, (code, imported, out) in helps().items():
        assert (name, code, imported) == (name, 0, [])
        assert f"Usage: seedance {name}".rstrip() in out, name
        assert ending(name) in out, name


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_example_is_a_command_that_there_is(name: str) -> None:
    for example in EXAMPLES[name]:
        words = shlex.split(re.sub(r".*[|] (?=seedance)|( [|>] ).*", "", example))
        assert words[: len(name.split()) + 1] == ["seedance", *name.split()][: len(words)]
        # Without those of every command, which are taken before the command's own are.
        own = [word for word in words[1:] if word not in ("--profile", "work")]
        _, _, unknown, *_ = make_app().parse_known_args(own)
        assert not unknown, example


def test_what_is_read_from_the_environment_is_told_of() -> None:
    package = Path(seedance_async.__file__).parent
    source = "".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    read = {*re.findall(r"\bSEEDANCE_[A-Z_]+[A-Z]\b", source)}
    assert read <= ENVIRONMENT.keys()
    assert {name for name in ENVIRONMENT if name.startswith("SEEDANCE")} <= read


def test_help_is_no_wider_than_a_terminal() -> None:
    for name in ["", *COMMANDS]:
        assert max(map(len, ending(name).splitlines())) <= 78, name


def test_the_states_of_an_option_are_those_of_jobs() -> None:
    assert jobs.State.__args__ == tuple(JobState)
