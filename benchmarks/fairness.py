"""Tiny and mid-size requests beside a stream of giants: latencies alone, and with four connections of 64x32000.

    python -m benchmarks.fairness [--seconds 5] [--rounds 3] http://127.0.0.1:8000

Every stream is a process of its own. The rounds alternate, since other work on the machine drifts.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import threading
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier, Event
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from safetensors.numpy import save

CONNECTIONS = 4
SHAPES = {"1x10": (1, 10, "json"), "32x1000": (32, 1000, "binary"), "64x32000": (64, 32000, "binary")}


def body(rows: int, classes: int, form: str) -> tuple[bytes, str]:
    """A cross entropy request and its type."""
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(rows, classes)).astype(np.float32), rng.integers(0, classes, rows)
    if form == "json":
        made = {"loss": "cross_entropy", "input": logits.tolist(), "target": target.tolist()}
        return json.dumps(made).encode(), "application/json"
    told = {"request": json.dumps({"loss": "cross_entropy"})}
    return save({"input": logits, "target": target}, told), "application/vnd.safetensors"


def stream(address: str, shape: str, ready: Barrier, over: Event, found: Any) -> None:
    """Send requests of a shape until it is over; in the end, hand over how many milliseconds each took."""
    content, kind = body(*SHAPES[shape])
    times: list[float] = []

    def run() -> None:
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        while not over.is_set():
            began = time.perf_counter()
            connection.request("POST", "/v1/loss", content, {"content-type": kind})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{shape}: status {answer.status}")
            times.append((time.perf_counter() - began) * 1e3)

    ready.wait()
    threads = [threading.Thread(target=run) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put((shape, times))


def run(address: str, shapes: list[str], seconds: float) -> dict[str, list[float]]:
    """Streams side by side."""
    context = get_context("spawn")
    ready, over, found = context.Barrier(len(shapes) + 1), context.Event(), context.Queue()
    processes = [context.Process(target=stream, args=(address, shape, ready, over, found)) for shape in shapes]
    for process in processes:
        process.start()
    ready.wait()
    time.sleep(seconds)
    over.set()
    results = dict(found.get() for _ in processes)
    for process in processes:
        process.join()
    return results


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cases = [["1x10"], ["1x10", "64x32000"], ["32x1000"], ["32x1000", "64x32000"]]
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for _ in range(options.rounds):
        for case in cases:
            for shape, times in run(options.address, case, options.seconds).items():
                p50, p99 = np.percentile(times, [50, 99])
                rate = len(times) / options.seconds
                rows.setdefault((shape, " + ".join(case)), []).append((float(p50), float(p99), rate))
    for (shape, beside), measured in rows.items():
        p50, p99, rate = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{beside:20} {shape:9} p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  {rate:7.1f} a second")


if __name__ == "__main__":
    main()
