"""What comes in on a connection: parsed message by message, each part of one within its bounds.

- An offer to upgrade the connection is ignored, as RFC 9110 (section 7.8) has it. Java's HttpClient makes one
  (`Upgrade: h2c`) with every request; uvicorn's parser then takes the request for one without a body
  (https://github.com/Kludex/uvicorn/issues/2722).
- Heads, targets, the framing of chunks and pipelines are bounded.
- What is no HTTP, or cannot be served whatever it asks for, is refused (`Incoming.refuse`).
"""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.access_log import AccessLog
from service.http.edge.connection import SCOPE_KEY, Connection
from service.http.edge.heads import Head, rooted
from service.http.edge.outgoing import Flow, Outgoing
from service.http.edge.refusals import Refusal, head_too_large, misread, target_too_long
from service.http.edge.repeated import UNUSED, Repeated, whole
from service.http.edge.sweep import Sweep

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


class Incoming(HttpToolsProtocol):
    """The half of the protocol that reads; `service.http.edge.protocol` has the other one."""

    draining: ClassVar[bool] = False
    """Whether the process is about to end: every answer then is its connection's last."""

    flow: Flow
    _outgoing: Outgoing
    messages = 0
    """Heads that have begun on this connection."""

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
    _known: Repeated | None = None
    """The last request, where it came in one piece."""
    _unused = 0
    _ended = False
    """Whether nothing more is read from the caller."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._sweep: Sweep = config.loaded_app.state.sweep
        self._access_log: AccessLog | None = config.loaded_app.state.access_log
        self._small = min(SMALL_BYTES, self._sweep.max_head)

    @abstractmethod
    def refuse(self, refusal: Refusal, *, linger: bool = True) -> None:
        """Answer with a problem when it is this request's turn, and end the connection."""

    # Bytes.

    def data_received(self, data: bytes) -> None:
        """Parse what has come, as far as it may be served soon."""
        if self._ended:
            return
        if self._head_bytes + len(data) <= self._small and not self.pipeline and not self._unparsed:
            known = self._known
            if known is not None and self._rests() and (body := known.begins(data)):
                self._take_again(known, data[body:])
            else:
                before = self.messages
                self._feed(data)
                if self.messages == before + 1 and self._unused < UNUSED and not self._ended:
                    self._keep(data)
        else:
            self._feed_slices(data)

    def _rests(self) -> bool:
        """Whether what comes now begins a request that nothing waits before."""
        return not self._in_head and not self._in_body and bool(self.cycle.response_complete)

    def _keep(self, data: bytes) -> None:
        """Remember the request that these bytes are, if they are one."""
        if not self._in_head and not self._in_body:
            scope: dict[str, Any] = {**self.scope}
            scope.pop(SCOPE_KEY, None)
            self._known = whole(data, self.url, scope, self.cycle)
            self._unused += self._known is not None

    def _take_again(self, known: Repeated, body: bytes) -> None:
        """Start a request whose head is the kept one: what the parser's callbacks do, without it."""
        self._unused = 0
        self.messages += 1
        self.url = known.url
        self.headers = known.fields(len(body))
        self.expect_100_continue = False
        scope: Any = {**known.scope, "headers": self.headers, "state": self.app_state.copy()}
        self.scope = scope
        cycle: Any = RequestResponseCycle(
            scope,
            self._outgoing,  # type: ignore[arg-type] # what it uses of a transport
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        self.cycle = cycle
        cycle.body = body
        cycle.more_body = False
        cycle.message_event.set()
        scope[SCOPE_KEY] = Connection(self, cycle, len(body))  # type: ignore[arg-type] # as below
        self._start_asgi_task(cycle, self.app)

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
        if not self._in_head:
            match = EMPTY_LINES.match(data, at)
            end = data.find(b"\r\n\r\n", at if match is None else match.end())
        elif at == 0:
            return min(left, 3)  # the empty line may have begun before
        else:
            end = data.find(b"\r\n\r\n", at - 3)
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
            self.headers.append((name.lower(), value.rstrip()))  # the parser leaves white space behind it

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
        scope[SCOPE_KEY] = Connection(self, cycle, length)  # type: ignore[arg-type] # no other half has another class

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
