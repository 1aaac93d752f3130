"""A Postgres server of the tests' own: in a folder of its own, on loopback, ended with them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

# Nothing has to survive the machine; all has to survive the server.
SETTINGS = {"fsync": "off", "max_connections": "200", "listen_addresses": "127.0.0.1"}


def programs() -> Path | None:
    """Find the folder of the newest server's programs, or None."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    versions = sorted(installed, key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def reason_to_skip() -> str | None:
    """Say why there can be no server here; where CI runs, that is an error."""
    if programs() is not None:
        return None
    if os.environ.get("CI"):
        raise RuntimeError("CI has to have Postgres: .ci/run installs it")
    return "there is no Postgres server here: apt-get install postgresql"


class Server:
    """One server, in *folder*; *settings* besides those of the tests."""

    def __init__(self, folder: Path, **settings: str) -> None:
        its = programs()
        assert its is not None
        self._programs, self.folder = its, folder
        self._settings = {**SETTINGS, **settings}
        self._as: Mapping[str, Any] = {}
        if os.getuid() == 0:  # as whom it refuses to run
            its_own = pwd.getpwnam("postgres")
            self._as = {"user": its_own.pw_uid, "group": its_own.pw_gid, "extra_groups": []}
            os.chown(folder, its_own.pw_uid, its_own.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run(
            "initdb", "-D", "data", "-U", "seedance", "-A", "trust", "-E", "UTF8", "--no-sync"
        )

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, **self._as)

    def start(self) -> None:
        settings = {**self._settings, "port": str(self.port), "unix_socket_directories": ""}
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = [str(self._programs / "postgres"), "-D", "data", *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, **self._as
            )
        for _ in range(600):
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self) -> None:
        """End it, with all connections, at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def dsn(self, database: str, user: str = "seedance") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database, and give its address."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.dsn(name)


@contextmanager
def running(**settings: str) -> Iterator[Server]:
    """Have a server, in a folder that its own user can reach; *settings* besides its own."""
    with tempfile.TemporaryDirectory(
        prefix="seedance-postgres-", ignore_cleanup_errors=True
    ) as folder:
        server = Server(Path(folder), **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
