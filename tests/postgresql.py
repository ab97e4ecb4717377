"""A private PostgreSQL server: a cluster in a folder of its own, reached by a socket there, gone in the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from tests.needs import needs

OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",  # the tests kill its clients, never the machine
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "timezone": "Asia/Kathmandu",  # no time may depend on it
}


class Cluster:
    """A server that runs, as a user who is not root."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._sockets = folder
        self._numbers = count()
        # The server refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def make(self) -> None:
        """Make the cluster's files and start it."""
        if self._as:
            shutil.chown(self._sockets, "postgres", "postgres")
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        self._run("initdb", "-D", str(self._data), *options, "--locale=C.UTF-8")
        self.start()

    def start(self) -> None:
        """Start it; returns when it answers."""
        options = " ".join(f"-c {name}={value!r}" for name, value in OPTIONS.items())
        given = ["-D", str(self._data), "-l", str(self._data / "log"), "-o", f"-k {self._sockets} {options}"]
        self._run("pg_ctl", "start", "-w", *given)

    def stop(self) -> None:
        """Stop it; connections are cut."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._data))

    def new_database(self) -> str:
        """The URL of an empty schema: as good as a database of one's own, and thousands of files fewer."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(host=str(self._sockets), user="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"postgresql://postgres@/postgres?host={self._sockets}&options=-csearch_path%3D{name}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        # pg_ctl's server keeps what it inherits: a pipe would never end.
        with (self._sockets / "told").open("ab+") as told:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd=self._sockets, check=False
            )
            told.seek(0)
            assert done.returncode == 0, told.read().decode()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster while the block runs; without PostgreSQL the test skips, and in CI fails."""
    needs("pg_ctlcluster")
    # Debian keeps what runs a server off the path, one folder a version.
    programs = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])).parent
    # Not pytest's folder: the server's user may not enter that.
    folder = Path(tempfile.mkdtemp(prefix="gradwire-pg-"))
    made = Cluster(programs, folder)
    try:
        made.make()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)
