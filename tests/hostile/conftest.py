"""A server under attack: what is true of it before is true of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.large import MB, resident
from tests.e2e.test_wire import Caller, post
from tests.serving import RunningServer

GROWTH = 96 * MB
"""Memory that one attack may leave behind: what the allocator keeps of the largest bodies, and no multiple of it."""
PATIENCE = 60
"""Seconds for all to be given back on a loaded machine; a guard against hanging, no more."""


def holds(server: RunningServer, what: str) -> int:
    """How many `fd`s or `task`s (threads) the server has."""
    return sum(1 for _ in Path(f"/proc/{server.process.pid}/{what}").iterdir())


def good_answer(server: RunningServer) -> bytes:
    """The bytes of the answer to a good caller on a connection of its own."""
    with Caller(server) as caller:
        caller.send(post(b'{"loss": "cross_entropy", "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2]}'))
        status, _, body = caller.answer()
        assert status == 200
        return body


@pytest.fixture
def attacked(server: RunningServer) -> Iterator[RunningServer]:
    """The server; in the end a good caller gets the same bits, and memory, files and threads are back."""
    before = good_answer(server)
    files, memory = holds(server, "fd"), resident(server)
    yield server
    assert good_answer(server) == before
    until = time.monotonic() + PATIENCE
    while (holds(server, "fd") > files or resident(server) - memory >= GROWTH) and time.monotonic() < until:
        time.sleep(0.01)  # memory is given back some seconds after the last request
    assert holds(server, "fd") <= files
    # The executor beside the event loop keeps the threads that it has made: 32 at most, and some of torch's and ours.
    assert holds(server, "task") < 64
    assert resident(server) - memory < GROWTH
    assert [line for line in server.lines if "Traceback" in line] == []
