"""Half of the traffic is bad. Every good answer is the same, to the bit, as when its caller was alone."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pytest

from schemas.losses import LOSSES
from tests.binary import MEDIA_TYPE, Array, pack
from tests.e2e.test_wire import Caller, post
from tests.examples import arrays_of
from tests.serving import RunningServer

CALLERS: Final = 8
BINARY: Final = f"Content-Type: {MEDIA_TYPE}"


def good() -> list[bytes]:
    """Every loss's example in both wires; and larger ones, which the worker computes."""
    rng = np.random.default_rng(5)
    found = []
    for cls in LOSSES.values():
        tensors, members = arrays_of(cls)
        found.append(post(pack(tensors, **members), BINARY))
        if not any("." in name for name in tensors):
            as_lists = {name: array.tolist() for name, array in tensors.items()}
            found.append(post(json.dumps({**members, **as_lists}).encode()))
    for rows in (7, 64):
        rows_of: dict[str, Array] = {
            "input": rng.normal(size=(rows, 500)).astype(np.float32),
            "target": rng.integers(0, 500, rows),
        }
        found.append(post(pack(rows_of, loss="cross_entropy", label_smoothing=0.1), BINARY))
        found.append(
            post(json.dumps({"loss": "cross_entropy", **{k: v.tolist() for k, v in rows_of.items()}}).encode())
        )
    call = [{"loss": "mse_loss", "input": [1.5, 2.0], "target": [1.0, 0.3]}, {"loss": "nope"}] * 8
    found.append(post(json.dumps({"requests": call}).encode()).replace(b"/v1/loss ", b"/v1/loss/batch "))
    return found


def answered(caller: Caller, request: bytes) -> bytes:
    caller.send(request)
    status, _, body = caller.answer()
    assert status == 200, body
    return body


def refused(request: bytes) -> Callable[[RunningServer], None]:
    def send(server: RunningServer) -> None:
        with Caller(server) as caller:
            caller.send(request)
            assert 400 <= caller.answer()[0] < 500

    return send


def leaves(request: bytes) -> Callable[[RunningServer], None]:
    def send(server: RunningServer) -> None:
        with Caller(server) as caller:
            caller.send(request)
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    return send


def bad() -> list[Callable[[RunningServer], None]]:
    """Refused requests, and callers that leave; some of them alike the good ones in all but a number."""
    class_index = b'{"loss": "cross_entropy", "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 3]}'
    tensors = {"input": np.ones((64, 500), np.float32), "target": np.full(64, 500)}
    return [
        refused(post(class_index)),
        refused(post(pack(tensors, loss="cross_entropy", label_smoothing=0.1), BINARY)),
        refused(post(b'{"loss": "mse_loss", "input": [1.0, 2.0], "target": [1.0, 2.0, 3.0]}')),
        refused(post(b'{"loss": "kl_div", "input": [NaN]}')),
        refused(post(b"\x1f\x8b" + b"\0" * 99, "Content-Encoding: gzip")),
        refused(post(b"\xff" * 5000, BINARY)),
        refused(b"NONSENSE\r\n\r\n"),
        leaves(post(pack({**tensors, "target": np.zeros(64, np.int64)}, loss="cross_entropy"), BINARY)),
        leaves(post()[:-10]),
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_good_answers_beside_bad_traffic_are_the_same_to_the_bit(attacked: RunningServer, seed: int) -> None:
    requests, attacks = good(), bad()
    with Caller(attacked) as caller:
        alone = [answered(caller, request) for request in requests]

    def call(number: int) -> int:
        order = np.random.default_rng((seed, number)).integers(0, len(requests), 4 * len(requests))
        with Caller(attacked) as caller:
            for at in order:
                assert answered(caller, requests[at]) == alone[at], requests[at][:200]
        return len(order)

    def attack(number: int) -> int:
        rng = np.random.default_rng((seed, CALLERS + number))
        for at in rng.integers(0, len(attacks), 4 * len(requests)):
            attacks[at](attacked)
        return 1

    with ThreadPoolExecutor(2 * CALLERS) as threads:
        calls = [threads.submit(one, number) for number in range(CALLERS) for one in (call, attack)]
        assert all(done.result(timeout=300) for done in calls)
