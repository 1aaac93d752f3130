"""``seedance completion``: what the shells make of the scripts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cli_process import run

from seedance_async.cli.app import run as command

# What bash does when somebody presses the tab key behind words.
PRESS = """
source "$1"; shift
complete -p seedance > /dev/null || exit 1
COMP_WORDS=(seedance "$@"); COMP_CWORD=$#; COMP_LINE="seedance $*"; COMP_POINT=${#COMP_LINE}
_seedance seedance "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bash")
    ran = run("completion", "bash", cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    (folder / "seedance").write_text(ran.stdout)
    return folder / "seedance"


@bash
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["jo"], {"jobs"}),
        (["jobs", "re"], {"retry"}),
        (["jobs", "retry", "--fa"], {"--failed"}),
        (["batch", "jobs.jsonl", "--max"], {"--max-in-flight"}),
        (["worker", "re"], {"resubmit"}),
        (["worker", "set-limit", "--cr"], {"--creates-per-minute"}),
        (["assets", "register", "--kind", ""], {"image", "video", "audio"}),
        (["--pro"], {"--profile"}),
        (["generate", "--de"], {"--debug"}),
        (["completion", "f"], {"fish"}),
    ],
)
def test_bash_completes_commands_options_and_choices(
    script: Path, words: list[str], offered: set[str]
) -> None:
    pressed = subprocess.run(
        ["bash", "-c", PRESS, "bash", str(script), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {*pressed.stdout.split()} >= offered, pressed.stdout
    assert all(one.startswith(words[-1]) for one in pressed.stdout.split())


@pytest.mark.parametrize(
    ("shell", "says"), [("zsh", "#compdef seedance"), ("fish", "complete -c seedance")]
)
def test_other_shells_have_scripts_too(
    shell: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert says in told
    assert "--older-than" in told or "older-than" in told
    assert command(["completion", "csh"]) == 2
