"""Several server processes: what becomes of them when one dies, when none starts, and when the parent is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_wire import BODY
from tests.serving import RunningServer, environment, serving

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds worker processes by Linux's /proc")

HEADERS = {"content-type": "application/json"}


def workers_of(running: RunningServer) -> set[int]:
    """The processes that the server has started."""
    return {
        int(child)
        for task in Path(f"/proc/{running.process.pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    }


def variables(pid: int) -> dict[str, str]:
    """A process's environment."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def compute(running: RunningServer) -> float:
    """A loss from whichever worker takes the connection."""
    found: float = httpx.post(f"{running.url}/v1/loss", content=BODY, headers=HEADERS, timeout=60).json()["loss"]
    return found


def test_a_worker_that_dies_is_replaced_and_a_hangup_ends_none() -> None:
    with serving("--workers", "2", GRADWIRE_METRICS_DIR="") as running:
        running.logged("a worker serves", times=2)
        first = workers_of(running)
        assert len(first) == 2
        metrics = {variables(pid)["GRADWIRE_METRICS_DIR"] for pid in first}
        assert len(metrics) == 1
        directory = Path(metrics.pop())
        assert directory.is_dir()

        running.process.send_signal(signal.SIGHUP)  # the parent hands it on
        killed, other = first
        os.kill(killed, signal.SIGKILL)
        assert compute(running) == 4.0
        running.logged("another takes its place")
        running.logged("a worker serves", times=3)
        second = workers_of(running)
        assert len(second) == 2
        assert other in second
        assert killed not in second
        assert [compute(running) for _ in range(5)] == [4.0] * 5
    assert not directory.exists()
    assert not any("Traceback" in line for line in running.lines), running.lines
    assert not any(Path(f"/proc/{pid}").exists() for pid in first | second)


def test_workers_end_when_their_parent_has_died() -> None:
    with serving("--workers", "2", ends_with=-signal.SIGKILL) as running:
        running.logged("a worker serves", times=2)
        running.process.kill()
        running.process.wait()
        # `serving` reads the log to its end, which comes when the last process that holds it has ended.
    assert sum("drained" in line for line in running.lines) == 2


def test_workers_that_never_start_end_it_all() -> None:
    script = """
import socket, sys
from service.serving import workers
from service.settings import Settings
workers.sys.executable = "/bin/false"
sys.exit(workers.Workers(Settings(workers=2), socket.create_server(("127.0.0.1", 0))).run())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 3
    assert done.stderr.count("a worker ended") == 3
    assert "giving up" in done.stderr
