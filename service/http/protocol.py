"""uvicorn's HTTP protocol, put right in the places that callers feel (docs/adr/0010-the-edge.md).

- An offer to upgrade the connection is ignored, as RFC 9110 (section 7.8) has it. Java's HttpClient makes one
  (`Upgrade: h2c`) with every request; uvicorn's parser then takes the request for one without a body
  (https://github.com/Kludex/uvicorn/issues/2722).
- What is no HTTP, or cannot be served whatever it asks for, is refused with a problem document in its turn.
- Heads, targets and pipelines are bounded, connections counted, and none may keep the server waiting (`Sweep`).
- A caller that is answered amid its body can read the answer (`Lingering`).
- What ASGI has no words for is offered beside it (`service.http.connection`).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.http.admission import Claim
from service.http.connection import SCOPE_KEY, Connection
from service.http.heads import Head, rooted
from service.http.lingering import Lingering
from service.http.outgoing import Flow, Outgoing
from service.http.pace import BODY, BYTES, END, HEAD, NOTHING, Pace
from service.http.problems import TITLES
from service.http.refusals import (
    Refusal,
    body_late,
    head_late,
    head_too_large,
    misread,
    refused,
    target_too_long,
    too_many_connections,
)
from service.http.sweep import Sweep

STATUS_LINE.update({status: b"HTTP/1.1 %d %s\r\n" % (status, title.encode()) for status, title in TITLES.items()})

MAX_TARGET_BYTES: Final = 8192
MAX_PIPELINED: Final = 16
"""Requests that wait behind the one that is being served, before the rest is left unparsed."""
SMALL_BYTES: Final = 4096
"""Bytes that are parsed at once, however many requests they hold."""
DISCARDED_BYTES: Final = 1 << 20
"""The largest body that is thrown away, where it is not wanted, to keep its connection."""
CHUNK_BYTES: Final = 1 << 14
"""Bytes of a chunked body, whose end only the parser finds, that are parsed at once."""
FRAMING: Final = 8
"""Bytes of chunk sizes, extensions and trailers for one of a chunked body, above those that a head may have."""


EMPTY_LINES: Final = re.compile(rb"[\r\n]*")


class Protocol(HttpToolsProtocol):
    """The protocol that `gradwire serve` runs under uvicorn."""

    draining: ClassVar[bool] = False
    """Whether the process is about to end: every answer then is its connection's last."""

    flow: Flow
    messages = 0
    """Heads that have begun on this connection."""
    lingering: Lingering | None = None
    in_charge: Connection | None = None
    """What receives the rest of the body instead of the parser."""

    _serving: Any = None
    """The request that is being served; others may wait behind it on the connection."""
    _in_head = False
    _in_body = False
    _rest: int | None = None
    """Bytes of the body still to come, where their number was told."""
    _head_bytes = 0
    _body_bytes = 0
    _framed_bytes = 0
    _kept = False
    """Whether the connection is kept once the body is complete."""
    _offered = False
    """Whether the parser takes the connection for upgraded, and what follows for no body."""
    _replaying = False
    _unparsed = b""
    _refusal: bytes | None = None
    """The last answer, which waits for those before it."""
    _ended = False
    """Whether nothing more is read from the caller."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._sweep: Sweep = config.loaded_app.state.sweep
        self._small = min(SMALL_BYTES, self._sweep.max_head)
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

    # What comes in.

    def data_received(self, data: bytes) -> None:
        """Parse what has come, as far as it may be served soon."""
        if self._ended:
            return
        if self._head_bytes + len(data) <= self._small and not self.pipeline and not self._unparsed:
            self._feed(data)
        else:
            self._feed_slices(data)

    def _feed_slices(self, data: bytes) -> None:
        """Parse message by message; leave the rest where many wait already."""
        if self._unparsed:
            data = self._unparsed + data
            self._unparsed = b""
        at = 0
        while at < len(data) and not self._ended:
            if not self._in_body and len(self.pipeline) >= MAX_PIPELINED:
                self._unparsed = data[at:]
                self.flow.hold()
                return
            size = self._slice(data, at)
            room = size if self._in_body else self._sweep.max_head - self._head_bytes
            self._feed(data if size == len(data) <= room else memoryview(data)[at : at + min(size, room)])
            if size > room and not self._ended:  # else the parser has found a better reason
                self.refuse(head_too_large(self._sweep.max_head))
            at += size

    def _slice(self, data: bytes, at: int) -> int:
        """How many bytes from there on are surely of one message: of its head, or of its body."""
        left = len(data) - at
        if self._in_body:
            return min(left, CHUNK_BYTES if self._rest is None else self._rest)
        if self._in_head and at == 0:
            return min(left, 3)  # the empty line may have begun before
        match = EMPTY_LINES.match(data, at)
        end = data.find(b"\r\n\r\n", at if match is None else match.end())
        return left if end < 0 else end + 4 - at

    def _feed(self, data: bytes | memoryview) -> None:
        chunked = self._in_body and self._rest is None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data, offer.args[0])
            return
        except httptools.HttpParserError as error:
            self.refuse(self._fault(error))
            return
        if self._in_head:
            self._head_bytes += len(data)
        elif chunked:
            self._framed_bytes += len(data)
            if self._framed_bytes > self._sweep.max_head + (1 + FRAMING) * self._body_bytes:
                self.refuse(Refusal("malformed", 400, "the body's chunks are mostly extensions or trailers"))

    def _fault(self, error: httptools.HttpParserError) -> Refusal:
        cause = error.__context__
        if isinstance(cause, Refusal):
            return cause
        if cause is not None and not isinstance(cause, httptools.HttpParserError):
            self.logger.error("a request could not be taken", exc_info=cause)
        return misread(error)

    def _decline(self, data: bytes | memoryview, end: int) -> None:
        """Go on as HTTP/1.1, with a new parser: the old one has left at the end of the head, and skipped the body."""
        self.parser = self._new_parser()
        if self._offered:
            self._offered = False
            before = self.url, self.headers, self.scope, self.messages
            self._replaying = True
            framing = b"transfer-encoding: chunked" if self._rest is None else b"content-length: %d" % self._rest
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n\r\n" % framing)
            self._replaying = False
            self.url, self.headers, self.scope, self.messages = before
            self._in_head = False
        if end < len(data):
            self._feed(data[end:])

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # What the parser finds.

    def on_message_begin(self) -> None:
        """What follows is a head."""
        super().on_message_begin()
        self.messages += 1
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Bound the target."""
        self.url += url
        if len(self.url) > MAX_TARGET_BYTES:
            raise target_too_long(MAX_TARGET_BYTES)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take the fields of a head; those behind a chunked body are left out, as RFC 9110 (section 6.5.1) allows."""
        if self._in_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Start the request, unless its head forbids that; what follows is a body."""
        if self._replaying:
            return
        self._in_head = False
        self._head_bytes = 0
        version = self.parser.get_http_version()
        head = Head(self.headers, self.parser.get_method(), version)
        if self.url[:1] != b"/":
            self.url = rooted(self.url)
        self.expect_100_continue = head.expect is not None and version == "1.1"
        super().on_headers_complete()
        cycle: Any = self.cycle
        cycle.transport = self._outgoing
        length = head.length
        if length or head.chunked:
            self._in_body = True
            self._rest = length
            self._body_bytes = self._framed_bytes = 0
            self._offered = self.parser.should_upgrade()
            if length is None or length > DISCARDED_BYTES or self.expect_100_continue:
                # Answered before the body is there, the connection would have to wait for what nobody wants.
                self._kept, cycle.keep_alive = cycle.keep_alive, False
        scope: dict[str, Any] = self.scope  # type: ignore[assignment] # to which servers may add
        scope[SCOPE_KEY] = Connection(self, cycle, length)

    def on_body(self, body: bytes) -> None:
        """Keep a body that comes in one piece as it is: uvicorn would copy it twice."""
        size = len(body)
        self._body_bytes += size
        if self._rest is not None:
            self._rest -= size
        cycle: Any = self.cycle
        if cycle.response_complete or cycle.disconnected:
            return
        if cycle.body:
            if type(cycle.body) is bytes:
                cycle.body = bytearray(cycle.body)
            cycle.body += body
        else:
            cycle.body = body  # read-only, until more comes
        if len(cycle.body) > HIGH_WATER_LIMIT:
            if cycle is self._serving:
                self.flow.pause_reading()
            else:
                self.flow.hold()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """What follows is a head."""
        if self._offered:
            return
        self._in_body = False
        cycle: Any = self.cycle
        cycle.more_body = False
        if self._kept:
            self._kept = False
            cycle.keep_alive = not cycle.response_started and not self.draining
        if not cycle.response_complete:
            cycle.message_event.set()

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
        refused[refusal.reason] += 1
        if self._ended:
            return
        self._ended = True
        cycle, serving = self.cycle, self._serving
        path = self.url.partition(b"?")[0] if self.messages and len(self.url) <= MAX_TARGET_BYTES else b""
        answer = refusal.answer(self.scope or {}, path or b"/")
        if self._in_body and cycle is serving:
            started = serving.response_started
            self._take_from_application(serving, refusal)
            if not started:
                self.transport.write(answer)
        elif serving is not None and not serving.response_complete:
            if self._in_body:
                self.pipeline.popleft()
            self._refusal = answer
            self.flow.hold()
            return
        else:
            self.transport.write(answer)
        if linger:
            self._linger()
        else:
            self.transport.close()

    def _take_from_application(self, cycle: Any, refusal: Refusal) -> None:
        """Its body will not come: to the application, the caller has gone."""
        cycle.scope["gradwire.refused"] = refusal.problem.status
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
