"""uvicorn's HTTP protocol, put right in the places that callers feel.

- An offer to upgrade the connection is ignored, as RFC 9110 (section 7.8) has it. Java's HttpClient makes one
  (`Upgrade: h2c`) with every request; uvicorn's parser then takes the request for one without a body
  (https://github.com/Kludex/uvicorn/issues/2722).
- What is no HTTP is answered with a problem document.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.problems import HTTPProblem, render

UPGRADE: Final = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
IGNORED: Final = b"\r\nignored:"  # as long as the header that it replaces


class Protocol(HttpToolsProtocol):
    """The protocol that `gradwire serve` runs under uvicorn."""

    _at_head = True

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
