"""What the progress display knows and says, without a terminal."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import attrs
import pytest

from seedance_async import (
    BatchReport,
    DownloadError,
    Estimate,
    JobRecord,
    JobState,
    JournalError,
    Outcome,
    OutcomeStatus,
    VideoFailed,
    VideoRequest,
)
from seedance_async.cli.board import FETCHING, Board, oldest
from seedance_async.cli.left import Left, spelled
from seedance_async.cli.manifest import Line
from seedance_async.cli.past import Past
from seedance_async.cli.progress import log_line
from seedance_async.cli.rest import Rest
from seedance_async.cli.results import Record, Results
from seedance_async.cli.summary import Summary, counted
from seedance_async.cli.terminal import Terminal, clock, count, one_line, printable, ranges
from seedance_async.events import (
    Completed,
    Downloaded,
    LimitsAdapted,
    Planned,
    Resumed,
    StateChanged,
    Submitted,
    Throttled,
)

REQUEST = VideoRequest(model="seedance_2_0_pro", prompt="a cat")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def outcome(index: int, key: str | None, *, failed: bool = False) -> Outcome:
    return Outcome(
        index=index,
        key=key,
        status=OutcomeStatus.FAILED if failed else OutcomeStatus.COMPLETED,
        error=VideoFailed("no") if failed else None,
        started_at=NOW,
        ended_at=NOW,
    )


def board_with(running: int, total: int) -> Board:
    board = Board(total)
    for index in range(running):
        board.note(Planned(key=f"k{index}", index=index), now=0)
    return board


def test_the_board_follows_a_job_through_its_states() -> None:
    board = board_with(running=1, total=3)
    states = [board.running["k0"].state]
    for event in (
        Submitted(key="k0", task_id="t"),
        StateChanged(key="k0", task_id="t", status="processing"),
        Completed(key="k0", task_id="t"),
        Downloaded(key="k0", task_id="t", size_bytes=1),
    ):
        board.note(event, now=1)
        states.append(board.running["k0"].state)
    assert states == ["sending", "queued", "processing", FETCHING, FETCHING]
    assert (board.waiting, len(board.running), board.ended) == (2, 1, 0)
    board.end(outcome(0, "k0"))
    assert (board.waiting, len(board.running), board.done, board.failed) == (2, 0, 1, 0)


def test_a_job_that_is_taken_up_is_not_being_sent() -> None:
    board = board_with(running=4, total=4)
    for key, status in (("k0", "processing"), ("k1", None), ("k2", "completed"), ("k3", "failed")):
        board.note(Resumed(key=key, task_id="t", status=status), now=1)
    states = [job.state for job in board.running.values()]
    assert states == ["processing", "asking", FETCHING, "failed"]
    board.end(outcome(3, "k3", failed=True))
    board.end(outcome(0, "k0"))


def test_an_outcome_of_a_job_that_never_ran_leaves_the_others_alone() -> None:
    board = board_with(running=1, total=3)
    board.end(outcome(1, "k0", failed=True))
    board.end(outcome(2, None, failed=True))
    assert (list(board.running), board.failed, board.waiting) == (["k0"], 2, 0)


def test_events_of_strangers_change_nothing() -> None:
    board = board_with(running=0, total=1)
    board.note(Submitted(key=None, task_id="t"), now=0)
    board.note(Submitted(key="other", task_id="t"), now=0)
    assert (board.running, board.waiting) == ({}, 1)


def test_adapted_limits_are_of_no_job_and_change_nothing_on_the_board() -> None:
    adapted = LimitsAdapted(max_in_flight=7, creates_per_minute=29.4, reason="refused")
    board = board_with(running=1, total=2)
    board.note(adapted, now=0)
    assert (len(board.running), board.waiting, board.patience) == (1, 1, None)
    assert log_line(adapted) is None


def test_patience_is_remembered_until_it_is_over() -> None:
    board = board_with(running=1, total=1)
    board.note(Throttled(key="k0", wait_s=5, reason="busy"), now=10)
    assert board.patience == ("busy", 15)


def about(remaining_s: float, low_s: float, high_s: float) -> Estimate:
    return Estimate(remaining_s=remaining_s, low_s=low_s, high_s=high_s)


@pytest.mark.parametrize(
    ("estimate", "told"),
    [
        (about(0.2, 0, 1), "about 5 s left (0-5)"),
        (about(42, 18, 71), "about 40 s left (20-70)"),
        (about(43, 42, 44), "about 45 s left (40-45)"),
        (about(44, 44, 46), "about 45 s left"),
        (about(110, 90, 300), "about 110 s left (90-300)"),
        (about(725, 530, 1040), "about 12 min left (9-17)"),
        (about(4 * 3600, 3.51 * 3600, 6 * 3600), "about 4 h left (3.5-6)"),
    ],
)
def test_what_is_left_is_spelled_roughly_in_one_unit(estimate: Estimate, told: str) -> None:
    assert spelled(estimate) == told


def test_a_narrow_terminal_shows_less_of_what_is_left() -> None:
    left = Left()
    assert left.spelled(0, 80) == ""
    left.asked = lambda: about(725, 530, 1040)
    assert left.spelled(0.5, 80) == ""  # asked once a second
    told = [left.spelled(2, columns) for columns in (80, 60, 40)]
    assert told == [", about 12 min left (9-17)", ", about 12 min left", ""]


def test_jobs_that_are_over_take_no_more_time() -> None:
    states = (JobState.FAILED, JobState.UNKNOWN, JobState.SUBMITTED, JobState.COMPLETED)
    known = {
        state.value: JobRecord(
            key=state.value, request=REQUEST, state=state, task_id="v", planned_at=NOW
        )
        for state in states
    }
    keys = (*known, "new", None)
    past = Past(keys=keys, known=known, on_disk=frozenset({"completed"}))
    assert past.work_from() == (2, 2, 2, 1, 1, 0, 0)


@pytest.mark.parametrize(("rows", "shown", "more"), [(5, 4, 0), (4, 4, 0), (3, 2, 2), (0, 0, 4)])
def test_what_does_not_fit_is_counted(rows: int, shown: int, more: int) -> None:
    running = tuple(board_with(running=4, total=4).running.values())
    visible, left_out = oldest(running, rows)
    assert (len(visible), left_out) == (shown, more)


def test_log_lines_say_what_happened() -> None:
    assert log_line(Submitted(key="k", task_id="video_1")) == "submitted video_1"
    assert log_line(Downloaded(key="k", size_bytes=3 * 2**20)) == "downloaded, 3.0 MiB"
    assert log_line(Throttled(key="k", wait_s=7.2, reason="busy")) == "trying again in 7 s: busy"
    assert log_line(Planned(key="k", index=0)) is None
    assert log_line(Resumed(key="k", task_id="video_1", status=None)) == "taken up again: video_1"
    assert log_line(Resumed(key="k", task_id="video_1", status="completed")) is None
    refused = "cannot reach the API: ClientConnectorError: Connection refused"
    told = log_line(Throttled(key="k", wait_s=1, reason=refused))
    assert told == "trying again in 1 s: the API cannot be reached: Connection refused"


def test_nothing_of_others_moves_the_cursor() -> None:
    assert printable("a\x1b[2J\tb\r\nc\u202ed") == "a\ufffd[2J b \nc\ufffdd"
    assert one_line(" a\nb\x07 ") == "a b\ufffd"


@pytest.mark.parametrize(("seconds", "spelled"), [(-1, "0:00"), (62, "1:02"), (3723, "1:02:03")])
def test_time_is_spelled_as_people_read_it(seconds: float, spelled: str) -> None:
    assert clock(seconds) == spelled


def test_what_is_made_and_not_on_disk_is_counted_as_such() -> None:
    made = attrs.evolve(outcome(0, "a"), error=DownloadError("no room"))
    report = BatchReport(outcomes=(made, outcome(1, "b"), outcome(2, "c", failed=True)), wall_s=1)
    assert counted(report) == ["2 completed, 1 of them not on disk", "1 failed"]
    states = (JobState.COMPLETED, JobState.SUBMITTED, JobState.SUBMITTING)
    left = [JobRecord(key=state, request=REQUEST, state=state, planned_at=NOW) for state in states]
    assert counted(report, left) == [
        "3 completed, 2 of them not on disk",
        "1 failed",
        "1 unknown",
        "1 at the provider",
    ]


def test_an_id_that_the_journal_lacks_comes_with_the_command_that_tells_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = JournalError("no room", "video_1")
    unseen = attrs.evolve(outcome(0, "cat"), status=OutcomeStatus.UNKNOWN, error=lost)
    unsent = [
        attrs.evolve(outcome(index, f"{index}"), status=OutcomeStatus.FAILED, error=error)
        for index, error in ((1, JournalError("no room")), (2, JournalError("no room")))
    ]
    journal = tmp_path / "seedance.sqlite"
    with Results(tmp_path) as results:
        results.write(Record(line=1, index=0))
        results.path.write_text("")
        journal.touch()
        Summary(
            lines=[Line(number=number) for number in (1, 2, 3)],
            labels=["line 1"] * 3,
            past=Past(keys=("cat", "1", "2")),
            report=BatchReport(
                outcomes=(attrs.evolve(unseen, task_id="video_1"), *unsent), wall_s=1
            ),
            rest=Rest(),
            unknown={},
            results=results,
            journal=journal,
            emulated=False,
        ).say(Terminal())
    told = capsys.readouterr().err
    assert f"seedance jobs settle cat --task-id video_1 --journal {tmp_path}\n" in told
    assert "2 jobs not sent, nothing paid: no room\n" in told
    assert "results.jsonl lacks 1 line; the jobs are in the journal: seedance jobs " in told
    assert "Make room" in told


def test_records_that_the_disk_lost_are_known(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    with Results(folder) as results:
        results.write(Record(line=1, index=0, name="cat"))
        assert (results.is_there, results.lost()) == (True, [])
        shutil.rmtree(folder)
        results.write(Record(line=2, index=1))
        assert not results.is_there
        assert [json.loads(line)["line"] for line in results.lost()] == [1, 2]


def test_numbers_in_a_row_are_told_as_ranges() -> None:
    assert list(ranges([3, 5, 6, 7, 9])) == ["3", "5-7", "9"]
    assert list(ranges([])) == []


def test_numbers_agree_with_their_nouns() -> None:
    assert (count(1, "job"), count(1200, "job")) == ("1 job", "1,200 jobs")
