"""Requests with the same head, byte for byte, on one connection: each is answered for itself."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.http.app import create_app
from service.http.edge.protocol import Protocol
from service.http.edge.repeated import UNUSED
from service.settings import Settings
from tests.e2e.test_wire import Caller
from tests.serving import RunningServer


def ask(number: int, *fields: str) -> bytes:
    """A request for the square of a number from 10 to 99."""
    body = b'{"loss": "mse_loss", "input": [%d.0], "target": [0.0]}' % number + b" " * (number % 7)
    lines = ["POST /v1/loss HTTP/1.1", "Host: x", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def test_each_of_them_has_its_own_answer_and_id(server: RunningServer) -> None:
    ids = set()
    with Caller(server) as caller:
        for number in range(10, 20):
            caller.send(ask(number))
            status, headers, body = caller.answer()
            assert (status, json.loads(body)["loss"]) == (200, float(number**2))
            ids.add(headers["x-request-id"])
    assert len(ids) == 10


def test_what_differs_is_served_as_it_is(server: RunningServer) -> None:
    with Caller(server) as caller:
        for _ in range(3):
            caller.send(ask(10))
            assert caller.loss() == 100.0
        caller.send(ask(10).replace(b"/v1/loss ", b"/v1/lass "))
        assert caller.answer()[0] == 404
        caller.send(ask(10).replace(b"[0.0]", b"[0.0["))
        assert caller.answer()[0] == 400
        caller.send(ask(10, "X-Request-ID: mine"))
        assert caller.answer()[1]["x-request-id"] == "mine"
        for _ in range(2):
            caller.send(ask(11))
            assert caller.loss() == 121.0
        caller.send(ask(12).replace(b"Host: x", b"Host: y\r\nConnection: close"))
        assert caller.loss() == 144.0
        assert caller.stream.read() == b""


def test_however_they_are_cut_and_joined_they_are_answered_in_order(server: RunningServer) -> None:
    seed = secrets.randbits(32)
    drawn = random.Random(seed)  # noqa: S311 - no secret
    fields = [(), (), ("X-Other: 1",), ("Accept: application/json",)]
    try:
        with Caller(server) as caller:
            for _ in range(60):
                numbers = [drawn.randrange(10, 100) for _ in range(drawn.choice((1, 1, 1, 2, 5)))]
                text = b"".join(ask(number, *drawn.choice(fields)) for number in numbers)
                if drawn.random() < 0.2:
                    text = b"\r\n" + text
                cuts = sorted(drawn.randrange(len(text)) for _ in range(drawn.choice((0, 0, 1, 3))))
                for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
                    caller.send(text[start:end])
                for number in numbers:
                    assert caller.loss() == float(number**2)
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


class Counting(Protocol):
    """Counts the heads that are parsed."""

    parsed = 0

    def on_message_begin(self) -> None:
        """One more."""
        type(self).parsed += 1
        super().on_message_begin()


@pytest.fixture
def config() -> uvicorn.Config:
    Counting.parsed = 0
    made = uvicorn.Config(
        create_app(Settings(device="cpu")), http=Counting, ws="none", proxy_headers=False, log_config=None
    )
    made.load()
    return made


def exchange(config: uvicorn.Config, requests: list[bytes]) -> list[int]:
    """The statuses of the answers to these requests, each sent after the answer to the one before."""

    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        statuses: list[int] = []
        with theirs:
            theirs.setblocking(False)
            made: Any = lambda: Counting(config, ServerState(), {})  # noqa: E731
            await loop.connect_accepted_socket(made, ours)
            for request in requests:
                await loop.sock_sendall(theirs, request)
                statuses.append(int((await loop.sock_recv(theirs, 65536)).split(b" ", 2)[1]))
        return statuses

    return asyncio.run(run())


def get(path: str, body: bytes = b"{}") -> bytes:
    """A request that the application answers without an engine."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_head_that_comes_again_is_not_parsed_again(config: uvicorn.Config) -> None:
    assert exchange(config, [get("/livez")] * 5) == [405] * 5
    assert Counting.parsed == 1


def test_lengths_may_differ_and_nothing_else(config: uvicorn.Config) -> None:
    assert exchange(config, [get("/livez", b"{}" * size) for size in (1, 7, 100, 1, 1000)]) == [405] * 5
    assert Counting.parsed == 1
    padded = get("/livez").replace(b"Length: 2", b"Length: 2 ")
    assert exchange(config, [get("/livez"), padded, get("/livez"), get("/livez")]) == [405] * 4
    assert Counting.parsed == 1 + 3


def test_what_is_not_whole_is_parsed(config: uvicorn.Config) -> None:
    behind = get("/livez") + b"\r\n"
    assert exchange(config, [get("/livez"), behind, get("/livez")]) == [405] * 3
    assert Counting.parsed == 3


def test_heads_that_always_differ_are_soon_not_kept_any_more(config: uvicorn.Config) -> None:
    requests = [get(f"/{number}") for number in range(100, 100 + UNUSED)]
    assert exchange(config, [*requests, requests[-1], requests[-1]]) == [404] * (UNUSED + 2)
    assert Counting.parsed == UNUSED
    Counting.parsed = 0
    requests = [get(f"/{number}") for number in range(100, 101 + UNUSED)]
    assert exchange(config, [*requests, requests[-1], requests[-1]]) == [404] * (UNUSED + 3)
    assert Counting.parsed == UNUSED + 3
