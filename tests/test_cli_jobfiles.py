"""The formats of job files: all of them say the same, each job with the line on which it begins."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seedance_async.cli import manifest
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.manifest import Asked, Manifest

NOTHING = Asked()
MODEL = Asked(defaults={"model": "seedance_2_0_pro"})

YAML = """\
defaults: {model: seedance_2_0_pro, duration: 6, metadata: {day: 2026-01-01, at: 07:30}}
matrix:
  aspect_ratio: [16:9, 9:16]

jobs:
  - key: cat
    prompt: A cat
  -
    prompt: |
      Two
      lines
    duration: 4
  - {prompt: "yes", name: no}
"""
JSON = """\
{
  "$schema": "jobs.schema.json",
  "defaults": {"model": "seedance_2_0_pro", "duration": 6,
               "metadata": {"day": "2026-01-01", "at": "07:30"}},
  "matrix": {"aspect_ratio": ["16:9", "9:16"]},
  "jobs": [
    {"key": "cat",
     "prompt": "A cat"}, {"prompt": "Two\\nlines\\n", "duration": 4},

    {"prompt": "yes", "name": "no"}
  ]
}
"""
TOML = '''\
# [[jobs]]
[defaults]
model = "seedance_2_0_pro"
duration = 6
metadata = {day = "2026-01-01", at = "07:30"}
[matrix]
aspect_ratio = [
  "16:9", # [[jobs]]
  "9:16",
]
[[jobs]]
key = "cat"
prompt = "A cat"
  [["jobs"]] # two
prompt = """
Two
lines
"""
duration = 4
[[ jobs ]]
prompt = "yes"
name = "no"
'''


def read(path: Path, content: str, asked: Asked = NOTHING) -> Manifest:
    path.write_text(content, "utf-8")
    return manifest.read(str(path), checks_hosts=True, asked=asked)


def numbers(found: Manifest) -> list[int]:
    return [line.number for line in found.lines]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [("a.yaml", YAML, [6, 9, 13]), ("a.json", JSON, [7, 8, 10]), ("a.toml", TOML, [11, 14, 20])],
)
def test_a_document_says_the_same_in_every_format(
    tmp_path: Path, name: str, content: str, lines: list[int]
) -> None:
    found = read(tmp_path / name, content)
    assert not found.invalid, list(found.complaints)
    assert numbers(found) == [line for line in lines for _ in range(2)]
    requests = [line.job.request for line in found.lines if line.job]
    assert [request.prompt for request in requests[::2]] == ["A cat", "Two\nlines\n", "yes"]
    assert [request.duration for request in requests[::2]] == [6, 4, 6]
    assert [request.aspect_ratio for request in requests] == ["16:9", "9:16"] * 3
    assert requests[0].metadata == {"day": "2026-01-01", "at": "07:30"}
    assert [line.key for line in found.lines] == ["cat@16:9", "cat@9:16", *[None] * 4]
    assert [line.name for line in found.lines][4:] == ["no@16:9", "no@9:16"]
    assert found.product == "3 jobs x 2 aspect_ratio = 6 jobs"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '\n[{"prompt": "a"},\n\n {"prompt": "b"}]'),
        ("a.yml", "# a list\n- prompt: a\n# two\n- prompt: b\n"),
        ("a.toml", 'jobs = [\n {prompt = "a"},\n # two\n {prompt = "b"},\n]\n'),
        ("a.txt", "\na \n\n  b\r\n"),
        ("a.json", '\n{"prompt": "a"}\n\n{"prompt": "b"}\n'),
        ("a.txt", '\n{"prompt": "a"}\n\n{"prompt": "b"}\n'),
        ("a.tsv", "prompt\na\n\nb\n"),
    ],
)
def test_a_plain_list_has_its_lines_too(tmp_path: Path, name: str, content: str) -> None:
    found = read(tmp_path / name, content, MODEL)
    assert numbers(found) == [2, 4]
    assert [line.job.request.prompt for line in found.lines if line.job] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("x: &x\n- prompt: a\njobs: *x\n", None),
        ("jobs: &x\n- prompt: a\n- &y\n  prompt: b\n- *y\n", [2, 3, 5]),
        ("jobs: [{prompt: a}, {prompt: b},\n {prompt: c}]", [1, 1, 2]),
        ("# U+2028 \u2028 is no line end\n- prompt: a\u2028b\n- prompt: c", [2, 3]),
    ],
)
def test_lines_of_unusual_yaml(tmp_path: Path, content: str, lines: list[int] | None) -> None:
    if lines is None:  # names of one's own are no place to keep anchors
        with pytest.raises(CannotStart, match=":1: 'x' has no meaning here"):
            read(tmp_path / "a.yaml", content, MODEL)
    else:
        found = read(tmp_path / "a.yaml", content, MODEL)
        assert numbers(found) == lines
        assert not found.invalid
        assert ("\u2028" in content) == any(
            "a\u2028b" in line.given["prompt"] for line in found.lines
        )


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('jobs = [{prompt = "a [[jobs]] {"}, {prompt = "b"}]', [1, 1]),
        ('[[jobs]]\nprompt = """\n[[jobs]]\n"""\n[[jobs]]\nname = \'\'\'\n[[jobs]]\'\'\'', [1, 5]),
        ('[[jobs]]\nprompt = "a"\n[jobs.metadata]\njobs = [{a = 1}]\n[[jobs]]\nname = "b"', [1, 5]),
        ('[[jobs]]\nprompt = "a"\nmetadata.a = [[1], [2]]\n"[[jobs]]" = 1\n\n[[jobs]]', [1, 6]),
        ('[[jobs]]\r\nprompt = "a"\r\n\r\n[[jobs]]\r\nprompt = "b"\r\n', [1, 4]),
    ],
)  # fmt: skip
def test_lines_of_unusual_toml(tmp_path: Path, content: str, lines: list[int]) -> None:
    (tmp_path / "a.toml").write_bytes(content.encode())
    found = manifest.read(str(tmp_path / "a.toml"), checks_hosts=True, asked=MODEL)
    assert numbers(found) == lines


def test_scalars_are_read_by_the_core_schema_of_yaml_1_2(tmp_path: Path) -> None:
    spelled = (
        "[16:9, 9:16, 1:1, yes, off, 2026-01-01, 0o17, 0x1F, 017, 1_000, ~, '1', 1e3, .5, True]"
    )
    found = read(tmp_path / "a.yaml", f"- {{prompt: a, metadata: {{all: {spelled}}}}}", MODEL)
    request = found.lines[0].job.request if found.lines[0].job else None
    assert request is not None
    assert request.metadata == {
        "all": ["16:9", "9:16", "1:1", "yes", "off", "2026-01-01", 15, 31, 17, "1_000", None]
        + ["1", 1000.0, 0.5, True]
    }


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.yaml", "- prompt: A cat: it sleeps", ":1: .*a text with a colon in it needs quotes"),
        ("a.yaml", "- prompt: a\n\tduration: 5", ":2: "),
        ("a.yaml", "- prompt: 'a\n", "a quote that opens here is never closed"),
        ("a.yaml", "- prompt: a\n  prompt: b", ":2: .*'prompt' stands twice"),
        ("a.yaml", "- prompt: !!python/object:os.system a", ":1: .*tags .* are not taken"),
        ("a.yaml", "- prompt: a\n- <<: {prompt: b}", ":2: .*use defaults"),
        ("a.yaml", "- prompt: a\n---\n- prompt: b", ":2: .*several documents"),
        ("a.yaml", "- prompt: *a", "names no anchor"),
        ("a.yaml", "- prompt: a\n  ? [b]\n  : c", ":2: .*a name must be plain text"),
        ("a.yaml", "- prompt: a\n- prompt: a\0b", ":2: .*U\\+0000: take it out"),
        ("a.yaml", "A cat", ":1: must be a list of jobs, or an object"),
        ("a.yaml", "jobs:\n- prompt: a\nmodel: x\n", ":3: 'model' has no meaning here"),
        ("a.yaml", "\njobs: a cat", ":2: jobs must be a list"),
        ("a.yaml", "defaults: {}", "jobs must be a list"),
        ("a.yaml", "jobs: []\n", "has no jobs"),
        ("a.yaml", "# nothing\n", ":1: must be a list"),
        ("a.yaml", "jobs: [{}]\ndefaults: {promt: a, key: k}", ":2: promt: .*mean prompt"),
        ("a.yaml", "jobs: [{}]\ndefaults: {promt: a, key: k}", ":2: key: is for one job alone"),
        ("a.yaml", "jobs: [{}]\nmatrix: {key: [a]}", ":2: key: .* it cannot vary"),
        ("a.yaml", "jobs: [{}]\nmatrix: {model: a}", ":2: model: must be a list of values"),
        ("a.yaml", "jobs: [{}]\nmatrix: {model: [a, a]}", ":2: model: has a value twice"),
        ("a.yaml", "jobs: [{}]\nmatrix: {generate_audio: [true], generateAudio: [false]}", "twice"),
        ("a.json", '{"jobs": [\n{"prompt": "a",}]}', ":2: .*take out the comma before"),
        ("a.json", '{"jobs": [{"prompt": "a"}', "it breaks off"),
        ("a.json", '[{"a": 1},\n{"a": 1, "a": 2}]', ":2: .*'a' stands twice"),
        ("a.json", '{"jobs": [],\n"jobs": []}', ":2: .*'jobs' stands twice"),
        ("a.json", '[{"a": 1},\n{"a": NaN}]', ":2: .*NaN is no JSON value"),
        ("a.json", '{"jobs": [{}], "default": {}}', "'default' has no meaning here"),
        ("a.json", '{\n"prompt": "a"}\n{\n"prompt": "b"}', ":3: .*put all jobs into one list"),
        ("a.json", "3", "must be a list of jobs"),
        ("a.toml", 'prompt = "a"', "'prompt' has no meaning here"),
        ("a.toml", '[[jobs]]\nprompt = "a"\nprompt = "b"', ":3: .*a name stands twice"),
        ("a.toml", '[[jobs]]\nprompt = "a', ":2: is not valid TOML"),
        ("a.txt", "a cat\n", "prompts need a model: --set model="),
    ],
)
def test_a_document_that_cannot_be_used_says_where_and_why(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    with pytest.raises(CannotStart, match=says):
        read(tmp_path / name, content)


def test_a_job_that_is_none_hurts_no_other(tmp_path: Path) -> None:
    found = read(tmp_path / "a.json", '[{"prompt": "a"},\n"a cat",\n{"prompt": "\\ud800"}]', MODEL)
    assert [(line.number, [fault.rule for fault in line.faults]) for line in found.lines] == [
        (1, []),
        (2, ["job.object"]),
        (3, ["job.value"]),
    ]


def test_dates_of_toml_are_faults_of_their_fields(tmp_path: Path) -> None:
    content = "[[jobs]]\nprompt = 2026-01-01\nname = 07:30:00\nmetadata.at = 2026-01-01T00:00:00Z"
    found = read(tmp_path / "a.toml", content, MODEL)
    rules = [fault.rule for fault in found.lines[0].faults]
    assert rules == ["name.text", "prompt.required", "metadata.json"]


def test_a_key_used_twice_on_one_line_is_found(tmp_path: Path) -> None:
    jobs = json.dumps([{"prompt": "a", "key": "k"}, {"prompt": "b", "key": "k"}])
    assert "key.unique" in next(read(tmp_path / "a.json", jobs, MODEL).complaints)


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        ("A cat\n\n[wide shot] A dog\n", ["A cat", "[wide shot] A dog"]),
        ('\n{"prompt": "a"}\n{"prompt": "b"}', ["a", "b"]),
        ('[{"prompt": "a"}]', ["a"]),
        ('{"jobs": [\n{"prompt": "a"}]}', ["a"]),
        ("[wide shot] A dog\n", ["[wide shot] A dog"]),
    ],
)
def test_stdin_is_told_by_how_it_begins(
    monkeypatch: pytest.MonkeyPatch, content: str, prompts: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    found = manifest.read("-", checks_hosts=True, asked=MODEL)
    assert [line.job.request.prompt for line in found.lines if line.job] == prompts


def test_the_user_may_name_the_format(tmp_path: Path) -> None:
    asked = Asked(format="text", defaults={"model": "seedance_2_0_pro"})
    found = read(tmp_path / "a.yaml", '{"prompt": "a"}\nb: c', asked)
    assert [line.job.request.prompt for line in found.lines if line.job] == [
        '{"prompt": "a"}',
        "b: c",
    ]


def test_a_file_that_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(CannotStart, match="/dev/zero: has more than 100 MB"):
        manifest.read("/dev/zero", checks_hosts=True)


def test_without_pyyaml_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(CannotStart, match=r"pip install 'seedance-async\[cli\]'"):
        read(tmp_path / "a.yaml", YAML)
