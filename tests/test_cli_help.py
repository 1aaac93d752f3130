"""The help: quick, since it imports nothing that does work, and whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from seedance_async.cli.commands import COMMANDS

# What takes longest to import, and the beginnings of what does a command's work.
HEAVY = """asyncio anyio aiohttp aiosqlite sqlite3 ssl cattrs keyring rich.live rich.progress
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
        assert "Exit codes:" in out or name == "emulator", name
