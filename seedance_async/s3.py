"""A publisher for buckets that speak S3: Amazon's, MinIO, Cloudflare R2... Extra ``s3``."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from urllib.parse import urlsplit

from seedance_async import wire
from seedance_async.errors import PublishError
from seedance_async.publication import LocalFile, Published

try:
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError
    from obstore.store import S3Store
except ImportError as exc:
    raise ImportError(
        "publishing in an S3 bucket needs obstore: pip install 'seedance-async[s3]'"
    ) from exc

_DAY_S = 86_400.0
_LONGEST_S = 7 * _DAY_S  # Source: Amazon's documentation of Signature Version 4
# obstore's own are ten times in three minutes: a job would wait so long for a name misspelt.
_RETRIES: Any = {"max_retries": 4, "retry_timeout": dt.timedelta(seconds=60)}


class S3Publisher:
    """Publishes in a bucket, by a presigned URL; the bucket may be private.

    An object is named by its content, and not sent again where it is there already. Nothing is
    ever deleted: have a lifecycle rule of the bucket do that, some days after *lifetime_s*.

    Args:
        bucket: Where to, as ``s3://bucket`` or ``s3://bucket/prefix``.
        lifetime_s: For how many seconds a URL can be fetched, 1 to 604,800 (seven days). One that
            is signed with temporary credentials ends with these, if that is earlier.
        config: Settings of obstore's ``S3Config``, such as ``endpoint``, ``region``,
            ``access_key_id``, ``secret_access_key``. What is not given comes from the environment
            (``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``...), as obstore documents.

    Raises:
        ValueError: The bucket's URL or the lifetime cannot be right.
    """

    def __init__(self, bucket: str, *, lifetime_s: float = _DAY_S, **config: Any) -> None:
        url = urlsplit(bucket)
        if url.scheme != "s3" or not url.netloc or url.query:
            raise ValueError("bucket must be a URL such as s3://bucket/prefix")
        if not 1 <= lifetime_s <= _LONGEST_S:
            raise ValueError(f"lifetime_s must be 1 to {_LONGEST_S:g} seconds, not {lifetime_s!r}")
        self._lifetime_s = float(int(lifetime_s))
        # Without an endpoint it is HTTPS in any case.
        options: Any = {"allow_http": True, **config.pop("client_options", {})}
        self._store = S3Store(
            url.netloc,
            prefix=url.path.strip("/") or None,
            retry_config=_RETRIES,
            client_options=options,
            **config,
        )
        self._where = bucket.rstrip("/")

    @property
    def name(self) -> str:
        """The bucket's URL, with its endpoint."""
        endpoint = self._store.config.get("endpoint")
        return f"{self._where} at {endpoint}" if endpoint else self._where

    def __repr__(self) -> str:
        return f"S3Publisher({self.name!r})"

    async def publish(self, file: LocalFile) -> Published:
        """Send a file, unless it is there, and sign a URL for it.

        Raises:
            PublishError: The bucket does not take it.
        """
        name, lifetime = file.object_name, dt.timedelta(seconds=self._lifetime_s)
        try:
            if not await self._has(name, file.size_bytes):
                attributes: Any = {"Content-Type": file.media_type}
                await self._store.put_async(name, file.path, attributes=attributes)
            url = await obstore.sign_async(self._store, "GET", name, lifetime)
        except (BaseError, OSError) as exc:
            message = f"{self.name} does not take {file.path.name}: {_words(exc)}"
            raise PublishError(message) from exc
        return Published(url, self._lifetime_s)

    async def _has(self, name: str, size_bytes: int) -> bool:
        try:
            there = await self._store.head_async(name)
        except (FileNotFoundError, PermissionDeniedError):  # who may write need not be let look
            return False
        return there["size"] == size_bytes


def _words(exc: Exception) -> str:
    """Give what a person has to know of obstore's long words."""
    text = str(exc).partition("\n\nDebug source")[0]
    if "//169.254.169.254/" in text:  # where it looks for credentials when it has none
        return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    said = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    return f"{said[1]}, {said[2]}" if said else wire.clip(text)
