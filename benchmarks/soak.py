"""Hours in minutes: mixed traffic at a moderate rate, and whether anything grows.

`python -m benchmarks.soak` starts Gradwire and sends every loss's example, batch calls, inference requests,
compressed bodies and large tensors, with refused requests and leaving callers among them. It prints Markdown: the slope
of the resident memory, unprovoked errors, open files, threads; it ends with 1 where a goal is missed. Linux alone.
"""

import argparse
import asyncio
import gzip
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.endurance.figures import Goal, count, memory, report, slope
from benchmarks.endurance.wire import Client, post
from benchmarks.http.processes import Running, ServerError, running
from benchmarks.http.safetensors import write
from benchmarks.http.servers import own_servers

BINARY = "application/vnd.safetensors"
CONNECTIONS = 8
MIB_A_MINUTE = 1.0
"""The most that the memory may grow."""
MIB = 1 << 20


def sound(origin: str) -> list[bytes]:
    """The catalogue's examples, alone, in a batch call and compressed; larger ones of some sizes; inference."""
    with urllib.request.urlopen(f"{origin}/v1/losses") as response:
        examples = [entry["example"] for entry in json.load(response)["losses"]]
    bodies = [json.dumps(example).encode() for example in examples]
    found = [post(body) for body in bodies]
    found += [post(gzip.compress(body), "application/json", "/v1/loss", "Content-Encoding: gzip") for body in bodies]
    found.append(post(json.dumps({"requests": examples * 4}).encode(), path="/v1/loss/batch"))
    rng = np.random.default_rng(1)
    for rows, classes in ((1, 10), (8, 100), (32, 1000), (16, 32000)):
        logits = rng.normal(size=(rows, classes)).astype(np.float32)
        targets = rng.integers(0, classes, rows)
        body = write({"input": logits, "target": targets}, {"request": '{"loss": "cross_entropy"}'})
        found += [
            post(body, BINARY),
            post(body, BINARY, "/v1/loss", "Accept-Encoding: gzip"),
            post(body, BINARY, "/v1/loss", "Accept: application/json", "Accept-Encoding: zstd"),
        ]
        if rows * classes < 100_000:
            values = {"loss": "cross_entropy", "input": logits.tolist(), "target": targets.tolist()}
            found.append(post(json.dumps(values).encode()))
    data = {"name": "input", "shape": [3], "datatype": "FP32", "data": [1, 2, 3]}
    inference = {"inputs": [data, {**data, "name": "target", "data": [3, 2, 1]}]}
    found.append(post(json.dumps(inference).encode(), path="/v2/models/mse_loss/infer"))
    return found


def refused() -> list[tuple[bytes, int]]:
    """Requests with the status that each provokes."""
    return [
        (post(b'{"loss": "nope"}'), 422),
        (post(b'{"loss": "cross_entropy", "input": [[1.0, 2.0]], "target": [2]}'), 422),
        (post(b"{"), 400),
        (post(b"\xff" * 99, BINARY), 400),
        (post(b"no gzip", "application/json", "/v1/loss", "Content-Encoding: gzip"), 400),
        (post(b"{}", "text/plain"), 415),
    ]


async def traffic(origin: str, until: float, pause: float, statuses: Counter[str], seed: int) -> None:
    """One connection's calls: one in ten is refused, one in twenty leaves."""
    order = random.Random(seed)  # noqa: S311 - a mixture, no secret
    requests, bad = sound(origin), refused()
    async with Client(origin) as client:
        while time.perf_counter() < until:
            draw = order.random()
            if draw < 0.05:
                leaver = Client(origin)
                _, writer = await leaver.connected()
                request = order.choice(requests)
                writer.write(request[: order.randrange(len(request)) + 1])
                await asyncio.sleep(0)
                leaver.leave()
                statuses["left"] += 1
                continue
            request, wanted = order.choice(bad) if draw < 0.15 else (order.choice(requests), 200)
            found = (await client.ask(request)).status
            statuses["as wanted" if found == wanted else f"{found} instead of {wanted}"] += 1
            await asyncio.sleep(pause)


async def watch(server: Running, until: float, every: float, points: list[tuple[float, float]]) -> None:
    """The memory over time: minutes and MiB."""
    began = time.perf_counter()
    while time.perf_counter() < until:
        await asyncio.sleep(every)
        points.append(((time.perf_counter() - began) / 60, memory(server) / MIB))


async def soak(server: Running, minutes: float, pause: float) -> list[Goal]:
    origin, statuses, points = server.origin, Counter[str](), list[tuple[float, float]]()
    until = time.perf_counter() + minutes * 30  # half as long before: a warm-up: caches, the allocator, threads
    await asyncio.gather(*(traffic(origin, until, pause, statuses, seed) for seed in range(CONNECTIONS)))
    files, threads = count(server, "fd"), count(server, "task")
    until = time.perf_counter() + minutes * 60
    await asyncio.gather(
        watch(server, until, max(minutes * 60 / 200, 0.2), points),
        *(traffic(origin, until, pause, statuses, CONNECTIONS + seed) for seed in range(CONNECTIONS)),
    )
    await asyncio.sleep(1)
    grows = slope(points)
    wrong = {name: number for name, number in statuses.items() if name not in ("as wanted", "left")}
    calls = f"{sum(statuses.values())} calls, {statuses['left']} left"
    after_files, after_threads = count(server, "fd"), count(server, "task")
    low, high = min(found for _, found in points), max(found for _, found in points)
    return [
        Goal(f"unprovoked answers ({calls})", str(wrong or 0), "0", not wrong),
        Goal(f"memory, {low:.0f} to {high:.0f} MiB: slope", f"{grows:+.2f} MiB/min", f"at most {MIB_A_MINUTE}",
             grows <= MIB_A_MINUTE),
        Goal("open files after the load", str(after_files), f"at most {files}", after_files <= files),
        Goal("threads", str(after_threads), f"at most {threads}, and 2", after_threads <= threads + 2),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="length, without the warm-up (default %(default)s)")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between a caller's calls (%(default)s)")
    parser.add_argument("--gradwire-command", default=str(Path(sys.executable).with_name("gradwire")))
    options = parser.parse_args()
    gradwire = own_servers(options.gradwire_command)[0]
    try:
        with tempfile.TemporaryDirectory(prefix="gradwire-") as folder, running(gradwire, Path(folder)) as server:
            goals = asyncio.run(soak(server, options.minutes, options.pause))
    except (ServerError, OSError, TimeoutError) as failure:
        print(f"failed: {failure!r}", file=sys.stderr)
        return 2
    return report(f"Soak, {options.minutes:g} min", goals)


if __name__ == "__main__":
    sys.exit(main())
