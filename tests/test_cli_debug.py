"""``--debug``, and what is told without it of an error that nobody foresaw."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from cli_process import FAST, account, emulating, write_jobs

from seedance_async.cli import debugging
from seedance_async.cli.app import run as command

SECRET = "sk-0123456789abcdef"
OPTIONS = ("--model", "seedance_2_0_fast_pro", "--duration", "4", "--out", "videos/")


@pytest.mark.parametrize("words", [("jobs",), ("--debug", "jobs"), ("jobs", "--debug")])
def test_an_error_that_nobody_foresaw_is_a_line_unless_asked_for_more(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seedance.sqlite").touch()
    # A folder that is removed under the feet of whoever stands in it has no name any more.
    gone = tmp_path / SECRET
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("MY_API_KEY", SECRET)
    code = command([*words, "--journal", "../seedance.sqlite"])
    told = capsys.readouterr().err
    assert (code, SECRET in told) == (70, False), told
    assert ("Traceback" in told, "with --debug" in told) == ("--debug" in words, len(words) == 1)
    assert "unexpected FileNotFoundError: " in told
    assert "What was paid for is in the journal." in told


def test_debug_shows_each_call_and_never_a_key_a_prompt_or_a_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def told(*more: str) -> tuple[int, str]:
        code = command(["generate", "a secret cat", *OPTIONS, *more])
        return code, capsys.readouterr().err

    with emulating(speed=1000, api_key=SECRET) as emulator:
        for name, value in account(emulator).items():
            monkeypatch.setenv(name, value)
        made, quiet = told("--debug"), told()
        monkeypatch.setenv("SEEDANCE_API_KEY", "wrong1")
        refused = told("--debug")
    assert (made[0], quiet[0], refused[0]) == (0, 0, 3), made[1]
    assert "debug seedance_async.cli: POST " in made[1]
    assert "/v1/kyyvideo2/videos: 200 in " in made[1]
    assert ".mp4?*** 200 in " in made[1]
    assert "debug" not in quiet[1]
    assert "Traceback" in refused[1]
    assert "AuthenticationError" in refused[1]
    for said in (made[1], refused[1]):
        assert SECRET not in said
        assert "wrong1" not in said
        assert "secret cat" not in said


def test_debug_shows_the_traceback_of_a_batch_s_failed_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jobs(tmp_path, FAST)
    batch = ("batch", "jobs.jsonl", "--out", "videos")
    with emulating(speed=1000, failures=1.0) as emulator:
        for name, value in account(emulator).items():
            monkeypatch.setenv(name, value)
        assert command([*batch, "--debug"]) == 1
        shown = capsys.readouterr().err
        assert command(batch) == 1
    assert "Traceback" in shown
    assert "VideoFailed" in shown
    assert FAST["prompt"] not in shown
    assert "Traceback" not in capsys.readouterr().err


def test_a_broken_option_has_its_traceback_only_with_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(["generate", "cat", "--out", "x", "--timeout", "soon"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert command(["generate", "cat", "--debug", "--timeout", "soon"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert not debugging.is_on()


def test_what_other_libraries_log_is_a_line_without_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with debugging.logged():
        error = ValueError(f"https://v.example.com/a.mp4?X-Sig={SECRET}")
        logging.getLogger("asyncio").error("never retrieved: %s", error, exc_info=error)
        logging.getLogger("asyncio").debug("nothing")
    assert capsys.readouterr().err == ("never retrieved: https://v.example.com/a.mp4?***\n")
    assert logging.getLogger().level == logging.WARNING
