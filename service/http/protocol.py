"""uvicorn's HTTP protocol, put right in the places that callers feel.

- An offer to upgrade the connection is ignored, as RFC 9110 (section 7.8) has it. Java's HttpClient makes one
  (`Upgrade: h2c`) with every request; uvicorn's parser then takes the request for one without a body
  (https://github.com/Kludex/uvicorn/issues/2722).
- What is no HTTP is answered with a problem document.
- What ASGI has no words for is offered beside it (`service.http.connection`).
"""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.admission import Claim
from service.http.connection import SCOPE_KEY, Connection
from service.http.problems import HTTPProblem, render

UPGRADE: Final = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
IGNORED: Final = b"\r\nignored:"  # as long as the header that it replaces


class Protocol(HttpToolsProtocol):
    """The protocol that `gradwire serve` runs under uvicorn."""

    draining: ClassVar[bool] = False
    """Whether the process is about to end: every answer then is its connection's last."""

    _at_head = True
    _serving: Any = None
    """The request that is being served; others may wait behind it on the connection."""

    def data_received(self, data: bytes) -> None:
        """Hide an upgrade offer from the parser, in a head that is cut anywhere but amid the offer's name."""
        if self._at_head:
            end = data.find(b"\r\n\r\n", len(data) - len(data.lstrip(b"\r\n")))
            end = len(data) if end < 0 else end
            if UPGRADE.search(data, 0, end):
                data = UPGRADE.sub(IGNORED, data[:end]) + data[end:]
        super().data_received(data)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Begin with nothing unsent."""
        super().connection_made(transport)
        self.unsent: list[Claim] = []

    def resume_writing(self) -> None:
        """What was unsent has left: give back what it held."""
        super().resume_writing()
        self._release()

    def _release(self) -> None:
        for claim in self.unsent:
            claim.release()
        self.unsent.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being served that its caller has gone: uvicorn tells the last one that came."""
        serving = self._serving
        if serving is not None and not serving.response_complete:
            serving.disconnected = True
            serving.message_event.set()
        super().connection_lost(exc)
        self._release()

    def shutdown(self) -> None:
        """Close where nothing was asked; else after the answer. What is coming in now is answered yet."""
        if self.timeout_keep_alive_task is not None:
            self.transport.close()
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._serving = cycle
        if self.draining:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

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
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        scope: dict[str, Any] = self.scope  # type: ignore[assignment] # to which servers may add
        scope[SCOPE_KEY] = Connection(self, self.cycle, int(length) if length.isdigit() else None)

    def on_body(self, body: bytes) -> None:
        """Keep a body that comes in one piece as it is: uvicorn would copy it twice."""
        cycle: Any = self.cycle
        if cycle.body or cycle.response_complete:
            if type(cycle.body) is bytes:
                cycle.body = bytearray(cycle.body)
            super().on_body(body)
        else:
            cycle.body = body  # read-only, until more comes
            if len(body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """What follows is a head."""
        self._at_head = True
        super().on_message_complete()

    def may_give_way(self, cycle: Any) -> bool:
        """Whether the rest of this request's body is all that comes next on the connection."""
        return cycle is self.cycle and cycle.more_body and not cycle.disconnected and self.scheme == "http"

    def resume_after(self, cycle: Any) -> None:
        """Take the connection back: the body is complete, and what follows is a head, for a new parser."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.transport.set_protocol(self)
        self.on_message_complete()
        cycle.message_event.clear()  # the next event is the caller's going
