"""Profiles: whose account a command uses, where its key comes from, and what a file may say."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import emulating, run
from hypothesis import given, settings
from hypothesis import strategies as st

from seedance_async.cli import config, keys
from seedance_async.cli.app import run as command
from seedance_async.cli.exits import CannotStart
from seedance_async.cli.service import Service
from seedance_async.wire import DEFAULT_BASE_URL

UNKNOWN = "video_00000000-0000-4000-8000-000000000000"
FILE = """
default_profile = "home"
[defaults]
max_in_flight = 7
confirm_above = 10
[profiles.home]
key_env = "HOME_KEY"
base_url = "https://home.example.com/api/"
[profiles.work]
key_env = "WORK_KEY"
max_in_flight = 30
creates_per_minute = 12
publish = "s3://bucket/prefix"
[profiles.work.prices]
seedance_2_0_pro = { per_second = 0.1 }
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write the config file that is in force."""

    def written(text: str, **env: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        for name, value in {"SEEDANCE_CONFIG": str(path), **env}.items():
            monkeypatch.setenv(name, value)
        return path

    config.choose(None)
    yield written
    config.choose(None)


ACCOUNTS: list[tuple[dict[str, str], str | None, str, str]] = [
    # the environment, --profile, the address and the key that are used
    ({}, None, "https://home.example.com/api", "home-key"),
    ({}, "work", DEFAULT_BASE_URL, "work-key"),
    ({"SEEDANCE_PROFILE": "work"}, None, DEFAULT_BASE_URL, "work-key"),
    ({"SEEDANCE_PROFILE": "work"}, "home", "https://home.example.com/api", "home-key"),
    ({"SEEDANCE_API_KEY": "env-key"}, None, DEFAULT_BASE_URL, "env-key"),
    ({"SEEDANCE_API_KEY": "env-key"}, "work", DEFAULT_BASE_URL, "work-key"),
    ({"SEEDANCE_BASE_URL": "https://e.example.com"}, "work", DEFAULT_BASE_URL, "work-key"),
]


@pytest.mark.parametrize(("env", "told", "url", "key"), ACCOUNTS)
async def test_a_key_is_used_with_its_own_address_alone(
    write: Write, env: dict[str, str], told: str | None, url: str, key: str
) -> None:
    write(FILE, HOME_KEY="home-key", WORK_KEY="work-key", **env)
    config.choose(told)
    async with Service().session() as session:
        assert (session._account.base_url, session._account.api_key) == (url, key)


def test_the_environment_s_address_never_gets_a_profile_s_key(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(FILE, HOME_KEY="home-key", SEEDANCE_BASE_URL="https://e.example.com")
    assert command(["status", UNKNOWN]) == 2
    assert "no API key: set SEEDANCE_API_KEY, or say --profile home or work" in (
        capsys.readouterr().err
    )
    write(FILE, HOME_KEY="home-key", SEEDANCE_PROFILE="work")
    with pytest.raises(CannotStart, match=r"which account[?] SEEDANCE_PROFILE names work"):
        keys.source()


def test_a_profile_s_other_settings_lie_over_the_defaults(write: Write) -> None:
    write(FILE)
    home = config.profile()
    assert (home.name, home.max_in_flight, home.confirm_above, home.publish) == (
        "home", 7, 10, None,
    )  # fmt: skip
    config.choose("work")
    work = config.profile()
    assert (work.max_in_flight, work.confirm_above) == (30, 10)
    assert work.prices == {"seedance_2_0_pro": {"per_second": 0.1}}
    assert Service.of(False, None).publish == "s3://bucket/prefix"
    assert Service.of(True, None).publish == "emulator"
    assert Service.of(False, None, publish="s3://other").publish == "s3://other"
    limits = Service()._limits(None)
    assert limits is not None
    assert limits.creates_per_minute == 12
    assert Service(emulate=True)._limits(None) is None


WRONG = [
    ("[profiles.a]\napi_key = 'sk-123456'", "profiles.a.api_key: a key must not stand in this"),
    ("api_key = 'sk-123456'", "api_key: a key must not stand in this file"),
    ("[defaults]\nAPI-Key = 'sk-123456'", "defaults.API-Key: a key must not stand"),
    ("[profiles.a]\nkey_fiel = 'x'", "profiles.a.key_fiel is no setting; did you mean key_file?"),
    ("profile = 'a'", "profile is no setting; did you mean profiles?"),
    ("[defaults]\nkey_env = 'A'", "defaults.key_env is no setting"),
    ("[profiles.a]\nkey_env = 'A'\nkeyring = true", "the key comes from one place"),
    ("[profiles.a]\nkeyring = 'seedance'", 'profiles.a.keyring: must be true, or "SERVICE/USER'),
    ("[profiles.a]\nbase_url = 'ftp://x'", "profiles.a.base_url: it is no URL"),
    ("[profiles.a]\nbase_url = 'https://a:b@x'", "profiles.a.base_url: it takes no credentials"),
    ("[profiles.a]\nmax_in_flight = 0", "max_in_flight: must be a whole number, 1 or more"),
    ("[profiles.a]\nmax_in_flight = true", "max_in_flight: must be a whole number, 1 or more"),
    ("[profiles.a]\ncreates_per_minute = nan", "creates_per_minute: must be a number above 0"),
    ("[profiles.a]\npublish = 'ftp'", "publish: takes a bucket"),
    ("[profiles.a]\nprices = 1", "prices: must be a table"),
    ("[defaults.prices.seedance_3]\nper_second = 1", "defaults.prices: 'seedance_3' is no model"),
    ("profiles = 1", "profiles must be a table: [profiles]"),
    ("profiles.a = 1", "profiles.a must be a table: [profiles.a]"),
    ("default_profile = 'b'\n[profiles.a]", "default_profile: there is no profile 'b'"),
    ("default_profile = [1]", "default_profile must be the name of a profile"),
    ("x = " + "[" * 100_000, "is no TOML that could be read"),
    ("\0", "is no TOML at line 1, column 1"),
    ("[profiles.a]\nkey = sk-123456", "is no TOML at line 2"),
    ("[profiles.a", "is no TOML at"),
]


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_a_file_that_is_not_understood_wholly_is_not_used(
    write: Write, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    path = write(text)
    assert command(["generate", "a cat"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{path}: ")
    assert says in told
    assert "sk-123456" not in told


_VALUES = st.sampled_from(
    [
        *("''", "'a'", "'s3://b'", "'https://x.example'", "0", "-1", "7", "0.5", "nan", "true"),
        *("false", "[]", "['a']", "{}", "{ a = 1 }", "1979-05-27", '"\\n"', "'a/b'"),
    ]
)
_NAMES = st.sampled_from([*config._FIELDS, "api_key", "other", '"a b"'])
_TABLES = st.sampled_from(["[defaults]", "[profiles.a]", '[profiles."b c"]', "[[profiles]]", "[x]"])


@given(st.lists(st.tuples(_TABLES, st.dictionaries(_NAMES, _VALUES, max_size=4)), max_size=3))
@settings(max_examples=150)
def test_whatever_stands_in_the_file_is_taken_or_told_of_with_its_name(
    tables: list[tuple[str, dict[str, str]]],
) -> None:
    lines = (
        "\n".join([head, *(f"{name} = {value}" for name, value in fields.items())])
        for head, fields in tables
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder) / "c.toml"
        file.write_text("\n".join(lines))
        patch.setenv("SEEDANCE_CONFIG", str(file))
        told, most = f"{file}: ", 1
        try:
            most = config.profile().max_in_flight or 1
        except CannotStart as error:
            told = str(error)
        assert (told.startswith(f"{file}: "), most >= 1) == (True, True)


@pytest.mark.parametrize("words", [("--profile", "wrok", "jobs"), ("jobs", "--profile=wrok")])
def test_a_profile_that_is_not_there_has_a_neighbour(
    write: Write, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    path = write(FILE)
    assert command(words) == 2
    assert f"no profile 'wrok' in {path}; did you mean work?" in capsys.readouterr().err
    os.environ["SEEDANCE_CONFIG"] = "/no/such/file"  # set by ``write``, which takes it back
    assert command(["--profile", "work", "status", UNKNOWN]) == 2
    assert "names /no/such/file, which is not there" in capsys.readouterr().err


def test_a_key_file_is_read_from_beside_the_config_and_should_be_one_s_own(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def status() -> str:
        assert command(["status", UNKNOWN, "--profile", "e"]) in (1, 2)
        told = capsys.readouterr()
        return told.out + told.err

    file = tmp_path / "my.key"
    with emulating(speed=1000) as emulator:
        write(
            f"[profiles.e]\nkey_file = 'my.key'\nbase_url = '{emulator.base_url}'\n",
            SEEDANCE_API_KEY="wrong",
        )
        assert "my.key cannot be read: No such file" in status()
        file.write_text(f"{emulator.api_key}\n")
        file.chmod(0o644)
        told = status()
        assert "there is no such task" in told
        assert re.search(r"warning: others can read the key in .*my.key: chmod 600", told)
        file.chmod(0o600)
        assert "warning" not in status()
        file.write_text(" \n")
        assert "my.key is empty" in status()


@pytest.fixture
def keyring(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "config.toml").write_text(
        "[profiles.k]\nkeyring = true\n[profiles.plain]\nkey_env = 'X'\n"
        "[profiles.own]\nkeyring = 'svc/me'\n"
    )
    return {
        "cwd": tmp_path,
        "env": {
            "SEEDANCE_CONFIG": str(tmp_path / "config.toml"),
            "PYTHONPATH": str(Path(__file__).parent),
            "PYTHON_KEYRING_BACKEND": "keyring_in_a_file.Keyring",
            "TEST_KEYRING": str(tmp_path / "keyring.json"),
        },
    }


def test_a_key_goes_into_the_keyring_and_comes_out_of_it(keyring: dict[str, Any]) -> None:
    kept = keyring["cwd"] / "keyring.json"
    refused = run("key", "set", "--profile", "k", input="two words\n", **keyring)
    assert (refused.returncode, kept.exists()) == (2, False)
    assert "characters in it that no key has; nothing was stored" in refused.stderr
    assert "two words" not in refused.stderr
    stored = run("key", "set", "--profile", "k", input="sk-abcdef\n", **keyring)
    assert (stored.returncode, kept.read_text()) == (0, '{"seedance k": "sk-abcdef"}')
    assert "sk-abcdef" not in stored.stderr + stored.stdout
    run("--profile", "own", "key", "set", input="sk-own\n", **keyring)
    assert '"svc me": "sk-own"' in kept.read_text()
    assert run("key", "forget", "--profile", "k", **keyring).returncode == 0
    gone = run("key", "forget", "--profile", "k", **keyring)
    assert (gone.returncode, "was not in the keyring" in gone.stderr) == (1, True)
    missing = run("status", UNKNOWN, "--profile", "k", **keyring)
    assert "no key for profile k (seedance/k): seedance key set --profile k" in missing.stderr


def test_without_a_keyring_it_is_said_what_does_without(keyring: dict[str, Any]) -> None:
    keyring["env"]["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    told = run("status", UNKNOWN, "--profile", "k", **keyring)
    assert (told.returncode, "Traceback" in told.stderr) == (2, False)
    assert 'has no keyring that can be used; key_file = "..."' in told.stderr
    told = run("key", "set", "--profile", "plain", **keyring)
    assert (told.returncode, "does not take its key from the keyring" in told.stderr) == (2, True)
    told = run("key", "set", **keyring)
    assert (told.returncode, "which profile?" in told.stderr) == (2, True)
