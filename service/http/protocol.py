"""uvicorn's HTTP protocol, put right in the places that callers feel.

- The head of an answer and its body leave in one write (docs/adr/0004-one-write-an-answer.md).
- An offer to upgrade the connection is ignored, as RFC 9110 (section 7.8) has it. Java's HttpClient makes one
  (`Upgrade: h2c`) with every request; uvicorn's parser then takes the request for one without a body
  (https://github.com/Kludex/uvicorn/issues/2722).
- What is no HTTP is answered with a problem document.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.problems import HTTPProblem, render

UPGRADE: Final = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
IGNORED: Final = b"\r\nignored:"  # as long as the header that it replaces


class Protocol(HttpToolsProtocol):
    """The protocol that `gradwire serve` runs under uvicorn."""

    _at_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Put the holding transport in place."""
        super().connection_made(HoldingTransport(transport, self.loop))  # type: ignore[arg-type] # it acts as one

    def data_received(self, data: bytes) -> None:
        """Hide an upgrade offer from the parser, in a head that comes in one piece as clients send it."""
        if self._at_head:
            end = data.find(b"\r\n\r\n", len(data) - len(data.lstrip(b"\r\n")))
            if end >= 0 and UPGRADE.search(data, 0, end):
                data = UPGRADE.sub(IGNORED, data[:end]) + data[end:]
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, as a problem document like every other refusal. uvicorn has logged its message."""
        status, headers, body = render(HTTPProblem(400, "this is no HTTP/1.1 request"), "/")
        fields = {
            **headers,
            "content-length": str(len(body)),
            "connection": "close",
            "x-request-id": secrets.token_hex(8),
            "server-timing": "total;dur=0",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(f"HTTP/1.1 {status} Bad Request\r\n{head}\r\n".encode("latin-1"))
        self.transport.write(body)
        self.transport.close()

    def on_headers_complete(self) -> None:
        """What follows is a body."""
        self._at_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows is a head."""
        self._at_head = True
        super().on_message_complete()


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
            if len(data) < 65_536:
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
