"""What the live view of ``seedance batch`` takes of its processor time: 1,000 emulated jobs.

The command runs in a terminal of its own, once with the view and once with ``--quiet``, in turns;
the emulator is another process. Ends with 1 where the view takes more than 10 %, on the median.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_MOST = 0.10
_SEEDANCE = [sys.executable, "-m", "seedance_async"]


def run(folder: Path, env: dict[str, str], *options: str) -> float:
    """Run a batch in a terminal, and give its CPU in seconds."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(
            sys.executable,
            [*_SEEDANCE, "batch", "jobs.jsonl", "--out", "videos", "--yes", *options],
            {**os.environ, **env, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        )
    try:
        while os.read(terminal, 65_536):
            pass
    except OSError:  # how Linux says that the other side is gone
        pass
    _, status, used = os.wait4(pid, 0)
    os.close(terminal)
    if status:
        raise SystemExit(f"a batch ended with {status}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--in-flight", type=int, default=200)
    options.add_argument("--speed", type=float, default=60)
    given = options.parse_args()
    jobs = [
        {"model": "seedance_2_0_fast_pro", "prompt": "A cat", "duration": 4, "key": f"cat-{n}"}
        for n in range(given.jobs)
    ]
    emulator = subprocess.Popen(
        [*_SEEDANCE, "emulator", "--port", "0", "--speed", str(given.speed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert emulator.stdout is not None
    said = [emulator.stdout.readline().strip().removeprefix("export ") for _ in range(2)]
    env = dict(each.split("=", 1) for each in said)
    shown, quiet = list[float](), list[float]()
    try:
        for number in range(given.rounds):
            for taken, extra in ((quiet, ["--quiet"]), (shown, [])):
                with tempfile.TemporaryDirectory() as folder:
                    Path(folder, "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
                    in_flight = ["--max-in-flight", str(given.in_flight)]
                    taken.append(run(Path(folder), env, *in_flight, *extra))
            print(f"round {number + 1}: {shown[-1]:.2f} s with the view, {quiet[-1]:.2f} without")
    finally:
        emulator.terminate()
        emulator.wait()
    share = statistics.median(1 - b / a for a, b in zip(shown, quiet, strict=True))
    print(f"of {statistics.median(shown):.2f} s of CPU, the view takes {share:.1%} (10 % at most)")
    sys.exit(share > _MOST)


if __name__ == "__main__":
    main()
