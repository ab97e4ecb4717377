"""Bodies whose lengths lie, and requests that two readers would cut in different places."""

from __future__ import annotations

import json

import pytest

from tests.e2e.large import MB
from tests.e2e.test_wire import BODY, Caller, post
from tests.serving import RunningServer

LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
SECOND = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
"""What an attacker would smuggle in behind the first request."""


def request(*fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join(["POST /v1/loss HTTP/1.1", "Host: x", *fields, "", ""])
    return head.encode("latin-1") + body


SMUGGLED = {
    "CL.TE": ((LENGTH, CHUNKED), CHUNKS),
    "TE.CL": ((CHUNKED, "Content-Length: 4"), CHUNKS),
    "two lengths": ((LENGTH, "Content-Length: 3"), BODY),
    "the same length twice": ((LENGTH, LENGTH), BODY),
    "a list of lengths": ((f"{LENGTH}, {len(BODY)}",), BODY),
    "a length with a sign": ((f"Content-Length: +{len(BODY)}",), BODY),
    "a negative length": (("Content-Length: -1",), BODY),
    "a hexadecimal length": (("Content-Length: 0x35",), BODY),
    "a length beyond 64 bits": (("Content-Length: " + "9" * 30,), BODY),
    "no length": (("Content-Length:",), BODY),
    "a length in two words": (("Content-Length: 5 3",), BODY),
    "an unknown coding": (("Transfer-Encoding: xchunked",), CHUNKS),
    "chunked not last": (("Transfer-Encoding: chunked, identity",), CHUNKS),
    "two codings": ((CHUNKED, "Transfer-Encoding: identity"), CHUNKS),
    "identity and a length": (("Transfer-Encoding: identity", LENGTH), BODY),
    "a space before the colon": (("Transfer-Encoding : chunked",), CHUNKS),
    "a folded coding": (("Transfer-Encoding:\r\n chunked",), CHUNKS),
    "a negative chunk": ((CHUNKED,), b"-1\r\n\r\n"),
    "a chunk beyond 64 bits": ((CHUNKED,), b"f" * 17 + b"\r\n"),
    "a chunk without its end": ((CHUNKED,), b"%x\r\n%sXX0\r\n\r\n" % (len(BODY), BODY)),
    "chunks of bare line feeds": ((CHUNKED,), b"%x\n%s\n0\n\n" % (len(BODY), BODY)),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_an_ambiguous_length_is_refused_and_nothing_behind_it_is_served(attacked: RunningServer, name: str) -> None:
    fields, body = SMUGGLED[name]
    with Caller(attacked) as caller:
        caller.send(request(*fields, body=body + SECOND))
        status, headers, told = caller.answer()
        assert (status in (400, 501), headers["content-type"]) == (True, "application/problem+json")
        assert json.loads(told)["status"] == status
        assert headers["connection"] == "close"
        assert caller.stream.read() == b""  # no answer to the second


def test_a_body_shorter_than_its_length_waits_and_harms_no_other(attacked: RunningServer) -> None:
    with Caller(attacked) as caller:
        caller.send(request(f"Content-Length: {len(BODY) + 100}", body=BODY))
        with Caller(attacked) as other:
            other.send(post())
            assert other.loss() == 4.0
        caller.send(b" " * 100)
        assert caller.loss() == 4.0


def test_what_follows_a_body_that_was_too_long_is_no_request(attacked: RunningServer) -> None:
    with Caller(attacked) as caller:
        caller.send(request("Content-Length: 20", body=BODY + SECOND))
        status = caller.answer()[0]
        assert status == 400
        assert b"HTTP/1.1 200" not in caller.stream.read()


@pytest.mark.parametrize("garbage", [b"\xff\xfe\0garbage\r\n\r\n", b"\0" * 1000, b"\x16\x03\x01" * 99])
def test_garbage_behind_an_answer_ends_the_connection(attacked: RunningServer, garbage: bytes) -> None:
    with Caller(attacked) as caller:
        caller.send(post())
        assert caller.loss() == 4.0
        caller.send(garbage)
        assert caller.answer()[0] == 400
        assert caller.stream.read() == b""


def test_a_length_beyond_the_limit_is_refused_unread(attacked: RunningServer) -> None:
    for length in (65 * MB, 2**63 - 1, 2**64 - 1):
        with Caller(attacked) as caller:
            caller.send(request(f"Content-Length: {length}"))
            assert caller.answer()[0] == 413
            assert caller.stream.read() == b""


def test_a_body_of_chunks_without_end_is_refused_at_the_limit(attacked: RunningServer) -> None:
    chunk = b"100000\r\n" + b" " * MB + b"\r\n"
    with Caller(attacked) as caller:
        caller.send(request(CHUNKED))
        sent = 0
        try:
            while sent < 200 * MB:
                caller.send(chunk)
                sent += MB
        except OSError:  # it has been refused, and the connection closed
            pass
        assert sent < 200 * MB


def test_a_body_of_tiny_chunks_without_end_is_refused_at_the_limit(attacked: RunningServer) -> None:
    chunks = b"1\r\n \r\n" * (MB // 6)
    with Caller(attacked) as caller:
        caller.send(request(CHUNKED, "Content-Type: application/json", body=b""))
        for _ in range(8):
            caller.send(chunks)
        # A good caller meanwhile.
        with Caller(attacked) as other:
            other.send(post())
            assert other.loss() == 4.0
