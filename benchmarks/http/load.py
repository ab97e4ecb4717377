"""One measurement: `wrk` on one server, the others paused."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http.processes import Running

# Always one thread, which `wrk` needs at one connection anyway: at 16 it still drives the bare echo as fast as two do
# (36,200 and 35,600 requests a second on 1x10, 2,850 and 2,720 on 32x1000; 2 cores), and leaves a core to the server.
THREADS = 1
# Far above any honest answer, so that a slow server is told by its figures, not by `wrk`'s own limit of 2 s.
TIMEOUT = "60s"
# A server that answers fewer requests a connection than this was still filling its queue, and is measured anew: this
# many times as long.
LEAST_ANSWERS = 4
LONGER = 4
MARK = "figures "


class LoadError(Exception):
    """Some requests failed, or `wrk` did; figures from such a run mean nothing."""


@dataclass(frozen=True)
class Post:
    """A path, the file that holds the body, and how long the answer was when it was checked."""

    path: str
    body: Path
    answer_bytes: int

    @property
    def body_bytes(self) -> int:
        return self.body.stat().st_size


@dataclass(frozen=True)
class Target:
    """What `wrk` posts to a server: the posts in turn, all with the same headers."""

    running: Running
    headers: dict[str, str]
    posts: tuple[Post, ...]


@dataclass(frozen=True)
class Sample:
    """Figures of one run; latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    seconds: float


def drive(target: Target, connections: int, seconds: int) -> Sample:
    """Post for that long (longer, to a server that is too slow for that); return when the server is at rest again."""
    sample = _run(target, connections, seconds)
    if sample is None or sample.requests < LEAST_ANSWERS * connections:
        sample = _run(target, connections, LONGER * seconds)
    if sample is None:
        raise LoadError(f"{target.running.server.name} answered nothing in {LONGER * seconds} s")
    return sample


def warm_up(target: Target, connections: int, seconds: int) -> None:
    """Post for that long, whatever comes of it in that time."""
    _run(target, connections, seconds)


def _run(target: Target, connections: int, seconds: int) -> Sample | None:
    """`None` if nothing was answered."""
    name = target.running.server.name
    command = ["wrk", f"--threads={THREADS}", f"--connections={connections}", f"--duration={seconds}s"]
    command += ["--latency", f"--timeout={TIMEOUT}", f"--script={Path(__file__).with_name('post.lua')}"]
    for header in target.headers.items():
        command += ["--header", ": ".join(header)]
    command += [target.running.origin, "--"]
    for one in target.posts:
        command += [one.path, str(one.body)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode != 0 or not lines:
        raise LoadError(f"wrk on {name} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
    figures = json.loads(lines[0].removeprefix(MARK))
    failures = {kind: count for kind, count in figures["errors"].items() if count}
    if failures:
        raise LoadError(f"{name}: failed requests by kind {failures} of {figures['requests']}")
    target.running.wait_until_at_rest()
    elapsed = figures["microseconds"] / 1e6
    if not figures["requests"]:
        return None
    return Sample(
        requests_per_second=figures["requests"] / elapsed,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        requests=figures["requests"],
        seconds=elapsed,
    )
