"""A bot that survives its own restart: no question is lost, and none is paid for twice.

    python bot.py 8090

A chat calls the bot over HTTP: POST /asked with {"id": 7, "chat": "cats", "prompt": "A cat"}. It
calls again if it gets no answer. What the bot says in the chat is printed. The question's id makes
the job's key, so a question that comes twice is one job; and after a restart, planned or forced,
every job of the journal goes through the same code once more and stands where it stood.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from aiohttp import web
from anyio.abc import TaskGroup

from seedance_async import (
    InvalidRequest,
    RequestRefused,
    SeedanceError,
    SeedanceSession,
    SubmissionUnknown,
    VideoExpired,
    VideoFailed,
    VideoRequest,
    VideoTask,
)

VIDEOS, ANSWERED = Path("videos"), Path("answered")


def say(chat: str, text: str) -> None:
    """Post in the chat; here, print."""
    print(f"{chat}: {text}", flush=True)


def is_final(error: SeedanceError) -> bool:
    """Tell whether it is no use to try again, or to ask again."""
    is_refused = isinstance(error, RequestRefused) and error.task_id is None
    return is_refused or isinstance(error, VideoFailed | VideoExpired)


class Bot:
    def __init__(self, session: SeedanceSession, group: TaskGroup) -> None:
        self.session = session
        self.group = group
        self.at_work: set[str] = set()

    async def take(self, key: str, request: VideoRequest) -> None:
        """Send the job of *key*, or take it up where it stands; return once its id is on disk."""
        if (ANSWERED / key).exists():
            return
        try:
            task = await self.session.submit(request, key=key)
        except SeedanceError as error:
            self.excuse(key, request, error)
            return
        if key not in self.at_work:
            self.at_work.add(key)
            self.group.start_soon(self.follow, key, request, task)

    async def follow(self, key: str, request: VideoRequest, task: VideoTask) -> None:
        chat = request.metadata["chat"]
        try:
            async for state in task.updates():
                say(chat, f"{key} is {state.status}")
            video = await task.wait()
            path = await video.download(VIDEOS / f"{key}.mp4")
        except SeedanceError as error:
            self.excuse(key, request, error)
        else:
            say(chat, f"here is your video: {path}")
            # Only now: a crash before this line posts the video twice, and loses no video.
            (ANSWERED / key).touch()
        finally:
            self.at_work.discard(key)

    def excuse(self, key: str, request: VideoRequest, error: SeedanceError) -> None:
        chat = request.metadata["chat"]
        if isinstance(error, InvalidRequest):
            say(chat, f"{key} was another question: {error}")
        elif isinstance(error, SubmissionUnknown):
            say(chat, f"{key} got lost on the way; somebody will look into it")
        elif is_final(error):
            say(chat, f"{key} cannot be made: {error}")
            (ANSWERED / key).touch()
        else:
            say(chat, f"{key} has to wait: {error}")  # the next start takes it up


BOT = web.AppKey("bot", Bot)


async def run_bot(app: web.Application) -> AsyncIterator[None]:
    """Keep one session for as long as the app runs, and begin with what the last run left."""
    async with SeedanceSession(journal="bot.sqlite") as session, anyio.create_task_group() as group:
        bot = app[BOT] = Bot(session, group)
        async for job in session.jobs():
            group.start_soon(bot.take, job.key, job.request)
        yield
        group.cancel_scope.cancel()


async def asked(call: web.Request) -> web.Response:
    question = await call.json()
    try:
        request = VideoRequest(
            model="seedance_2_0_fast_pro",
            prompt=question["prompt"],
            metadata={"chat": question["chat"]},
        )
    except InvalidRequest as invalid:
        return web.Response(status=400, text=str(invalid))
    await call.app[BOT].take(f"question-{int(question['id'])}", request)
    return web.Response(status=202)


if __name__ == "__main__":
    ANSWERED.mkdir(exist_ok=True)
    app = web.Application()
    app.cleanup_ctx.append(run_bot)
    app.router.add_post("/asked", asked)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
