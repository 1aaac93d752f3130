"""A virtual environment for each thing compared, made on first use: nobody's dependencies meet."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent
VENVS = HERE / ".venvs"
OURS, COMMAND_LINE, SHARED, DRIVER = "ours", "cli", "distributed", "driver"
# The versions that the survey of peers read and probed.
PINS: dict[str, list[str]] = {
    OURS: [str(ROOT)],  # raw aiohttp too: the same aiohttp for all who use it
    COMMAND_LINE: [f"{ROOT}[cli]"],
    SHARED: [f"{ROOT}[distributed,emulator]"],
    "httpx": ["httpx==0.28.1"],
    "openai": ["openai==3.54.0"],
    "ark": ["volcengine-python-sdk[ark]==5.0.54"],
    "runwayml": ["runwayml==5.24.0"],
    "fal": ["fal_client==1.0.3"],
    "replicate": ["replicate==1.0.7"],
    DRIVER: ["-r", str(HERE / "requirements.txt")],
}
used: set[str] = set()  # what has been asked for in this run


class Weight(NamedTuple):
    """What installing something brings along, compiled files included."""

    distributions: int
    files: int
    size_bytes: int


def python(name: str) -> Path:
    """Give the interpreter of an environment, which is made if it is missing or outdated."""
    used.add(name)
    folder = VENVS / name
    interpreter = folder / "bin" / "python"
    made_from = folder / "made_from.txt"
    wanted = "\n".join([sys.version, *PINS[name]])
    if made_from.exists() and made_from.read_text() == wanted:
        return interpreter
    print(f"making the environment of {name} ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (VENVS / ".gitignore").write_text("*\n")
    install(interpreter, PINS[name])
    made_from.write_text(wanted)
    return interpreter


def install(interpreter: Path, what: list[str]) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-warn-script-location"]
    done = subprocess.run(
        [interpreter, "-m", "pip", "install", *options, *what],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pip install {' '.join(what)} failed:\n{done.stderr[-2000:]}")


def versions(name: str) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    )
    out = subprocess.check_output([python(name), "-c", code], text=True)
    found: dict[str, str] = json.loads(out)
    return {name: found[name] for name in sorted(found) if name not in ("pip", "setuptools")}


def weight(name: str) -> Weight:
    """Weigh an environment without pip and setuptools, which ``venv`` puts there."""
    interpreter = python(name)
    if name == OURS:  # as it is now
        install(interpreter, ["--force-reinstall", "--no-deps", *PINS[OURS]])
    site = next((VENVS / name / "lib").glob("python*/site-packages"))
    sizes = [
        path.stat().st_size
        for path in site.rglob("*")
        if path.is_file() and not is_tooling(path.relative_to(site).parts[0])
    ]
    return Weight(len(versions(name)), len(sizes), sum(sizes))


def is_tooling(top: str) -> bool:
    tools = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
    return top.startswith(tools)
