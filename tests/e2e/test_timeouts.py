"""Callers that keep the server waiting: with their heads, with their bodies, with reading their answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.edge import closed, impatient, is_served, refused
from tests.e2e.large import upload
from tests.e2e.test_wire import BODY, Caller, post
from tests.serving import RunningServer

HEAD = b"POST /v1/loss HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def short() -> Iterator[RunningServer]:
    with impatient() as server:
        yield server


@contextlib.contextmanager
def dripping(caller: Caller, drop: bytes) -> Iterator[None]:
    """Send a drop every tenth of a second for as long as the server takes it."""
    over = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.1):
                caller.socket.sendall(drop)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_connection_on_which_nothing_comes_is_closed(short: RunningServer) -> None:
    with Caller(short) as caller:
        closed(caller)


def test_a_kept_connection_is_closed_when_it_was_idle_too_long(short: RunningServer) -> None:
    with Caller(short) as caller:
        caller.send(post())
        assert caller.loss() == 4.0
        closed(caller)


def test_empty_lines_keep_no_connection(short: RunningServer) -> None:
    with Caller(short) as caller:
        caller.send(post())
        assert caller.loss() == 4.0
        with dripping(caller, b"\r\n"):
            assert caller.socket.recv(1) == b""


@pytest.mark.parametrize("kept", [False, True], ids=["first", "second"])
def test_a_head_that_does_not_end_is_answered_408(short: RunningServer, kept: bool) -> None:
    with Caller(short) as caller:
        if kept:
            caller.send(post())
            assert caller.loss() == 4.0
        caller.send(HEAD)
        assert "head" in refused(caller, 408)["detail"]


def test_a_head_that_drips_is_answered_408(short: RunningServer) -> None:
    with Caller(short) as caller:
        caller.send(HEAD)
        with dripping(caller, b"X-Drop: 1\r\n"):
            assert "head" in refused(caller, 408)["detail"]


def test_the_log_tells_what_came_of_a_body_and_what_was_answered(short: RunningServer) -> None:
    with Caller(short) as caller:
        caller.send(HEAD + b"X-Request-ID: half\r\nContent-Length: 100\r\n\r\n{ ")
        size = len(caller.answer()[2])
    short.logged(f"in=2 out={size} request_id=half")


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/loss", HEAD + b"Content-Length: 100\r\n\r\n"),
        ("/v1/loss", HEAD + b"Content-Length: 100\r\n\r\n{"),
        ("/v1/loss", CHUNKED),
        ("/v1/loss", CHUNKED + b"5\r\n{"),
        ("/v1/loss", HEAD + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"),
        ("/v1/loss", HEAD + b"Content-Length: 1000000\r\n\r\n" + b" " * 70_000),
        ("/v1/loss/batch", HEAD.replace(b"loss", b"loss/batch") + b"Content-Length: 100\r\n\r\n{"),
    ],
    ids=["none of it", "a byte of it", "no chunk", "half a chunk", "100-continue", "in one piece", "batch"],
)
def test_a_body_that_stands_still_is_answered_408(short: RunningServer, path: str, sent: bytes) -> None:
    with Caller(short) as caller:
        caller.send(sent)
        if b"Expect" in sent:
            assert caller.answer()[0] == 100
        document = refused(caller, 408)
        assert "body" in document["detail"]
        assert document["instance"] == path


@pytest.mark.parametrize("length", [90_000, 1_000_000], ids=["by messages", "in one piece"])
def test_a_body_that_drips_is_answered_408(short: RunningServer, length: int) -> None:
    with Caller(short) as caller:
        caller.send(HEAD + b"Content-Length: %d\r\n\r\n" % length)
        with dripping(caller, b" "):
            assert "4096 bytes a second" in refused(caller, 408)["detail"]


def test_a_request_given_up_is_logged_as_such_under_its_id(short: RunningServer) -> None:
    with Caller(short) as caller:
        caller.send(HEAD + b"X-Request-ID: stands-still\r\nContent-Length: 100\r\n\r\n{")
        _, headers, _ = caller.answer()
        assert headers["x-request-id"] == "stands-still"
    short.logged("stands-still")
    assert any("stands-still" in line and "408" in line for line in short.lines)
    assert not any("Traceback" in line for line in short.lines)


def test_what_comes_in_time_is_served_however_long_it_takes_in_all() -> None:
    with (
        impatient(GRADWIRE_BODY_TIMEOUT_SECONDS="20", GRADWIRE_LEAST_BYTES_PER_SECOND="0") as server,
        Caller(server) as caller,
    ):
        request = post()
        caller.send(request[: -len(BODY)])
        with Caller(server) as waiting:  # one second and more, told by the server's own clock
            closed(waiting)
        caller.send(BODY[:9])
        with Caller(server) as waiting:
            closed(waiting)
        caller.send(BODY[9:])
        assert caller.loss() == 4.0


def test_two_hundred_slow_callers_disturb_no_other(short: RunningServer) -> None:
    with contextlib.ExitStack() as slow:
        callers = [slow.enter_context(Caller(short)) for _ in range(200)]
        for caller in callers:
            caller.send(HEAD)
        with Caller(short) as good:
            for _ in range(20):
                good.send(post())
                assert good.loss() == 4.0
        for caller in callers:
            refused(caller, 408)


def test_a_caller_that_does_not_read_its_answer_is_cut_off(short: RunningServer) -> None:
    request = upload(8 << 20)
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.settimeout(60)
        caller.connect((short.host, short.port))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(4):
                caller.sendall(request.whole)
        # All that was sent is there, and then the connection is broken off amid the answer.
        with Caller(short) as waiting:
            closed(waiting)
        with Caller(short) as waiting:
            closed(waiting)
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while part := caller.recv(1 << 16):
                taken += len(part)
        assert taken < 4 * (8 << 20)
    is_served(short)
