"""A connection that has its last answer, and whose caller may still be sending.

If a socket is closed while bytes lie unread in it, the kernel resets the connection, and the caller may lose the
answer that was on its way. So the server says that it sends no more (FIN), reads on for a while, and throws away what
it reads.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.http.edge.protocol import Protocol

IDLE_SECONDS: Final = 2.0
"""Seconds without a byte after which the connection is closed."""
TOTAL_SECONDS: Final = 10.0
"""Seconds after which it is closed whatever comes."""


class Lingering(asyncio.Protocol):
    """The protocol in charge until the caller closes, or the time is over."""

    def __init__(self, connection: Protocol, most: int) -> None:
        """After `most` bytes no more are read; the caller still has its time to read the answer."""
        self.received = 0
        self._connection = connection
        self._most = most

    def begin(self) -> None:
        """Take over."""
        transport = self._connection.transport
        transport.set_protocol(self)
        if transport.can_write_eof():  # TLS has no half-closed connections
            transport.write_eof()
        self._connection.flow.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Nobody wants it."""
        self.received += len(data)
        if self.received > self._most:
            self._connection.flow.pause_reading()

    def eof_received(self) -> None:
        """The caller is done: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """As the HTTP protocol."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """As the HTTP protocol."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """As the HTTP protocol."""
        self._connection.resume_writing()
