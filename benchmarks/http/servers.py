"""Who is asked: the servers, as data, and how one is started and stopped. A peer is a new record here."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http.cases import Dialect
from benchmarks.http.dialects import ECHO_JSON, LOSS_JSON

START_SECONDS = 120.0
STOP_SECONDS = 30.0


class ServerError(Exception):
    """A server did not start or answered wrongly; its text says which and why."""


@dataclass(frozen=True)
class Server:
    """A command with `{port}` to fill in, the path that answers 200 once it is ready, its dialects by body form."""

    name: str
    command: tuple[str, ...]
    ready: str
    dialects: dict[str, Dialect]


# One process, and the same event loop, HTTP parser and silence for both, so that only the application differs.
UVICORN = (
    *(sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
    *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
)
SUBJECT = "Gradwire"


def servers(gradwire: str) -> tuple[Server, ...]:
    """Gradwire first: the length of its answers is what the echo answers."""
    serve = (*shlex.split(gradwire), "serve", "--host", "127.0.0.1", "--port", "{port}")
    return (
        Server(SUBJECT, serve, "/readyz", {"json": LOSS_JSON}),
        Server("naive", (*UVICORN, "benchmarks.naive:app"), "/openapi.json", {"json": LOSS_JSON}),
        Server("naive typed", (*UVICORN, "benchmarks.naive:typed"), "/openapi.json", {"json": LOSS_JSON}),
        Server("echo", (*UVICORN, "--lifespan", "off", "benchmarks.echo:app"), "/2", {"json": ECHO_JSON}),
    )


@dataclass(frozen=True)
class Running:
    """A started server."""

    server: Server
    process: subprocess.Popen[bytes]
    origin: str
    log: Path


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """Start on a free loopback port, its output in `folder`; stop by SIGTERM, and by SIGKILL if that is not heeded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [part.replace("{port}", str(port)) for part in server.command]
    log = folder / f"{server.name}.log"
    with log.open("wb") as output:
        # A group of its own keeps the terminal's Ctrl-C from it, and lets the last resort reach its children.
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        started = Running(server, process, f"http://127.0.0.1:{port}", log)
        _wait_until_ready(started)
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(started: Running) -> None:
    url = started.origin + started.server.ready
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if started.process.poll() is not None:
            raise ServerError(f"{started.server.name} ended with code {started.process.returncode} instead of starting")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:  # refused, or not 200 yet
            time.sleep(0.1)
    raise ServerError(f"{started.server.name} was not ready after {START_SECONDS:g} s")


def post(started: Running, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """One request; raises `ServerError` unless the answer is 200."""
    request = urllib.request.Request(started.origin + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: bytes = response.read()
            status: int = response.status
    except urllib.error.HTTPError as refusal:
        status, answer = refusal.code, refusal.read()
    except OSError as error:
        raise ServerError(f"{started.server.name} did not answer {path}: {error}") from error
    if status != 200:
        raise ServerError(f"{started.server.name} answered {status} at {path}: {answer[:500]!r}")
    return answer
