"""Where workers keep finished videos: a folder, or a bucket that speaks S3."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

import anyio

from seedance_async.download import prepare_folder
from seedance_async.errors import DownloadError, PublishError
from seedance_async.results import Video


class Sink(Protocol):
    """Keeps videos; of the same name it keeps the last."""

    async def keep(self, video: Video, name: str) -> tuple[str, int]:
        """Bring a video to where it is kept, whole or not at all.

        Args:
            video: The video, still at the provider.
            name: The file's name, another for each video.

        Returns:
            Where it is, for people and programs, and its size in bytes.

        Raises:
            SeedanceError: It could not be; it is tried again.
        """


class LocalFolder:
    """Keeps videos in a folder that this worker can write, and others may share.

    Args:
        folder: The folder; made if it is missing.

    Raises:
        DownloadError: It cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder: Path = Path(folder).absolute()
        prepare_folder(self.folder)

    def __repr__(self) -> str:
        return f"LocalFolder({str(self.folder)!r})"

    async def keep(self, video: Video, name: str) -> tuple[str, int]:
        """Download a video into the folder."""
        path = await video.download(self.folder / name)
        return str(path), (await anyio.Path(path).stat()).st_size


class S3Folder:
    """Keeps videos in a bucket; needs the extra ``s3``.

    Args:
        bucket: Where to, as ``s3://bucket`` or ``s3://bucket/prefix``.
        config: Settings of obstore's ``S3Config``, as ``S3Publisher`` takes them.

    Raises:
        ValueError: The bucket's URL or the endpoint cannot be right.
    """

    def __init__(self, bucket: str, **config: Any) -> None:
        from seedance_async.s3 import Bucket  # noqa: PLC0415 -- an extra of its own

        self._bucket = Bucket(bucket, config)

    def __repr__(self) -> str:
        return f"S3Folder({self._bucket.url!r})"

    async def keep(self, video: Video, name: str) -> tuple[str, int]:
        """Bring a video into the bucket, by way of this machine's disk."""
        with tempfile.TemporaryDirectory(prefix="seedance-") as folder:
            path = await video.download(Path(folder) / name)
            size_bytes = (await anyio.Path(path).stat()).st_size
            try:
                await self._bucket.put(name, path, "video/mp4")
            except PublishError as exc:
                raise DownloadError(exc.message, video.id) from exc
        return f"{self._bucket.url}/{name}", size_bytes


def as_sink(given: Sink | str | os.PathLike[str]) -> Sink:
    """Take a sink, or make one of a folder's path or of ``s3://bucket/prefix``."""
    if isinstance(given, str) and given.startswith("s3://"):
        return S3Folder(given)
    return LocalFolder(given) if isinstance(given, str | os.PathLike) else given
