"""The memory that Gradwire takes for the largest binary case: base, peak, and what is in flight.

`python -m benchmarks.memory` starts Gradwire, posts binary 64x32000 at 16 connections, and watches the resident memory
of all its processes. Bytes in flight are the connections times the bytes of a request and its answer; the goal is a
peak of at most the base and four times those. On Linux, with `wrk`.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.http.cases import CASES
from benchmarks.http.load import LoadError, drive
from benchmarks.http.measure import checked_target
from benchmarks.http.processes import Running, ServerError, running
from benchmarks.http.servers import own_servers

CASE = "binary-64x32000"
TIMES_IN_FLIGHT = 4
MIB = 1 << 20


def resident(pid: int, member: str) -> int:
    """Bytes, from `/proc/<pid>/status`: `VmRSS` now, `VmHWM` at most so far; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{member}:"))


@contextmanager
def peaks(server: Running, every: float = 0.05) -> Iterator[dict[int, int]]:
    """The most that each process took meanwhile, by process id; the kernel keeps it, looked up for those that end."""
    found: dict[int, int] = {}
    for pid in server.pids():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # from here on, not since its start
    stop = threading.Event()

    def look() -> None:
        for pid in server.pids():
            found[pid] = max(found.get(pid, 0), resident(pid, "VmHWM"))

    def watch() -> None:
        while not stop.wait(every):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        stop.set()
        watcher.join()
        look()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Gradwire's memory under load.")
    parser.add_argument("--seconds", type=int, default=20, help="length of the load (default %(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--gradwire-command", default=str(Path(sys.executable).with_name("gradwire")))
    options = parser.parse_args()
    (case,) = (case for case in CASES if case.name == CASE)
    gradwire = own_servers(options.gradwire_command)[0]
    try:
        with (
            tempfile.TemporaryDirectory(prefix="gradwire-") as folder,
            running(gradwire, Path(folder)) as server,
        ):
            base = sum(resident(pid, "VmRSS") for pid in server.pids())
            with peaks(server) as found:
                target = checked_target(case, server, Path(folder))
                sample = drive(target, options.connections, options.seconds)
            (post,) = target.posts
            in_flight = options.connections * (post.body_bytes + post.answer_bytes)
    except (ServerError, LoadError, OSError) as failure:
        print(f"failed: {failure}", file=sys.stderr)
        return 2
    peak = sum(found.values())
    met = peak <= base + TIMES_IN_FLIGHT * in_flight
    rate = f"{sample.requests_per_second:.1f} requests/s"
    print(f"{case.title}, {options.connections} connections, {sample.seconds:.0f} s: {rate}")
    print(f"base {base / MIB:,.0f} MiB, peak {peak / MIB:,.0f} MiB, in flight {in_flight / MIB:,.0f} MiB")
    print(
        f"peak at most base + {TIMES_IN_FLIGHT} times in flight: "
        f"{(peak - base) / in_flight:.2f} times: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
