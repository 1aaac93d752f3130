"""A publisher for buckets that speak S3: Amazon's, MinIO, Cloudflare R2... Extra ``s3``."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seedance_async import local, wire
from seedance_async.errors import PublishError
from seedance_async.publication import LocalFile, Published

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store
except ImportError as _missing:
    raise ImportError(
        "publishing in an S3 bucket needs obstore: pip install 'seedance-async[s3]'"
    ) from _missing

_DAY_S = 86_400.0
_LONGEST_S = 7 * _DAY_S  # Source: Amazon's documentation of Signature Version 4
# Credentials that end are good for an hour as a rule, and what they signed ends with them.
_TOKEN_S = 3600.0
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", re.ASCII)
# For slow lines: obstore sends parts of 5 MB, by itself twelve at a time and each in 30 s.
_AT_ONCE = 2
_OPTIONS = {"timeout": "5 minutes", "connect_timeout": "15 seconds", "allow_http": True}
# obstore's own are ten times in three minutes; a name misspelt should be told sooner.
_RETRIES: Any = {"max_retries": 4, "retry_timeout": dt.timedelta(minutes=10)}


class Bucket:
    """A bucket, or a part of one: what is put there, and for whom.

    Args:
        bucket: Where, as ``s3://bucket`` or ``s3://bucket/prefix``.
        config: Settings of obstore's ``S3Config``; what is not given comes from the environment.

    Raises:
        ValueError: The URL or the endpoint cannot be right.
    """

    def __init__(self, bucket: str, config: Mapping[str, Any]) -> None:
        where, _, prefix = bucket.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        if not bucket.startswith("s3://") or not _BUCKET.fullmatch(where) or not _is_prefix(prefix):
            raise ValueError("bucket must be a URL such as s3://bucket/prefix")
        given: Any = {**config, "client_options": {**_OPTIONS, **config.get("client_options", {})}}
        self._store = S3Store(where, prefix=prefix or None, retry_config=_RETRIES, **given)
        self._endpoint = self._setting("endpoint_url_s3", "endpoint_url", "endpoint")
        _check_endpoint(self._endpoint)
        self.url: str = f"s3://{where}/{prefix}".rstrip("/")

    def _setting(self, *names: str) -> str | None:
        """Give what obstore goes by: what it was given, or the environment."""
        given: Any = self._store.config
        told = (given.get(name) or os.environ.get(f"AWS_{name.upper()}") for name in names)
        return next(filter(None, told), None)

    @property
    def is_temporary(self) -> bool:
        """Whether what signs for it may end soon."""
        return bool(self._setting("session_token") or not self._setting("access_key_id"))

    @property
    def name(self) -> str:
        """The bucket's URL, with its endpoint."""
        return f"{self.url} at {self._endpoint}" if self._endpoint else self.url

    async def put(self, name: str, path: Path, media_type: str) -> None:
        """Send a file.

        Raises:
            PublishError: The bucket does not take it.
        """
        attributes: Any = {"Content-Type": media_type}
        with self._telling(path.name):
            await self._store.put_async(name, path, attributes=attributes, max_concurrency=_AT_ONCE)

    async def sign(self, name: str, lifetime_s: float) -> str:
        """Give a URL by which anybody can fetch what was put under *name*.

        Raises:
            PublishError: It cannot be signed.
        """
        with self._telling(name):
            return await obstore.sign_async(
                self._store, "GET", name, dt.timedelta(seconds=lifetime_s)
            )

    @contextlib.contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as exc:
            message = f"{self.name} does not take {local.shown(name)}: {_words(exc)}"
            raise PublishError(message) from exc


class S3Publisher:
    """Publishes in a bucket, by a presigned URL; the bucket may be private.

    An object is named by its content. Nothing is ever deleted: have a lifecycle rule of the bucket
    do that, some days after *lifetime_s*.

    Args:
        bucket: Where to, as ``s3://bucket`` or ``s3://bucket/prefix``.
        lifetime_s: For how many seconds a URL can be fetched, 1 to 604,800 (seven days). Temporary
            credentials (a session token, or none that this can see) are trusted for an hour.
        config: Settings of obstore's ``S3Config``, such as ``endpoint``, ``region``,
            ``access_key_id``, ``secret_access_key``. What is not given comes from the environment
            (``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``...), as obstore documents.

    Raises:
        ValueError: The bucket's URL, the endpoint or the lifetime cannot be right.
    """

    def __init__(self, bucket: str, *, lifetime_s: float = _DAY_S, **config: Any) -> None:
        self._bucket = Bucket(bucket, config)
        if not 1 <= lifetime_s <= _LONGEST_S:
            raise ValueError(f"lifetime_s must be 1 to {_LONGEST_S:g} seconds, not {lifetime_s!r}")
        self._lifetime_s = float(int(lifetime_s))
        if self._bucket.is_temporary:
            self._lifetime_s = min(self._lifetime_s, _TOKEN_S)

    @property
    def name(self) -> str:
        """The bucket's URL, with its endpoint."""
        return self._bucket.name

    def __repr__(self) -> str:
        return f"S3Publisher({self.name!r})"

    async def publish(self, file: LocalFile) -> Published:
        """Send a file, and sign a URL for it.

        It is sent though it may be there: what is old may be about to be deleted.

        Raises:
            PublishError: The bucket does not take it.
        """
        await self._bucket.put(file.object_name, file.path, file.media_type)
        url = await self._bucket.sign(file.object_name, self._lifetime_s)
        return Published(url, self._lifetime_s)


def _is_prefix(prefix: str) -> bool:
    names = prefix.split("/") if prefix else []
    return not {"", ".", ".."} & {*names} and not {"?", "#"} & {*prefix}


def _check_endpoint(endpoint: str | None) -> None:
    """Check what obstore itself takes for a bug of its own."""
    if endpoint is None:
        return
    try:
        url = urlsplit(endpoint)
        is_sound = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_sound, url = False, urlsplit("")
    if not is_sound or "@" in url.netloc:
        raise ValueError(
            "endpoint (or AWS_ENDPOINT_URL) must be a URL such as https://minio.example.com, "
            "without credentials"
        )


def _words(exc: Exception) -> str:
    """Give what a person has to know of obstore's long words."""
    text = str(exc).partition("\n\nDebug source")[0]
    if "//169.254.169.254/" in text:  # where it looks for credentials when it has none
        return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    said = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    return f"{said[1]}, {said[2]}" if said else wire.clip(text)
