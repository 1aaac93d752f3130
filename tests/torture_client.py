"""The client that the torture kills: one batch against an emulator, with a journal and a folder.

Uses public names only, as somebody's own program would. It can kill itself at a record that it
is about to write down, or has just written down, where a kill from outside would be a matter of
luck. Prints how each job ended, one JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from seedance_async import Fixed, Job, JobRecord, Retries, SeedanceSession, VideoRequest
from seedance_async.journal import SqliteJournal

RUN_HEADER = "X-Run"
# Short: what is tested is the outcome, and each kind of failure comes dozens of times.
_RETRIES = Retries(create_patience_s=30, query_patience_s=30, first_s=0.01, cap_s=0.1)
_WAIT_S = 60.0


def prompt(number: int) -> str:
    return f"Cat number {number}."


def jobs(count: int) -> Iterator[Job | VideoRequest]:
    """Give the same jobs each time: every other one without a key of its own."""
    for number in range(1, count + 1):
        request = VideoRequest(
            model="seedance_2_0_fast_pro", prompt=prompt(number), duration=4, generate_audio=False
        )
        yield Job(request=request, key=key(number), name="a cat") if number % 2 else request


def key(number: int) -> str:
    return f"cat-{number}"


class DeadlyJournal(SqliteJournal):
    """A journal whose process is dead before, or after, a certain record is written down."""

    def __init__(self, path: Path, *, when: str, what: str, whose: str) -> None:
        super().__init__(path)
        self._when, self._what, self._whose = when, what, whose

    async def plan(self, record: JobRecord) -> JobRecord:
        self._meet("before", record)
        known = await super().plan(record)
        self._meet("after", record)
        return known

    async def put(self, record: JobRecord) -> None:
        self._meet("before", record)
        await super().put(record)
        self._meet("after", record)

    def _meet(self, when: str, record: JobRecord) -> None:
        what = "downloaded" if record.path is not None else record.state
        if (when, what, record.key) == (self._when, self._what, self._whose):
            os.kill(os.getpid(), signal.SIGKILL)


async def run(args: argparse.Namespace, journal: Path | SqliteJournal) -> None:
    async with (
        aiohttp.ClientSession(headers={RUN_HEADER: str(args.run)}) as http,
        SeedanceSession(
            base_url=args.base_url,
            journal=journal,
            pacing=Fixed(args.pacing_s),
            retries=_RETRIES,
            timeout=aiohttp.ClientTimeout(total=args.timeout_s, connect=args.timeout_s * 0.8),
            http=http,
        ) as session,
        session.batch(
            jobs(args.jobs), max_in_flight=args.in_flight, timeout_s=_WAIT_S, out_dir=args.out
        ) as outcomes,
    ):
        async for outcome in outcomes:
            told = {
                "number": outcome.index + 1,
                "status": outcome.status,
                "error": type(outcome.error).__name__ if outcome.error else None,
            }
            sys.stdout.write(f"{json.dumps(told)}\n")
            sys.stdout.flush()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--pacing-s", type=float, default=0.02)
    parser.add_argument("--timeout-s", type=float, default=30.0)
    parser.add_argument("--run", type=int, default=1)
    parser.add_argument("--die", nargs=3, metavar=("WHEN", "WHAT", "WHOSE"))
    args = parser.parse_args()
    if args.die is None:
        await run(args, args.journal)
        return
    when, what, whose = args.die
    async with DeadlyJournal(args.journal, when=when, what=what, whose=whose) as journal:
        await run(args, journal)


if __name__ == "__main__":
    asyncio.run(main())
