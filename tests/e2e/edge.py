"""Servers with short patience, and callers that try it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.e2e.test_wire import Caller, post
from tests.serving import RunningServer, serving

PATIENCE: Final[dict[str, Any]] = {
    "GRADWIRE_HEAD_TIMEOUT_SECONDS": "0.6",
    "GRADWIRE_BODY_TIMEOUT_SECONDS": "0.6",
    "GRADWIRE_WRITE_TIMEOUT_SECONDS": "0.6",
    "GRADWIRE_KEEP_ALIVE_SECONDS": "0.6",
}


@contextmanager
def impatient(**settings: str) -> Iterator[RunningServer]:
    """A server that waits little more than half a second, unless told otherwise."""
    # The first computation has its time, however busy the machine is.
    with serving(**PATIENCE | {"GRADWIRE_PROBE_SECONDS": "60"} | settings) as server:
        yield server


def refused(caller: Caller, status: int) -> dict[str, Any]:
    """The problem document that ends this connection."""
    found, headers, body = caller.answer()
    assert found == status, body
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"]
    assert headers["date"].endswith(" GMT")
    document: dict[str, Any] = json.loads(body)
    assert document["status"] == status
    closed(caller)
    return document


def closed(caller: Caller) -> None:
    """The server has closed, in order: not by a reset."""
    assert caller.stream.read() == b""


def is_served(server: RunningServer) -> None:
    """Another caller is answered."""
    with Caller(server) as caller:
        caller.send(post())
        assert caller.loss() == 4.0


def descriptors(server: RunningServer) -> int:
    """File descriptors that the server has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def reset(caller: Caller) -> None:
    """Leave by a reset, not by an orderly end."""
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
