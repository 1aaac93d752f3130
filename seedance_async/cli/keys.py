"""Where the API key comes from, and which address it belongs to. Prints none.

A key and its address come from one place, the profile or the environment: a key of one account
must never be sent to the address of another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from seedance_async.cli import config, debugging
from seedance_async.cli.config import Profile
from seedance_async.cli.exits import CannotStart

_MAX_KEY_FILE_BYTES = 4096  # a key has some dozens of characters


@attrs.frozen(kw_only=True)
class Source:
    """Where the account of a command is from.

    Attributes:
        profile: The profile that has it; None where it is the environment's.
        base_url: Its address; None for the provider's own.
    """

    profile: Profile | None = None
    base_url: str | None = None

    @property
    def words(self) -> str:
        """Where the key is looked for, for a person."""
        if self.profile is None:
            return config.KEY
        if self.profile.key_env is not None:
            return f"{self.profile.key_env} (profile {self.profile.name})"
        if self.profile.key_file is not None:
            return f"{self.profile.key_file} (profile {self.profile.name})"
        return f"the keyring, as {'/'.join(self.profile.keyring or ())}"

    def key(self) -> str:
        """Get the key.

        Raises:
            CannotStart: It is not there, or cannot be had.
        """
        found = self._found()
        debugging.hide(found)
        return found

    def warnings(self) -> Iterator[str]:
        """Tell what is careless about where the key is."""
        file = None if self.profile is None else self.profile.key_file
        if file is not None and os.name == "posix":
            mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                yield f"others can read the key in {file}: chmod 600 {file}"

    def _found(self) -> str:
        profile = self.profile
        if profile is None:
            return _variable(config.KEY, "set it, or name a profile")
        if profile.key_env is not None:
            return _variable(profile.key_env, f"profile {profile.name} takes its key from there")
        if profile.key_file is not None:
            return _read(profile.key_file)
        if profile.keyring is not None:
            return from_keyring(profile)
        raise CannotStart(
            f"{profile.file}: profile {profile.name} does not say where its key is: write "
            f"keyring = true, key_file or key_env into [profiles.{profile.name}]"
        )


def source() -> Source:
    """Tell where the account is from: ``--profile``, the environment, or the file's default.

    Raises:
        CannotStart: It is not clear which account is meant, or the config file cannot be used.
    """
    profile = config.profile()
    given = [name for name in (config.KEY, config.BASE_URL) if os.environ.get(name)]
    has_account = profile.name is not None
    if has_account and not profile.is_told and given:
        if os.environ.get(config.PROFILE):
            raise CannotStart(
                f"which account? {config.PROFILE} names {profile.name}, and {given[0]} is set as "
                f"well: say --profile {profile.name}, or unset one of the two"
            )
        has_account = False  # the file's default gives way to the environment, wholly
    if has_account:
        return Source(profile=profile, base_url=profile.base_url)
    return Source(base_url=os.environ.get(config.BASE_URL) or None)


def from_keyring(profile: Profile) -> str:
    """Get a profile's key from the operating system's keyring.

    Raises:
        CannotStart: It is not there, or there is no keyring.
    """
    service, user = profile.keyring or ("", "")
    with _Keyring() as keyring:
        found: str | None = keyring.get_password(service, user)
    if not found:
        raise CannotStart(
            f"the keyring has no key for profile {profile.name} ({service}/{user}): "
            f"seedance key set --profile {profile.name}"
        )
    return found


def to_keyring(profile: Profile, key: str) -> None:
    """Put a profile's key into the keyring.

    Raises:
        CannotStart: There is no keyring.
    """
    debugging.hide(key)
    with _Keyring() as keyring:
        keyring.set_password(*(profile.keyring or ("", "")), key)


def out_of_keyring(profile: Profile) -> bool:
    """Take a profile's key out of the keyring; whether there was one.

    Raises:
        CannotStart: There is no keyring.
    """
    service, user = profile.keyring or ("", "")
    with _Keyring() as keyring:
        if keyring.get_password(service, user) is None:
            return False
        keyring.delete_password(service, user)
    return True


class _Keyring:
    """The module ``keyring``, with its errors in our words."""

    def __enter__(self) -> Any:
        try:
            import keyring  # noqa: PLC0415 -- an extra
        except ImportError as error:
            hint = "pip install 'seedance-async[keyring]'"
            raise CannotStart(f"the keyring needs the package keyring: {hint}") from error
        return keyring

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or issubclass(kind, CannotStart) or not issubclass(kind, Exception):
            return
        from keyring.errors import KeyringLocked, NoKeyringError  # noqa: PLC0415 -- an extra

        if issubclass(kind, NoKeyringError):
            what = "this system has no keyring that can be used"
        elif issubclass(kind, KeyringLocked):
            what = "the keyring is locked: unlock it first"
        else:
            what = f"the keyring failed ({kind.__name__})"
        instead = 'key_file = "..." or key_env = "..." in the profile do without'
        raise CannotStart(f"{what}; {instead}") from None


def _variable(name: str, hint: str) -> str:
    found = os.environ.get(name, "").strip()
    if not found:
        raise CannotStart(f"no API key: {name} is not set ({hint})")
    return found


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_KEY_FILE_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CannotStart(f"the key file {file} cannot be read: {reason}") from error
    if not text.strip():
        raise CannotStart(f"the key file {file} is empty")
    return text.strip()
