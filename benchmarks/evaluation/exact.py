"""A run adds up exactly, whatever happens: `python -m benchmarks.evaluation.exact` (some minutes; Linux).

1,000,000 samples of 10 classes go to a server from eight processes at once, in shuffled order, a third of the batches
twice, while the server is killed with SIGKILL three times and started again; with `--servers 2` two servers share the
database and are killed in turn. Then the same batches go in order, from one sender, into another run. It prints
Markdown, and ends with 1 unless the loss equals the single-pass reference to 1e-12, the counts are exact, and the
results of both runs are the same bytes.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.evaluation.data import reference
from benchmarks.evaluation.sender import started
from benchmarks.http.servers import ROOT

METRICS = ("accuracy", "f1", "calibration_error", "confusion_matrix")
SPEC = {"name": "exact", "loss": "cross_entropy", "metrics": [{"name": name} for name in METRICS]}


class Served:
    """Gradwire on a port of its own, killed and started again at will."""

    def __init__(self, gradwire: str, database: str, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [gradwire, "serve", "--port", str(self.port)]
        self._environment = {**os.environ, "GRADWIRE_DATABASE_URL": database, "GRADWIRE_ACCESS_LOG": "false"}
        self.log = log
        self._log = log.open("ab")
        self.process: subprocess.Popen[bytes]
        self.peak = 0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, env=self._environment, cwd=ROOT, stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return
            time.sleep(0.1)
        raise SystemExit("the server did not start")

    def resident(self) -> int:
        """Bytes of memory."""
        with suppress(OSError):
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def asked(port: int, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def sender(servers: list[Served], run: str, order: list[int], options: argparse.Namespace) -> "subprocess.Popen[str]":
    told = {
        "origins": [["127.0.0.1", one.port] for one in servers],
        "path": f"/v1/evaluations/{run}/batches",
        "wire": options.wire,
        "rows": options.rows,
        "classes": options.classes,
        "order": order,
        "made": False,
    }
    return started(told)


def shuffled(servers: list[Served], run: str, options: argparse.Namespace) -> list[dict[str, float]]:
    """Eight senders, shuffled, a third of the batches twice, and the kills."""
    mixed = random.Random(6)  # noqa: S311 - a mixture, no secret
    every = list(range(options.batches))
    twice = every + mixed.sample(every, options.batches // 3)
    mixed.shuffle(twice)
    shares = [twice[at :: options.senders] for at in range(options.senders)]
    processes = [
        sender([*servers[at % len(servers) :], *servers[: at % len(servers)]], run, share, options)
        for at, share in enumerate(shares)
    ]
    for at in range(options.kills):
        target = options.batches * (at + 1) // (options.kills + 1)
        while any(process.poll() is None for process in processes):
            time.sleep(0.2)
            with suppress(OSError):
                if asked(servers[0].port, "GET", f"/v1/evaluations/{run}")["batches"] >= target:
                    break
        victim = servers[at % len(servers)]
        victim.kill()
        victim.start()
    found = []
    for process in processes:
        out, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"a sender failed: {out}\n{servers[0].log.read_text()[-4000:]}")
        found.append(json.loads(out.splitlines()[-1]))
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gradwire", default=str(Path(sys.executable).with_name("gradwire")))
    parser.add_argument("--database", help="its URL; left out, an SQLite file that is removed afterwards")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--wire", choices=["json", "safetensors", "oip"], default="safetensors")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        database = options.database or f"sqlite:///{folder}/evaluations.db"
        servers = [Served(options.gradwire, database, Path(folder) / f"{at}.log") for at in range(options.servers)]
        peaks: list[int] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.5):
                peaks.append(max(one.resident() for one in servers))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            spec = {**SPEC, "classes": options.classes}
            port = servers[0].port
            mixed = asked(port, "POST", "/v1/evaluations", spec)["id"]
            began = time.perf_counter()
            sent = shuffled(servers, mixed, options)
            seconds = time.perf_counter() - began
            peak, before = max(peaks), len(peaks)
            ordered = asked(port, "POST", "/v1/evaluations", spec)["id"]
            process = sender(servers[:1], ordered, list(range(options.batches)), options)
            out, _ = process.communicate()
            told = json.loads(out.splitlines()[-1])
            over.set()
            reports = [asked(port, "GET", f"/v1/evaluations/{run}/report")["results"] for run in (mixed, ordered)]
        finally:
            over.set()
            watching.join()
            for one in servers:
                one.stop()
    loss, accuracy = reference(options.batches, options.rows, options.classes)
    found = reports[0]
    samples = options.batches * options.rows
    off = abs(found["loss"] - loss) / loss
    goals = {
        f"loss {found['loss']!r}, single pass {loss!r}: relative difference {off:.1e}": off <= 1e-12,
        f"samples {found['samples']} and batches {found['batches']} are exact": found["samples"] == samples
        and found["batches"] == options.batches
        and found["count"] == samples,
        f"accuracy {found['metrics']['accuracy']!r}": abs(found["metrics"]["accuracy"] - accuracy) <= 1e-12,
        "results are the same bytes as those of the run in order": json.dumps(reports[0]) == json.dumps(reports[1]),
    }
    name = (options.database or "sqlite").partition(":")[0]
    calls = sum(one["calls"] for one in sent)
    print(f"## Exact: {samples} samples on {name}, {options.servers} server(s), {options.kills} kills\n")
    print(
        f"{calls:.0f} calls for {options.batches} batches, {sum(one['retries'] for one in sent):.0f} of them retried;"
    )
    print(
        f"{samples / seconds:.0f} samples/s with the kills, {samples / told['seconds']:.0f} in order from one sender."
    )
    print(f"Resident memory at most {peak >> 20} MiB ({max(peaks[before:], default=0) >> 20} MiB in order).\n")
    for goal, met in goals.items():
        print(f"- {'met' if met else 'MISSED'}: {goal}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
