"""A real server: `gradwire serve` as a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

COMMAND = str(Path(sys.executable).with_name("gradwire"))
ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>[^ :]+):(?P<port>\d+)")


def environment(**settings: str) -> dict[str, str]:
    """The environment of a server: this one without its settings, and with those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRADWIRE_")}
    return kept | settings


@dataclass
class RunningServer:
    """A server that is up, and what it has logged so far."""

    process: subprocess.Popen[str]
    greeting: str
    host: str
    port: int
    scheme: str = "http"
    lines: list[str] = field(default_factory=list)
    _new: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://{self.host}:{self.port}"

    def follow(self, stream: IO[str]) -> None:
        """Gather its log until it ends."""
        for line in stream:
            with self._new:
                self.lines.append(line.rstrip("\n"))
                self._new.notify_all()

    def logged(self, text: str, times: int = 1) -> None:
        """Wait until that text has been logged so many times."""
        with self._new:
            assert self._new.wait_for(lambda: sum(text in line for line in self.lines) >= times, timeout=60), self.lines


@contextmanager
def serving(
    *options: str, ends_with: int = 0, verify: ssl.SSLContext | bool = True, **settings: str
) -> Iterator[RunningServer]:
    """Start a server; in the end stop it by SIGTERM and see it exit with 0, or as told."""
    with subprocess.Popen(
        [COMMAND, "serve", "--port", "0", "--device", "cpu", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**settings),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        greeting = process.stdout.readline()
        found = ADDRESS.search(greeting)
        if found is None:
            process.kill()
            raise AssertionError(f"no address in {greeting!r}: {process.stderr.read()}")
        host = found["host"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - where a server for all is asked
        server = RunningServer(process, greeting, host, int(found["port"]), found["scheme"])
        follower = threading.Thread(target=server.follow, args=(process.stderr,))
        follower.start()
        try:
            # Connections wait until it is up.
            first = {"x-request-id": "first"}
            httpx.get(f"{server.url}/livez", timeout=60, headers=first, verify=verify).raise_for_status()
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait()
            follower.join()
        assert code == ends_with, server.lines
