"""What keeps a newcomer from paying twice, mixing, or losing: refusals, and words that help."""

from __future__ import annotations

import functools
import json
import logging
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_process import (
    FAST,
    UUID,
    account,
    emulating,
    journalled,
    rest,
    started,
    wait_for,
    write_jobs,
)
from conftest import Told

from seedance_async import Retries, SeedanceSession
from seedance_async.cli import trouble
from seedance_async.cli.results import FILE_NAME, Record, Results
from seedance_async.cli.terminal import Terminal
from seedance_async.emulator import Emulator
from seedance_async.errors import JournalError

BATCH = ("batch", "jobs.jsonl", "--out", "videos")
CAT = ("generate", "a cat", "--model", "seedance_2_0_fast_pro", "--duration", "4")

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulating(speed=400) as running:
        yield running


def test_a_journal_elsewhere_must_not_leave_the_folder_s_own_out(
    home: Path, emulator: Emulator, paid: Callable[[], int], seedance: Callable[..., Told]
) -> None:
    write_jobs(home, FAST)
    assert seedance(*BATCH, at=emulator)[0] == 0
    code, _, told = seedance(*BATCH, "--journal", "other")
    assert (code, paid()) == (2, 1)
    assert "videos has a journal of its own, which --journal other leaves out" in told
    assert seedance(*BATCH, "--journal", "videos/seedance.sqlite")[0] == 0
    keyed = (*CAT, "--out", "videos/", "--journal", "other")
    assert seedance(*keyed, "--key", "cat")[0] == 2
    # Without a key each call makes a new video, in whatever journal.
    assert (seedance(*keyed)[0], paid()) == (0, 2)
    assert Path("other/seedance.sqlite").is_file()  # a name without a suffix is a folder
    assert seedance("jobs", "--journal", "other")[1].startswith("completed")


def test_a_journal_of_any_name_is_found(
    home: Path, emulator: Emulator, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, FAST)
    assert seedance(*BATCH, "--journal", "mine.db", at=emulator)[0] == 0
    with sqlite3.connect("theirs.db") as other:
        other.execute("CREATE TABLE t (a)")
    code, out, told = seedance("jobs")
    assert (code, out.split()[0]) == (0, "completed"), told
    Path("mine.db").rename("videos/mine.db")
    assert seedance("jobs")[0] == 0
    Path("more.sqlite").write_bytes(Path("videos/mine.db").read_bytes())
    Path("most.sqlite").write_bytes(Path("videos/mine.db").read_bytes())
    code, _, told = seedance("jobs")
    assert (code, told.splitlines()[1]) == (2, "  --journal more.sqlite")


def test_a_rehearsal_here_does_not_lock_real_work_out(
    home: Path, emulator: Emulator, paid: Callable[[], int], seedance: Callable[..., Told]
) -> None:
    assert seedance(*CAT, "--emulate", "--speed", "400")[0] == 0
    assert seedance(*CAT, "--out", "cat.mp4", at=emulator)[0] == 0
    film = Path("cat.mp4").read_bytes()
    code, _, told = seedance(*CAT, "--emulate", "--speed", "400", "--out", "cat.mp4")
    assert (code, "choose another --out for a test picture" in told) == (2, True)
    assert (Path("cat.mp4").read_bytes(), paid()) == (film, 1)
    code, _, told = seedance(*CAT, "--out", "cat.mp4")
    assert (code, "replaced cat.mp4\n" in told) == (0, True)

    assert seedance(*CAT, "--emulate", "--speed", "400", "--out", "tests/")[0] == 0
    code, _, told = seedance(*CAT, "--out", "tests/")
    assert (code, "holds test pictures" in told, paid()) == (2, True, 2)


def test_a_task_that_the_provider_does_not_know_is_not_promised_to_come_back(
    home: Path, seedance: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = functools.partial(SeedanceSession, retries=Retries(first_s=0.01))
    monkeypatch.setattr("seedance_async.SeedanceSession", impatient)
    write_jobs(home, {**FAST, "key": "cat"}, {**FAST, "key": "dog"})
    in_turn = ("--max-in-flight", "1", "--timeout", "0.01")
    with (
        emulating(speed=400, faults=["create.reset_after_accept"]) as emulator,
        emulating(speed=400) as stranger,
    ):
        assert seedance(*BATCH, *in_turn, at=emulator)[0] == 1
        lost_id, dogs_id = emulator.accepted_ids
        settle = ("jobs", "settle", "cat", "--task-id")
        assert seedance(*settle, f"{lost_id}0")[0] == 0
        code, _, told = seedance(*BATCH, at=stranger)
        assert code == 1
        by_hand = f"the provider does not know task {lost_id}0, which was settled by hand\n"
        mend = (
            "  if the id is wrong: seedance jobs settle cat --task-id RIGHT_ID --journal videos\n"
        )
        assert f"line 1 cat: {by_hand}{mend}" in told
        assert f"line 2 dog: the provider no longer knows task {dogs_id}" in told
        assert "To make it anew (a new job, paid for), give the line a new key." in told
        assert "same command again" not in told
        code, _, told = seedance(*settle, lost_id)
        assert code == 0, told
        assert seedance(*BATCH, at=emulator)[0] == 0
        assert (len(emulator.accepted_ids), len(stranger.accepted_ids)) == (2, 0)


def test_a_video_that_is_gone_is_not_promised_to_come_back(
    home: Path, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, {**FAST, "name": "Fox"})
    faults = {"download.expired_410": 1.0}
    with emulating(speed=400, faults=faults) as emulator:
        code, _, told = seedance(*BATCH, at=emulator)
        assert code == 1
        assert "line 1 Fox: the provider no longer has the video of task video_" in told
        assert "Lost at the provider: running again does not bring it back.\n" in told
        assert "same command again" not in told
        code, _, told = seedance(*CAT, "--key", "cat")
        assert "To make it anew (a new job, paid for), give it another --key." in told


def test_what_was_resubmitted_once_is_not_to_be_resubmitted_again(
    home: Path, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, FAST)
    resubmit = ("--on-unknown", "resubmit")
    with emulating(speed=400, faults=["create.reset_after_accept"] * 3) as emulator:
        assert seedance(*BATCH, at=emulator)[0] == 1
        code, _, told = seedance(*BATCH, *resubmit)
        assert code == 1
        assert "Then run the command again WITHOUT --on-unknown resubmit.\n" in told
        code, _, told = seedance(*CAT, *resubmit)
        assert (code, told.splitlines()[-1]) == (1, "and WITHOUT --on-unknown resubmit")


def test_an_interrupted_generate_goes_on_with_the_key_that_it_has(
    home: Path, seedance: Callable[..., Told]
) -> None:
    with emulating(speed=100) as emulator:
        with started(*CAT, cwd=home, **account(emulator)) as process:
            assert process.stderr is not None
            wait_for(process, process.stderr, "submitted")
            process.send_signal(signal.SIGINT)
            told = rest(process)
        key = told.rpartition("with --key ")[2].strip()
        assert [job.key for job in journalled(Path("seedance.sqlite"))] == [key]
        code, out, told = seedance(*CAT, "--key", key, at=emulator)
        assert (code, bool(UUID.search(out)), len(emulator.accepted_ids)) == (0, True, 1), told


def test_a_key_that_stands_for_another_prompt_shows_both(
    home: Path, emulator: Emulator, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, {**FAST, "key": "cat", "prompt": "one " * 40})
    assert seedance(*BATCH, at=emulator)[0] == 0
    write_jobs(home, {**FAST, "key": "cat", "prompt": "one " * 30 + "two"})
    code, _, told = seedance(*BATCH)
    assert code == 2
    _, was, now, *_ = told.splitlines()
    assert (was.startswith("  prompt was …one"), now.startswith("          is …")) == (True, True)
    assert was[13:] != now[13:]
    assert max(len(was), len(now)) <= 80


def test_the_records_are_lines_of_json_whatever_the_disk_took(home: Path) -> None:
    path = home / FILE_NAME
    path.write_text('{"line": 1}\n{"cut')
    with Results(home) as results:
        results.write(Record(line=2, index=1))
    path.write_text(path.read_text().rstrip())
    with Results(home) as results:
        results.write(Record(line=3, index=2))
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_what_the_library_logs_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    log, full = logging.getLogger("seedance_async"), JournalError("cannot write")
    full.__cause__ = OSError("disk is full")
    with trouble.told_once(Terminal()):
        for number in range(3):
            log.error("task %s of job %s is accepted, but not on record", number, "cat")
            log.error("the journal lacks that task %s is %s: %s", number, "completed", full)
        log.error("something else")
    assert capsys.readouterr().err.splitlines() == [
        "the journal cannot be written",
        "something else",
    ]
