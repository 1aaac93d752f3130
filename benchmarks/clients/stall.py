"""The event loop's longest stalls while a batch runs, by a heartbeat of a millisecond in it.

    python stall.py BASE_URL JOBS IN_FLIGHT INTERVAL_S CLIENT

A stall is the time between two beats less the millisecond. On the wall it has in it whatever else
the machine did meanwhile; in processor time of the loop's thread, it is the client's doing alone.
Between two beats the loop may take many steps, one for each answer that has arrived; the longest
single step is what nobody but its own code can make shorter.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time

from _client import Order, tell

BEAT_S = 0.001
WARM_UP_JOBS = 50


class Heartbeat:
    """Beats until it is stopped; CPU is the loop's thread's, which runs steps and collections."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []
        self.collections_s: list[float] = []
        self.longest_step_s = 0.0
        self.at, self.cpu_at = time.perf_counter(), time.thread_time()
        gc.callbacks.append(self.collected)
        self.time_steps()
        self.next = self.loop.call_later(BEAT_S, self.beat)

    def beat(self) -> None:
        at, cpu_at = time.perf_counter(), time.thread_time()
        self.wall_s.append(at - self.at - BEAT_S)
        self.cpu_s.append(cpu_at - self.cpu_at)
        self.at, self.cpu_at = at, cpu_at
        self.next = self.loop.call_later(BEAT_S, self.beat)

    def time_steps(self) -> None:
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            started = time.thread_time()
            run(handle)
            self.longest_step_s = max(self.longest_step_s, time.thread_time() - started)

        asyncio.Handle._run = timed

    def collected(self, phase: str, _: object) -> None:
        if phase == "start":
            self.collecting_from = time.thread_time()
        else:
            self.collections_s.append(time.thread_time() - self.collecting_from)

    def stop(self) -> None:
        self.next.cancel()
        gc.callbacks.remove(self.collected)


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


async def main() -> None:
    base_url, jobs, in_flight, interval_s, name = sys.argv[1:]
    order = Order(base_url, int(jobs), int(in_flight), float(interval_s))
    client = importlib.import_module(name).client
    async with client(order) as run:
        await run(WARM_UP_JOBS)
        heart = Heartbeat()
        await run(order.jobs)
        heart.stop()
        tell(
            longest_wall_ms=max(heart.wall_s) * 1e3,
            longest_cpu_ms=max(heart.cpu_s) * 1e3,
            p99_wall_ms=p99(heart.wall_s) * 1e3,
            p99_cpu_ms=p99(heart.cpu_s) * 1e3,
            longest_collection_ms=max(heart.collections_s, default=0.0) * 1e3,
            longest_step_ms=heart.longest_step_s * 1e3,
            beats=len(heart.wall_s),
        )


if __name__ == "__main__":
    asyncio.run(main())
