"""Callers that leave amid large bodies and before large answers, and a server that is told to stop amid them."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.e2e.large import FORM, MB, goes_on, is_quiet, resident, upload
from tests.e2e.test_wire import Caller, post
from tests.serving import RunningServer, serving


def named(name: str) -> tuple[str, ...]:
    return (f"X-Request-ID: {name}",)


def reset(caller: Caller) -> None:
    """Leave by a reset, not by an orderly end."""
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


@pytest.mark.parametrize("how", ["orderly", "by a reset"])
@pytest.mark.parametrize("sent", [0, 1000, 3 * MB])
def test_a_caller_that_leaves_amid_its_body_harms_no_other(server: RunningServer, how: str, sent: int) -> None:
    name = f"left-{how.replace(' ', '-')}-{sent}"
    request = upload(fields=named(name))
    for _ in range(10):
        with Caller(server) as caller:
            caller.send(request.head, request.body[:sent])
            if how == "by a reset":
                goes_on(server)  # or the reset may come before the head is read
                reset(caller)
    server.logged(name, 10)
    assert all("499" in line for line in server.lines if name in line)
    goes_on(server)
    is_quiet(server)


def test_the_memory_of_bodies_that_were_left_is_released(server: RunningServer) -> None:
    request = upload(40 * MB, fields=named("left-memory"))
    goes_on(server)
    before = resident(server)
    for _ in range(20):
        with Caller(server) as caller:
            caller.send(request.head, request.body[: 30 * MB])
    server.logged("left-memory", 20)
    goes_on(server)
    assert resident(server) - before < 64 * MB
    is_quiet(server)


def test_the_memory_of_answered_bodies_is_released(server: RunningServer) -> None:
    """What is not released of each request makes every round grow; what the allocator keeps ends growing.

    It keeps up to 256 MB at the end of its heap (`service.serving.heap`), and how soon depends on when threads run.
    """
    request = upload(40 * MB)
    held = [resident(server)]
    while len(held) < 8:
        for _ in range(6):
            with Caller(server) as caller:
                caller.send(request.whole)
                request.answered(caller)
        goes_on(server)
        held.append(resident(server))
        if len(held) > 2 and held[-1] - held[-2] < 32 * MB:
            return
    raise AssertionError(f"it grew in every round: {[size // MB for size in held]} MB")


@pytest.mark.parametrize("how", ["orderly", "by a reset"])
def test_a_caller_that_leaves_before_its_large_answer_harms_no_other(server: RunningServer, how: str) -> None:
    name = f"gone-{how.replace(' ', '-')}"
    request = upload(fields=named(name))
    for _ in range(10):
        with Caller(server) as caller:
            caller.send(request.whole)
            if how == "by a reset":
                reset(caller)
    goes_on(server)
    if how == "orderly":
        server.logged(name, 10)
    is_quiet(server)


def test_a_caller_that_leaves_amid_a_large_answer_harms_no_other(server: RunningServer) -> None:
    request = upload(8 * MB)
    for _ in range(5):
        with Caller(server) as caller:
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.send(request.whole)
            assert caller.stream.read(100).startswith(b"HTTP/1.1 200")
    goes_on(server)
    is_quiet(server)


def test_half_a_body_and_then_the_end_is_not_answered(server: RunningServer) -> None:
    request = upload(fields=named("half-body"))
    with Caller(server) as caller:
        caller.send(request.whole[:-1])
        caller.socket.shutdown(socket.SHUT_WR)
        assert caller.stream.read() == b""
    server.logged("half-body")
    goes_on(server)
    is_quiet(server)


def test_a_caller_that_sends_no_more_is_answered_whole_or_not_at_all(server: RunningServer) -> None:
    request = upload()
    with Caller(server) as caller:
        caller.send(request.whole)
        caller.socket.shutdown(socket.SHUT_WR)
        if caller.stream.peek(1):
            request.answered(caller)
        assert caller.stream.read() == b""
    goes_on(server)
    is_quiet(server)


def test_a_body_that_is_too_large_is_refused_before_it_has_come(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.send(post(b"", *FORM).replace(b"Content-Length: 0", b"Content-Length: %d" % (65 * MB)))
        assert caller.answer()[0] == 413
        assert caller.stream.read() == b""
    is_quiet(server)


def test_a_chunked_body_over_a_small_limit_is_refused_though_it_comes_at_once() -> None:
    body = post().partition(b"\r\n\r\n")[2].ljust(3000)
    chunked = b"POST /v1/loss HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    with serving(GRADWIRE_MAX_BODY_BYTES="2000") as server, Caller(server) as caller:
        caller.send(chunked % (len(body), body))
        assert caller.answer()[0] == 413


def test_an_upload_that_ends_within_the_drain_is_answered() -> None:
    request = upload()
    with serving(GRADWIRE_DRAIN_SECONDS="60") as server, Caller(server) as caller:
        caller.send(request.whole[:-1])
        goes_on(server)
        server.process.send_signal(signal.SIGTERM)
        server.logged("draining")
        caller.send(request.whole[-1:])
        request.answered(caller)
        assert caller.stream.read() == b""
        assert server.process.wait(60) == 0


def test_an_upload_that_does_not_end_keeps_no_server_from_stopping() -> None:
    request = upload()
    with serving(GRADWIRE_DRAIN_SECONDS="1") as server, Caller(server) as caller:
        caller.send(request.whole[:-1])
        goes_on(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert caller.stream.read() == b""
    assert "Traceback" not in "\n".join(server.lines)
