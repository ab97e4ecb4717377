"""Large request bodies, from the socket straight into one piece of memory.

ASGI hands a body over in messages: uvicorn copies every byte of it four times before the last one is there. Where a
body's length is declared, the connection's protocol gives way to `WholeBody` until it is complete: the event loop then
reads from the socket into the memory that the tensors will lie in (docs/adr/0006-whole-bodies.md).

It travels in the ASGI scope under `SCOPE_KEY`; without it, or where it answers `None`, bodies come by `receive`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from service.http.protocol import Protocol

SCOPE_KEY: Final = "gradwire.body"
LEAST_BYTES: Final = 1 << 16
"""Bytes still to come below which a body is not worth the change of protocols."""


class Lost(Exception):
    """The connection ended amid the body."""


class WholeBody(asyncio.BufferedProtocol):
    """Receives the rest of one request's body in place of the HTTP protocol."""

    def __init__(self, protocol: Protocol, cycle: Any, length: int) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._length = length
        self._received = 0
        self._view = memoryview(b"")
        self._done: asyncio.Future[None] | None = None

    async def read(self) -> bytes | bytearray | memoryview | None:
        """The whole body; `None` where it must be taken by `receive`. Raises `Lost`."""
        cycle = self._cycle
        if not cycle.more_body:
            return self._taken()
        if self._length - len(cycle.body) < LEAST_BYTES or not self._protocol.may_give_way(cycle):
            return None
        transport = self._protocol.transport
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Memory that nothing has touched yet takes no room until the bytes come.
        memory = np.empty(self._length, np.uint8)
        self._view = memory.data
        self._received = len(cycle.body)
        self._view[: self._received] = cycle.body
        cycle.body = bytearray()
        self._done = asyncio.get_running_loop().create_future()
        transport.set_protocol(self)
        self._protocol.flow.resume_reading()
        try:
            await self._done
        except asyncio.CancelledError:
            transport.close()  # amid a body there is no way back
            raise
        found, self._view = self._view, memoryview(b"")
        return found

    def _taken(self) -> bytes | bytearray:
        cycle = self._cycle
        body: bytes | bytearray = cycle.body
        cycle.body = b""
        if not cycle.disconnected:
            cycle.message_event.clear()  # the next event is the caller's going
        return body

    # The protocol.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._view[self._received :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come; with the last one, the connection is HTTP's again."""
        self._received += nbytes
        if self._received == self._length and self._done is not None:
            self._protocol.resume_after(self._cycle)
            if not self._done.done():
                self._done.set_result(None)

    def eof_received(self) -> None:
        """The caller has gone: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone amid the body."""
        self._protocol.connection_lost(exc)
        if self._done is not None and not self._done.done():
            self._done.set_exception(Lost())

    def pause_writing(self) -> None:
        """As the HTTP protocol."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """As the HTTP protocol."""
        self._protocol.resume_writing()
