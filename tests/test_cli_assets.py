"""``seedance assets``: registered once, looked at, waited for, deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_process import account, emulating

from seedance_async.cli.app import run as command
from seedance_async.emulator import Emulator

URL = "https://example.com/cat.png?sig=secret"
Told = tuple[int, str, str]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.chdir(tmp_path)
    with emulating(speed=500, rejections=lambda body: "bad" in body["url"]) as emulator:
        for name, value in account(emulator).items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def assets(library: Emulator, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def told(*words: str) -> Told:
        code = command(["assets", *words])
        seen = capsys.readouterr()
        assert "secret" not in seen.out + seen.err
        return code, seen.out, seen.err

    return told


def test_an_asset_is_registered_once_used_and_deleted(assets: Callable[..., Told]) -> None:
    code, out, told = assets("register", URL, "--kind", "image", "--name", "the cat")
    asset_id = out.strip().removeprefix("asset://")
    assert (code, asset_id.startswith("asset-")) == (0, True)
    assert told == f"Processing; until it may be used: seedance assets wait {asset_id}\n"
    assert Path("seedance.sqlite").exists()
    code, out, told = assets("register", URL, "--kind", "image", "--name", "the cat", "--wait")
    assert (code, out.strip(), told) == (0, f"asset://{asset_id}", "")
    line = f"{asset_id} Active Image the cat\n"
    assert assets("wait", asset_id) == assets("get", f"asset://{asset_id}") == (0, line, "")
    code, out, _ = assets("get", asset_id, "--json")
    found = json.loads(out)
    assert (code, found["reference"], found["status"], found["error"]) == (
        0, f"asset://{asset_id}", "Active", None,
    )  # fmt: skip
    assert assets("delete", asset_id)[0] == 2
    assert assets("delete", asset_id, "--yes") == (0, "", f"{asset_id} is deleted\n")
    code, out, _ = assets("get", asset_id, "asset-none-1")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (1, [asset_id, "asset-none-1"])
    assert json.loads(assets("get", asset_id, "--json")[1])["error"]["type"] == "AssetUnknown"


def test_a_review_that_fails_is_told(assets: Callable[..., Told]) -> None:
    bad = "https://example.com/bad.png"
    code, out, told = assets("register", bad, "--kind", "image", "--wait")
    assert (code, out, "did not pass the provider's review" in told) == (1, "", True)
    code, out, _ = assets("register", bad, "--kind", "image", "--json")
    asset = json.loads(out)
    assert (code, asset["status"]) == (0, "Processing")
    code, out, _ = assets("wait", asset["asset_id"])
    assert (code, "did not pass" in out) == (1, True)
    assert assets("get", asset["asset_id"])[:2] == (1, f"{asset['asset_id']} Failed Image\n")


def test_a_local_file_is_published_and_registered_once(assets: Callable[..., Told]) -> None:
    Path("face.png").write_bytes(b"a face")
    words = ("register", "face.png", "--kind", "image")
    code, _, told = assets(*words)
    assert (code, "say where to publish it with --publish" in told) == (2, True)
    code, out, _ = assets(*words, "--publish", "emulator")
    assert code == 0
    Path("same.png").write_bytes(b"a face")
    again = assets("register", "./same.png", "--kind", "image", "--publish", "emulator")
    assert again[:2] == (0, out)
    code, _, told = assets("register", "no.png", "--kind", "image", "--publish", "emulator")
    assert (code, "there is no file 'no.png'" in told) == (2, True)


def test_a_lost_answer_is_settled_and_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with emulating(speed=500, faults={"asset.reset": 1.0}) as emulator:
        for name, value in account(emulator).items():
            monkeypatch.setenv(name, value)
        for _ in range(2):
            assert command(["assets", "register", URL, "--kind", "image"]) == 1
            told = capsys.readouterr().err
            assert "UNKNOWN (" in told
            assert "secret" not in told
    settle = next(line for line in told.splitlines() if "--not-created" in line)
    assert command(settle.split()[1:]) == 0
    assert "will be registered again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("register", "ftp://x", "--kind", "image"), "ftp://x: "),
        (("register", "asset://a-1", "--kind", "image"), "is an asset already"),
        (("register", URL), "--kind"),
        (("register", URL, "--kind", "document"), "--kind"),
        (("register", URL, "--kind", "image", "--wait", "--timeout", "0"), "--timeout must be"),
        (("register", "a.png", "--kind", "image", "--publish", "ftp://x"), "--publish takes"),
        (("get",), "which assets?"),
        (("get", "a/b"), "a/b: that cannot be an asset's id"),
        (("delete",), "which assets?"),
    ],
)
def test_what_cannot_be_done_exits_with_2(
    assets: Callable[..., Told], words: tuple[str, ...], says: str
) -> None:
    code, out, told = assets(*words)
    assert (code, out, says in told) == (2, "", True), told
