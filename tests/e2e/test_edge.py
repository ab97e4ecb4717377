"""What the server refuses before the application sees it, and that its answer always arrives."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest

from tests.e2e.edge import closed, descriptors, impatient, is_served, refused, reset
from tests.e2e.test_protocol import OFFER
from tests.e2e.test_wire import BODY, Caller, post
from tests.serving import RunningServer

MB = 1 << 20
HEAD = b"POST /v1/loss HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    "a host that is none": (b"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "length and coding": (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "coding and length": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    "a list of lengths": (HEAD + b"Content-Length: 3, 3\r\n\r\n", 400),
    "a negative length": (HEAD + b"Content-Length: -3\r\n\r\n", 400),
    "an endless length": (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "a length of thousands of digits": (HEAD + b"Content-Length: " + b"0" * 5000 + b"3\r\n\r\n", 400),
    "a chunk without a size": (CHUNKED + b"zz\r\n", 400),
    "a chunk that is longer": (CHUNKED + b"1\r\nabc\r\n", 400),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
    "gzip": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "gzip, chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "gzip and chunked": (HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    "a tunnel": (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "another expectation": (HEAD + b"Expect: tea\r\nContent-Length: 3\r\n\r\n", 417),
    "HTTP/2 by prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505),
    "HTTP/2.0": (b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 505),
    "HTTP/3.0": (b"GET /livez HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    "a long target": (b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a target without an end": (b"GET /" + b"a" * 300_000, 414),
    "a large field": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "many fields": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 10_000 + b"\r\n", 431),
    "a field without an end": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 300_000, 431),
    "large trailers": (CHUNKED + b"1\r\n{\r\n0\r\nX-Large: " + b"a" * 300_000, 400),
    "large extensions": (CHUNKED + b"1;" + b"a" * 300_000, 400),
}


@pytest.mark.parametrize("pieces", [1, 7], ids=["at once", "in pieces"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_with_a_problem(server: RunningServer, name: str, pieces: int) -> None:
    sent, status = REFUSED[name]
    size = -(-len(sent) // pieces)
    with Caller(server) as caller:
        caller.send(*(sent[at : at + size] for at in range(0, len(sent), size)))
        refused(caller, status)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_waits_for_the_answers_before_it(server: RunningServer, name: str) -> None:
    sent, status = REFUSED[name]
    with Caller(server) as caller:
        caller.send(post() + GET + sent)
        assert caller.loss() == 4.0
        assert caller.answer()[0] == 200
        refused(caller, status)


def test_a_refusal_has_its_line_in_the_log(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.send(b"GET /unheard HTTP/1.1\r\nHost: x\r\nX-Request-ID: too-much\r\nX-Large: " + b"a" * 70_000)
        status, headers, body = caller.answer()
        assert (status, headers["x-request-id"]) == (431, "too-much")
    told = f'"path":"/unheard","status":431,"milliseconds":0.0,"received_bytes":0,"sent_bytes":{len(body)}'
    server.logged(told)
    server.logged('"request_id":"too-much"')
    with Caller(server) as caller:
        caller.send(b"no HTTP\r\n\r\n")
        own = caller.answer()[1]["x-request-id"]
    server.logged(f'"request_id":"{own}"')


def test_reasons_are_those_of_rfc_9110(server: RunningServer) -> None:
    lines = {
        HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 40): b"HTTP/1.1 413 Content Too Large\r\n",
        post(b"{}"): b"HTTP/1.1 422 Unprocessable Content\r\n",
        REFUSED["a long target"][0]: b"HTTP/1.1 414 URI Too Long\r\n",
    }
    for sent, line in lines.items():
        with Caller(server) as caller:
            caller.send(sent)
            assert caller.stream.readline() == line


@pytest.mark.parametrize("target", ["http://x/livez", "/livez?a=b"])
def test_a_target_in_any_form_is_served(server: RunningServer, target: str) -> None:
    with Caller(server) as caller:
        caller.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 2)
        assert [caller.answer()[0], caller.answer()[0]] == [200, 200]


@pytest.mark.parametrize("target", ["http://x", "http://x?a=b", "*"])
def test_a_target_without_a_path_is_none_of_ours_and_no_fault(server: RunningServer, target: str) -> None:
    with Caller(server) as caller:
        caller.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + GET)
        assert caller.answer()[0] < 500
        assert caller.answer()[0] == 200


def test_white_space_behind_a_value_is_no_part_of_it(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.send(
            post().replace(b"gradwire\r\n", b"gradwire \t\r\n").replace(b"%d\r\n" % len(BODY), b"%d  \r\n" % len(BODY))
        )
        assert caller.loss() == 4.0
        caller.send(HEAD + b"Content-Length: %d \r\nExpect: 100-continue \r\n\r\n" % (1 << 50))
        assert caller.answer()[0] == 413
        closed(caller)


def test_a_head_may_be_cut_anywhere_before_a_large_body(server: RunningServer) -> None:
    request = post(BODY[:-1] + b" " * 300_000 + b"}")
    end = request.index(b"\r\n\r\n") + 4
    for cut in range(end - 9, end + 2):
        with Caller(server) as caller, Caller(server) as other:
            caller.send(request[:cut])
            other.send(GET)
            assert other.answer()[0] == 200  # by now the server has read the first piece
            caller.send(request[cut:])
            assert caller.loss() == 4.0, end - cut


def test_http_1_0_needs_no_host_and_is_answered_once(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.send(b"GET /livez HTTP/1.0\r\nExpect: anything\r\n\r\n")
        assert caller.answer()[0] == 200
        closed(caller)


@pytest.mark.parametrize("framing", ["told", "chunked"])
def test_a_refusal_amid_a_body_that_is_still_sent_arrives(server: RunningServer, framing: str) -> None:
    large = b"x" * (66 * MB)
    with Caller(server) as caller:
        if framing == "told":
            caller.send(HEAD + b"Content-Length: %d\r\n\r\n" % (80 * MB), large)  # all of it, before the answer is read
        else:
            caller.send(CHUNKED, b"%x\r\n" % (80 * MB), large)
        status, headers, body = caller.answer()
        assert (status, headers["connection"]) == (413, "close")
        assert str(64 * MB) in json.loads(body)["detail"]
        closed(caller)


def test_a_small_body_that_is_not_wanted_keeps_its_connection(server: RunningServer) -> None:
    with Caller(server) as caller:
        for _ in range(3):
            caller.send(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            status, headers, _ = caller.answer()
            assert status == 404
            assert "connection" not in headers
            caller.send(b"x" * 100_000)
        caller.send(post())
        assert caller.loss() == 4.0


@pytest.mark.parametrize("field", [f"Content-Length: {2 * MB}", "Transfer-Encoding: chunked"])
def test_a_large_or_endless_body_that_is_not_wanted_ends_its_connection(server: RunningServer, field: str) -> None:
    with Caller(server) as caller:
        caller.send(f"POST /nothing HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode())
        status, headers, _ = caller.answer()
        assert (status, headers["connection"]) == (404, "close")
        closed(caller)


def test_who_is_refused_is_not_asked_for_the_body(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.send(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        status, headers, _ = caller.answer()
        assert (status, headers["connection"]) == (404, "close")
        closed(caller)


@pytest.mark.parametrize("chunked", [False, True], ids=["told", "chunked"])
def test_an_offer_to_upgrade_is_ignored_wherever_it_is_cut(server: RunningServer, chunked: bool) -> None:
    request = post(BODY, *OFFER)
    if chunked:
        request = request.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
        request = request[: -len(BODY)] + b"%x\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(BODY), BODY)
    with Caller(server) as caller:
        for cut in range(1, len(request), 3):
            caller.send(request[:cut])
            with Caller(server) as other:
                other.send(GET)
                assert other.answer()[0] == 200  # by now the server has read the first piece
            caller.send(request[cut:])
            assert caller.loss() == 4.0, cut


def test_pipelined_offers_are_ignored_too(server: RunningServer) -> None:
    offer = post(BODY, *OFFER)
    get = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with Caller(server) as caller:
        caller.send((offer + get + post()) * 5)
        for _ in range(5):
            assert caller.loss() == 4.0
            assert caller.answer()[0] == 200
            assert caller.loss() == 4.0


def test_thousands_of_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    count = 3000
    with Caller(server) as caller:
        # Fewer bytes than the kernel takes for both ways: nobody reads meanwhile.
        caller.send(b"".join(GET[:-2] + b"X-Request-ID: n%d\r\n\r\n" % number for number in range(count)))
        for number in range(count):
            status, headers, _ = caller.answer()
            assert (status, headers["x-request-id"]) == (200, f"n{number}")
        caller.send(post())
        assert caller.loss() == 4.0


def test_large_bodies_may_be_pipelined(server: RunningServer) -> None:
    padded = BODY[:-1] + b" " * 300_000 + b"}"
    with Caller(server) as caller:
        caller.send((post() + post(padded)) * 10)
        assert [caller.loss() for _ in range(20)] == [4.0] * 20


def test_connections_above_the_bound_are_refused_and_those_below_served() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(impatient(GRADWIRE_MAX_CONNECTIONS="4", GRADWIRE_KEEP_ALIVE_SECONDS="600"))
        held: list[Caller] = []
        while len(held) < 4:
            caller = stack.enter_context(Caller(server))
            caller.send(post())
            status, headers, _ = caller.answer()
            if status == 200:  # the first caller of all may still be closing
                held.append(caller)
        for _ in range(100):
            with Caller(server) as surplus, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                surplus.send(post())
                status, headers, body = surplus.answer()
                assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
                assert json.loads(body)["status"] == 503
                closed(surplus)
        for caller in held:
            caller.send(post())
            assert caller.loss() == 4.0


def test_broken_connections_of_every_kind_leave_nothing_behind() -> None:
    kinds = [sent for name, (sent, _) in REFUSED.items() if len(sent) < 9000]
    kinds += [HEAD, HEAD + b"Content-Length: 100\r\n\r\n{", CHUNKED, HEAD + b"Content-Length: 1000000\r\n\r\n", post()]
    with impatient() as server:
        is_served(server)
        threads = len(list(server_tasks(server)))
        before = descriptors(server)
        for _ in range(10):
            for sent in kinds:
                for how in (closed, reset):
                    with Caller(server) as caller, contextlib.suppress(ConnectionError):
                        caller.send(sent)
                        if how is reset:
                            reset(caller)
        settles(server, before)
        assert len(list(server_tasks(server))) <= threads + 2  # of the pool beside the event loop
        assert not any("Traceback" in line for line in server.lines)
        is_served(server)


def server_tasks(server: RunningServer) -> list[str]:
    return [path.name for path in Path(f"/proc/{server.process.pid}/task").iterdir()]


def settles(server: RunningServer, most: int) -> None:
    """Its connections are closed, sooner or later."""
    until = time.monotonic() + 60
    while descriptors(server) > most and time.monotonic() < until:
        is_served(server)
        time.sleep(0.05)  # its own connection is closed too
    assert descriptors(server) <= most
