"""Jobs for ``empty_worker``, begun by a line; says when they are done, as ``shared_client`` does.

python empty_client.py DSN JOBS
"""

from __future__ import annotations

import json
import sys
import time

from seedance_async.distributed.database import Database
from seedance_async.distributed.engine import Control, Turn


def main(dsn: str, jobs: int) -> None:
    database = Database(dsn)
    control = Control(database)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    for place in range(1, jobs + 1):
        with database.engine.begin() as connection:
            control.enqueue(connection, Turn(key=f"job-{place}", account="main", place=place))
    handed_in_s = time.monotonic() - began
    keys = {f"job-{place}": f"video_job-{place}" for place in range(1, jobs + 1)}
    while len(control.idle(keys)) < jobs:
        time.sleep(0.5)
    took = {"handed_in_s": handed_in_s, "wall_s": time.monotonic() - began}
    print(json.dumps({**took, "cpu_s": time.process_time(), "done": jobs}), flush=True)
    control.close()
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
