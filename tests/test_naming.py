"""File names from a template: readable, and never out of the folder."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seedance_async.naming import NameTemplate

ID = "video_fd35ee52-2a98-44a6-b930-29a88ce9b8fd"
FIELDS = "{index}, {key}, {id}, {name}"
ANY_TEXT = st.none() | st.text(st.characters(exclude_categories=()))  # lone surrogates included
TEMPLATES = st.lists(
    st.sampled_from(["{index}", "{key}", "{id}", "{name}", ".", "..", "-", " ", "(", ")", "a", "~"])
).map("".join)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "0001.mp4"),
        ("", "0001.mp4"),
        ("cat", "0001-cat.mp4"),
        ("../../etc/passwd", "0001-etc-passwd.mp4"),
        ("..", "0001.mp4"),
        ("a/b\\c:d*e?f", "0001-a-b-c-d-e-f.mp4"),
        ("\x00\n ", "0001.mp4"),
        ("猫が踊る", "0001-猫が踊る.mp4"),
        ("CON.mp4", "0001-CON-mp4.mp4"),
        ("snake_case", "0001-snake-case.mp4"),
        ("x" * 500, f"0001-{'x' * 40}.mp4"),
    ],
)
def test_by_default_a_file_has_its_place_and_its_name(name: str | None, expected: str) -> None:
    assert NameTemplate().fill(index=0, key="k", task_id=ID, name=name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{index}", "0012.mp4"),
        ("{key}.mp4", "shot_01.v2.mp4"),
        ("{key}.MP4", "shot_01.v2.mp4"),
        ("{id}", f"{ID}.mp4"),
        ("{name} ({key})", "cat (shot_01.v2).mp4"),
        ("{index}{index}", "00120012.mp4"),
        ("film {index}, {name}.mov", "film 0012, cat.mov.mp4"),
        ("猫 {name} 🐱.mp4", "猫 cat 🐱.mp4"),
    ],
)
def test_each_field_is_filled_and_the_suffix_added_where_missing(text: str, expected: str) -> None:
    filled = NameTemplate(text).fill(index=11, key="shot_01.v2", task_id=ID, name="cat")
    assert filled == expected


def test_places_beyond_four_digits_are_told_in_full() -> None:
    assert NameTemplate("{index}").fill(index=123_455) == "123456.mp4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{index}-{name}-{key}", "0001-k.mp4"),
        ("{index}-{name}-{id}-{key}", "0001-k.mp4"),
        ("{index} - {name}", "0001.mp4"),
        ("{name}_{index}", "0001.mp4"),
        ("{index}__{name}.mp4", "0001.mp4"),
        ("{index} ({name})", "0001.mp4"),
        ("[{id}] {index}", "0001.mp4"),
        ("{index}{name}{key}", "0001k.mp4"),
        ("cat-{name}", "cat.mp4"),
        (".{name}.{key}", "k.mp4"),
        ("{name}", "0001.mp4"),
        ("{name}-{id}.mp4", "0001.mp4"),
    ],
)
def test_an_absent_value_leaves_no_separator_behind(text: str, expected: str) -> None:
    assert NameTemplate(text).fill(index=0, key="k") == expected


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{index}-{seed}", "{seed} is none of its fields"),
        ("{key.x}", "{key.x} is none of its fields"),
        ("{key[0]}", "{key[0]} is none of its fields"),
        ("{0}", "{0} is none of its fields"),
        ("{}", "{} is none of its fields"),
        ("{index:06d}", "{index:06d} is none of its fields"),
        ("{key!r}", "{key!r} is none of its fields"),
        ("{Index}", "{Index} is none of its fields"),
        ("{ index }", "{ index } is none of its fields"),
        ("{index", "a brace in it has no partner"),
        ("index}", "a brace in it has no partner"),
        ("{{index}}", "a brace in it has no partner"),
        ("{key:{name}}", "a brace in it has no partner"),
        ("video.mp4", "nothing in it varies"),
        ("", "nothing in it varies"),
        ("a/{index}", "'/' has no place"),
        ("..\\{index}", r"'\\' has no place"),
        ("{index}\0", r"'\x00' has no place"),
        ("{index}\n", r"'\n' has no place"),
        ("{index}:{name}", "':' has no place"),
        ("\u202e{index}", r"'\u202e' has no place"),
    ],
)
def test_a_bad_template_is_refused_with_what_is_wrong_and_the_fields(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)) as caught:
        NameTemplate(text)
    assert FIELDS in str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError) as caught:
        NameTemplate("{seed}/{take}?")
    assert [part in str(caught.value) for part in ("{seed}", "{take}", "'/'", "'?'")] == [True] * 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("../../x", "x.mp4"),
        ("..", "0001.mp4"),
        (".bashrc", "bashrc.mp4"),
        ("/etc/passwd", "etc-passwd.mp4"),
        ("C:\\Windows\\x", "C-Windows-x.mp4"),
        ("a\0b\nc", "a-b-c.mp4"),
        ("a\u202eb", "a-b.mp4"),
        ("🐱🐱", "0001.mp4"),
        ("\ud800", "0001.mp4"),
        ("cat.mp4", "cat.mp4"),
        ("a--b..c", "a--b..c.mp4"),
        ("CON", "_CON.mp4"),
        ("nul.x", "_nul.x.mp4"),
        ("Com1", "_Com1.mp4"),
        ("LPT²", "_LPT².mp4"),
        ("CONSOLE", "CONSOLE.mp4"),
        ("e\u0301", "é.mp4"),
    ],
)
def test_a_value_can_neither_leave_the_folder_nor_hide_the_file(value: str, expected: str) -> None:
    assert NameTemplate("{key}").fill(index=0, key=value) == expected
    assert NameTemplate("{id}").fill(index=0, task_id=value) == expected


@pytest.mark.parametrize("char", ["x", "é", "猫", "𠜎", "_", "猫/"])
def test_long_keys_that_begin_alike_stay_apart(char: str) -> None:
    keys = [char * 10_000 + end for end in ("a", "b")]
    names = [NameTemplate("{key}").fill(index=0, key=key) for key in keys]
    assert names[0] != names[1]
    assert names[0] == NameTemplate("{key}").fill(index=0, key=keys[0])
    assert all(len(name.encode()) <= 84 for name in names)


def test_a_name_that_is_too_long_as_a_whole_stays_apart_from_others() -> None:
    template = NameTemplate("{name}{name}{name}{name}{name}{name}-{index}")
    names = {template.fill(index=index, name="猫" * 40) for index in (0, 1)}
    assert len(names) == 2
    assert all(len(name.encode()) <= 205 for name in names)


@given(text=TEMPLATES, key=ANY_TEXT, task_id=ANY_TEXT, name=ANY_TEXT)
@example(text="{key}", key="\u0130" * 300, task_id=None, name=None)
@example(text=" .{key}", key="aux", task_id=None, name=None)
def test_whatever_it_is_filled_with_it_names_one_file_in_the_folder(
    text: str, key: str | None, task_id: str | None, name: str | None
) -> None:
    filled = NameTemplate("{id}" + text).fill(index=0, key=key, task_id=task_id, name=name)
    assert filled.isprintable()
    assert not set(filled) & set('/\\<>:"|?*')
    assert filled.endswith(".mp4")
    assert filled[0] not in ". "
    assert len(filled.encode()) <= 205
    assert Path(filled).name == PureWindowsPath(filled).name == filled
    first = filled.split(".")[0].rstrip().upper()
    assert first not in {"CON", "PRN", "AUX", "NUL"}
    assert not re.fullmatch("(COM|LPT)[0-9¹²³]", first)
