"""``seedance generate``: one video, from the words to the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from seedance_async.cli import exits
from seedance_async.cli.options import (
    WAIT_S,
    Flag,
    HyphenFirst,
    OnUnknown,
    Repeated,
    check_timeout,
)

if TYPE_CHECKING:
    from seedance_async.cli.service import Service
    from seedance_async.cli.target import Target
    from seedance_async.request import VideoRequest


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
    key: str | None = None,
    on_unknown: OnUnknown = "leave",
    journal: str | None = None,
    timeout: float = WAIT_S,
    publish: str | None = None,
    review: Flag = False,
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
        The first frame, a URL, asset://ID, or with --publish a file; not together with
        references.
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
    key
        Your own id for the job: the same key again takes it up where it stands, and pays nothing
        twice. Without one, each call makes a new video.
    on_unknown
        What to do with a job of this key of which it is not known whether it was accepted:
        resubmit sends it again and MAY PAY FOR IT TWICE.
    journal
        The record of jobs, a file or a folder; in the folder of the video if not given.
    timeout
        Seconds to wait at the most after the submission; the task lives on.
    publish
        Where the provider can fetch local files from: s3://bucket/prefix. With --emulate the
        emulator takes them.
    review
        Have local files pass the asset library's review, as images with faces must.
    emulate
        Ask an emulator in this process: no key, no money, test pictures.
    speed
        With --emulate: how many times as fast as real; 60 if not given.
    """
    import asyncio

    from seedance_async.cli import journals
    from seedance_async.cli.making import Making, Order
    from seedance_async.cli.service import Service
    from seedance_async.cli.target import Target
    from seedance_async.cli.terminal import Terminal

    service = Service.of(emulate, speed, publish=publish, review=review)
    target = Target.of(out)
    _check_unmixed(target, out, emulated=emulate)
    placed = journals.place(journal, target.folder, emulated=emulate)
    if key is not None:  # without one, each call makes a new video in any journal
        journals.check_whole(journal, placed, target.folder)
    order = Order(
        request=_request(
            service,
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
        key=_checked(key),
        out=out,
        target=target,
        journal=placed,
        on_unknown=on_unknown,
        timeout_s=check_timeout(timeout),
    )
    return asyncio.run(Making(service, order, Terminal()).to_its_end())


def _check_unmixed(target: Target, out: str | None, *, emulated: bool) -> None:
    """Keep test pictures and real videos apart, where the folder is the user's own choice."""
    from seedance_async.cli import journals

    here, file = Path.cwd(), target.file
    if out is not None and target.folder.resolve() != here:
        journals.check_unmixed(target.folder, emulated=emulated)
    if emulated and file and file.exists() and (target.folder / journals.REAL).exists():
        what = f"{file} is there, and {target.folder / journals.REAL} knows of real videos"
        raise exits.CannotStart(f"{what}: choose another --out for a test picture")


def _checked(key: str | None) -> str | None:
    if key is not None and not key.strip():
        raise exits.CannotStart("--key must not be blank")
    return key


def _request(service: Service, **fields: Any) -> VideoRequest:
    from seedance_async.cli import publishing
    from seedance_async.cli.making import all_faults
    from seedance_async.errors import InvalidRequest
    from seedance_async.request import VideoRequest

    try:
        request = VideoRequest(**fields)
        request.check_submission(hosts=service.checks_hosts, takes_files=service.takes_files)
    except InvalidRequest as invalid:
        told = InvalidRequest(publishing.in_our_words(invalid.violations))
        raise exits.CannotStart(all_faults(told)) from invalid
    return request
