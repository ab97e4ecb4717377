"""What the protocol refuses by itself: once for each connection, whatever else is found wrong with it."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from uvicorn.server import ServerState

from service.http.app import create_app
from service.http.edge.protocol import Protocol
from service.http.edge.refusals import body_late, head_too_large, refused
from service.settings import Settings


def test_a_connection_is_refused_and_counted_once() -> None:
    config = uvicorn.Config(
        create_app(Settings(device="cpu")), http=Protocol, ws="none", proxy_headers=False, log_config=None
    )
    config.load()
    before = refused.copy()

    async def refuse() -> bytes:
        loop = asyncio.get_running_loop()
        protocol = Protocol(config, ServerState(), {})
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            await loop.connect_accepted_socket(lambda: protocol, ours)
            protocol.refuse(head_too_large(1000))
            protocol.refuse(body_late(1, 1))
            told = b""
            while more := await loop.sock_recv(theirs, 65536):
                told += more
        return told

    told = asyncio.run(refuse())
    assert told.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert told.count(b"HTTP/1.1") == 1
    assert refused - before == {"head_too_large": 1}
