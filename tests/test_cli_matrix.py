"""What all jobs share and what varies: --set and --matrix, their keys, their count, their bound."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_process import journalled
from conftest import Told
from hypothesis import given, settings
from hypothesis import strategies as st

from seedance_async.cli import asked as asked_for
from seedance_async.cli import matrix
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.joboptions import JobOptions
from seedance_async.cli.manifest import Asked, Manifest
from seedance_async.cli.manifest import read as read_file

Seedance = Callable[..., Told]
FAST = ("--emulate", "--speed", "6000")
MODELS = "model=seedance_2_0_pro,seedance_2_0_fast_pro"


def asked(*, set_: list[str] | None = None, matrix: list[str] | None = None) -> Asked:
    return asked_for.read(JobOptions(set_=set_, matrix=matrix))


def read(path: Path, *rows: dict[str, Any], **options: Any) -> Manifest:
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return read_file(str(path), checks_hosts=True, asked=asked(**options))


def test_options_are_read_as_cells_of_a_table_are() -> None:
    found = asked(
        set_=[
            "generateAudio=no",
            'metadata={"a": 1}',
            "waive=media.public duration.range",
            "name=a=b",
        ],
        matrix=["duration=4, 5", 'prompt="A cat, wet",A dog', "reference_images=a.png|b.png,c.png"],
    )
    assert found.defaults == {
        "generateAudio": False,
        "metadata": {"a": 1},
        "waive": ["media.public", "duration.range"],
        "name": "a=b",
    }
    assert found.matrix == {
        "duration": [4, 5],
        "prompt": ["A cat, wet", "A dog"],
        "reference_images": [["a.png", "b.png"], ["c.png"]],
    }


@pytest.mark.parametrize(
    ("option", "given", "says"),
    [
        ("set_", ["model"], "--set takes FIELD=VALUE, not 'model'"),
        ("set_", ["model="], "--set takes FIELD=VALUE"),
        ("set_", ["promt=a"], "--set: promt: .*did you mean prompt"),
        ("set_", ["key=a"], "--set: key: is for one job alone"),
        ("set_", ["generateAudio=yes", "generate_audio=no"], "generate_audio is given twice"),
        ("matrix", ["model=a,,b"], "a comma too many"),
        ("matrix", ['prompt="a'], "in double quotes"),
        ("matrix", ["model=a,a"], "has a value twice"),
        ("matrix", ["name=a,b"], "cannot vary"),
        ("matrix", ["modle=a"], "--matrix: modle: .*did you mean model"),
    ],
)
def test_options_that_cannot_be_used(option: str, given: list[str], says: str) -> None:
    with pytest.raises(CannotStart, match=says):
        asked_for.read(JobOptions(**{option: given}))


def test_a_jobs_own_field_wins_in_either_spelling(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.jsonl",
        {"prompt": "a", "generateAudio": True, "duration": 4},
        {"prompt": "b"},
        set_=["generate_audio=no", "duration=6", "model=seedance_2_0_pro"],
    )
    requests = [line.job.request for line in found.lines if line.job]
    assert [(each.generate_audio, each.duration) for each in requests] == [(True, 4), (False, 6)]


def test_options_win_over_the_files_own_defaults_and_matrix(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "jobs: [{prompt: a}]\ndefaults: {model: seedance_2_0_pro, duration: 4}\n"
        "matrix: {aspect_ratio: [1:1, 4:3]}\n"
    )
    options = asked(set_=["duration=7"], matrix=["aspect_ratio=16:9,9:16,21:9"])
    found = read_file(str(tmp_path / "a.yaml"), checks_hosts=True, asked=options)
    requests = [line.job.request for line in found.lines if line.job]
    assert [each.aspect_ratio for each in requests] == ["16:9", "9:16", "21:9"]
    assert {each.duration for each in requests} == {7}


def test_a_key_and_a_name_say_which_combination_whatever_the_order(tmp_path: Path) -> None:
    row = {"prompt": "a", "key": "cat", "name": "Cat", "aspect_ratio": "1:1"}
    one = read(tmp_path / "a.jsonl", row, matrix=[MODELS, "aspect_ratio=16:9,9:16"])
    other = read(tmp_path / "a.jsonl", row, matrix=["aspect_ratio=9:16,16:9", MODELS])
    keys = [line.key for line in one.lines]
    assert keys[1] == "cat@9:16@seedance_2_0_pro"
    assert one.lines[1].name == "Cat@9:16@seedance_2_0_pro"
    assert sorted(keys) == sorted(line.key for line in other.lines)
    by_key = {line.key: line.job for line in other.lines}
    assert all(by_key[line.key] == line.job for line in one.lines)


def test_a_key_tells_nothing_that_may_be_secret(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.jsonl",
        {"key": "cat", "model": "seedance_2_0_pro"},
        matrix=["prompt=A secret,B", "first_image=https://a.example.com/a.png?sig=s3cr3t"],
    )
    told = [line.key or "" for line in found.lines] + [line.label for line in found.lines]
    assert len({*told}) == 4
    assert not re.search("secret|s3cr3t|example", "".join(told))


def test_a_fault_names_its_combination_but_not_where_all_have_it(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.jsonl",
        {"prompt": "a", "last_image": "https://example.com/a.png"},
        {"prompt": "b"},
        matrix=["model=seedance_2_0_pro,seedance_2_0", "duration=4,99"],
    )
    told = [each.partition(".jsonl:")[2] for each in found.complaints]
    with_99 = [each for each in told if "99 is out of range" in each]
    assert len(with_99) == 4
    assert with_99[0].startswith("1: duration: 99 is out of range")
    assert with_99[0].endswith("(with model=seedance_2_0_pro, duration=99) [duration.range]")
    (once,) = [each for each in told if "last_image" in each]
    assert once.startswith("1: ")
    assert "with" not in once.partition("first_image as well")[2]


def test_a_huge_product_costs_nothing(tmp_path: Path) -> None:
    values = ",".join(map(str, range(10_000)))
    fields = ("duration", "prompt", "model", "aspect_ratio", "first_image", "last_image")
    rows = ({"prompt": "a"}, {"prompt": "b"})
    started = time.process_time()
    with pytest.raises(CannotStart, match=r"= 2,0{3}(,0{3})+ jobs: a matrix makes at most 10,000"):
        read(tmp_path / "a.jsonl", *rows, matrix=[f"{field}={values}" for field in fields])
    assert time.process_time() - started < 5


def test_exactly_the_bound_is_made(tmp_path: Path) -> None:
    values = ",".join(str(place) for place in range(matrix.MAX_JOBS))
    found = read(tmp_path / "a.jsonl", {"model": "seedance_2_0_pro"}, matrix=[f"prompt={values}"])
    assert len(found.lines) == matrix.MAX_JOBS
    with pytest.raises(CannotStart, match="at most 10,000"):
        read(tmp_path / "a.jsonl", {"model": "seedance_2_0_pro"}, matrix=[f"prompt={values},x"])


AXES = {
    "aspect_ratio": ["16:9", "9:16", "1:1"],
    "duration": [4, 5, 6],
    "generateAudio": [True, False],
}


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(list(AXES)).flatmap(
        lambda names: st.tuples(
            *(
                st.lists(st.sampled_from(AXES[name]), min_size=1, unique=True).map(
                    lambda values, name=name: (name, values)
                )
                for name in names
            )
        )
    ),
    st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3),
)
def test_every_row_meets_every_combination_once(axes: Any, prompts: list[str]) -> None:
    chosen = dict(axes)
    rows = [
        (place + 1, {"prompt": prompt, "key": str(place)}) for place, prompt in enumerate(prompts)
    ]
    made = list(matrix.multiplied(rows, chosen))
    assert len(made) == matrix.size(len(rows), chosen)
    expected = list(itertools.product(prompts, *chosen.values()))
    found = [(each.row["prompt"], *(each.row[name] for name in chosen)) for each in made]
    assert found == expected
    assert len({each.row["key"] for each in made}) == len(made)


def test_a_batch_shows_the_count_first_and_resumes_by_its_keys(
    seedance: Seedance, home: Path
) -> None:
    row = {"prompt": "A cat", "model": "seedance_2_0_fast_pro", "duration": 4}
    jobs = home / "jobs.jsonl"
    jobs.write_text(json.dumps({**row, "key": "cat", "name": "Cat"}) + "\n" + json.dumps(row))
    words = ("batch", "jobs.jsonl", "--out", "videos", *FAST)
    code, out, err = seedance(*words, "--matrix", "aspect_ratio=16:9,9:16")
    assert code == 0, err
    assert err.startswith("2 jobs x 2 aspect_ratio = 4 jobs\n")
    assert sorted(out.split())[:2] == ["videos/0001-Cat-16-9.mp4", "videos/0002-Cat-9-16.mp4"]
    code, _, err = seedance(*words, "--matrix", "aspect_ratio=9:16,16:9,1:1")
    assert code == 0, err
    assert "4 done before, 2 to send" in err
    keys = {record.key for record in journalled(home / "videos" / "emulated.sqlite")}
    assert {"cat@16:9", "cat@9:16", "cat@1:1"} < keys
    assert len(keys) == 6


def test_a_key_that_stands_for_another_request_is_told_with_its_combination(
    seedance: Seedance, home: Path
) -> None:
    (home / "a.yaml").write_text("- {prompt: A cat, key: cat, model: seedance_2_0_pro}")
    words = ("batch", "a.yaml", "--out", "videos", "--matrix", "aspect_ratio=16:9,9:16", *FAST)
    assert seedance(*words)[0] == 0
    (home / "a.yaml").write_text("\n- {prompt: A dog, key: cat, model: seedance_2_0_pro}")
    code, _, err = seedance(*words)
    assert code == 2
    assert err.count("a.yaml:2: key cat@") == 2
    assert "2 of 2 jobs invalid, nothing was sent" in err
