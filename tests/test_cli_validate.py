"""``validate``, ``init`` and ``schema``: what they print, write and exit with, for nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cli_process import run
from conftest import Told
from PIL import Image

from seedance_async.cli import starters

Seedance = Callable[..., Told]
CAT = {"model": "seedance_2_0_pro", "prompt": "a secret cat"}


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return path.name


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_every_fault_is_a_line_on_stdout_and_the_exit_code_is_2(
    seedance: Seedance, home: Path
) -> None:
    rows = [{**CAT, "duration": 99}] * 30
    name = write(
        home / "jobs.jsonl", {**CAT, "key": "k"}, *rows, {**CAT, "key": "k", "duration": 6}
    )
    code, out, err = seedance("validate", name)
    assert code == 2
    assert len(out.splitlines()) == 31
    assert out.startswith("jobs.jsonl:2: duration: 99 is out of range: choose 4 to 15 seconds [")
    assert "jobs.jsonl:32: key: 'k' is the key of line 1 too" in out
    assert err == "31 of 32 jobs invalid, 31 faults; the others: 5 s of video\n"
    assert "secret" not in out + err
    assert [path.name for path in home.iterdir()] == ["jobs.jsonl"]


def test_a_good_file_is_counted(seedance: Seedance, home: Path) -> None:
    name = write(home / "jobs.jsonl", {"prompt": "a"}, {"prompt": "b", "duration": 4})
    words = (
        "validate",
        name,
        "--set",
        "model=seedance_2_0_pro",
        "--matrix",
        "aspect_ratio=1:1,4:3",
    )
    code, out, err = seedance(*words)
    assert (code, out) == (0, "")
    assert err == "2 jobs x 2 aspect_ratio = 4 jobs\n4 jobs, 18 s of video: all valid\n"


def test_json_has_an_object_for_each_fault_and_one_at_the_end(
    seedance: Seedance, home: Path
) -> None:
    (home / "jobs.jsonl").write_text(f'{json.dumps({**CAT, "key": "k", "duration": 1})}\n{{"a": \n')
    code, out, err = seedance("validate", "jobs.jsonl", "--json")
    first, second, last = objects(out)
    assert (code, err) == (2, "")
    assert first == {
        "type": "fault",
        "file": "jobs.jsonl",
        "line": 1,
        "column": None,
        "key": "k",
        "field": "duration",
        "rule": "duration.range",
        "message": "1 is out of range: choose 4 to 15 seconds",
        "severity": "error",
    }
    assert [second[name] for name in ("line", "column", "field", "rule")] == [
        *(2, 7, None, "json.syntax")
    ]
    assert last == {"type": "summary", "file": "jobs.jsonl"} | {
        "jobs": 2, "valid": 0, "invalid": 2, "faults": 2, "seconds": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("jobs.yaml", "jobs:\n- prompt: a: b\n", (2, 12, "yaml.syntax")),
        ("jobs.json", '{"jobs": [\n{"a" 1}]}', (2, 6, "json.syntax")),
        ("jobs.toml", "[[jobs]]\na b", (2, 3, "toml.syntax")),
        ("jobs.csv", "model,promt\na,b", (1, None, "field.known")),
        ("jobs.txt", "", (None, None, "file.empty")),
        ("none.txt", None, (None, None, "file.read")),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault_with_its_place(
    seedance: Seedance, home: Path, name: str, content: str | None, place: tuple[Any, ...]
) -> None:
    if content is not None:
        (home / name).write_text(content)
    code, out, _ = seedance("validate", name, "--json")
    fault, last = objects(out)
    assert code == 2
    assert (fault["line"], fault["column"], fault["rule"]) == place
    assert (last["type"], last["faults"], last["jobs"]) == ("summary", 1, 0)
    code, out, _ = seedance("validate", name)
    assert (code, out.count("\n"), out.startswith(f"{name}:")) == (2, 1, True)


def test_local_files_are_looked_at_beside_the_file_of_jobs(seedance: Seedance, home: Path) -> None:
    shots = home / "shots"
    shots.mkdir()
    Image.new("RGB", (320, 400)).save(shots / "a.png")
    Image.new("RGB", (200, 320)).save(shots / "small.png")
    images = ["a.png", "small.png", "nope.png", "https://example.com/a.png"]
    write(shots / "jobs.jsonl", *({**CAT, "first_image": image} for image in images))
    code, out, err = seedance("validate", "shots/jobs.jsonl")
    assert code == 2
    assert [line.partition(" ")[0] for line in out.splitlines()] == [
        "shots/jobs.jsonl:2:",
        "shots/jobs.jsonl:3:",
    ]
    assert "3 jobs name local files: batch needs --publish" in err
    code, out, err = seedance("validate", "shots/jobs.jsonl", "--no-files")
    assert (code, out) == (0, "")
    assert "local files are not looked at" in err


def test_private_hosts_are_faults_but_where_the_service_is_on_one(
    seedance: Seedance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write(home / "jobs.jsonl", {**CAT, "first_image": "http://10.0.0.1/a.png"})
    assert seedance("validate", name)[0] == 2
    monkeypatch.setenv("SEEDANCE_BASE_URL", "http://127.0.0.1:8080")
    assert seedance("validate", name)[0] == 0


def test_prompts_come_from_stdin_too(tmp_path: Path) -> None:
    words = ("validate", "-", "--set", "model=seedance_2_0_pro", "--set", "duration=99")
    ran = run(*words, cwd=tmp_path, input="A cat\n\nA dog\n")
    assert ran.returncode == 2
    assert [line.partition(" ")[0] for line in ran.stdout.splitlines()] == ["stdin:1:", "stdin:3:"]


@pytest.mark.parametrize("suffix", starters.SUFFIXES)
def test_the_example_of_init_is_valid_and_runs_and_tells_what_to_type(
    seedance: Seedance, home: Path, suffix: str
) -> None:
    name = f"my jobs{suffix}"
    code, out, err = seedance("init", name)
    assert (code, out) == (0, f"{name}\n")
    typed = [shlex.split(line, comments=True)[1:] for line in err.splitlines()[1:]]
    validate, rehearsal, real = typed
    code, out, err = seedance(*validate)
    assert (code, out) == (0, "")
    assert err.startswith("3 jobs, ")
    if suffix == ".yaml":
        code, out, err = seedance(*rehearsal, "--speed", "6000")
        assert (code, len(out.splitlines())) == (0, 3), err
        code, out, err = seedance(*real, "--dry-run")
        assert (code, "3 to send" in out) == (0, True), err


def test_init_never_overwrites_and_says_what_it_can_write(seedance: Seedance, home: Path) -> None:
    assert seedance("init")[:2] == (0, "jobs.yaml\n")
    (home / "jobs.yaml").write_text("mine")
    code, _, err = seedance("init")
    assert (code, "jobs.yaml is there already" in err) == (2, True)
    assert (home / "jobs.yaml").read_text() == "mine"
    code, _, err = seedance("init", "jobs.xml")
    assert (code, ".yaml, .yml, .toml" in err) == (2, True)
    code, _, err = seedance("init", "none/jobs.yaml")
    assert (code, "none/jobs.yaml: cannot be written: No such file" in err) == (2, True)


def test_schema_prints_one_schema_for_a_line_and_one_for_a_file(seedance: Seedance) -> None:
    line, manifest = (json.loads(seedance("schema", *more)[1]) for more in ((), ("--manifest",)))
    jsonschema.Draft202012Validator(line).validate(CAT)
    jsonschema.Draft202012Validator(manifest).validate({"jobs": [CAT]})
    assert not jsonschema.Draft202012Validator(manifest).is_valid(CAT)
