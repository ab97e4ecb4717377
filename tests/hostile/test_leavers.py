"""Callers that leave at every stage: their work is dropped, their memory released, and nobody else feels it."""

from __future__ import annotations

import socket

import pytest

from tests.e2e.large import upload
from tests.e2e.test_wire import Caller, post
from tests.serving import RunningServer

STAGES = [b"", b"P", b"POST /v1/loss HTTP/1.1\r\n", post()[:60], post()[:-1], post(), post() * 3, post() + b"POST /v1"]


@pytest.mark.parametrize("how", ["orderly", "half closed", "by a reset"])
@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_a_caller_that_leaves_at_any_stage_harms_no_other(attacked: RunningServer, stage: int, how: str) -> None:
    for _ in range(20):
        with Caller(attacked) as caller:
            caller.send(STAGES[stage])
            if how == "half closed":
                caller.socket.shutdown(socket.SHUT_WR)
            elif how == "by a reset":
                caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def test_a_crowd_that_leaves_at_once_leaves_nothing_behind(attacked: RunningServer) -> None:
    request = upload()
    crowd = [Caller(attacked) for _ in range(100)]
    for at, caller in enumerate(crowd):
        caller.send(request.head, request.body[: 1000 * at])
    for caller in crowd:
        caller.stream.close()
        caller.socket.close()


def test_connections_that_say_nothing_keep_no_other_waiting(attacked: RunningServer) -> None:
    silent = [Caller(attacked) for _ in range(200)]
    for at, caller in enumerate(silent):
        caller.send(post()[: at % 50])
    with Caller(attacked) as other:
        for _ in range(10):
            other.send(post())
            assert other.loss() == 4.0
    for caller in silent:
        caller.stream.close()
        caller.socket.close()
