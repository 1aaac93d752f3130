"""Job files as nobody should write them: a clear fault with its place, or a valid reading."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seedance_async.cli import manifest
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.manifest import Asked
from seedance_async.cli.terminal import one_line

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".yaml", ".toml", ".txt")
ASKED = Asked(defaults={"model": "seedance_2_0_pro"}, matrix={"duration": [4, 5]})
# A file as a whole has no line where it is empty, or its matrix too large.
WITHOUT_LINE = re.compile(r": (has no jobs in it|.* = [\d,]+ jobs?: a matrix makes at most)")
DEEP = 100_000

BITS = st.sampled_from(
    [
        *("jobs", "defaults", "matrix", "model", "prompt", "duration", "key", "metadata", "waive"),
        *(
            "- ",
            ": ",
            "\n",
            "\r\n",
            "\n  ",
            "\t",
            ",",
            "|",
            ">",
            "&a ",
            "*a",
            "!!str ",
            "!x ",
            "? ",
        ),
        *(
            "[",
            "]",
            "{",
            "}",
            "[[jobs]]\n",
            "[defaults]\n",
            "[matrix]\n",
            "=",
            '"',
            "'",
            '"""',
            "#",
        ),
        *(
            "16:9",
            "2026-01-01",
            "07:30:00",
            "yes",
            "null",
            "~",
            ".nan",
            "NaN",
            "-Infinity",
            "1e999",
        ),
        *(
            "9" * 5000,
            "0x" + "f" * 5000,
            "1_000",
            "\ufeff",
            "\0",
            "\\ud800",
            "\\U00110000",
            "\u2028",
        ),
        *(
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            "<<: *a",
            "\x85",
            "\x1b[31m",
            "seedance_2_0_pro",
            "a cat",
        ),
        *('{"prompt": "a"}', "prompt: a\n", 'prompt = "a"\n', "a.b.c = 1\n", "model,prompt\n"),
    ]
)


def check_told(text: str, path: str) -> None:
    assert len(text) < 3000
    for told in text.split("\n"):
        assert told.startswith(f"{path}:")
        rest = told.removeprefix(path)
        assert re.match(r":[1-9][0-9]*: \S", rest) or WITHOUT_LINE.match(rest), told


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        read = manifest.read(str(path), checks_hosts=True, asked=ASKED)
    except CannotStart as raised:
        check_told(str(raised), str(path))
        return
    lines = content.count(b"\n") + content.count(b"\r") + 1
    assert all(1 <= line.number <= lines for line in read.lines)
    assert all(line.job or line.faults for line in read.lines)
    for told in read.complaints:
        assert one_line(told).startswith(f"{path}:")
    for line in read.lines:
        if line.job:  # what is sent, and what is written down
            json.dumps(line.job.request.to_wire(), allow_nan=False).encode()
            json.dumps(line.job.request.metadata, allow_nan=False).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_bytes_are_a_reading_or_one_clear_fault(folder: Path, suffix: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.binary(max_size=200))
    @example(b"\xff\xfea\0")
    @example(b"\xef\xbb\xbf")
    def run(content: bytes) -> None:
        check(folder / f"jobs{suffix}", content)

    run()


def test_without_libyaml_it_is_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(BITS, max_size=25))
    @example(['"\\U00110000"'])
    @example(["[" * DEEP])
    @example(["- " * DEEP])
    def run(bits: list[str]) -> None:
        check(folder / "jobs.yaml", "".join(bits).encode())

    run()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_pieces_of_a_format_are_a_reading_or_one_clear_fault(folder: Path, suffix: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(BITS, max_size=25))
    def run(bits: list[str]) -> None:
        check(folder / f"jobs{suffix}", "".join(bits).encode())

    run()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | BITS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(BITS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".jsonl"])
def test_any_values_are_a_reading_or_one_clear_fault(folder: Path, suffix: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(JSON | st.fixed_dictionaries({"jobs": st.lists(JSON, max_size=3), "defaults": JSON}))
    def run(value: object) -> None:
        check(folder / f"jobs{suffix}", json.dumps(value).encode())

    run()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.json", "[" * DEEP),
        ("deep.json", "[" * DEEP + "]" * DEEP),
        ("deep.json", '{"jobs": [{"metadata": ' + '{"a":' * 500 + "1" + "}" * 500 + "}]}"),
        ("deep.jsonl", '{"metadata": ' + '{"a":' * 500 + "1" + "}" * 500 + "}"),
        ("deep.yaml", "[" * DEEP),
        ("deep.yaml", "- " * DEEP),
        ("deep.yaml", "? " * DEEP),
        ("deep.yaml", "a: " + "{a: " * DEEP),
        ("deep.toml", "jobs = " + "[" * DEEP),
        ("deep.toml", "jobs = " + "{a=" * DEEP),
        ("deep.toml", "[" + "a." * DEEP + "a]"),
        ("deep.toml", ".".join(["a"] * DEEP) + " = 1"),
        ("deep.toml", ".".join(['"a"'] * DEEP) + " = 1"),
        ("long.jsonl", '{"prompt": "' + "a" * 1_000_000 + '", "duration": 99}'),
        ("long.csv", "model,prompt\n" + "a" * 11_000_000),
        ("long.csv", "model,prompt\n" + '"' * 1_000_001),
        ("long.yaml", "- prompt: " + "a " * 500_000 + "\n  duration: 99"),
        ("long.toml", "x" * 2_000_000),
        ("long.toml", '"' * 1_000_001),
        ("long.json", '[{"duration": ' + "9" * 1_000_000 + "}]"),
        ("long.yaml", "- duration: " + "9" * 1_000_000),
        ("long.toml", "[[jobs]]\nduration = " + "9" * 1_000_000),
        ("bomb.yaml", "a: &a [x, x, x, x, x, x, x, x, x]\n"
         + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
                   for old, new in zip("abcdefghi", "bcdefghij", strict=True))),
        ("self.yaml", "jobs: &a [*a]"),
        ("matrix.json", json.dumps({"jobs": [{}], "matrix": {n: list(range(99)) for n in
         ("duration", "model", "prompt", "aspect_ratio", "first_image", "last_image")}})),
    ],
)  # fmt: skip
def test_what_is_deep_long_or_many_is_one_clear_fault_and_soon(
    folder: Path, name: str, content: str
) -> None:
    path = folder / name
    check(path, content.encode())
    with_faults = 0
    try:
        with_faults = len(manifest.read(str(path), checks_hosts=True).invalid)
    except CannotStart as raised:
        with_faults = len(str(raised).split("\n"))
    assert with_faults == 1
