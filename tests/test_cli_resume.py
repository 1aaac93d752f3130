"""The same command again, after a kill, a lost answer, a full disk: nothing is paid for twice."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_process import (
    FAST,
    UUID,
    account,
    emulating,
    journalled,
    records,
    rest,
    started,
    stop,
    wait_for,
    write_jobs,
)
from conftest import Told

from seedance_async.emulator import Emulator

BATCH = ("batch", "jobs.jsonl", "--out", "videos")
JOURNAL = Path("videos/seedance.sqlite")

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulating(speed=400) as running:
        yield running


def cats(count: int) -> list[dict[str, object]]:
    return [FAST] * count  # equal requests, whose film is made once


def interrupted(home: Path, emulator: Emulator, number: signal.Signals) -> None:
    """Stop a batch with a signal when two of its jobs are at the provider."""
    args = (*BATCH, "--max-in-flight", "2")
    with started(*args, cwd=home, **account(emulator)) as process:
        assert process.stderr is not None
        for _ in range(2):
            wait_for(process, process.stderr, "submitted")
        stop(process) if number is signal.SIGINT else process.send_signal(number)
        told = rest(process)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert "Run the same command again to go on; nothing is paid twice." in told
        assert "seedance download" not in told


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_batch_goes_on_and_pays_once(
    home: Path, seedance: Callable[..., Told], number: signal.Signals
) -> None:
    write_jobs(home, *cats(4))
    with emulating(speed=100) as emulator:
        interrupted(home, emulator, number)
        assert [job.state for job in journalled(JOURNAL)[:2]] == ["submitted", "submitted"]
        code, out, told = seedance(*BATCH, at=emulator)
        assert (code, len(emulator.accepted_ids)) == (0, 4), told
    assert "4 jobs from jobs.jsonl, videos to videos: 2 at the provider, 2 to send" in told
    assert "line 1: taken up again: video_" in told
    assert sorted(out.split()) == [f"videos/000{number}.mp4" for number in (1, 2, 3, 4)]
    assert {job.task_id for job in journalled(JOURNAL)} == set(emulator.accepted_ids)
    assert "secret" not in told


def test_what_is_done_is_skipped_and_what_is_gone_is_fetched_again(
    home: Path, emulator: Emulator, paid: Callable[[], int], seedance: Callable[..., Told]
) -> None:
    write_jobs(home, *cats(2))
    assert seedance(*BATCH, at=emulator)[0] == 0
    code, out, told = seedance(*BATCH)
    assert (code, sorted(out.split())) == (0, ["videos/0001.mp4", "videos/0002.mp4"])
    assert ": 2 done before\n" in told
    assert "2 skipped (made before)\nno new video (records in videos/results.jsonl)\n" in told
    assert "line 1" not in told
    lines = records(home / "videos")
    assert [line["status"] for line in lines] == ["completed"] * 2 + ["skipped"] * 2
    assert sorted(line["file"] for line in lines[2:]) == ["0001.mp4", "0002.mp4"]

    Path("videos/0002.mp4").unlink()
    write_jobs(home, *cats(3))
    code, out, told = seedance(*BATCH, "--file-names", "{name}-{key}-{index}")
    assert code == 0, told
    assert "1 done before, 1 made but not on disk, 1 to send" in told
    assert "4 s of video, " in told
    assert " tokens, 1 fetched that were made before (records in" in told
    assert paid() == 3
    files = sorted(path.name for path in Path("videos").glob("*.mp4"))
    assert len(files) == 3
    assert re.fullmatch(r"[0-9a-f]{16}-[23]-000[23]\.mp4", files[1])
    # The file of another folder is told of where it is.
    code, out, told = seedance("batch", "jobs.jsonl", "--out", "new", "--journal", "videos")
    assert (code, "3 done before" in told) == (0, True)
    assert str(home / "videos" / "0001.mp4") in out.split()
    assert records(home / "new")[0]["file"].startswith(str(home / "videos"))


@pytest.mark.parametrize("way", ["task", "none", "resubmit"])
def test_an_unknown_job_is_left_until_a_person_settles_it(
    home: Path, seedance: Callable[..., Told], way: str
) -> None:
    write_jobs(home, {**FAST, "key": "the cat"}, FAST)
    with emulating(speed=400, faults=["create.reset_after_accept"]) as emulator:
        once = (*BATCH, "--max-in-flight", "1")
        code, _, told = seedance(*once, at=emulator)
        assert code == 1
        assert (
            "UNKNOWN, may have been paid for, not sent again: 1 job\n  line 1 the cat: sent "
            in told
        )
        assert " UTC, seedance_2_0_fast_pro, 4 s, key the cat\n" in told
        assert "Then run the same command again.\n" in told
        commands = re.findall(r"^ +(seedance jobs settle .*)$", told, re.MULTILINE)
        code, _, told = seedance(*once)
        assert (code, len(emulator.accepted_ids)) == (1, 2)
        assert ": 1 done before, 1 unknown\n" in told
        assert not re.search(r"\d line 1 the cat: ", told)  # nothing new: the summary has it
        assert "1 unknown, 1 skipped (made before)" in told
        if way == "resubmit":
            code, _, told = seedance(*once, "--on-unknown", "resubmit")
            assert "SENDING 1 unknown job AGAIN: this may pay for them twice" in told
        else:
            with_id, not_created = (shlex.split(command)[1:] for command in commands)
            lost_id = emulator.accepted_ids[0]
            words = not_created
            if way == "task":
                words = [lost_id if word == "video_..." else word for word in with_id]
                assert seedance(*with_id)[0] == 2  # nothing was put in
            assert seedance(*words)[0] == 0
            code, _, told = seedance(*once)
        assert code == 0, told
        assert len(emulator.accepted_ids) == (2 if way == "task" else 3)


def test_a_key_of_another_request_is_a_fault_of_its_line(
    home: Path, emulator: Emulator, paid: Callable[[], int], seedance: Callable[..., Told]
) -> None:
    write_jobs(home, {**FAST, "key": "cat"}, {**FAST, "key": "dog"})
    assert seedance(*BATCH, at=emulator)[0] == 0
    write_jobs(home, {**FAST, "key": "cat", "duration": 5}, {**FAST, "key": "dog"}, FAST)
    code, out, told = seedance(*BATCH)
    assert (code, out, paid()) == (2, "", 2)
    assert re.search(r"jobs.jsonl:1: key cat stands for another request, of [0-9: -]+ UTC:\n", told)
    assert "\n  duration was 4\n            is 5\n" in told
    assert "SHA" not in told
    assert "seedance jobs cat --journal videos" in told
    assert "1 of 3 jobs invalid, nothing was sent" in told
    code, out, told = seedance(*BATCH, "--skip-invalid")
    assert (code, paid()) == (1, 3)
    assert "1 skipped (made before)" in told
    by_line = {line["line"]: line for line in records(home / "videos")[2:]}
    assert by_line[1]["violations"][0]["rule"] == "key.request"


def test_a_failed_task_stays_failed_and_says_so(home: Path, seedance: Callable[..., Told]) -> None:
    write_jobs(home, FAST)
    with emulating(speed=400, failures=1.0) as emulator:
        assert seedance(*BATCH, at=emulator)[0] == 1
        code, _, told = seedance(*BATCH)
        assert (code, len(emulator.accepted_ids)) == (1, 1)
    assert ": 1 failed before\n" in told
    assert "failed before this run, and not sent again" in told
    assert told.count("line 1") == 1
    assert told.count("Ended by the provider without a video; the billing says") == 1


def test_one_process_at_a_time_writes_and_any_may_look(
    home: Path, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, FAST)
    with (
        emulating(speed=1.01) as emulator,
        started(*BATCH, cwd=home, **account(emulator)) as process,
    ):
        assert process.stderr is not None
        wait_for(process, process.stderr, "submitted")
        code, out, told = seedance("jobs")
        assert (code, out.split()[0]) == (0, "submitted")
        assert emulator.accepted_ids[0] in out
        assert "1 job: 1 submitted in videos/seedance.sqlite" in told
        (told_json,) = map(json.loads, seedance("jobs", "--json")[1].splitlines())
        assert told_json["task_id"] == emulator.accepted_ids[0]
        key = told_json["key"]
        cat = ("generate", "a cat", "--out", "videos/")
        for words in (BATCH, ("jobs", "settle", key, "--not-created"), cat):
            code, _, told = seedance(*words, at=emulator)
            assert code == 2
            assert f"videos is in use: another seedance (process {process.pid}, since " in told
            assert told.endswith("; to look: seedance jobs --journal videos\n")
            assert ("give this one a --journal of its own" in told) == (words is cat)
        assert len(emulator.accepted_ids) == 1


EMULATED = (*BATCH, "--emulate", "--speed", "400")


def test_emulated_and_real_jobs_never_mix(home: Path, seedance: Callable[..., Told]) -> None:
    write_jobs(home, FAST)
    with emulating() as emulator:
        assert seedance(*EMULATED, at=emulator)[0] == 0
        assert not JOURNAL.exists()
        code, _, told = seedance(*EMULATED)
        assert (code, ": 1 done before\n" in told) == (0, True)
        code, _, told = seedance(*BATCH)
        assert (code, "holds test pictures" in told) == (2, True)
        shutil.copy("videos/emulated.sqlite", JOURNAL)
        code, _, told = seedance(*EMULATED)  # both are there: going on costs nothing
        assert (code, "real videos are in videos as well (seedance.sqlite)\n" in told) == (0, True)
        code, _, told = seedance(*BATCH)
        assert (code, "test pictures of --emulate are in videos as well" in told) == (0, True)
        Path("videos/emulated.sqlite").unlink()
        code, _, told = seedance(*EMULATED)
        assert (code, "holds real videos" in told) == (2, True)
        out = ("batch", "jobs.jsonl", "--out", "new")
        code, _, told = seedance(*out, "--emulate", "--journal", str(JOURNAL))
        assert (code, "keeps its jobs in emulated.sqlite" in told) == (2, True)
        code, _, told = seedance(*out, "--journal", "emulated.sqlite")
        assert (code, "is for emulated jobs" in told) == (2, True)
        assert emulator.accepted_ids == ()


def test_what_an_emulator_took_with_it_starts_anew(
    home: Path, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, *cats(2))
    args = (*BATCH, "--emulate", "--speed", "1.01")
    with started(*args, cwd=home) as process:
        assert process.stderr is not None
        wait_for(process, process.stderr, "submitted")
        stop(process)
        told = rest(process)
    assert "ended with the emulator" in told
    assert "Run the same command again" in told
    code, out, told = seedance(*EMULATED)
    assert (code, len(out.split())) == (0, 2)
    Path("videos/0001.mp4").unlink()
    code, _, told = seedance(*EMULATED)
    assert (code, ": 1 done before, 1 to send" in told) == (0, True)


def test_generate_with_a_key_pays_once(
    home: Path, emulator: Emulator, paid: Callable[[], int], seedance: Callable[..., Told]
) -> None:
    cat = ("generate", "a cat", "--model", "seedance_2_0_fast_pro", "--duration", "4")
    keyed = (*cat, "--key", "cat")
    code, _, told = seedance(*keyed, "--timeout", "0.01", "--out", "cat.mp4", at=emulator)
    assert (code, "run the same command again\n" in told) == (1, True)
    code, out, told = seedance(*keyed, "--out", "cat.mp4")
    assert (code, out) == (0, "cat.mp4\n")
    assert "taken up again" in told
    code, out, told = seedance(*keyed)
    assert (code, out) == (0, f"{home / 'cat.mp4'}\n")
    assert "made before" in told
    code, out, _ = seedance(*keyed, "--out", "copy.mp4")
    assert (code, Path("copy.mp4").is_file()) == (0, True)
    assert paid() == 1

    code, out, told = seedance(*keyed, "--no-audio")
    assert (code, out) == (2, "")
    assert "generate_audio was True\n" in told
    assert "seedance jobs cat\n" in told
    code, out, told = seedance(*cat)
    assert (code, paid()) == (0, 2)
    assert seedance("jobs", "cat")[1].startswith("cat: completed\n")


def test_generate_says_how_to_settle_a_lost_answer(
    home: Path, seedance: Callable[..., Told]
) -> None:
    with emulating(speed=400, faults=["create.reset_after_accept"]) as emulator:
        keyed = ("generate", "a cat", "--duration", "4", "--key", "cat", "--out", "new/")
        code, _, told = seedance(*keyed, at=emulator)
        assert (code, "UNKNOWN (" in told) == (1, True)
        assert "  seedance jobs settle cat --not-created --journal new\n" in told
        assert seedance(*keyed)[0] == 1
        assert len(emulator.accepted_ids) == 1
        code, out, told = seedance(*keyed, "--on-unknown", "resubmit")
        assert (code, "this may pay for it twice" in told) == (0, True)
        assert UUID.search(out)


@pytest.fixture
def disk(home: Path) -> Iterator[Path]:
    """Give a disk that takes a record, and no film."""
    folder = home / "disk"
    folder.mkdir()
    if sys.platform != "linux" or not shutil.which("mount"):
        pytest.skip("a disk is made with Linux's mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot make a disk: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_once_and_loses_nothing(
    home: Path,
    emulator: Emulator,
    paid: Callable[[], int],
    disk: Path,
    seedance: Callable[..., Told],
) -> None:
    write_jobs(home, *cats(3))
    args = ("batch", "jobs.jsonl", "--out", "disk", "--journal", ".")
    code, out, told = seedance(*args, at=emulator)
    assert (code, out) == (1, "")
    assert re.search(r"\n3 videos made, but not on disk: No space left on device\n", told)
    assert told.count("No space left") == 2  # when it came, and in the summary
    assert "Make room, or let the folder be written; then\nrun the same command again" in told
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    code, out, told = seedance(*args)
    assert (code, len(out.split())) == (0, 3), told
    assert paid() == 3


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--file-names", "{nmae}"), "--file-names: cannot name files by '{nmae}'"),
        (("--on-unknown", "again"), "--on-unknown"),
        (("--journal", "jobs.jsonl/x"), "cannot write to the folder"),
        (("--journal", "jobs.jsonl"), "cannot"),
    ],
)
def test_what_cannot_be_used_stops_before_anything_is_sent(
    emulator: Emulator,
    paid: Callable[[], int],
    seedance: Callable[..., Told],
    args: tuple[str, ...],
    says: str,
) -> None:
    write_jobs(Path(), FAST)
    code, _, told = seedance(*BATCH, *args, at=emulator)
    assert (code, paid()) == (2, 0)
    assert says in told
