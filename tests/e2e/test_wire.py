"""The real server on the wire: connections that are kept, filled slowly, or left."""

from __future__ import annotations

import json
import socket
from typing import Any, Self

import pytest

from tests.serving import RunningServer

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'


class Caller:
    """A raw connection that reads one answer at a time."""

    def __init__(self, server: RunningServer) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=60)
        self.stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send each part by itself."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            self.socket.sendall(part)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        status = int(self.stream.readline().split(b" ")[1])
        headers = {}
        while line := self.stream.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.stream.read(int(headers.get("content-length", 0)))

    def loss(self) -> Any:
        """The loss of the next answer."""
        status, _, body = self.answer()
        assert status == 200, body
        return json.loads(body)["loss"]


def post(body: bytes = BODY, *fields: str) -> bytes:
    """A request as it goes over the wire."""
    head = ["POST /v1/loss HTTP/1.1", "Host: gradwire", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


def test_a_connection_is_kept(server: RunningServer) -> None:
    with Caller(server) as caller:
        for _ in range(3):
            caller.send(post())
            assert caller.loss() == 4.0


def test_a_connection_is_kept_after_a_refusal(server: RunningServer) -> None:
    with Caller(server) as caller:
        for body, status in ((b"[", 400), (b"{}", 422), (b'{"loss": "nope"}', 422)):
            caller.send(post(body))
            assert caller.answer()[0] == status
        caller.send(post(BODY, "Content-Type: text/plain"))
        assert caller.answer()[0] == 415
        caller.send(post())
        assert caller.loss() == 4.0


def test_two_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    with Caller(server) as caller:
        other = BODY.replace(b"3.0", b"2.0")
        caller.send(post() + post(other) + post(b"[") + post())
        assert [caller.loss(), caller.loss()] == [4.0, 1.0]
        assert caller.answer()[0] == 400
        assert caller.loss() == 4.0


def test_a_body_may_come_in_many_small_pieces(server: RunningServer) -> None:
    request = post()
    with Caller(server) as caller:
        caller.send(*[request[at : at + 1] for at in range(len(request))])
        assert caller.loss() == 4.0


def test_a_body_may_come_in_chunks(server: RunningServer) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:11], BODY[11:]))
    with Caller(server) as caller:
        caller.send(b"POST /v1/loss HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n")
        assert caller.loss() == 4.0
        caller.send(post())
        assert caller.loss() == 4.0


@pytest.mark.parametrize(
    "sent", [b"POST /v1/lo", post()[:-20], post()], ids=["amid the head", "amid the body", "at once"]
)
def test_a_caller_that_leaves_harms_no_other(server: RunningServer, sent: bytes) -> None:
    for _ in range(20):
        with Caller(server) as caller:
            caller.send(sent)
    with Caller(server) as caller:
        caller.send(post())
        assert caller.loss() == 4.0


def test_a_connection_that_asks_to_be_closed_is_closed_after_its_answer(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.send(post(BODY, "Connection: close"))
        assert caller.loss() == 4.0
        assert caller.stream.read() == b""


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server: RunningServer) -> None:
    with Caller(server) as caller:
        head = f"POST /v1/loss HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\nExpect: 100-continue\r\n\r\n"
        caller.send(head.encode())
        status, headers, body = caller.answer()
        assert (status, headers["content-type"]) == (413, "application/problem+json")
        assert str(64 << 20) in json.loads(body)["detail"]
        # What would follow is no request: the connection ends.
        assert headers["connection"] == "close"
        assert caller.stream.read() == b""


def test_a_caller_that_expects_to_be_asked_is_asked_for_its_body(server: RunningServer) -> None:
    with Caller(server) as caller:
        request = post(BODY, "Expect: 100-continue")
        caller.send(request[: -len(BODY)])
        assert caller.answer()[0] == 100
        caller.send(BODY)
        assert caller.loss() == 4.0


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_what_is_no_http_is_refused_and_the_server_goes_on(server: RunningServer, head: bytes) -> None:
    with Caller(server) as caller:
        caller.send(head)
        assert caller.answer()[0] == 400
    with Caller(server) as caller:
        caller.send(post())
        assert caller.loss() == 4.0
