"""The one server for all clients: counts calls, answers from prebuilt bytes, decides nothing else.

Speaks just enough HTTP/1.1 (keep-alive, pipelining, Content-Length), so that it never is what
limits a client. A task is done at its POLLS-th query, whichever API it was made through.

    python server.py POLLS   # prints its port, serves until its standard input is closed
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from typing import Any, NamedTuple

JSON = dict[str, Any]
# Of the length of a real one, so that answers are of equal length and memory is honest.
NUMBERED = b"video_00000000-0000-4000-8000-%012d"
ID = NUMBERED % 0


class Api(NamedTuple):
    """What one provider answers, with a ``%s`` where the task's id stands."""

    created: bytes
    running: bytes
    done: bytes


def answer(body: JSON) -> bytes:
    content = json.dumps(body).encode()
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Date: Mon, 01 Jun 2026 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n" % len(content)
    )
    return (head + content).replace(ID, b"%s")


def api(base: JSON, *, running: JSON, done: JSON, created: JSON | None = None) -> Api:
    return Api(*(answer(base | change) for change in (created or {}, base | running, base | done)))


TASK = ID.decode()
URL = "https://videos.example/2026/06/01/a-cat-dancing-in-the-rain.mp4"
WHEN = "2026-06-01T00:00:00Z"

SEEDANCE = api(
    {
        "id": TASK,
        "object": "video",
        "created": 1780272000,
        "model": "seedance_2_0_pro",
        "status": "queued",
        "error": None,
    },
    running={"status": "processing", "video_url": None},
    done={
        "status": "completed",
        "video_url": URL,
        "actualDuration": 5.0,
        "totalTokens": 108900,
    },
)
OPENAI = api(
    {
        "id": TASK,
        "object": "video",
        "created_at": 1780272000,
        "model": "sora-2",
        "status": "queued",
        "progress": 0,
        "seconds": "4",
        "size": "720x1280",
        "error": None,
    },
    running={"status": "in_progress", "progress": 50},
    done={"status": "completed", "progress": 100, "completed_at": 1780272090},
)
RUNWAY = api(
    {"id": TASK, "createdAt": WHEN, "status": "PENDING"},
    running={"status": "RUNNING", "progress": 0.5},
    done={"status": "SUCCEEDED", "output": [URL]},
)
REPLICATE = api(
    {
        "id": TASK,
        "model": "a/video",
        "version": "hidden",
        "status": "starting",
        "input": {"prompt": "A cat dancing in the rain"},
        "output": None,
        "logs": "",
        "error": None,
        "created_at": WHEN,
        "urls": {"get": f"/v1/predictions/{TASK}", "cancel": f"/v1/predictions/{TASK}/cancel"},
    },
    running={"status": "processing"},
    done={"status": "succeeded", "output": URL, "completed_at": WHEN},
)
ARK = api(
    {"id": TASK},
    running={"model": "seedance", "status": "running", "created_at": 1780272000},
    done={
        "model": "seedance",
        "status": "succeeded",
        "content": {"video_url": URL},
        "usage": {"completion_tokens": 108900, "total_tokens": 108900},
        "created_at": 1780272000,
        "updated_at": 1780272090,
    },
)


def fal(port: int) -> Api:
    """Give fal's answers, which name the addresses to ask next."""
    base = f"http://127.0.0.1:{port}/fal-ai/video/requests/{TASK}"
    return api(
        {
            "request_id": TASK,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
            "status": "IN_QUEUE",
            "queue_position": 1,
        },
        running={"status": "IN_PROGRESS", "logs": None},
        done={"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 90.0}},
    )


FAL_RESULT = answer({"video": {"url": URL}, "seed": 1, "request_id": TASK})
# Both where a task is made and where it is asked for: no two APIs share a path.
PATHS = {
    b"/v1/kyyvideo2/videos": SEEDANCE,
    b"/v1/result": SEEDANCE,
    b"/v1/videos": OPENAI,
    b"/v1/text_to_video": RUNWAY,
    b"/v1/tasks": RUNWAY,
    b"/v1/predictions": REPLICATE,
    b"/v1/models/a/video/predictions": REPLICATE,
    b"/api/v3/contents/generations/tasks": ARK,
}
FAL_CREATE, FAL_QUERY = b"/fal-ai/video", b"/fal-ai/video/requests"


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class State:
    """All tasks, and how many calls there were."""

    def __init__(self, polls: int) -> None:
        self.polls = polls
        self.asked: dict[bytes, int] = {}
        self.numbers = itertools.count()
        self.calls = self.creates = self.polled = 0
        self.paths: dict[bytes, Api] = dict(PATHS)

    def stats(self) -> bytes:
        return answer({"calls": self.calls, "creates": self.creates, "polled": self.polled})

    def create(self, path: bytes) -> bytes:
        self.creates += 1
        task_id = NUMBERED % next(self.numbers)
        self.asked[task_id] = 0
        return self.paths[path].created.replace(b"%s", task_id)

    def query(self, path: bytes) -> bytes:
        base, _, task_id = path.rpartition(b"/")
        if base == FAL_QUERY:
            self.count(task_id)
            return FAL_RESULT.replace(b"%s", task_id)
        if task_id == b"status":
            base, _, task_id = base.rpartition(b"/")
            # Its result is one more call: together they are as many as with the others.
            is_done = self.count(task_id) >= self.polls - 1
        else:
            is_done = self.count(task_id) >= self.polls
        told = self.paths[base].done if is_done else self.paths[base].running
        return told.replace(b"%s", task_id)

    def count(self, task_id: bytes) -> int:
        asked = self.asked[task_id] + 1
        self.polled += asked == 1
        if asked >= self.polls:
            del self.asked[task_id]
        else:
            self.asked[task_id] = asked
        return asked

    def reply(self, method: bytes, path: bytes) -> bytes:
        if path == b"/stats":
            return self.stats()
        self.calls += 1
        try:
            return self.create(path) if method == b"POST" else self.query(path)
        except KeyError:  # no such path, or a task that is over
            return NOT_FOUND


class Connection(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self.state = state
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data, replies = self.rest + data, []
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length, body_at = 0, end + 4
            if not data.startswith(b"GET"):
                length = content_length(data[:body_at])
            if len(data) < body_at + length:
                break
            method, target, _ = data.split(b" ", 2)
            replies.append(self.state.reply(method, target.partition(b"?")[0]))
            data = data[body_at + length :]
        self.rest = data
        if replies:
            self.transport.write(b"".join(replies))


def content_length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"\r\ncontent-length:")
    if not after:
        raise ValueError("a body without a Content-Length")
    return int(after.partition(b"\r\n")[0])


async def main() -> None:
    state = State(int(sys.argv[1]))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    state.paths[FAL_CREATE] = state.paths[FAL_QUERY] = fal(port)
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
