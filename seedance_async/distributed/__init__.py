"""Many machines, one account: jobs in Postgres, done by any number of workers.

Needs the extra ``distributed``. ``DistributedClient`` hands jobs in and waits for them, without an
API key; ``DistributedWorker`` does them.
"""

import importlib.util

if importlib.util.find_spec("dbos") is None or importlib.util.find_spec("sqlalchemy") is None:
    raise ImportError(
        "sharing an account among machines needs: pip install 'seedance-async[distributed]'"
    )

from seedance_async.distributed.accounts import Account
from seedance_async.distributed.client import DistributedClient, DistributedJob
from seedance_async.distributed.sinks import LocalFolder, S3Folder, Sink
from seedance_async.distributed.worker import DistributedWorker, WorkerFenced

__all__ = [
    "Account",
    "DistributedClient",
    "DistributedJob",
    "DistributedWorker",
    "LocalFolder",
    "S3Folder",
    "Sink",
    "WorkerFenced",
]
