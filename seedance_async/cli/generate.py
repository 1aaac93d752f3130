"""``seedance generate``: one video, from the words to the file."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from cyclopts import Parameter

from seedance_async.cli import exits, folder
from seedance_async.cli.interrupt import stoppable
from seedance_async.cli.options import WAIT_S, Flag, Repeated, check_timeout
from seedance_async.cli.progress import SingleProgress
from seedance_async.cli.service import Service
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import (
    AuthenticationError,
    InsufficientBalance,
    InvalidRequest,
    SeedanceError,
    SubmissionUnknown,
    WaitTimeout,
)
from seedance_async.lifecycle import JobState
from seedance_async.request import VideoRequest

if TYPE_CHECKING:
    from seedance_async.session import SeedanceSession

_STOPPING = "stopping: a create on the wire is finished first; Ctrl-C again to leave it"


def generate(
    prompt: str,
    /,
    *,
    model: str = "seedance_2_0_pro",
    duration: int = 5,
    aspect_ratio: str = "16:9",
    generate_audio: Annotated[bool, Parameter(negative="--no-audio")] = True,
    first_image: str | None = None,
    last_image: str | None = None,
    reference_image: Repeated = None,
    reference_video: Repeated = None,
    reference_audio: Repeated = None,
    waive: Repeated = None,
    out: Path | None = None,
    timeout: float = WAIT_S,
    emulate: Flag = False,
    speed: float | None = None,
) -> int:
    """Make one video and bring it to disk.

    Parameters
    ----------
    prompt
        What the video shows.
    model
        One of seedance_2_0_pro, seedance_2_0_fast_pro, seedance_2_0, seedance_2_0_fast.
    duration
        Seconds, 4 to 15.
    aspect_ratio
        16:9, 4:3, 1:1, 3:4, 9:16, 21:9 or adaptive.
    generate_audio
        Whether the video has a sound track.
    first_image
        The first frame; not together with references.
    last_image
        The last frame; only with a first.
    reference_image
        Something to go by; may be given up to 9 times.
    reference_video
        Up to 3 times.
    reference_audio
        Up to 3 times.
    waive
        The id of a rule that is not to be checked; may be repeated.
    out
        The file to write, or a folder that is there; <task id>.mp4 if not given.
    timeout
        Seconds to wait at the most after the submission; the task lives on.
    emulate
        Ask an emulator in this process: no key, no money, test pictures.
    speed
        With --emulate: how many times as fast as real; 60 if not given.
    """
    service = Service.of(emulate, speed)
    order = _Order(
        request=_request(
            model=model,
            prompt=prompt,
            duration=duration,
            aspect_ratio=aspect_ratio,
            generate_audio=generate_audio,
            first_image=first_image,
            last_image=last_image,
            reference_images=reference_image or (),
            reference_videos=reference_video or (),
            reference_audios=reference_audio or (),
            waive=waive or (),
        ),
        out=out,
        timeout_s=check_timeout(timeout),
    )
    return asyncio.run(_run(service, order, Terminal()))


@attrs.frozen(kw_only=True)
class _Order:
    request: VideoRequest
    out: Path | None
    timeout_s: float

    def path(self, task_id: str) -> Path:
        """Name the file; the provider's id must not choose the folder."""
        name = f"{re.sub(r'[^A-Za-z0-9_-]', '-', task_id)}.mp4"
        if self.out is None:
            return Path(name)
        return self.out / name if self.out.is_dir() else self.out


def _request(**fields: Any) -> VideoRequest:
    try:
        return VideoRequest(**fields)
    except InvalidRequest as invalid:
        raise exits.CannotStart(_all_faults(invalid)) from invalid


def _all_faults(invalid: InvalidRequest) -> str:
    faults = "\n".join(f"  {violation}" for violation in invalid.violations)
    return f"invalid, nothing was sent:\n{faults}"


async def _run(service: Service, order: _Order, terminal: Terminal) -> int:
    with stoppable(lambda: terminal.say(_STOPPING)) as stop:
        async with service.session() as session:
            folder.prepare(order.path("video").parent)
            if service.notice:
                terminal.say(service.notice)
            code = exits.OK
            with stop.work():
                code = await _make(session, order, terminal)
            if stop.signum is not None:
                if not service.emulate:
                    await _tell_what_is_left(session, terminal)
                code = exits.interrupted(stop.signum)
    return code


async def _make(session: SeedanceSession, order: _Order, terminal: Terminal) -> int:
    progress = SingleProgress(terminal)
    try:
        with session.subscribe(progress.note), progress.shown():
            video = await session.generate(order.request, timeout_s=order.timeout_s)
            path = await video.download(order.path(video.id))
    except InvalidRequest as invalid:
        raise exits.CannotStart(_all_faults(invalid)) from invalid
    except SeedanceError as error:
        terminal.say(_explained(error), style="red")
        refused = isinstance(error, AuthenticationError | InsufficientBalance)
        return exits.REFUSED if refused and error.task_id is None else exits.SOME_FAILED
    terminal.give(str(path))
    return exits.OK


def _explained(error: SeedanceError) -> str:
    if isinstance(error, SubmissionUnknown):
        return f"UNKNOWN, may have been paid for: {error}"
    if isinstance(error, WaitTimeout):
        return f"not ready yet: {error}; the task lives on and may be paid for: keep its id"
    return f"failed: {error}"


async def _tell_what_is_left(session: SeedanceSession, terminal: Terminal) -> None:
    async for job in session.jobs():
        if job.state is JobState.COMPLETED:
            terminal.say(f"stopped: the video is made, but not on disk (task {job.task_id})")
        elif job.task_id is not None and job.state is JobState.SUBMITTED:
            terminal.say(f"stopped: task {job.task_id} lives on and may be paid for: keep its id")
        elif job.state in (JobState.SUBMITTING, JobState.UNKNOWN):
            terminal.say(
                "stopped while the create was on its way: a task may exist and be paid for; look "
                "for it in the provider's billing",
                style="bold red",
            )
        else:
            terminal.say("stopped: nothing was sent")
