"""More than the server can do: whether every call is answered, how much is still done, and how soon it is over.

`python -m benchmarks.overload` starts Gradwire and measures, one after the other: capacity (16 connections), overload
(512 connections), recovery, 200 connections that send their heads a byte at a time, 100 callers that leave at once, and
tiny requests beside a stream of large ones. It prints Markdown and ends with 1 where a goal is missed. Linux alone.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.endurance.figures import Goal, percentile, report
from benchmarks.endurance.wire import Answer, Client, get, post
from benchmarks.http.processes import ServerError, running
from benchmarks.http.safetensors import write
from benchmarks.http.servers import own_servers

BINARY = "application/vnd.safetensors"
TINY = post(json.dumps({"loss": "cross_entropy", "input": [[0.5] * 10], "target": [3]}).encode())
LEAVERS = 100
SLOW = 200
GOODPUT = 0.8
"""Of the capacity, under overload."""


def cross_entropy(rows: int, classes: int) -> bytes:
    rng = np.random.default_rng(rows)
    tensors: dict[str, NDArray[np.generic]] = {
        "input": rng.normal(size=(rows, classes)).astype(np.float32),
        "target": rng.integers(0, classes, rows),
    }
    return post(write(tensors, {"request": '{"loss": "cross_entropy"}'}), BINARY)


def long_work() -> bytes:
    """A request that takes the worker some tenths of a second, in a body of 400 KB."""
    frames, batch, length = 400, 8, 100
    rng = np.random.default_rng(2)
    tensors: dict[str, NDArray[np.generic]] = {
        "log_probs": np.log(rng.dirichlet(np.ones(30), (frames, batch))).astype(np.float32),
        "targets": rng.integers(1, 30, (batch, length)),
        "input_lengths": np.full(batch, frames),
        "target_lengths": np.full(batch, length),
    }
    return post(write(tensors, {"request": '{"loss": "ctc_loss"}'}), BINARY)


MIDDLE = cross_entropy(32, 1000)
LARGE = cross_entropy(64, 32000)
LEFT = post(json.dumps({"loss": "mse_loss", "input": [0.5] * 25_000, "target": [0.25] * 25_000}).encode())
"""Larger than what is computed on the event loop: it waits for the worker."""


async def load(origin: str, request: bytes, connections: int, seconds: float) -> list[Answer]:
    """What a number of callers get, each asking again as soon as it is answered, or told to wait."""
    found: list[Answer] = []
    until = time.perf_counter() + seconds

    async def call() -> None:
        async with Client(origin) as client:
            while time.perf_counter() < until:
                answer = await client.ask(request)
                found.append(answer)
                if answer.status in (0, 429, 503):
                    await asyncio.sleep(0.2)  # no caller asks again at once

    await asyncio.gather(*(call() for _ in range(connections)))
    return found


def seconds_of(answers: list[Answer]) -> list[float]:
    return [answer.seconds for answer in answers if answer.status == 200]


async def overload(origin: str, seconds: float) -> list[Goal]:
    await load(origin, MIDDLE, 16, 1)
    idle = percentile(seconds_of(await load(origin, TINY, 1, 2)), 0.99)
    capacity = len(seconds_of(await load(origin, MIDDLE, 16, seconds / 3))) / (seconds / 3)
    began = time.perf_counter()
    answers = await load(origin, MIDDLE, 512, seconds)
    lasted = time.perf_counter() - began
    await asyncio.sleep(2)
    after = percentile(seconds_of(await load(origin, TINY, 1, 2)), 0.99)
    statuses = Counter(answer.status for answer in answers)
    silent = sum(answer.status in (429, 503) and not answer.retry_after for answer in answers)
    goodput = statuses[200] / lasted / capacity
    told = ", ".join(f"{status or 'lost'}: {number}" for status, number in sorted(statuses.items()))
    return [
        Goal("512 connections: answers", told, "200, 429 and 503 alone", set(statuses) <= {200, 429, 503}),
        Goal("429 and 503 without Retry-After", str(silent), "0", silent == 0),
        Goal(
            f"goodput, of {capacity:.0f} requests/s at 16 connections",
            f"{goodput:.2f}", f"at least {GOODPUT}", goodput >= GOODPUT,
        ),
        Goal("p99 of one tiny caller, 2 s after", _ms(after), f"2 x {_ms(idle)}", after <= 2 * idle),
    ]  # fmt: skip


async def slow(origin: str) -> list[Goal]:
    """Heads that come a byte at a time, on many connections, beside a good caller."""
    before = percentile(seconds_of(await load(origin, TINY, 4, 3)), 0.5)

    async def drip() -> None:
        client = Client(origin)
        try:
            while True:
                for byte in TINY[:-1]:
                    _, writer = await client.connected()
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(0.5)
        except OSError:  # the server has closed it, as it may
            return
        finally:
            client.leave()

    drips = [asyncio.create_task(drip()) for _ in range(SLOW)]
    await asyncio.sleep(0.5)
    answers = await load(origin, TINY, 4, 3)
    for one in drips:
        one.cancel()
    await asyncio.gather(*drips, return_exceptions=True)
    found, failed = percentile(seconds_of(answers), 0.5), sum(answer.status != 200 for answer in answers)
    return [
        Goal(f"p50 beside {SLOW} slow connections", _ms(found), f"1.5 x {_ms(before)}", found <= 1.5 * before),
        Goal("good calls refused meanwhile", str(failed), "0", failed == 0),
    ]


async def leavers(origin: str) -> list[Goal]:
    """Callers that go as soon as they have asked; and what is computed for them while the worker is busy with others.

    Where it is free, a request has its turn before anyone can know that its caller has gone.
    """
    before = percentile(seconds_of(await load(origin, TINY, 4, 3)), 0.5)
    good = asyncio.create_task(load(origin, TINY, 4, 3))
    await _ask_and_leave(origin)
    found = percentile(seconds_of(await good), 0.5)
    computed = await _mse_losses(origin)
    busy = asyncio.create_task(load(origin, long_work(), 4, 4))
    await asyncio.sleep(2)
    await _ask_and_leave(origin)
    await busy
    needless = await _mse_losses(origin) - computed
    return [
        Goal(f"p50 while {LEAVERS} callers leave", _ms(found), f"1.5 x {_ms(before)}", found <= 1.5 * before),
        Goal(
            f"computed of {LEAVERS} requests that were left while the worker was busy",
            str(needless), "at most 10", needless <= 10,
        ),
    ]  # fmt: skip


async def _ask_and_leave(origin: str) -> None:
    clients = [Client(origin) for _ in range(LEAVERS)]
    for client in clients:
        _, writer = await client.connected()
        writer.write(LEFT)
        await writer.drain()
    for client in clients:
        client.leave()


async def _mse_losses(origin: str) -> int:
    """Those computed so far, as the service counts them; nobody but the leavers asks for one."""
    async with Client(origin) as client:
        answer = await client.ask(get("/v2/models/mse_loss/stats"))
    told: dict[str, Any] = json.loads(answer.body)
    return int(told["model_stats"][0]["inference_count"])


async def fair(origin: str) -> list[Goal]:
    """Tiny requests beside a stream of large ones."""
    alone = percentile(seconds_of(await load(origin, LARGE, 1, 3)), 0.5)
    large = asyncio.create_task(load(origin, LARGE, 4, 5))
    await asyncio.sleep(0.5)
    answers = await load(origin, TINY, 1, 3)
    await large
    found = percentile(seconds_of(answers), 0.99)
    return [
        Goal("p99 of tiny requests beside four streams of 64x32000", _ms(found), f"one of those alone: {_ms(alone)}",
             found <= alone),
    ]  # fmt: skip


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


async def all_goals(origin: str, seconds: float) -> list[Goal]:
    goals = await overload(origin, seconds)
    for part in (slow, leavers, fair):
        goals += await part(origin)
    return goals


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="length of the overload (default %(default)s)")
    parser.add_argument("--gradwire-command", default=str(Path(sys.executable).with_name("gradwire")))
    options = parser.parse_args()
    gradwire = own_servers(options.gradwire_command)[0]
    try:
        with tempfile.TemporaryDirectory(prefix="gradwire-") as folder, running(gradwire, Path(folder)) as server:
            goals = asyncio.run(all_goals(server.origin, options.seconds))
    except (ServerError, OSError, TimeoutError) as failure:
        print(f"failed: {failure!r}", file=sys.stderr)
        return 2
    return report(f"Overload, {options.seconds:g} s", goals)


if __name__ == "__main__":
    sys.exit(main())
