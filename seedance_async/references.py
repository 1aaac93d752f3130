"""What a media reference may look like: a public URL or ``asset://<assetId>``, judged as text.

Tells the local paths from these that a session may publish. Fetches nothing, opens nothing, and
never quotes a reference: it may be signed.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from seedance_async.hosts import is_public

ASSET_SCHEME = "asset://"


def problem(value: Any) -> str | None:
    """Say why *value* is no media reference and what to write instead; None if it is one.

    Source: contract rule ``media.reference``.
    """
    if not isinstance(value, str):
        return f"must be a public URL or asset://<assetId> as text, not {kind(value)}"
    if value.startswith(ASSET_SCHEME):
        asset_id = value.removeprefix(ASSET_SCHEME)
        if asset_id and not any(char in " /?#" or not char.isprintable() for char in asset_id):
            return None
        return "has no valid asset id: write asset://<assetId> as the asset library gave it"
    try:
        url = urlsplit(value)
        valid_port = url.port != 0
    except ValueError:
        return "is not a valid URL: check its host and port"
    if url.scheme not in ("http", "https"):
        return _scheme_problem(value, url.scheme)
    if not url.hostname or not valid_port or not _has_sound_labels(url.hostname):
        return "is a URL without a valid host: write it in full, https://host/path"
    if "@" in url.netloc:
        return "carries credentials in its host part: use a URL that needs none"
    if "\\" in value or any(char == " " or not char.isprintable() for char in value):
        return "has white space, a backslash or a control character in it: percent-encode it"
    return None


def is_local(value: Any) -> bool:
    """Tell whether *value* is the path of a local file, there or not, as opposed to any URL."""
    if not isinstance(value, str) or not value.strip() or value.startswith("//"):
        return False
    try:
        scheme = urlsplit(value).scheme
    except ValueError:
        return False
    # A one-letter scheme is a Windows drive; a bare path has none at all.
    return len(scheme) <= 1 and "\0" not in value


def spelled(path: str) -> str:
    """Spell a path so that nobody can take it for a URL: one with a colon in its first name."""
    if path.startswith("//"):  # which to most systems means the same
        path = f"/{path.lstrip('/')}"
    return path if is_local(path) or not path else f"./{path}"


def _has_sound_labels(host: str) -> bool:
    """Tell whether a host's labels have lengths that DNS allows (RFC 1035); the last dot may be."""
    return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))  # noqa: PLR2004


def _scheme_problem(value: str, scheme: str) -> str:
    if not value.strip():
        return "is empty: give a public URL or asset://<assetId>, or leave the field out"
    if value.startswith("//"):
        return "is a URL without a scheme: write https: in front of it"
    if scheme == "assetid":
        return "has the historic spelling assetId://: write asset://<assetId>"
    if len(scheme) <= 1:
        return (
            "is a local path, which the provider cannot fetch: give the session a publisher, or "
            "use a public http(s) URL or asset://<assetId>"
        )
    what = f"has the scheme {scheme[:20]}:" if scheme != "data" else "is a data: URL"
    instead = "a public http(s) URL or asset://<assetId>"
    if scheme == "file":
        what, instead = "is a file: URL", f"{instead}, or its plain path and a publisher"
    return f"{what}, which the provider cannot fetch: use {instead}"


def may_be_public(reference: str) -> bool:
    """Tell whether the provider could reach what *reference* points to.

    Source: contract rule ``media.public``.
    """
    if reference.startswith(ASSET_SCHEME):
        return True
    try:
        host = urlsplit(reference).hostname
    except ValueError:
        return True
    return host is None or is_public(host)


def kind(value: Any) -> str:
    """Name the kind of a value that has the wrong one, in words of JSON."""
    kinds = {type(None): "null", bool: "a boolean", str: "text", float: "a number with a fraction"}
    return kinds.get(type(value), f"{type(value).__name__}")
