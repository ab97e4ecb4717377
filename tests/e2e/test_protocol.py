"""What uvicorn's protocol leaves to be desired, and ours puts right."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_wire import BODY, Caller, post
from tests.serving import RunningServer

OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\r\n\r\n"], ids=["", "an empty line", "two empty lines"])
def test_an_offer_to_upgrade_is_ignored_and_the_body_read(server: RunningServer, before: bytes) -> None:
    with Caller(server) as caller:
        for _ in range(2):  # the connection goes on as HTTP/1.1
            caller.send(before + post(BODY, *OFFER))
            assert caller.loss() == 4.0


def test_an_offer_in_a_body_is_left_as_it_is(server: RunningServer) -> None:
    body = BODY[:-1] + b',\r\nUpgrade: h2c\r\n"on_empty": "nan"}'
    with Caller(server) as caller:
        caller.send(post(body))
        status, _, answer = caller.answer()
        assert status == 400
        assert b"no JSON" in answer


def test_requests_that_are_cut_anywhere_are_all_answered(server: RunningServer) -> None:
    pair = post() * 2
    for cut in range(len(post()) - 3, len(pair), 7):
        with Caller(server) as caller:
            caller.send(pair[:cut], pair[cut:])
            assert [caller.loss(), caller.loss()] == [4.0, 4.0], cut


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"],
    ids=["TLS", "nonsense", "bad header"],
)
def test_what_is_no_http_is_refused_at_once_with_a_problem(server: RunningServer, data: bytes) -> None:
    with Caller(server) as caller:
        caller.send(data)
        status, headers, body = caller.answer()
        assert status == 400
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-request-id"]
        assert json.loads(body)["detail"] == "this is no HTTP/1.1 request"
        assert caller.stream.read() == b""  # and the connection is closed


def test_an_offer_in_a_head_that_comes_in_pieces_is_ignored_too(server: RunningServer) -> None:
    request = post(BODY, *OFFER)
    name = request.index(b"\r\nUpgrade:")
    for cut in (10, name - 5, name, name + len(b"\r\nUpgrade:"), request.index(BODY) - 2, request.index(BODY)):
        with Caller(server) as caller, Caller(server) as other:
            caller.send(request[:cut])
            other.send(post())
            assert other.loss() == 4.0  # by now the server has read the first piece
            caller.send(request[cut:])
            assert caller.loss() == 4.0, cut
