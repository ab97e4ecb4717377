"""Nothing blocks the event loop: small calls are answered while a big one is decoded, computed and encoded."""

from __future__ import annotations

import asyncio
import http.client
import json
import select
import socket
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from service.http.formulas import is_long
from service.settings import Settings
from service.wire import json as wire
from service.wire import oip
from tests.asgi import InProcess
from tests.serving import RunningServer

STEPS = ["decode", "encode"]


@pytest.mark.parametrize("step", STEPS)
def test_the_loop_goes_on_while_a_big_body_is_worked_on(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    reached, go_on = threading.Event(), threading.Event()
    real: Callable[..., Any] = getattr(wire, step)

    def held(*args: Any, **options: Any) -> Any:
        reached.set()
        # On the event loop this would wait for ever for what only the loop can bring.
        assert go_on.wait(timeout=30), f"{step} runs on the event loop"
        return real(*args, **options)

    monkeypatch.setattr(wire, step, held)
    numbers = np.linspace(0, 1, 10_000).tolist()
    body = json.dumps({"loss": "mse_loss", "input": numbers, "target": numbers}).encode()
    settings = Settings(device="cpu", access_log=False, log_level="error", offload_bytes=10_000)

    async def both(client: InProcess) -> tuple[int, int]:
        big = asyncio.create_task(client.http.post("/v1/loss", content=body))
        assert await asyncio.to_thread(reached.wait, 30)
        alive = await client.http.get("/livez")
        assert not big.done()
        go_on.set()
        return alive.status_code, (await big).status_code

    with InProcess(settings) as client:
        assert client.run(both(client)) == (200, 200)


LONG = "+".join(["x * 0.5"] * 200)


def read_on_loop(
    monkeypatch: pytest.MonkeyPatch, reader: ModuleType, path: str, *sent: dict[str, Any]
) -> list[tuple[int, bool]]:
    """Of each request in turn its status, and whether `reader.decode` was called on the event loop, once."""
    threads: list[int] = []
    real = reader.decode

    def noted(*args: Any, **options: Any) -> Any:
        threads.append(threading.get_ident())
        return real(*args, **options)

    monkeypatch.setattr(reader, "decode", noted)

    async def asked(client: InProcess) -> list[tuple[int, bool]]:
        statuses = [(await client.http.post(path, json=one)).status_code for one in sent]
        return list(zip(statuses, [one == threading.get_ident() for one in threads], strict=True))

    with InProcess(Settings(device="cpu", access_log=False, log_level="error")) as client:
        return client.run(asked(client))


@pytest.mark.parametrize(
    ("path", "members", "on_loop"),
    [
        ("/v1/losses/expression", {"expression": "x * 2.0"}, True),
        ("/v1/losses/expression", {"expression": LONG}, False),
        ("/v1/loss", {"loss": "expression", "expression": LONG + "* 2"}, False),
        (
            "/v1/loss",
            {
                "loss": "composite",
                "terms": [{"loss": "expression", "expression": f"x * {at}.25 + x * 2"} for at in range(16)],
            },
            False,
        ),
        ("/v1/loss", {"loss": "mse_loss", "input": [0.5] * 500, "target": [0.25] * 500}, True),
    ],
)
def test_long_formulas_are_read_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, path: str, members: dict[str, Any], on_loop: bool
) -> None:
    if "target" not in members:
        members = {**members, "tensors": {"x": [1.0, 2.0]}}
    assert read_on_loop(monkeypatch, wire, path, members) == [(200, on_loop)]


def test_long_formulas_of_inference_requests_are_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    x = {"name": "tensors.x", "shape": [2], "datatype": "FP32", "data": [1.0, 2.0]}
    sent = [{"inputs": [x], "parameters": {"expression": text}} for text in ("x * 3.0", LONG + "* 3")]
    assert read_on_loop(monkeypatch, oip, "/v2/models/expression/infer", *sent) == [(200, True), (200, False)]


@pytest.mark.parametrize(
    ("text", "long"),
    [
        (b'{"expression":"' + b"x" * 255 + b'"}', False),
        (b'{"expression":"' + b"x" * 256 + b'"}', True),
        (b'{"expression" : "' + b'\\"' * 128 + b'"}', True),
        (b'{"terms":[' + b",".join([b'{"expression":"%s"}' % (b"x" * 16)] * 16) + b"]}", True),
        (b'{"expression":"x","input":[' + b"1," * 4000 + b"1]}", False),
        (rb'{"\u0065xpression":"' + b"x" * 256 + b'"}', True),
        (json.dumps({"request": json.dumps({"expression": "x" * 256})}).encode(), True),
        (bytearray(b'{"expression":"' + b"x" * 256), True),
    ],
)
def test_formulas_are_found_wherever_they_are(text: bytes, long: bool) -> None:
    assert is_long(text, 1 << 20) == long


def test_livez_is_answered_before_a_big_request_on_another_connection(server: RunningServer) -> None:
    numbers = np.random.default_rng(1).standard_normal((300, 1000)).round(7).tolist()
    request = {"loss": "mse_loss", "input": numbers, "target": numbers, "reduction": "none"}
    body = json.dumps(request).encode()
    assert len(body) > 5 << 20
    head = f"POST /v1/loss HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection((server.host, server.port)) as big:
        big.sendall(head + body)
        small = http.client.HTTPConnection(server.host, server.port)
        small.request("GET", "/livez")
        assert small.getresponse().read() == b'{"status":"ok"}'
        small.close()
        waiting, _, _ = select.select([big], [], [], 0)
        assert not waiting, "the big request was answered first"
        answer = b"".join(iter(lambda: big.recv(1 << 20), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["count"] == 300_000
