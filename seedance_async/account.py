"""Whose account, and where: the API key and the base URL, from the caller or the environment.

The one place that reads the environment. The key is checked for being able to stand in a header
and is shown by no repr.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import attrs

from seedance_async.errors import AuthenticationError
from seedance_async.hosts import is_public
from seedance_async.wire import DEFAULT_BASE_URL


@attrs.frozen(kw_only=True, eq=False)
class Account:
    """Where to send and with which key.

    Attributes:
        api_key: The key, without white space around it.
        base_url: Where the API is, without a slash at its end.
        is_public: Whether that could be a host on the internet.
    """

    api_key: str = attrs.field(repr=False)
    base_url: str
    is_public: bool

    @property
    def service(self) -> str:
        """Where tasks are made, for telling one service's ids from another's."""
        # An emulator has another port each time, and a gateway may have one.
        return urlsplit(self.base_url).hostname or "" if self.is_public else "a private address"

    @classmethod
    def of(cls, api_key: str | None, base_url: str | None) -> Account:
        """Take what the caller gave, and from the environment what they did not.

        Raises:
            AuthenticationError: There is no key, or it can be none.
            ValueError: The base URL can be none.
        """
        key = _checked_key(api_key or os.environ.get("SEEDANCE_API_KEY", ""))
        url, public = address(base_url)
        return cls(api_key=key, base_url=url, is_public=public)


def address(base_url: str | None = None) -> tuple[str, bool]:
    """Give the base URL, without a slash at its end, and whether it could be a public host.

    Raises:
        ValueError: It can be none.
    """
    url = base_url or os.environ.get("SEEDANCE_BASE_URL") or DEFAULT_BASE_URL
    return url.rstrip("/"), is_public(_checked_host(url))


def _checked_key(api_key: str) -> str:
    if not isinstance(api_key, str):
        raise TypeError(f"api_key must be text, not {type(api_key).__name__}")
    key = api_key.strip()
    if not key:
        raise AuthenticationError("no API key: set SEEDANCE_API_KEY or pass api_key")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AuthenticationError("the API key has characters in it that no key has")
    return key


def _checked_host(base_url: str) -> str:
    try:
        url = urlsplit(base_url)
        valid_port = url.port != 0
    except ValueError:
        url, valid_port = urlsplit(""), False
    if url.scheme not in ("http", "https") or not url.hostname or not valid_port:
        raise ValueError("base_url (or SEEDANCE_BASE_URL) is no URL: write it as https://host/path")
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError("base_url (or SEEDANCE_BASE_URL) takes no credentials, query or fragment")
    return url.hostname
