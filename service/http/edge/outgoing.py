"""The transport and its flow control, as one request's answer sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    from service.http.edge.protocol import Protocol


class Outgoing:
    """What an answer does with the transport; its `close` sees to it that the caller can read what was written."""

    __slots__ = ("_connection", "is_closing", "write", "writelines")

    def __init__(self, connection: Protocol, transport: asyncio.Transport) -> None:
        self.write = transport.write
        self.writelines = transport.writelines
        self.is_closing = transport.is_closing
        self._connection: Protocol | None = connection

    def close(self) -> None:
        """End the connection after what was written."""
        if self._connection is not None:
            self._connection.end()

    def forget(self) -> None:
        """The connection is no more: no circle of references is left."""
        self._connection = None


class Flow(FlowControl):
    """uvicorn's flow control, which resumes no reading while enough has been read."""

    full = False

    def resume_reading(self) -> None:
        """Read on, unless requests enough are waiting."""
        if not self.full:
            super().resume_reading()

    def hold(self) -> None:
        """Stop reading until `release`."""
        self.full = True
        self.pause_reading()

    def release(self) -> None:
        """Read on."""
        self.full = False
        self.resume_reading()
