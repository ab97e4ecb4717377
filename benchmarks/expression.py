"""A Huber loss that a caller writes, beside the one of the catalogue: over HTTP and in process.

`python -m benchmarks.expression [--rounds 400]` sends each in turn, so that all else that the machine does falls on
both: 1x10 in JSON and 32x1000 in safetensors, with the gradient in the first tensor. It prints microseconds, and how
many times as long the caller's own takes. In process: from the body's bytes to the answer's. Over HTTP: one
connection to a server that it starts; the client writes and reads a socket.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from service.compute import compute, open_device
from service.serving import heap
from service.wire import json as json_wire
from service.wire import safetensors

TEXT: Final = "mean(where(abs(x - y) < d, 0.5*(x-y)**2, d*(abs(x-y)-0.5*d)))"
LIMIT: Final = 1 << 24


class Case(NamedTuple):
    """A pair of bodies of one media type: the catalogue's loss, and the caller's own."""

    name: str
    media: str
    known: bytes
    own: bytes


def cases() -> list[Case]:
    """1x10 in JSON, 32x1000 in safetensors."""
    rng = np.random.default_rng(19)
    x, y = rng.normal(size=(2, 1, 10)).round(4).tolist()
    own = {"loss": "expression", "expression": TEXT, "constants": {"d": 1.0}, "gradients": ["x"]}
    known = {"loss": "huber_loss", "input": x, "target": y}
    lists = Case(
        "1x10 JSON",
        json_wire.MEDIA_TYPE,
        json.dumps(known).encode(),
        json.dumps({**own, "tensors": {"x": x, "y": y}}).encode(),
    )
    a, b = rng.normal(size=(2, 32, 1000)).astype(np.float32)
    return [
        lists,
        Case(
            "32x1000 binary",
            safetensors.MEDIA_TYPE,
            binary({"input": a, "target": b}, {"loss": "huber_loss"}),
            binary({"tensors.x": a, "tensors.y": b}, own),
        ),
    ]


def binary(tensors: dict[str, Any], members: dict[str, Any]) -> bytes:
    """A safetensors body."""
    return b"".join(safetensors.write(tensors, {"request": json.dumps(members)}))


def in_process(case: Case, body: bytes) -> Callable[[], None]:
    """From the body's bytes to the answer's."""
    device = open_device("cpu")
    as_json = case.media == json_wire.MEDIA_TYPE

    def call() -> None:
        request = (json_wire if as_json else safetensors).decode(body, None, max_elements=LIMIT)
        [result] = compute([request], device)
        if as_json:
            json_wire.encode(result, "list")
        else:
            b"".join(safetensors.encode(result))

    return call


def over_http(case: Case, body: bytes, connection: socket.socket) -> Callable[[], None]:
    """Write a request, read its answer."""
    head = f"POST /v1/loss HTTP/1.1\r\nHost: x\r\nContent-Type: {case.media}\r\nContent-Length: {len(body)}\r\n\r\n"
    sent = head.encode() + body

    def call() -> None:
        connection.sendall(sent)
        found = bytearray()
        while (end := found.find(b"\r\n\r\n")) < 0:
            found += connection.recv(1 << 20)
        if not found.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(found.decode(errors="replace"))
        lines = bytes(found[:end]).lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
        left = length - (len(found) - end - 4)
        while left > 0:
            left -= len(connection.recv(min(left, 1 << 20)))

    return call


def interleaved(calls: list[Callable[[], None]], rounds: int) -> list[float]:
    """Microseconds of each, the median of its rounds; they take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls * 10:
        call()
    for _ in range(rounds):
        for call, found in zip(calls, times, strict=True):
            began = time.perf_counter()
            call()
            found.append(time.perf_counter() - began)
    return [float(np.median(found)) * 1e6 for found in times]


@contextmanager
def served() -> Iterator[int]:
    """The port of a server of its own process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [
        sys.executable,
        "-c",
        "from service.cli import main; main()",
        "serve",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    quiet = {**os.environ, "GRADWIRE_ACCESS_LOG": "false", "GRADWIRE_LOG_LEVEL": "error"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=quiet) as process:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.expression", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    heap.set_options()
    torch.set_num_threads(1)
    print("| case | where | huber_loss µs | expression µs | times |\n|---|---|--:|--:|--:|")
    with served() as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for case in cases():
            bodies = (case.known, case.own)
            for where, calls in (
                ("in process", [in_process(case, body) for body in bodies]),
                ("HTTP", [over_http(case, body, connection) for body in bodies]),
            ):
                known, own = interleaved(calls, rounds)
                print(f"| {case.name} | {where} | {known:.0f} | {own:.0f} | {own / known:.2f} |", flush=True)


if __name__ == "__main__":
    main()
