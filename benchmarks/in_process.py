"""What a request costs the process without sockets: through the real protocol and application, on a transport of ours.

`python -m benchmarks.in_process [--rounds 1500] [--connections 16]` sends each connection the same cross entropy of
1x10 in JSON, waits until all answers are written, and so on. It prints microseconds a request: the least, and the mean
of the faster half of the rounds. System calls are not in it, and other work on the machine hardly is: it is for
comparing two versions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import uvloop
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.server import ServerState

from service.http.app import create_app
from service.http.edge.protocol import Protocol


class Answers(asyncio.Transport):
    """Takes what is written and tells so."""

    def __init__(self, written: Callable[[], None]) -> None:
        super().__init__()
        self._written = written
        self.last = b""

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """A whole answer."""
        self.last = bytes(data)
        self._written()

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def is_closing(self) -> bool:
        """Never."""
        return False

    def resume_reading(self) -> None:
        """Nothing is read from it."""

    def close(self) -> None:
        """Nothing is open."""


async def measure(rounds: int, connections: int) -> list[float]:
    """Seconds a request, of each round, from the fastest."""
    config = Config(create_app(), http=Protocol, proxy_headers=False, log_config=None, access_log=False)
    config.load()
    lifespan = LifespanOn(config)
    await lifespan.startup()
    left, all_written = 0, asyncio.Event()

    def written() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            all_written.set()

    protocols = [Protocol(config, ServerState(), lifespan.state) for _ in range(connections)]
    transports = [Answers(written) for _ in protocols]
    for protocol, transport in zip(protocols, transports, strict=True):
        protocol.connection_made(transport)
    logits = np.random.default_rng(0).normal(size=(1, 10)).astype(np.float32)
    body = json.dumps({"loss": "cross_entropy", "input": logits.tolist(), "target": [3]}).encode()
    head = f"POST /v1/loss HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    times = []
    for _ in range(rounds):
        left = connections
        all_written.clear()
        began = time.perf_counter()
        for protocol in protocols:
            protocol.data_received(request)
        await all_written.wait()
        times.append((time.perf_counter() - began) / connections)
    for protocol, transport in zip(protocols, transports, strict=True):
        if not transport.last.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(transport.last.decode())
        protocol.connection_lost(None)
    await lifespan.shutdown()
    return sorted(times)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_process", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1500)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    times = uvloop.run(measure(options.rounds, options.connections))
    half = times[: max(1, len(times) // 2)]
    print(
        f"1x10 JSON, {options.connections} connections: {times[0] * 1e6:.1f} us a request at least, "
        f"{sum(half) / len(half) * 1e6:.1f} in the faster half of the rounds"
    )


if __name__ == "__main__":
    main()
