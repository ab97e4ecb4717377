"""What `Protocol` offers an application beyond ASGI: large bodies in one piece, and answers in one write.

ASGI hands a body over in messages, and uvicorn copies every byte of it four times before the last one is there. Where
a body's length is declared, the connection's protocol gives way to `Connection` until it is complete: the event loop
then reads from the socket into the memory that the tensors will lie in. An answer goes out head and body together,
its tensors' memory as it is (docs/adr/0007-beyond-asgi.md).

A `Connection` travels in the scope under `SCOPE_KEY`. Under another server there is none, and all goes by ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http.admission import Claim
from service.http.problems import HTTPProblem
from service.http.security_headers import COMPUTED, lines

if TYPE_CHECKING:
    from service.http.edge.protocol import Protocol

SCOPE_KEY: Final = "gradwire.connection"
LEAST_BYTES: Final = 1 << 16
"""Bytes still to come below which a body is not worth the change of protocols."""
STEP_BYTES: Final = 1 << 20
"""Bytes of a body that are claimed at a time while it comes."""
JOINED_BYTES: Final = 1 << 18
"""Bytes up to which an answer is copied into one piece: one write of it costs less than several (2 cores, loopback)."""

Buffer = bytes | bytearray | memoryview


class Lost(Exception):
    """The connection ended amid the body."""


class Connection(asyncio.BufferedProtocol):
    """One request's side of its connection; the protocol in charge while the rest of the body comes."""

    def __init__(self, protocol: Protocol, cycle: Any, length: int | None) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._length = length
        self.received = 0
        self._claimed = 0
        self._claim: Claim | None = None
        self._view = memoryview(b"")
        self._done: asyncio.Future[None] | None = None

    @property
    def gone(self) -> bool:
        """Whether the caller has gone."""
        gone: bool = self._cycle.disconnected
        return gone

    def arrived(self) -> Buffer | None:
        """The whole body, if it is there already."""
        cycle = self._cycle
        if cycle.more_body:
            return None
        body: Buffer = cycle.body
        cycle.body = b""
        if not cycle.disconnected:
            cycle.message_event.clear()  # the next event is the caller's going
        return body

    async def body(self, claim: Claim) -> Buffer | None:
        """The whole body once it has arrived; `None` where it must be taken by `receive`.

        The claim grows as it comes. Raises `Lost`, and `HTTPProblem` 503 where the claim cannot grow.
        """
        cycle = self._cycle
        length = self._length
        if length is None or length - len(cycle.body) < LEAST_BYTES or not self._protocol.may_give_way(cycle):
            return None
        transport = self._protocol.transport
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Memory that nothing has touched yet takes no room until the bytes come.
        self._view = np.empty(length, np.uint8).data
        self.received = len(cycle.body)
        self._claim = claim
        self._reach()
        self._view[: self.received] = cycle.body
        cycle.body = b""
        self._done = asyncio.get_running_loop().create_future()
        self._protocol.in_charge = self
        transport.set_protocol(self)
        self._protocol.flow.resume_reading()
        try:
            await self._done
        except asyncio.CancelledError:  # the drain is over
            self._view = memoryview(b"")
            cycle.disconnected = True
            self._protocol.end()  # amid a body there is no way back
            raise Lost from None
        found, self._view = self._view, memoryview(b"")
        return found

    def _reach(self) -> None:
        """Claim the next step, beyond what has come. Raises `HTTPProblem`."""
        self._claimed = min(self.received + STEP_BYTES, len(self._view))
        if self._claim is not None:
            self._claim.reach(self._claimed)

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], parts: Sequence[Buffer], size: int) -> bool:
        """Write a whole answer of that many bytes; `False` where it must go by `send`.

        `headers` hold no Content-Length, none of the fields for browsers, and nothing that a caller wrote.
        """
        cycle, protocol = self._cycle, self._protocol
        if cycle.response_started or protocol.flow.write_paused:
            return False
        if cycle.disconnected:
            return True
        cycle.response_started = True
        head = [STATUS_LINE[status]]
        for name, value in cycle.default_headers:
            head += (name, b": ", value, b"\r\n")
        for name, value in headers:
            head += (name, b": ", value, b"\r\n")
        head.append((_REST if cycle.keep_alive else _LAST) % size)
        if size <= JOINED_BYTES:
            protocol.transport.write(b"".join((*head, *parts)))
        else:
            protocol.transport.writelines([b"".join(head), *parts])
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def break_off(self) -> None:
        """End the connection amid the answer."""
        self._cycle.disconnected = True
        self._protocol.transport.abort()

    def keep(self, claim: Claim) -> None:
        """Release a claim once the answer has left: now, or when a slow reader has read it, or has gone."""
        if self._protocol.flow.write_paused:
            self._protocol.unsent.append(claim)
        else:
            claim.release()

    # The protocol.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._view[self.received : self._claimed]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come; with the last one, the connection is HTTP's again."""
        self.received += nbytes
        if self.received == self._claimed < len(self._view):
            try:
                self._reach()
            except HTTPProblem as problem:
                self._give_up(problem)
        if self.received == self._length and self._done is not None:
            self._protocol.resume_after(self._cycle)
            if not self._done.done():
                self._done.set_result(None)

    def _give_up(self, problem: HTTPProblem) -> None:
        """Take no more of the body: the connection is HTTP's again, to be answered on and closed."""
        self._view = memoryview(b"")
        self._protocol.resume_amid(self.received)
        if self._done is not None and not self._done.done():
            self._done.set_exception(problem)

    def eof_received(self) -> None:
        """The caller has gone: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone amid the body."""
        self._protocol.connection_lost(exc)
        self.fail()

    def fail(self) -> None:
        """The rest of the body will not come."""
        self._protocol.in_charge = None
        self._view = memoryview(b"")  # memory that else stays until cycles of objects are looked for
        if self._done is not None and not self._done.done():
            self._done.set_exception(Lost())

    def pause_writing(self) -> None:
        """As the HTTP protocol."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """As the HTTP protocol."""
        self._protocol.resume_writing()


_FIXED: Final = lines(COMPUTED)
_REST: Final = _FIXED + b"content-length: %d\r\n\r\n"
_LAST: Final = _FIXED + b"content-length: %d\r\nconnection: close\r\n\r\n"
