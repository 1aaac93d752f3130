"""The config file: profiles, each an account and what goes with it; and which one is in force.

No key stands in the file, only where it is to be found; see ``keys``. A file that cannot be
understood wholly is not used at all: a misspelt name must not send money elsewhere.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import attrs

from seedance_async.cli.exits import CannotStart

#: The environment's names, all of them.
FILE, PROFILE = "SEEDANCE_CONFIG", "SEEDANCE_PROFILE"
KEY, BASE_URL = "SEEDANCE_API_KEY", "SEEDANCE_BASE_URL"
_KEYRING_SERVICE = "seedance"
# What --profile said; a process has one command line.
_named: ContextVar[str | None] = ContextVar("profile", default=None)


@attrs.frozen(kw_only=True)
class Profile:
    """What a profile says, with the defaults of all.

    Attributes:
        name: Its name; None where none is in force, and only the defaults are.
        file: The config file.
        is_told: Whether the command line named it.
        base_url: Where the API is; None for the provider's own address.
        key_env: The variable that has its key.
        key_file: The file that has it.
        keyring: The service and the user that the operating system's keyring has it under.
        max_in_flight: How many jobs may be at the provider at once, 1 or more.
        creates_per_minute: How many creates a minute, above 0.
        publish: Where local files are published, as ``--publish`` has it.
        confirm_above: Above how many new videos a person is asked, 0 or more.
        prices: What videos cost, as it stands in the file.
    """

    name: str | None = None
    file: Path
    is_told: bool = False
    base_url: str | None = None
    key_env: str | None = None
    key_file: Path | None = None
    keyring: tuple[str, str] | None = None
    max_in_flight: int | None = None
    creates_per_minute: float | None = None
    publish: str | None = None
    confirm_above: int | None = None
    prices: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Config:
    """What a config file says.

    Attributes:
        file: The file.
        exists: Whether it is there.
        default_profile: The profile in force where none is named.
        defaults: What holds for all profiles, and without one.
        profiles: What each says of itself.
    """

    file: Path
    exists: bool = False
    default_profile: str | None = None
    defaults: Mapping[str, Any] = attrs.field(factory=dict)
    profiles: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

    def profile(self, name: str | None, *, is_told: bool = False) -> Profile:
        """Give a profile with the defaults under it; None gives the defaults alone.

        Raises:
            CannotStart: There is no such profile.
        """
        if name is not None and name not in self.profiles:
            there = f"; it has {', '.join(self.profiles)}" if self.profiles else ""
            close = _close(name, self.profiles)
            where = self.file if self.exists else f"{self.file}, which is not there"
            raise CannotStart(f"there is no profile {name!r} in {where}{close or there}")
        own = {} if name is None else self.profiles[name]
        return Profile(name=name, file=self.file, is_told=is_told, **{**self.defaults, **own})


def choose(name: str | None) -> None:
    """Take the option ``--profile``.

    Raises:
        CannotStart: There is no such profile, or the file cannot be used.
    """
    _named.set(name)
    if name is not None:
        profile()


def profile() -> Profile:
    """Give the profile in force: that of ``--profile``, SEEDANCE_PROFILE, or the file's default.

    Raises:
        CannotStart: There is no such profile, or the file cannot be used.
    """
    config, told = read(), _named.get()
    name = told if told is not None else os.environ.get(PROFILE) or config.default_profile
    return config.profile(name, is_told=told is not None)


def place() -> Path:
    """Give the config file's path: SEEDANCE_CONFIG, or the system's usual folder for it."""
    if named := os.environ.get(FILE):
        return Path(named).expanduser()
    import platformdirs  # noqa: PLC0415 -- only who needs the file should pay for it

    return platformdirs.user_config_path("seedance", appauthor=False) / "config.toml"


def read() -> Config:
    """Read the config file; one that is not there says nothing.

    Raises:
        CannotStart: It cannot be read or understood, or SEEDANCE_CONFIG names none.
    """
    import tomllib  # noqa: PLC0415 -- likewise

    file = place()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if os.environ.get(FILE):
            raise CannotStart(f"{FILE} names {file}, which is not there") from None
        return Config(file=file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CannotStart(f"{file}: cannot be read: {reason}") from error
    try:
        return _checked(file, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # Not its words: in some versions they quote the line, which may have a key in it.
        found = re.search(r"at (line \d+, column \d+|end of document)", str(error))
        where = found[0] if found else "that could be read"
        raise CannotStart(f"{file}: is no TOML {where}") from None


def _checked(file: Path, raw: Mapping[str, Any]) -> Config:
    _check_names(file, "", raw, ("default_profile", "defaults", "profiles"))
    for name in ("defaults", "profiles"):
        if not isinstance(raw.get(name, {}), dict):
            raise CannotStart(f"{file}: {name} must be a table: [{name}]")
    profiles = {}
    for name, fields in raw.get("profiles", {}).items():
        if not isinstance(fields, dict):
            raise CannotStart(f"{file}: profiles.{name} must be a table: [profiles.{name}]")
        profiles[name] = _read(file, name, fields)
    default = raw.get("default_profile")
    if default is not None and not isinstance(default, str):
        raise CannotStart(f"{file}: default_profile must be the name of a profile")
    config = Config(
        file=file,
        exists=True,
        default_profile=default,
        defaults=_read(file, None, raw.get("defaults", {})),
        profiles=profiles,
    )
    if default is not None and default not in profiles:
        close = _close(default, profiles)
        raise CannotStart(f"{file}: default_profile: there is no profile {default!r}{close}")
    return config


def _read(file: Path, profile: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    table = "defaults" if profile is None else f"profiles.{profile}"
    _check_names(file, table, fields, _SETTINGS if profile is None else _FIELDS)
    read = {}
    for name, value in fields.items():
        try:
            read[name] = _FIELDS[name](value)
        except ValueError as error:
            raise CannotStart(f"{file}: {table}.{name}: {error}") from None
    if "key_file" in read:
        read["key_file"] = file.parent / read["key_file"].expanduser()
    if "keyring" in read:
        read["keyring"] = read["keyring"] or (_KEYRING_SERVICE, profile)
    sources = [name for name in ("key_env", "key_file", "keyring") if name in read]
    if len(sources) > 1:
        raise CannotStart(f"{file}: {table}: the key comes from one place, not {sources}")
    return read


def _check_names(file: Path, table: str, fields: Mapping[str, Any], known: Any) -> None:
    inside = f"{table}." if table else ""
    for name in fields:
        if name.casefold().replace("-", "_") in ("api_key", "apikey", "key", "secret", "token"):
            raise CannotStart(_no_key_here(file, f"{inside}{name}", table))
        if name not in known:
            close = _close(name, known) or f"; there are {', '.join(known)}"
            raise CannotStart(f"{file}: {inside}{name} is no setting{close}")


def _no_key_here(file: Path, where: str, table: str) -> str:
    name = table.rpartition(".")[2] or "NAME"
    return (
        f"{file}: {where}: a key must not stand in this file. Take it out, and write instead one "
        f"of:\n  keyring = true            then run: seedance key set --profile {name}\n"
        f'  key_file = "{name}.key"     a file of its own, that only you can read\n'
        '  key_env = "MY_VARIABLE"   a variable of the environment'
    )


def _close(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text that is not empty")
    return value.strip()


def _url(value: Any) -> str:
    from seedance_async.account import address  # noqa: PLC0415 -- brings in the wire

    try:
        return address(_text(value))[0]
    except ValueError as error:
        raise ValueError(str(error).replace("base_url (or SEEDANCE_BASE_URL)", "it")) from None


def _path(value: Any) -> Path:
    return Path(_text(value))


def _publish(value: Any) -> str:
    text = _text(value)
    if text != "emulator" and not text.startswith("s3://"):
        raise ValueError("takes a bucket, s3://bucket/prefix, or the word emulator")
    return text


def _keyring(value: Any) -> tuple[str, str] | None:
    """Read ``true``, for names of our own, or ``"SERVICE/USER"``."""
    if value is True:
        return None
    service, slash, user = value.rpartition("/") if isinstance(value, str) else ("", "", "")
    if not slash or not service or not user:
        raise ValueError('must be true, or "SERVICE/USER"')
    return service, user


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or value < least:
            raise ValueError(f"must be a whole number, {least} or more")
        return value

    return read


def _rate(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise ValueError("must be a number above 0")
    return float(value)


def _prices(value: Any) -> Mapping[str, Any]:
    from seedance_async.budget import PriceTable  # noqa: PLC0415 -- brings in the rules

    if not isinstance(value, dict):
        raise ValueError("must be a table")  # noqa: TRY004 -- told like all that is wrong
    PriceTable.from_mapping(value)
    return value


_SETTINGS: Mapping[str, Callable[[Any], Any]] = {
    "max_in_flight": _whole(1),
    "creates_per_minute": _rate,
    "publish": _publish,
    "confirm_above": _whole(0),
    "prices": _prices,
}
_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "base_url": _url,
    "key_env": _text,
    "key_file": _path,
    "keyring": _keyring,
    **_SETTINGS,
}
