"""uvicorn's HTTP protocol, with the head of an answer and its body in one write."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWriteProtocol(HttpToolsProtocol):
    """Writes answers through a transport that holds each head until its body comes.

    uvicorn writes head and body apart, which for a small answer is two system calls and two packets
    (docs/adr/0004-one-write-an-answer.md).
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Put the holding transport in place."""
        super().connection_made(HoldingTransport(transport, self.loop))  # type: ignore[arg-type] # it acts as one


class HoldingTransport:
    """A transport that holds the head of an answer until the next write, or the end of the loop's turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or hold what starts as the head of an answer."""
        held = self._held
        if held is not None:
            self._held = None
            if len(data) < 65536:
                self._transport.write(held + data)
            else:
                self._transport.writelines((held, data))
        elif data.startswith(b"HTTP/1."):
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._transport.write(held)

    def close(self) -> None:
        """Write what is held, and close."""
        self._flush()
        self._transport.close()
