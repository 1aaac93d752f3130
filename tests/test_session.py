from __future__ import annotations

import asyncio

import pytest
from conftest import TASK_ID

from seedance_async import *  # noqa: F403
from seedance_async import SeedanceSession, VideoRequest
from seedance_async.emulator import Emulator


async def test_generate_submits_waits_and_returns_the_video(
    session: SeedanceSession, emulator: Emulator, request_: VideoRequest
) -> None:
    video = await session.generate(request_)
    assert video.request is request_
    assert video.actual_duration_s == 5
    assert 60 <= asyncio.get_running_loop().time() <= 200
