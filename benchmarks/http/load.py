"""One measurement: `wrk` on one server, the others idle."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# Always one thread, which `wrk` needs at one connection anyway: at 16 it still drives the bare echo as fast as two do
# (36,200 and 35,600 requests a second on 1x10, 2,850 and 2,720 on 32x1000; 2 cores), and leaves a core to the server.
THREADS = 1
# Far above any honest answer, so that a slow server is told by its figures, not by `wrk`'s own limit of 2 s.
TIMEOUT = "60s"
MARK = "figures "


class LoadError(Exception):
    """Some requests failed, or `wrk` did; figures from such a run mean nothing."""


@dataclass(frozen=True)
class Target:
    """Where `wrk` posts what. `body` is a file; `pid` leads the server's process group."""

    name: str
    url: str
    headers: dict[str, str]
    body: Path
    pid: int


@dataclass(frozen=True)
class Sample:
    """Figures of one run; latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    seconds: float


def drive(target: Target, connections: int, seconds: int) -> Sample:
    """Post for that long and return when the server is at rest again."""
    command = ["wrk", f"--threads={THREADS}", f"--connections={connections}", f"--duration={seconds}s"]
    command += ["--latency", f"--timeout={TIMEOUT}", f"--script={Path(__file__).with_name('post.lua')}"]
    for name, value in target.headers.items():
        command += ["--header", f"{name}: {value}"]
    command += [target.url, "--", str(target.body)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode != 0 or not lines:
        raise LoadError(f"wrk on {target.name} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
    figures = json.loads(lines[0].removeprefix(MARK))
    failures = {kind: count for kind, count in figures["errors"].items() if count}
    if failures:
        raise LoadError(f"{target.name}: failed requests by kind {failures} of {figures['requests']}")
    if not figures["requests"]:
        raise LoadError(f"{target.name} answered nothing in {seconds} s")
    _wait_until_idle(target.pid)
    elapsed = figures["microseconds"] / 1e6
    return Sample(
        requests_per_second=figures["requests"] / elapsed,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        requests=figures["requests"],
        seconds=elapsed,
    )


def _wait_until_idle(pid: int, limit: float = 30.0) -> None:
    """A server may go on computing what `wrk` no longer waits for; that must not burden the next one's measurement."""
    deadline = time.monotonic() + limit
    spent = _processor_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.2)
        before, spent = spent, _processor_seconds(pid)
        if spent - before <= 0.02:
            return
    raise LoadError(f"a server was still computing {limit:g} s after its load ended")


def _processor_seconds(group: int) -> float:
    """Processor time of a process group so far (fields 5, 14 and 15 of Linux's `/proc/<pid>/stat`: man 5 proc)."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # the name before it may hold spaces
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
