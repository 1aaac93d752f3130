"""Reading job files: every fault is named with its line, and good lines become jobs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seedance_async.cli import manifest
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.manifest import Manifest

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
CAT = {"model": "seedance_2_0_pro", "prompt": "a cat"}


def read(path: Path, content: str | bytes, *, checks_hosts: bool = True) -> Manifest:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return manifest.read(str(path), checks_hosts=checks_hosts)


def jsonl(*lines: Any) -> str:
    return "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)


def faults(read_manifest: Manifest) -> list[tuple[int, str, str]]:
    return [
        (line.number, fault.field, fault.rule)
        for line in read_manifest.lines
        for fault in line.faults
    ]


@pytest.mark.parametrize(
    ("name", "least"), [("prompts.jsonl", 12), ("prompts.csv", 4), ("matrix.yaml", 8)]
)
def test_the_examples_are_valid(name: str, least: int) -> None:
    examples = manifest.read(str(EXAMPLES / name), checks_hosts=True)
    assert not examples.invalid
    assert len(examples.lines) >= least


def test_the_examples_show_every_model_and_shape() -> None:
    lines = manifest.read(str(EXAMPLES / "prompts.jsonl"), checks_hosts=True).lines
    requests = [line.job.request for line in lines if line.job]
    assert len({request.model for request in requests}) == 4
    assert len({request.aspect_ratio for request in requests}) == 7


def test_both_spellings_and_own_fields_are_taken(tmp_path: Path) -> None:
    one = {**CAT, "generateAudio": False, "key": "k", "name": "n", "metadata": {"a": [1]}}
    two = {**CAT, "generate_audio": False, "reference_images": ["asset://a1"]}
    first, second = read(tmp_path / "jobs.jsonl", jsonl(one, two)).lines
    assert first.job is not None
    assert second.job is not None
    assert (first.job.key, first.job.name) == ("k", "n")
    assert first.job.request.metadata == {"a": [1]}
    assert not first.job.request.generate_audio
    assert not second.job.request.generate_audio


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_blank_lines_byte_order_marks_and_line_ends_do_not_matter(
    tmp_path: Path, start: str, end: str
) -> None:
    line = json.dumps({**CAT, "prompt": "eins\u2028zwei"}, ensure_ascii=False)
    found = read(tmp_path / "jobs.jsonl", f"{start}\r\n \n{line}{end}")
    assert [line.number for line in found.lines] == [3]
    assert not found.invalid


def test_every_fault_of_every_line_is_reported(tmp_path: Path) -> None:
    content = jsonl(
        CAT,
        {**CAT, "duration": 99, "aspect_ratio": "5:4", "promt": "x"},
        "",
        '{"model": "seedance_2_0_pro", ',
        [1, 2],
        {**CAT, "first_image": "http://127.0.0.1/a.png", "last_image": "file:///b.png"},
        '{"prompt": "a", "prompt": "b"}',
        '{"model": "seedance_2_0_pro", "prompt": "a", "metadata": {"x": NaN}}',
        '{"model": "seedance_2_0_pro", "prompt": "a \\ud800 cat"}',
    )
    found = read(tmp_path / "jobs.jsonl", content)
    assert faults(found) == [
        (2, "promt", "field.known"),
        (2, "duration", "duration.range"),
        (2, "aspect_ratio", "aspect_ratio.known"),
        (4, "column 31", "json.syntax"),
        (5, "line", "json.object"),
        (6, "last_image", "media.reference"),
        (6, "first_image", "media.public"),
        (7, "line", "json.syntax"),
        (8, "line", "json.syntax"),
        (9, "line", "json.unicode"),
    ]
    assert list(found.complaints)[1].startswith(f"{tmp_path}/jobs.jsonl:2: duration: 99 is")
    assert list(found.complaints)[1].endswith("[duration.range]")


def test_private_hosts_pass_where_the_service_is_on_one(tmp_path: Path) -> None:
    content = jsonl({**CAT, "first_image": "http://127.0.0.1/a.png"})
    assert not read(tmp_path / "jobs.jsonl", content, checks_hosts=False).invalid


@pytest.mark.parametrize("waive", ["media.public", ["media.public"]])
def test_media_public_can_be_waived(tmp_path: Path, waive: object) -> None:
    content = jsonl({**CAT, "first_image": "http://127.0.0.1/a.png", "waive": waive})
    assert not read(tmp_path / "jobs.jsonl", content).invalid


def test_a_key_used_twice_names_both_lines(tmp_path: Path) -> None:
    content = jsonl({**CAT, "key": "k"}, CAT, {**CAT, "key": "k"}, {"key": "k"})
    found = read(tmp_path / "jobs.jsonl", content)
    assert [line.number for line in found.invalid] == [3, 4]
    assert (3, "key", "key.unique") in faults(found)
    assert (4, "key", "key.unique") in faults(found)
    assert any("jobs.jsonl:3: key: 'k' is the key of line 1" in text for text in found.complaints)


def test_deep_nesting_and_huge_numbers_are_faults_like_others(tmp_path: Path) -> None:
    deep, huge = "[" * 100_000, '{"duration": ' + "9" * 5000 + "}"
    found = read(tmp_path / "jobs.jsonl", jsonl(CAT, '{"metadata": ' + deep, huge))
    assert [fault[2] for fault in faults(found)] == ["json.syntax", "json.syntax"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("jobs.jsonl", b"", "no jobs"),
        ("jobs.jsonl", b"\n \n", "no jobs"),
        ("jobs.csv", b"model,prompt\n", "no jobs"),
        ("jobs.csv", b"", "no jobs"),
        ("jobs.jsonl", b'{"prompt": "caf\xe9"}', ":1: is not UTF-8"),
        ("jobs.jsonl", b'{}\n{"prompt": "caf\xe9"}', ":2: is not UTF-8"),
        ("jobs.jsonl", b'[\n{"prompt": "a"},\n{"prompt": "b"}\n]', "JSON array"),
        ("jobs.csv", b"model,promt\na,b\n", ":1: promt: is no field"),
        ("jobs.csv", b'model,"prompt\na,b\n', ':1: cannot be read: a quote (") that opens here'),
        ("jobs.csv", b"seedance_2_0_pro,a cat\nseedance_2_0_pro,a dog\n", ":1: the first row must"),
        ("jobs.lst", b"A cat\nA dog\n", ":1: has no JSON in it: write one object a line, as {"),
        ("jobs.jsonl", b'{\n "prompt": "a"\n}\n{\n "prompt": "b"\n}', "over several lines"),
        ("jobs.xlsx", b"PK\x03\x04", "is a spreadsheet: save it as CSV"),
        ("jobs.csv", b"model,prompt,model\na,b,c\n", ":1: model: stands twice"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    with pytest.raises(CannotStart) as raised:
        read(tmp_path / name, content)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"prompt": "a cat, }"},', "take out the comma at the end of the line"),
        ('{"prompt": "a cat", }', "take out the comma before the closing bracket"),
        ("{\u201cprompt\u201d: \u201ca cat\u201d}", "typographic quotes"),
        ("{'prompt': 'a cat'}", "single quotes"),
        ('{"prompt": "a cat", "generate_audio": False}', "lower case"),
        ('{"prompt": "a cat"', "it breaks off"),
    ],
)
def test_frequent_mistakes_in_json_are_told_in_people_s_words(
    tmp_path: Path, line: str, says: str
) -> None:
    found = read(tmp_path / "jobs.jsonl", jsonl(CAT, line))
    (complaint,) = found.complaints
    assert says in complaint
    assert complaint.startswith(f"{tmp_path}/jobs.jsonl:2: column ")


def test_a_quote_within_a_quoted_cell_is_to_be_doubled(tmp_path: Path) -> None:
    found = read(tmp_path / "jobs.csv", 'model,prompt\nseedance_2_0_pro,"a "big" cat"\n')
    assert "written twice" in next(found.complaints)


@pytest.mark.parametrize("name", ["missing.jsonl", ".", "a\0b"])
def test_what_cannot_be_opened_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotStart, match="cannot be read"):
        manifest.read(str(tmp_path / name), checks_hosts=True)


def test_a_dash_reads_jsonl_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO(jsonl(CAT, {}).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=content))
    found = manifest.read("-", checks_hosts=True)
    assert next(found.complaints).startswith("stdin:2: ")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_cells_become_values(tmp_path: Path, separator: str) -> None:
    names = [
        "model",
        "prompt",
        "duration",
        "generateAudio",
        "reference_images",
        "metadata",
        "waive",
        "key",
    ]
    cells = [
        "seedance_2_0_pro",
        '"a cat,\na dog; both"',
        "6",
        "No",
        '"https://example.com/a.png | https://example.com/b.png\nasset://c"',
        '"{""shot"": 1}"',
        "media.public|duration.range",
        "",
    ]
    content = "\n".join([separator.join(names), separator.join(cells), ""])
    (line,) = read(tmp_path / "jobs.csv", f"\ufeff{content}").lines
    assert line.job is not None
    request = line.job.request
    assert request.prompt == "a cat,\na dog; both"
    assert (request.duration, request.generate_audio) == (6, False)
    assert len(request.reference_images) == 3
    assert request.metadata == {"shot": 1}
    assert request.waive == ("media.public", "duration.range")
    assert line.job.key is None


def test_bad_cells_are_named_by_the_rules_and_rows_keep_their_lines(tmp_path: Path) -> None:
    content = (
        'model,prompt,duration,generate_audio,metadata\nseedance_2_0_pro,"two\nlines",,,\n,,,,\n'
        "seedance_2_0_pro,x,five,maybe,{\nseedance_2_0_pro,a,5,yes,,extra\nshort\n"
    )
    found = read(tmp_path / "jobs.csv", content)
    assert faults(found) == [
        (5, "duration", "duration.range"),
        (5, "generate_audio", "generate_audio.boolean"),
        (5, "metadata", "metadata.json"),
        (6, "row", "csv.cells"),
        (7, "model", "model.known"),
        (7, "prompt", "prompt.required"),
    ]


def test_a_quote_that_is_never_closed_is_a_fault(tmp_path: Path) -> None:
    found = read(tmp_path / "jobs.csv", 'model,prompt\nseedance_2_0_pro,"a cat\n')
    assert faults(found) == [(2, "row", "csv.syntax")]
