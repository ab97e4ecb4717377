"""Callers that dribble, and heads without measure: each is cut off in its time, and the others do not notice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.e2e.large import MB
from tests.e2e.test_wire import BODY, Caller, post
from tests.serving import RunningServer, serving

OPEN = b"POST /v1/loss HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def short() -> Iterator[RunningServer]:
    """A server that waits a second."""
    with serving(GRADWIRE_HEAD_TIMEOUT_SECONDS="1", GRADWIRE_BODY_TIMEOUT_SECONDS="1") as server:
        yield server


@pytest.mark.parametrize("stage", ["nothing", "a head", "a body", "chunks"])
def test_a_caller_that_goes_silent_is_cut_off(short: RunningServer, stage: str) -> None:
    sent = {"nothing": b"", "a head": post()[:40], "a body": post()[:-5], "chunks": OPEN + b"5\r\nab"}[stage]
    with Caller(short) as slow, Caller(short) as good:
        slow.send(sent)
        good.send(post())
        assert good.loss() == 4.0
        answer = slow.stream.read()  # ends when the server closes; the socket's own limit is 60 s
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer[:200]


def test_a_head_without_end_is_refused(attacked: RunningServer) -> None:
    with Caller(attacked) as caller:
        try:
            caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for number in itertools.takewhile(lambda at: at < 1000, itertools.count()):
                caller.send(b"X-%d: " % number + b"a" * 8000 + b"\r\n")
        except OSError:
            return  # refused and closed while it was still sending
        assert caller.answer()[0] == 431


@pytest.mark.parametrize("fields", [[], ["Host: x", "Host: y"]], ids=["none", "two"])
def test_a_request_without_exactly_one_host_is_refused(attacked: RunningServer, fields: list[str]) -> None:
    with Caller(attacked) as caller:
        caller.send("\r\n".join(["GET /livez HTTP/1.1", *fields, "", ""]).encode())
        assert caller.answer()[0] == 400


def test_a_transfer_coding_that_is_not_undone_is_refused(attacked: RunningServer) -> None:
    with Caller(attacked) as caller:
        caller.send(OPEN.replace(b"chunked", b"gzip, chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        assert caller.answer()[0] in (400, 501)


@pytest.mark.parametrize("where", ["an extension", "trailers"])
def test_what_lies_about_a_chunk_is_bounded(attacked: RunningServer, where: str) -> None:
    start, more = (b"5;a=", b"a" * MB) if where == "an extension" else (b"0\r\n", b"X-T: y\r\n" * (MB // 8))
    # A reset or a broken pipe, as it happens.
    with Caller(attacked) as caller, pytest.raises(OSError, match=r"reset|[Pp]ipe"):
        caller.send(OPEN, start, *[more] * 512)
