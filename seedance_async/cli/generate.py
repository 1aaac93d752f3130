"""``seedance generate``: one video, from the words to the file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from cyclopts import Parameter

from seedance_async.cli import exits, folder, ids
from seedance_async.cli.interrupt import stoppable, stopping
from seedance_async.cli.options import WAIT_S, Flag, HyphenFirst, Repeated, check_timeout
from seedance_async.cli.progress import SingleProgress
from seedance_async.cli.service import Service
from seedance_async.cli.target import Target
from seedance_async.cli.terminal import Terminal
from seedance_async.errors import (
    AuthenticationError,
    InsufficientBalance,
    InvalidRequest,
    SeedanceError,
    SubmissionUnknown,
    VideoFailed,
    WaitTimeout,
)
from seedance_async.lifecycle import JobState
from seedance_async.request import VideoRequest

if TYPE_CHECKING:
    from seedance_async.session import SeedanceSession


def generate(
    prompt: Annotated[str, HyphenFirst],
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
    out: str | None = None,
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
        The file to write, or a folder if it is one or ends with /; <task id>.mp4 if not given.
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
            checks_hosts=service.checks_hosts,
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
        target=Target.of(out),
        timeout_s=check_timeout(timeout),
    )
    return asyncio.run(_run(service, order, Terminal()))


@attrs.frozen(kw_only=True)
class _Order:
    request: VideoRequest
    out: str | None
    target: Target
    timeout_s: float

    def how_to_go_on(self, task_id: str) -> str:
        """Say how to get at a video that may have been paid for."""
        place = () if self.out is None else ("--out", self.out)
        return f"A video is kept for 24 hours. To bring it to disk: {ids.how(task_id, *place)}"


def _request(*, checks_hosts: bool, **fields: Any) -> VideoRequest:
    try:
        request = VideoRequest(**fields)
        if checks_hosts:
            request.check_submission()
    except InvalidRequest as invalid:
        raise exits.CannotStart(_all_faults(invalid)) from invalid
    return request


def _all_faults(invalid: InvalidRequest) -> str:
    faults = "\n".join(f"  {violation}" for violation in invalid.violations)
    return f"invalid, nothing was sent:\n{faults}"


async def _run(service: Service, order: _Order, terminal: Terminal) -> int:
    progress = SingleProgress(terminal)
    with stoppable(lambda: terminal.say(stopping(progress.is_sending))) as stop:
        async with service.session() as session:
            folder.prepare(order.target.folder)
            if service.notice:
                terminal.say(service.notice)
            code = exits.OK
            with stop.work():
                code = await _make(session, order, progress, terminal, emulated=service.emulate)
            if stop.signum is not None:
                if not service.emulate:
                    await _tell_what_is_left(session, order, terminal)
                code = exits.interrupted(stop.signum)
    return code


async def _make(
    session: SeedanceSession,
    order: _Order,
    progress: SingleProgress,
    terminal: Terminal,
    *,
    emulated: bool,
) -> int:
    try:
        with session.subscribe(progress.note), progress.shown():
            video = await session.generate(order.request, timeout_s=order.timeout_s)
            path = await video.download(order.target.path(video.id))
    except InvalidRequest as invalid:
        raise exits.CannotStart(_all_faults(invalid)) from invalid
    except SeedanceError as error:
        terminal.say(_explained(error), style="red")
        # An emulator that ends with the command has nothing left to ask for.
        if error.task_id is not None and not isinstance(error, VideoFailed) and not emulated:
            terminal.say(order.how_to_go_on(error.task_id))
        refused = isinstance(error, AuthenticationError | InsufficientBalance)
        return exits.REFUSED if refused and error.task_id is None else exits.SOME_FAILED
    terminal.give(str(path))
    return exits.OK


def _explained(error: SeedanceError) -> str:
    if isinstance(error, SubmissionUnknown):
        return f"UNKNOWN, may have been paid for: {error}"
    if isinstance(error, WaitTimeout):
        return f"not ready yet: {error}; it may be paid for"
    return f"failed: {error}"


async def _tell_what_is_left(session: SeedanceSession, order: _Order, terminal: Terminal) -> None:
    async for job in session.jobs():
        if job.state is JobState.COMPLETED:
            terminal.say(f"stopped: the video is made, but not on disk (task {job.task_id})")
        elif job.state is JobState.SUBMITTED:
            terminal.say(f"stopped: task {job.task_id} lives on and may be paid for")
        elif job.state in (JobState.SUBMITTING, JobState.UNKNOWN):
            terminal.say(
                "stopped while the create was on its way: a task may exist and be paid for; look "
                "for it in the provider's billing",
                style="bold red",
            )
        elif job.state is JobState.PLANNED:
            terminal.say("stopped: nothing was sent")
        if job.task_id is not None and job.state is not JobState.FAILED:
            terminal.say(order.how_to_go_on(job.task_id))
