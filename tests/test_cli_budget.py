"""Before and around a batch: what it comes to, its budget, and what programs are told."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    wait_for,
    write_jobs,
)
from conftest import Told

from seedance_async.emulator import Emulator

BATCH = ("batch", "jobs.jsonl", "--out", "videos")
PRICES = 'currency = "USD"\n[seedance_2_0_fast_pro]\nper_million_tokens = 10\n'
TOKENS = 40_594

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulating(speed=400) as running:
        yield running


def cats(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{**FAST, **fields}] * count


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# ---- before


def test_a_dry_run_tells_all_of_it_and_touches_nothing(
    home: Path, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, *cats(3), {**FAST, "model": "seedance_2_0_pro"})
    code, out, told = seedance(*BATCH, "--dry-run")  # and there is no key
    assert (code, told) == (0, "dry run: nothing was sent or written\n")
    assert out.splitlines()[:5] == [
        "4 jobs from jobs.jsonl, videos to videos",
        "  4 to send: 16 s of video",
        "    what they take in tokens is known once the first of a model is made",
        "    3 of seedance_2_0_fast_pro",
        "    1 of seedance_2_0_pro",
    ]
    takes = r"  takes about [\d.]+ min \([\d.]+-[\d.]+\) with 20 in flight"
    assert re.fullmatch(takes, out.splitlines()[5])
    assert [each.name for each in home.iterdir()] == ["jobs.jsonl"]


def test_a_dry_run_knows_what_earlier_runs_did(
    home: Path, emulator: Emulator, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, *cats(2))
    assert seedance(*BATCH, at=emulator)[0] == 0
    Path("videos/0001.mp4").unlink()
    write_jobs(home, *cats(5))
    Path("prices.toml").write_text(PRICES)
    before = Path("videos/seedance.sqlite").stat()
    code, out, _ = seedance(*BATCH, "--dry-run", "--prices", "prices.toml", "--max-cost", "1.7")
    assert code == 0
    assert "  2 to send: 8 s of video, about 81k tokens, about 0.81 USD\n" in out
    assert "  1 not sent: over the budget of 1.70 USD\n" in out
    assert "  1 made before, skipped\n  1 made but not on disk, fetched\n" in out
    after = Path("videos/seedance.sqlite").stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)

    code, out, _ = seedance(*BATCH, "--dry-run", "--json", "--max-videos", "4")
    *jobs, outlook = objects(out)
    assert [job["plan"] for job in jobs] == ["fetch", "skip", "send", "send", "over_budget"]
    assert jobs[4]["reason"].startswith("over the budget of 4 videos")
    assert jobs[2]["expense"]["tokens"]["expected"] == TOKENS
    assert outlook["plans"] == {"fetch": 1, "skip": 1, "send": 2, "over_budget": 1}
    assert outlook["expense"]["video_s"] == 8


def test_a_dry_run_complains_as_a_run_does(home: Path, seedance: Callable[..., Told]) -> None:
    write_jobs(home, FAST, {**FAST, "duration": 99}, {**FAST, "first_image": "cat.png"})
    code, out, told = seedance(*BATCH, "--dry-run")
    assert (code, out) == (2, "")
    assert "jobs.jsonl:2: duration:" in told
    code, out, told = seedance(*BATCH, "--dry-run", "--skip-invalid")
    assert (code, "  1 to send" in out, "  2 invalid, skipped" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--max-cost", "5"), "--max-cost needs --prices FILE"),
        (("--max-videos", "-1"), "--max-videos must be a whole number of 0 or more"),
        (("--max-video-seconds", "nan"), "--max-video-seconds must be a number of 0 or more"),
        (("--max-cost", "much", "--prices", "prices.toml"), "--max-cost must be a number"),
        (("--max-cost", "1e999999999", "--prices", "prices.toml"), "--max-cost must be below"),
        (("--prices", "none.toml"), "none.toml: cannot be read: No such file"),
        (("--prices", "broken.toml"), "broken.toml: cannot be read: "),
        (("--prices", "odd.toml"), "odd.toml: 'seedance_3' is no model"),
    ],
)
def test_bounds_that_cannot_be_read_are_told(
    home: Path, seedance: Callable[..., Told], args: tuple[str, ...], words: str
) -> None:
    write_jobs(home, FAST)
    Path("prices.toml").write_text(PRICES)
    Path("broken.toml").write_text("[")
    Path("odd.toml").write_text("[seedance_3]\nper_video = 1\n")
    code, out, told = seedance(*BATCH, *args)
    assert (code, out, words in told) == (2, "", True), told
    assert not Path("videos").exists()


# ---- the budget


def test_a_batch_ends_at_its_budget_and_goes_on_with_a_larger_one(
    home: Path, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, *cats(6))
    Path("prices.toml").write_text(PRICES)
    money = ("--prices", "prices.toml", "--max-cost", "1.3")
    with emulating(speed=400) as emulator:
        code, _, told = seedance(*BATCH, *money, at=emulator)
        assert (code, len(emulator.accepted_ids)) == (1, 3), told
        assert "6 jobs in " in told
        assert ": 3 completed, 3 over the budget\n" in told
        assert "12 s of video, 121,782 tokens, 1.22 USD (records" in told
        assert "over the budget, nothing paid: lines 4-6\n" in told
        assert "  over the budget of 1.30 USD: 1.2178 spent, and this one takes 0.4059\n" in told
        assert "With a larger budget, the same command sends them." in told
        statuses = Counter(record["status"] for record in records(Path("videos")))
        assert statuses == {"completed": 3, "planned": 3}
        # The same again: nothing more.
        code, _, told = seedance(*BATCH, *money)
        assert (code, len(emulator.accepted_ids)) == (1, 3)
        assert "3 are not sent: over the budget of 1.30 USD\n" in told
        code, _, told = seedance(*BATCH, "--max-videos", "5")
        assert (code, len(emulator.accepted_ids)) == (1, 5)
        assert seedance(*BATCH)[0] == 0
        assert len(emulator.accepted_ids) == 6


# ---- while it runs


def test_json_gives_what_happens_and_nothing_secret(
    home: Path, emulator: Emulator, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, *cats(2, name="cat"))
    code, out, told = seedance(*BATCH, "--json", "--quiet", at=emulator)
    assert (code, told) == (0, "")
    told_of = objects(out)
    names = [each["event"] for each in told_of]
    assert (names[0], names[-1]) == ("started", "ended")
    assert Counter(names) >= Counter(
        {"planned": 2, "submitted": 2, "completed": 2, "downloaded": 2, "outcome": 2}
    )
    assert all(re.match(r"\d{4}-\d\d-\d\dT.*\+00:00$", each["at"]) for each in told_of)
    ended = told_of[-1]
    assert (ended["counts"]["completed"], ended["exit_code"]) == (2, 0)
    assert (ended["spent"]["videos"], ended["spent"]["tokens"]["expected"]) == (2, 2 * TOKENS)
    outcomes = [each for each in told_of if each["event"] == "outcome"]
    assert {each["file"] for each in outcomes} == {"0001-cat.mp4", "0002-cat.mp4"}
    for secret in (FAST["prompt"], emulator.api_key, "http"):
        assert secret not in out


def test_quiet_says_nothing_but_what_wants_a_hand(
    home: Path, seedance: Callable[..., Told]
) -> None:
    write_jobs(home, *cats(2))
    with emulating(speed=400) as emulator:
        code, out, told = seedance(*BATCH, "--quiet", at=emulator)
        assert (code, len(out.splitlines()), told) == (0, 2, "")
    with emulating(speed=400, failures=1.0) as emulator:
        write_jobs(home, *cats(1, prompt="another"))
        code, out, told = seedance("batch", "jobs.jsonl", "--out", "b", "-q", at=emulator)
        assert (code, out) == (1, "")
        assert told.startswith("\n1 job in ")
        assert "1 x the provider made no video: " in told
        assert "submitted" not in told


def test_failures_are_told_by_their_reasons_with_the_commands_that_mend_them(
    home: Path, seedance: Callable[..., Told]
) -> None:
    def fails(body: Any) -> str | None:
        number = int(body["prompt"].split()[-1])
        return "content rejected" if number < 6 else "no faces, please" if number < 8 else None

    write_jobs(home, *[{**FAST, "prompt": f"cat {n}"} for n in range(10)])
    with emulating(speed=400, failures=fails) as emulator:
        code, _, told = seedance(*BATCH, at=emulator)
    assert code == 1
    lines = told.splitlines()
    first = lines.index("  6 x the provider made no video: content rejected")
    assert [UUID.sub("ID", line) for line in lines[first - 1 : first + 9]] == [
        "failed:",
        "  6 x the provider made no video: content rejected",
        "    line 1 (task ID)",
        "    line 2 (task ID)",
        "    line 3 (task ID)",
        "    ... and 3 more: lines 4-6",
        "  2 x the provider made no video: no faces, please",
        "    line 7 (task ID)",
        "    line 8 (task ID)",
        "Ended by the provider without a video; the billing says whether that cost",
    ]
    assert "  seedance jobs retry --failed --journal videos\n" in told


def test_the_first_ctrl_c_drains_and_nothing_is_left(home: Path) -> None:
    write_jobs(home, *cats(6))
    with emulating(speed=60) as emulator:
        args = (*BATCH, "--max-in-flight", "2")
        with started(*args, cwd=home, **account(emulator)) as process:
            assert process.stderr is not None
            for _ in range(2):
                wait_for(process, process.stderr, "submitted")
            process.send_signal(2)
            told = rest(process)
        assert process.returncode == 130, told
        assert "stopping: nothing more is sent; waiting for 2 jobs in flight\n" in told
        assert re.search(r"6 jobs in \S+: 2 completed, 4 not sent\n", told), told
        assert len(emulator.accepted_ids) == 2
    states = Counter(str(job.state) for job in journalled(Path("videos/seedance.sqlite")))
    assert states["completed"] == 2
    assert set(states) <= {"completed", "planned"}
    assert len(list(Path("videos").glob("*.mp4"))) == 2


def test_sigterm_does_not_drain(home: Path) -> None:
    write_jobs(home, *cats(2))
    with (
        emulating(speed=1) as emulator,
        started(*BATCH, cwd=home, **account(emulator)) as process,
    ):
        assert process.stderr is not None
        wait_for(process, process.stderr, "submitted")
        process.terminate()
        told = rest(process)
    assert process.returncode == 143
    assert "stopping\n" in told or "stopping: creates" in told


def test_with_nothing_in_flight_ctrl_c_just_stops(home: Path) -> None:
    write_jobs(home, *cats(2))
    with emulating(speed=1, faults={"create.retry_503_seconds": 1.0}) as emulator:
        with started(*BATCH, cwd=home, **account(emulator)) as process:
            assert process.stderr is not None
            wait_for(process, process.stderr, "trying again in")
            process.send_signal(2)
            told = rest(process)
        assert process.returncode == 130
        assert "2 not sent" in told
        assert emulator.accepted_ids == ()
