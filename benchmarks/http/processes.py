"""A server's processes: started, asked, paused while another is measured, and stopped."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http.servers import ROOT, Server

START_SECONDS = 120.0
STOP_SECONDS = 20.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server did not start or answered wrongly; its text says which and why."""


@dataclass
class Running:
    """A started server. `process` leads a session of its own, in which all of the server's processes are found."""

    server: Server
    process: subprocess.Popen[bytes]
    origin: str
    resting_load: float = 0.0

    def pids(self) -> list[int]:
        """Every process of the session (field 6 of `/proc/<pid>/stat`: man 5 proc)."""
        return [pid for pid, fields in _all_processes() if int(fields[3]) == self.process.pid]

    def processor_seconds(self) -> float:
        """Processor time of the session so far (fields 14 and 15)."""
        own = (fields for _, fields in _all_processes() if int(fields[3]) == self.process.pid)
        return sum(int(fields[11]) + int(fields[12]) for fields in own) / TICKS_A_SECOND

    def load(self, seconds: float = 0.2) -> float:
        """Processors in use, over a moment."""
        before, begin = self.processor_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.processor_seconds() - before) / (time.monotonic() - begin)

    def signal(self, number: int) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # it has ended meanwhile
                continue

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Running for this long and paused before and after: what polls when idle takes nothing from the others."""
        self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.signal(signal.SIGSTOP)

    def wait_until_at_rest(self, limit: float = 60.0) -> None:
        """It may go on computing what nobody waits for any more; that must not burden the next measurement."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if self.load() <= self.resting_load + 0.1:
                return
        raise ServerError(f"{self.server.name} was still computing {limit:g} s after its load ended")


def _all_processes() -> Iterator[tuple[int, list[str]]]:
    """Process ids and the fields of their `stat` from the third on."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it has ended meanwhile
            continue
        yield int(stat.parent.name), text.rpartition(")")[2].split()  # the name before it may hold spaces


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """Start on a free loopback port, output into `folder`; stop by SIGTERM, and by SIGKILL what does not heed that."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Short: Ray's sockets lie below it, and a socket's path holds 107 bytes.
    scratch = Path(tempfile.mkdtemp(prefix="", dir=folder))
    log = folder / f"{server.name}.log"

    def fill(text: str) -> str:
        return text.replace("{port}", str(port)).replace("{scratch}", str(scratch))

    with log.open("wb") as output:
        # The session keeps the terminal's Ctrl-C from it.
        process = subprocess.Popen(
            [fill(part) for part in server.command],
            cwd=scratch if "peer" in server.kind else ROOT,
            env=os.environ | {name: fill(value) for name, value in server.environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Running(server, process, f"http://127.0.0.1:{port}")
    try:
        _wait_until_ready(started)
        started.resting_load = started.load(0.5)
        yield started
    finally:
        started.signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            started.signal(signal.SIGKILL)
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
