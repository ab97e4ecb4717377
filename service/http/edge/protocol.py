"""uvicorn's HTTP protocol, put right in the places that callers feel (docs/adr/0010-the-edge.md).

- What comes in is parsed within bounds (`service.http.edge.incoming`).
- What is refused is answered with a problem document, in its turn.
- Connections are counted, and none may keep the server waiting (`Sweep`).
- A caller that is answered amid its body can read the answer (`Lingering`).
- What ASGI has no words for is offered beside it (`service.http.edge.connection`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http.admission import Claim
from service.http.edge.connection import Connection
from service.http.edge.incoming import MAX_PIPELINED, MAX_TARGET_BYTES, Incoming
from service.http.edge.lingering import Lingering
from service.http.edge.outgoing import Flow, Outgoing
from service.http.edge.pace import BODY, BYTES, END, HEAD, NOTHING, Pace
from service.http.edge.refusals import Refusal, body_late, head_late, refused, too_many_connections
from service.http.problems import TITLES, reference
from service.http.request_ids import request_id

STATUS_LINE.update({status: b"HTTP/1.1 %d %s\r\n" % (status, title.encode()) for status, title in TITLES.items()})


class Protocol(Incoming):
    """The protocol that `gradwire serve` runs under uvicorn."""

    lingering: Lingering | None = None
    in_charge: Connection | None = None
    """What receives the rest of the body instead of the parser."""

    _refusal: bytes | None = None
    """The last answer, which waits for those before it."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.pace = Pace()

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Take a connection, if there are not too many."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self.unsent: list[Claim] = []
        self._outgoing = Outgoing(self, transport)
        if not self._sweep.add(self):
            patient = self._sweep.may_linger(self)
            self.refuse(too_many_connections(), linger=patient)

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
        self._sweep.discard(self)
        self._ended = True
        self._unparsed = b""
        self.pipeline.clear()
        self._outgoing.forget()
        if self._serving is not None:
            _leave(self._serving)
        super().connection_lost(exc)
        self._release()
        self.lingering = None

    def shutdown(self) -> None:
        """Close where nothing was asked; else after the answer. What is coming in now is answered yet."""
        if self.messages and self.waiting_for() == BYTES:
            self.transport.close()
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def end(self) -> None:
        """Close the connection, so that what was written arrives."""
        if self._in_head or self._in_body or self.pipeline or self.flow.read_paused:
            self._linger()
        elif self.lingering is None:
            self._ended = True
            self.transport.close()

    # Requests in their turn.

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._serving = cycle
        if self.draining:
            cycle.keep_alive = False
        if self.flow.full and not self._unparsed:
            self.flow.release()
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Start the next request. uvicorn would set a timer for every connection that is kept; `Sweep` has one."""
        self.server_state.total_requests += 1
        if self.lingering is not None or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self.transport.write(self._refusal)
            self._linger()
        if self._unparsed and len(self.pipeline) <= MAX_PIPELINED // 2:
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Parse what was left."""
        if not self._ended and self._unparsed:
            self.flow.full = False
            self._feed_slices(b"")
            self.flow.resume_reading()

    def refuse(self, refusal: Refusal, *, linger: bool = True) -> None:
        """Answer with a problem when it is this request's turn, and end the connection."""
        if self._ended:
            return
        self._ended = True
        refused[refusal.reason] += 1
        cycle, serving = self.cycle, self._serving
        scope: dict[str, Any] = self.scope or {}  # type: ignore[assignment] # to which the application adds
        path = self.url.partition(b"?")[0] if self.messages and len(self.url) <= MAX_TARGET_BYTES else b""
        own = scope.get("gradwire.id") or request_id(scope.get("headers", ()))
        answer, size = refusal.answer(reference(path or b"/"), own, self.server_state.default_headers)
        if self._in_body and cycle is serving:
            started = serving.response_started
            self._take_from_application(serving, refusal, size)
            if not started:
                self.transport.write(answer)
            self._after_refusal(linger)
            return
        self._note(refusal, scope.get("method", "-"), reference(path or b"/"), own, size)
        if serving is not None and not serving.response_complete:
            if self._in_body:
                self.pipeline.popleft()
            self._refusal = answer
            self.flow.hold()
        else:
            self.transport.write(answer)
            self._after_refusal(linger)

    def _note(self, refusal: Refusal, method: str, path: str, own: bytes, size: int) -> None:
        """A line in the access log for what the application never saw."""
        if self._access_log is not None:
            told = {
                "path": path,
                "gradwire.id": own,
                "gradwire.received": self._body_bytes if self._in_body else 0,
                "gradwire.sent": size,
            }
            self._access_log.write(told, method, refusal.problem.status, 0.0)

    def _after_refusal(self, linger: bool) -> None:
        if linger:
            self._linger()
        else:
            self.transport.close()

    def _take_from_application(self, cycle: Any, refusal: Refusal, size: int) -> None:
        """Its body will not come: to the application, the caller has gone."""
        cycle.scope["gradwire.refused"] = refusal.problem.status
        cycle.scope["gradwire.sent"] = size
        cycle.scope["gradwire.received"] = self.received()
        _leave(cycle)
        if self.in_charge is not None:
            self.in_charge.fail()

    def _linger(self) -> None:
        self._ended = True
        if self.lingering is None and not self.transport.is_closing():
            self.pipeline.clear()
            self._unparsed = b""
            self.flow.full = False
            self.lingering = Lingering(self, self._sweep.max_lingering)
            self.lingering.begin()

    # What `Connection` needs.

    def may_give_way(self, cycle: Any) -> bool:
        """Whether the rest of this request's body is all that comes next on the connection."""
        return cycle is self.cycle and cycle.more_body and not cycle.disconnected and self.scheme == "http"

    def resume_after(self, cycle: Any) -> None:
        """Take the connection back: the body is complete, and what follows is a head, for a new parser."""
        self.in_charge = None
        self.parser = self._new_parser()
        self.transport.set_protocol(self)
        self.on_message_complete()
        cycle.message_event.clear()  # the next event is the caller's going

    def resume_amid(self, received: int) -> None:
        """Take the connection back amid a body that will not be read to its end."""
        self.in_charge = None
        self._body_bytes = received
        self.transport.set_protocol(self)

    # What `Pace` asks, and `Sweep` says.

    def waiting_for(self) -> int:
        """What the caller owes."""
        if self.lingering is not None:
            return END
        if self._in_body:
            return BODY
        if self._serving is not None and not self._serving.response_complete:
            return NOTHING
        return HEAD if self._in_head else BYTES

    def listening(self) -> bool:
        """Whether the body would be read if it came."""
        return not self.flow.read_paused and not self.cycle.waiting_for_100_continue

    def received(self) -> int:
        """Bytes of the body that have come; of a connection that ends, those that nobody wants."""
        if self.lingering is not None:
            return self.lingering.received
        return self._body_bytes if self.in_charge is None else self.in_charge.received

    def expire(self, late: str) -> None:
        """The caller has kept the server waiting too long: for its head, its body, its reading of an answer."""
        patience = self._sweep.patience
        if late == "write":
            refused["write_stall"] += 1
            self.transport.abort()
        elif late == "body":
            self.refuse(body_late(patience.body, patience.rate))
        elif late == "head" and self._in_head:
            self.refuse(head_late(patience.head))
        else:
            if late == "head":
                refused["head_timeout"] += 1
            self.transport.close()


def _leave(cycle: Any) -> None:
    """To the application, the caller has gone."""
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()
