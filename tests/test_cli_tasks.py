"""``status``, ``wait`` and ``download``: tasks of another run, by their ids."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import UUID, started, wait_for

from seedance_async import SeedanceSession, VideoRequest
from seedance_async.cli import ids
from seedance_async.cli.app import run
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.inorder import InOrder
from seedance_async.cli.target import Target


@pytest.fixture(scope="module")
def emulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("emulator")
    with started("emulator", "--port", "0", "--speed", "400", cwd=folder) as process:
        assert process.stdout is not None
        yield wait_for(process, process.stdout, "BASE_URL").partition("=")[2].strip()


@pytest.fixture
def account(emulator_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEEDANCE_BASE_URL", emulator_url)
    monkeypatch.setenv("SEEDANCE_API_KEY", "emulator")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def submitted(count: int) -> list[str]:
    request = VideoRequest(model="seedance_2_0_fast_pro", prompt="a cat", duration=4)

    async def submit() -> list[str]:
        async with SeedanceSession() as session:
            return [(await session.submit(request)).id for _ in range(count)]

    return asyncio.run(submit())


def write_results(path: Path, *lines: dict[str, Any] | str) -> Path:
    path.parent.mkdir(exist_ok=True)
    spelled = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{line}\n" for line in spelled))
    return path


def test_download_brings_what_a_run_left_to_disk_and_leaves_it_there(
    account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = submitted(2)
    write_results(
        account / "videos" / "results.jsonl",
        {"status": "submitted", "task_id": first},
        {"status": "failed", "task_id": "video_failed"},
        {"status": "completed", "task_id": second, "file": None},
    )
    args = ("download", "--from", "videos/results.jsonl", "--out", "videos")
    assert run(args) == 0
    told = capsys.readouterr()
    files = [f"videos/{task_id}.mp4" for task_id in (first, second)]
    assert told.out.split() == files
    assert "2 tasks in 0:0" in told.err
    assert all((account / file).read_bytes()[4:8] == b"ftyp" for file in files)

    (account / files[0]).write_bytes(b"mine")
    assert run(args) == 0
    assert capsys.readouterr().out.split() == files
    assert (account / files[0]).read_bytes() == b"mine"


def test_a_file_that_is_named_is_replaced(
    account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (account / "cat.mp4").write_bytes(b"old")
    (task_id,) = submitted(1)
    assert run(["download", task_id, "--out", "cat.mp4"]) == 0
    assert capsys.readouterr().out == "cat.mp4\n"
    assert (account / "cat.mp4").read_bytes()[4:8] == b"ftyp"


def test_wait_and_status_tell_of_tasks_in_the_order_given(
    account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = submitted(2)
    assert run(["wait", second, first, second]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [f"{second} completed", f"{first} completed"]
    assert run(["status", first, "--json"]) == 0
    (told,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (told["task_id"], told["status"], told["duration_s"]) == (first, "completed", 4.0)
    assert "http" not in str(told)

    assert run(["status", "video_none", first]) == 1
    unknown, completed = capsys.readouterr().out.splitlines()
    assert unknown.startswith("video_none unknown: HTTP 404")
    assert completed == f"{first} completed"
    assert run(["wait", "video_none", "--timeout", "0.1"]) == 1
    told_all = capsys.readouterr()
    assert told_all.out.startswith("video_none unknown: no end after 0.1 s")
    assert "1 unknown" in told_all.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["wait"], "which tasks?"),
        (["status", "a/b"], "cannot be a task's id"),
        (["download", "--from", "none.jsonl"], "none.jsonl: cannot be read"),
        (["download", "a", "b", "--out", "cat.mp4"], "cat.mp4 is a file"),
    ],
)
def test_what_names_no_tasks_exits_with_2(
    account: Path,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    says: str,
) -> None:
    (account / "cat.mp4").touch()
    assert run(args) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "wait", "download"])
def test_a_run_that_left_nothing_needs_no_key_to_exit_with_0(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    results = write_results(tmp_path / "results.jsonl", {"status": "invalid", "task_id": None})
    assert run([command, "--from", str(results)]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_ctrl_c_ends_a_download_and_leaves_no_file(account: Path, emulator_url: str) -> None:
    env = {"SEEDANCE_API_KEY": "emulator", "SEEDANCE_BASE_URL": emulator_url}
    with started("download", "video_none", cwd=account, **env) as process:
        assert process.stderr is not None
        wait_for(process, process.stderr, "trying again in")  # the query failed and is repeated
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "1 not ended" in told
    assert "Traceback" not in told
    assert out == ""
    assert list(account.iterdir()) == []


def test_what_is_open_is_decided_by_a_task_s_last_line(tmp_path: Path) -> None:
    (tmp_path / "there.mp4").touch()
    results = write_results(
        tmp_path / "results.jsonl",
        {"task_id": "moved", "status": "completed", "file": "moved.mp4"},
        {"task_id": "there", "status": "completed", "file": "there.mp4"},
        {"task_id": "made later", "status": "submitted"},
        {"task_id": "failed", "status": "failed"},
        {"task_id": None, "status": "unknown"},
        '{"task_id": "cut',
        "[]",
        {"task_id": "odd", "status": []},
        {"task_id": "lost", "status": "unknown"},
        {"task_id": "deleted", "status": "skipped", "file": "deleted.mp4"},
        {"task_id": "elsewhere", "status": "skipped", "file": str(tmp_path / "there.mp4")},
        {"task_id": "made later", "status": "completed", "file": "there.mp4"},
    )
    assert ids.still_open(results) == ("moved", "lost", "deleted")
    assert ids.chosen(["lost", "b"], results) == ("lost", "b", "moved", "deleted")
    assert ids.how("--from", "my videos/results.jsonl").endswith("'my videos/results.jsonl'")


def test_lines_come_in_order_and_those_behind_a_gap_at_the_end() -> None:
    given: list[str] = []
    lines = InOrder(given.append)
    lines.put(2, "c")
    lines.put(0, "a")
    assert given == ["a"]
    lines.put(1, None)
    assert given == ["a", "c"]
    lines.put(5, "f")
    lines.put(4, "e")
    lines.flush()
    assert given == ["a", "c", "e", "f"]


def test_out_is_a_folder_if_it_is_one_or_ends_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Target.of(None).path("video_1") == Path("video_1.mp4")
    assert Target.of("new/").path("video_1") == Path("new/video_1.mp4")
    assert Target.of("new").path("video_1") == Path("new")
    assert Target.of("new", many=True).path("video_1") == Path("new/video_1.mp4")
    assert Target.of("~").path("../x") == tmp_path / "---x.mp4"
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="is a file"):
        Target.of("file", many=True)


def test_giving_up_names_the_command_that_goes_on(
    account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a cat", "--timeout", "0.01", "--out", "new/"]) == 1
    told = capsys.readouterr().err
    task_id = UUID.findall(told)[0]
    key = told.rpartition("with --key ")[2].strip()
    assert run(["generate", "a cat", "--key", key, "--out", "new/"]) == 0
    assert (account / "new" / f"{task_id}.mp4").exists()
