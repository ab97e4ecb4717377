"""A caller that leaves before its turn is not computed for."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import uvicorn
from starlette.types import Message

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.access_log import AccessLog
from service.engine import BatchingEngine
from service.http.app import create_app
from service.http.body import Disconnected
from service.http.compute import send_parts
from service.http.edge.connection import SCOPE_KEY as CONNECTION_KEY
from service.http.edge.protocol import Protocol
from service.losses import FORMULAS, Formula, Tensors, Terms
from service.settings import Settings

REQUEST = json.dumps({"loss": "l1_loss", "input": [3.0], "target": [1.0]}).encode()
OTHER = json.dumps({"loss": "huber_loss", "input": [3.0], "target": [1.0]}).encode()


class Statuses(AccessLog):
    """An access log that hands on each status as soon as it is written."""

    def __init__(self) -> None:
        super().__init__("text")
        self.seen: queue.SimpleQueue[int] = queue.SimpleQueue()

    def write(self, scope: Mapping[str, Any], method: str, status: int, seconds: float) -> None:
        self.seen.put(status)


class Held:
    """A server whose worker is held in its first computation until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.computing, self.release = threading.Event(), threading.Event()
        real = FORMULAS[LOSSES["l1_loss"]]
        self.computed: list[str] = []

        def held(request: LossRequest, tensors: Tensors) -> Terms:
            self.computing.set()
            assert self.release.wait(60)
            return real.function(request, tensors)

        def noted(request: LossRequest, tensors: Tensors) -> Terms:
            self.computed.append(request.name)
            return real.function(request, tensors)

        monkeypatch.setitem(FORMULAS, LOSSES["l1_loss"], Formula(held))
        monkeypatch.setitem(FORMULAS, LOSSES["huber_loss"], Formula(noted))
        self.engine = BatchingEngine("cpu", inline_elements=0)
        settings = Settings(device="cpu", inline_elements=0, log_level="error", drain_seconds=30)
        self.statuses = Statuses()
        monkeypatch.setattr("service.http.app.AccessLog", lambda _form: self.statuses)
        app = create_app(settings, self.engine)
        config = uvicorn.Config(app, http=Protocol, ws="none", proxy_headers=False, log_config=None)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self.thread.start()

    def send(self, body: bytes, path: str = "/v1/loss") -> socket.socket:
        """Post a body on a connection of its own."""
        caller = socket.create_connection(self.listening.getsockname())
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        caller.sendall(head.encode() + body)
        return caller

    def stop(self) -> None:
        """Let everything end."""
        self.release.set()
        self.server.should_exit = True
        self.thread.join()
        self.listening.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The server, stopped in the end."""
    made = Held(monkeypatch)
    try:
        yield made
    finally:
        made.stop()


def read(caller: socket.socket) -> bytes:
    """All of an answer."""
    with caller:
        return b"".join(iter(lambda: caller.recv(65536), b""))


@pytest.mark.parametrize("leavers", [1, 5])
def test_a_caller_that_leaves_before_its_turn_is_dropped(held: Held, leavers: int) -> None:
    first = held.send(REQUEST)
    assert held.computing.wait(60)
    for _ in range(leavers):
        held.send(OTHER).close()
    # The server notices each that leaves; nobody is answered before.
    assert [held.statuses.seen.get(timeout=60) for _ in range(leavers)] == [499] * leavers
    last = held.send(REQUEST)
    held.release.set()
    for caller in (first, last):
        assert b'"loss":2.0' in read(caller)
    assert held.engine.tally.dropped["caller_gone"] == leavers
    assert held.computed == []


def test_a_caller_that_leaves_while_it_is_computed_harms_no_other(held: Held) -> None:
    first = held.send(REQUEST)
    assert held.computing.wait(60)
    first.close()
    assert held.statuses.seen.get(timeout=60) == 499
    second = held.send(OTHER)
    held.release.set()
    assert b"HTTP/1.1 200" in read(second)


def test_a_caller_that_leaves_amid_its_body_is_not_answered(held: Held) -> None:
    caller = socket.create_connection(held.listening.getsockname())
    caller.sendall(b"POST /v1/loss HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    caller.close()
    assert held.statuses.seen.get(timeout=60) == 499
    held.release.set()
    assert b"HTTP/1.1 200" in read(held.send(OTHER))


def test_a_caller_that_leaves_with_more_requests_behind_the_first_is_dropped(held: Held) -> None:
    first = held.send(REQUEST)
    assert held.computing.wait(60)
    caller = socket.create_connection(held.listening.getsockname())
    caller.sendall((b"POST /v1/loss HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(OTHER), OTHER)) * 3)
    caller.close()
    assert held.statuses.seen.get(timeout=60) == 499
    held.release.set()
    assert b'"loss":2.0' in read(first)
    assert held.computed == []


def test_who_left_while_the_answer_was_written_is_not_counted_as_answered() -> None:
    class Gone:
        gone = True

    async def run() -> None:
        async def send(_: Message) -> None:
            raise AssertionError("nobody is there")

        with pytest.raises(Disconnected):
            await send_parts({CONNECTION_KEY: Gone(), "gradwire.id": b"1"}, send, [b"{}"], [])

    asyncio.run(run())
