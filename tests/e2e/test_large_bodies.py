"""Large bodies on the real server, however they come; large answers, however they are read."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

from service.http.edge.connection import LEAST_BYTES
from tests.e2e.large import MB, goes_on, is_quiet, upload
from tests.e2e.test_wire import Caller, post
from tests.serving import RunningServer


def test_a_large_body_comes_in_one_go(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.send(upload().whole)
        upload().answered(caller)


@pytest.mark.parametrize("seed", range(3))
def test_a_large_body_dribbles_in(server: RunningServer, seed: int) -> None:
    request = upload(2 * MB)
    cuts = np.random.default_rng(seed).integers(1, len(request.whole), 200)
    edges = [0, *sorted({*cuts.tolist(), len(request.head) - 1, len(request.head) + 1}), len(request.whole)]
    with Caller(server) as caller:
        caller.send(*[request.whole[one:other] for one, other in pairwise(edges)])
        request.answered(caller)


@pytest.mark.parametrize("first", [1, 100, -2, -1, 0, 1000, 100_000, 300_000])
def test_the_body_comes_after_the_head_has_been_read(server: RunningServer, first: int) -> None:
    """`first`: bytes of the body that come with the head, or of the head that are missing."""
    request = upload()
    cut = len(request.head) + first
    with Caller(server) as caller:
        caller.send(request.whole[:cut])
        goes_on(server)
        caller.send(request.whole[cut:])
        request.answered(caller)


@pytest.mark.parametrize("left", [1, 2, LEAST_BYTES - 1, LEAST_BYTES, LEAST_BYTES + 1])
def test_the_end_of_the_body_comes_late(server: RunningServer, left: int) -> None:
    request = upload()
    with Caller(server) as caller:
        caller.send(request.whole[:-left])
        goes_on(server)
        caller.send(request.whole[-left:])
        request.answered(caller)


@pytest.mark.parametrize("size", [LEAST_BYTES - 1, LEAST_BYTES, LEAST_BYTES + 1, 2 * LEAST_BYTES, 256 << 10, MB + 1])
def test_bodies_of_any_size_come_whole(server: RunningServer, size: int) -> None:
    request = upload(size)
    with Caller(server) as caller:
        for _ in range(2):
            caller.send(request.whole)
            request.answered(caller)
        caller.send(request.head)
        goes_on(server)
        caller.send(request.body)
        request.answered(caller)


def test_a_caller_that_expects_to_be_asked_is_asked_for_its_large_body(server: RunningServer) -> None:
    request = upload(fields=("Expect: 100-continue",))
    with Caller(server) as caller:
        for _ in range(2):
            caller.send(request.head)
            assert caller.answer() == (100, {}, b"")
            caller.send(request.body)
            request.answered(caller)


def test_a_caller_that_does_not_wait_to_be_asked_is_served_too(server: RunningServer) -> None:
    request = upload(fields=("Expect: 100-continue",))
    with Caller(server) as caller:
        caller.send(request.whole)
        status = caller.answer()
        assert status == (100, {}, b"")
        request.answered(caller)


@pytest.mark.parametrize("size", [LEAST_BYTES, 300_000, 4 * MB])
def test_requests_that_follow_a_large_body_at_once_are_answered_in_order(server: RunningServer, size: int) -> None:
    request = upload(size)
    with Caller(server) as caller:
        caller.send(request.whole + post() + post(b"["))
        request.answered(caller)
        assert caller.loss() == 4.0
        assert caller.answer()[0] == 400


def test_a_small_request_may_come_with_the_end_of_a_large_body(server: RunningServer) -> None:
    request = upload()
    with Caller(server) as caller:
        caller.send(request.whole[:-10])
        goes_on(server)
        caller.send(request.whole[-10:] + post() + post())
        request.answered(caller)
        assert [caller.loss(), caller.loss()] == [4.0, 4.0]


def test_large_requests_may_be_pipelined(server: RunningServer) -> None:
    requests = [upload(size, seed) for seed, size in enumerate((4 * MB, 3 * MB, 300_000, 2 * MB))]
    with Caller(server) as caller:
        sender = threading.Thread(target=caller.send, args=(b"".join(request.whole for request in requests),))
        sender.start()
        for request in requests:
            request.answered(caller)
        sender.join()


def test_small_and_large_requests_take_turns_on_a_connection(server: RunningServer) -> None:
    with Caller(server) as caller:
        for seed in range(3):
            caller.send(post())
            assert caller.loss() == 4.0
            request = upload(MB, seed)
            caller.send(request.whole)
            request.answered(caller)
            caller.send(post(b"["))
            assert caller.answer()[0] == 400


def test_a_large_request_behind_small_ones_is_answered_in_its_turn(server: RunningServer) -> None:
    request = upload()
    with Caller(server) as caller:
        caller.send(post() + post() + request.whole + post())
        assert [caller.loss(), caller.loss()] == [4.0, 4.0]
        request.answered(caller)
        assert caller.loss() == 4.0


@pytest.mark.parametrize("chunk", [1000, 65_536, 4 * MB])
def test_a_large_body_may_come_in_chunks(server: RunningServer, chunk: int) -> None:
    request = upload()
    head = request.head.replace(b"Content-Length: %d" % len(request.body), b"Transfer-Encoding: chunked")
    parts = [request.body[at : at + chunk] for at in range(0, len(request.body), chunk)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    with Caller(server) as caller:
        for _ in range(2):
            caller.send(head + chunks)
            request.answered(caller)


def test_a_connection_that_asks_to_be_closed_is_closed_after_its_large_answer(server: RunningServer) -> None:
    request = upload(fields=("Connection: close",))
    with Caller(server) as caller:
        caller.send(request.whole)
        request.answered(caller)
        assert caller.stream.read() == b""


def test_a_large_body_that_is_invalid_is_refused_and_the_connection_kept(server: RunningServer) -> None:
    request = upload()
    with Caller(server) as caller:
        caller.send(request.head + b"\xff" * len(request.body))
        status, _, body = caller.answer()
        assert (status, b"safetensors" in body) == (400, True)
        caller.send(request.whole)
        request.answered(caller)


def test_a_large_answer_is_followed_by_the_next(server: RunningServer) -> None:
    with Caller(server) as caller:
        for seed in range(4):
            request = upload(4 * MB, seed)
            caller.send(request.whole)
            request.answered(caller)
            caller.send(post())
            assert caller.loss() == 4.0


def test_a_slow_reader_of_large_answers_keeps_no_other_waiting(server: RunningServer) -> None:
    request = upload(40 * MB)  # its answer is more than sockets hold
    with Caller(server) as slow:
        slow.send(request.whole, post(), post())
        assert slow.stream.peek(1)[:1] == b"H"
        for _ in range(20):
            goes_on(server)
        with Caller(server) as other:
            other.send(request.whole)
            request.answered(other)
        request.answered(slow)
        assert [slow.loss(), slow.loss()] == [4.0, 4.0]


def test_many_large_requests_at_once_get_each_its_own_answer(server: RunningServer) -> None:
    failures: list[BaseException] = []

    def ask(seed: int) -> None:
        try:
            request = upload(MB, seed)
            with Caller(server) as caller:
                for _ in range(3):
                    caller.send(request.whole)
                    request.answered(caller)
        except BaseException as error:  # noqa: BLE001 - raised again by the test's own thread
            failures.append(error)

    callers = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failures == []
    is_quiet(server)
