"""What makes local files public for an emulator: puts them on its shelf."""

from __future__ import annotations

import asyncio
import secrets
from http import HTTPStatus

import aiohttp

from seedance_async.errors import PublishError
from seedance_async.publication import LocalFile, Published

_TIMEOUT = aiohttp.ClientTimeout(total=60)


class EmulatorPublisher:
    """Publishes local files at an emulator, for runs that touch nothing but this machine.

    Args:
        base_url: Where the emulator listens.
        api_key: The key that it asks for.
    """

    def __init__(self, base_url: str, api_key: str = "emulator") -> None:
        self._base_url, self._api_key = base_url.rstrip("/"), api_key
        # An emulator forgets when it ends, and a journal does not.
        self._run = secrets.token_hex(4)

    @property
    def name(self) -> str:
        """The emulator's address, and this publisher's own mark."""
        return f"emulator at {self._base_url} ({self._run})"

    async def publish(self, file: LocalFile) -> Published:
        """Put a file on the emulator's shelf.

        Raises:
            PublishError: The emulator does not take it.
        """
        content = await asyncio.to_thread(file.path.read_bytes)
        headers = {"Authorization": f"Bearer {self._api_key}", "Content-Type": file.media_type}
        url = f"{self._base_url}/files/{file.object_name}"
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as http,
            http.put(url, data=content, headers=headers) as answer,
        ):
            if answer.status != HTTPStatus.CREATED:
                why = f"HTTP {answer.status}"
                raise PublishError(f"{self._base_url} does not take {file.path.name}: {why}")
            lifetime_s = (await answer.json())["lifetime_s"]
        return Published(url, lifetime_s)
