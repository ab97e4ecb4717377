"""`POST /v1/loss` and `POST /v1/losses/{name}`: read, decode, compute, encode, answer.

`Computing` also holds the steps that the batch call and the Open Inference Protocol take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, TypeVar

from starlette.types import Receive, Scope, Send

from schemas.operation import Operation, OperationResult
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.tensor_request import TensorRequest
from service.engine import DeadlinePassed, Engine, Outcome
from service.engine.tally import CALLER_GONE, DEADLINE
from service.http.access import charge
from service.http.admission import AT_ONCE, SCOPE_KEY, Admission, Claim, claimed
from service.http.body import Disconnected, Headers, aside, combined, declared, read_body
from service.http.content_encoding import Coding, choose, encode
from service.http.deadline import Timeouts
from service.http.edge.connection import SCOPE_KEY as CONNECTION_KEY
from service.http.edge.connection import Buffer, Connection
from service.http.formulas import is_long
from service.http.negotiation import Form, Parts, answer_form, form_of
from service.http.statistics import Counters
from service.http.watch import Watch
from service.settings import Settings
from service.wire.structure import bounded

T = TypeVar("T")

Fields = list[tuple[bytes, bytes]]

CODING = 4
"""Compressing a byte of an answer takes this many times as long as reading one of JSON, about."""

UNCOUNTED: Final = 512
"""Elements up to which what computing takes is part of what every request is taken to hold."""

LARGE: Final = 1 << 20
TURNS: Final = 2
"""Bodies from that size on are read at most so many at a time."""

WIDENED: Final = 9
WIDEST: Final = 12
"""A byte may become a number of 8 bytes; and what checking looks at takes a few bytes for each element."""


class Computing:
    """The ASGI application behind the compute routes."""

    def __init__(self, engine: Engine, settings: Settings, admission: Admission) -> None:
        self.engine = engine
        self.admission = admission
        self.max_elements = settings.max_elements
        self.counters = Counters()
        self.timeouts = Timeouts(settings)
        self._max_body = settings.max_body_bytes
        self._max_decompressed = settings.max_decompressed_bytes
        self._compress = settings.compress_bytes
        self.offload = settings.offload_bytes
        self._watch = Watch()
        self._turns = asyncio.Semaphore(TURNS)

    async def serve(
        self, cls: type[LossRequest | Operation] | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one request for a loss or an operation: of class `cls`, or of the loss that its body names."""
        if cls is not None:
            scope["gradwire.loss"] = cls.name
        headers = combined(scope["headers"])
        form = form_of(headers.get(b"content-type"))
        wanted = answer_form(headers.get(b"accept"), form)
        coding = choose(headers.get(b"accept-encoding"))
        deadline = self.timeouts.deadline(scope, headers)
        body = await self.body(scope, receive, headers, form.factor)

        began = time.perf_counter()
        if self._is_quick(body, form):
            request = form.decode(body, cls, self.max_elements)
        else:
            read = partial(form.decode, body, cls, self.max_elements)
            request = await self.read_aside(scope, len(body), form.text(body), read, deadline)
            del read
            self.still_there(scope)
        hold(scope, request, len(body), views=not form.text_bytes, as_text=wanted.text_bytes > 0)
        del body  # from here on the request's tensors hold what they need of it
        scope["gradwire.loss"] = request.name
        charge(scope, request.checked.layout.elements)
        decoded = time.perf_counter()

        outcome = await self.outcome(self._submitted(request, deadline), receive)

        answered = time.perf_counter()
        result, encoding = outcome.result, request.encoding
        if request.checked.layout.elements * wanted.text_bytes < self.offload:
            parts = wanted.encode(result, encoding)
        else:
            parts = await aside(wanted.encode, result, encoding)
        ended = time.perf_counter()
        self.counters.answered(request.name, decoded - began, outcome, ended - answered, ended - began)
        if "gradwire.trace" in scope:
            scope["gradwire.trace"].steps((began, decoded), [(request.name, outcome, 1)], (answered, ended))
        timing = timed(scope, decoded - began, outcome.queued, outcome.computed, ended - answered, outcome.batch)
        del request, outcome, result  # what is sent is all that is still needed
        fields = [(b"content-type", wanted.media_type), (b"server-timing", timing)]
        if coding is not None:
            parts = await self.coded(scope, parts, fields, coding)
        await send_parts(scope, send, parts, fields)

    def _is_quick(self, body: Buffer, form: Form) -> bool:
        """Whether a body is read so soon that the event loop may wait for it."""
        if len(body) >= self.offload:
            return False
        if form.hard == 1:
            return not is_long(body, self.offload)
        text = form.text(body)
        return len(text) * form.hard < self.offload and not is_long(text, self.offload)

    def _submitted(self, request: LossRequest | Operation, deadline: float | None) -> asyncio.Future[Any]:
        if isinstance(request, Operation):
            if request.in_turns:
                return asyncio.ensure_future(self._in_turns(request, deadline))
            return self.engine.submit_operation(request, deadline=deadline)
        return self.engine.submit(request, deadline=deadline)

    async def _in_turns(self, operation: Operation, deadline: float | None) -> Outcome[OperationResult]:
        """The turns of an operation, one after the other; what they waited and took together.

        Raises `InvalidRequest` where something turned out to be wrong with it.
        """
        name, queued, computed = operation.name, 0.0, 0.0
        while True:
            outcome = await self.engine.submit_operation(operation, deadline=deadline)
            queued, computed = queued + outcome.queued, computed + outcome.computed
            if outcome.result.faults:
                raise InvalidRequest(outcome.result.faults, name)
            if outcome.result.rest is None:
                return outcome._replace(queued=queued, computed=computed)
            operation = outcome.result.rest

    async def body(self, scope: Scope, receive: Receive, headers: Headers, factor: int = 3) -> Buffer:
        """The whole body of a request that is let in, within its bound; `factor` as a form's."""
        length = declared(headers)
        admit = partial(self.admission.admit, scope, headers, length or 0, factor)
        coding = headers.get(b"content-encoding")
        body = await read_body(scope, receive, coding, length, self._max_body, self._max_decompressed, admit)
        scope.setdefault("gradwire.received", len(body) if length is None else length)
        return body

    async def read_aside(
        self, scope: Scope, size: int, text: Buffer, read: Callable[[], T], deadline: float | None = None
    ) -> T:
        """Run beside the event loop what reads a body of that size and with that JSON in it.

        Large ones take turns: they would only wait for each other's lock, with all that they have made so far. Raises
        `InvalidRequest` where the text holds more than any request may, `HTTPProblem` 503 and 413 where there is no
        memory for reading it, `DeadlinePassed` where its time is over before it is read.
        """
        async with self._turns if size >= LARGE else nullcontext():
            found = await aside(bounded, text, self.max_elements)
            if deadline is not None and time.perf_counter() >= deadline:
                self.engine.tally.dropped[DEADLINE] += 1
                raise DeadlinePassed
            tensors = min((size - len(text)) * WIDENED, self.max_elements * WIDEST)
            scope[SCOPE_KEY].need(size + found.bytes + tensors)
            return await aside(read)

    async def outcome(self, future: asyncio.Future[T], receive: Receive) -> T:
        """What the engine answers; a caller that leaves before takes its work out of the queue.

        Raises `Disconnected`, and whatever computing raised.
        """
        self._watch.follow(future, receive)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled() and self._watch.left(future):
                raise Disconnected from None
            raise
        finally:
            self._watch.forget(future)

    def still_there(self, scope: Scope) -> None:
        """Whether the caller waits still, after its body has been read aside. Raises `Disconnected`."""
        connection: Connection | None = scope.get(CONNECTION_KEY)
        if connection is not None and connection.gone:
            self.engine.tally.dropped[CALLER_GONE] += 1
            raise Disconnected

    async def at_size(self, size: int, work: Callable[[], T]) -> T:
        """Run what takes time in proportion to a size in bytes: here where it is small, else on a thread beside."""
        return work() if size < self.offload else await aside(work)

    async def coded(self, scope: Scope, parts: Parts, fields: Fields, coding: Coding) -> Parts:
        """An answer's parts as the caller likes them, and its fields with what tells so."""
        size = sum(map(len, parts))
        claim: Claim = scope[SCOPE_KEY]
        fields.append((b"vary", b"accept-encoding"))
        if coding.required or size < self.offload or claim.fits(size):
            found = await self.at_size(size * CODING, partial(encode, coding, parts, self._compress))
            if found is not None:
                fields.append((b"content-encoding", coding.name.encode()))
                return found
        return parts


def hold(scope: Scope, request: TensorRequest, size: int, *, views: bool, as_text: bool) -> None:
    """Claim what a request whose body had that size takes from now on. Raises `HTTPProblem` 503 and 413.

    `views`: its tensors are views of the body. What is tiny is part of what every request is taken to hold.
    """
    if request.checked.layout.elements > UNCOUNTED or size > AT_ONCE:
        scope[SCOPE_KEY].need(*claimed([(request, 1)], size if views else 0, as_text=as_text))


def timed(scope: Scope, decoding: float, queued: float, computed: float, encoding: float, batch: int) -> bytes:
    """The Server-Timing of an answer: its steps in milliseconds, given seconds. The scope gets them for the logs."""
    scope["gradwire.steps"] = (decoding, queued, computed, encoding, batch)
    return b"decode;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f" % (
        decoding * 1e3,
        queued * 1e3,
        computed * 1e3,
        encoding * 1e3,
    )


async def send_parts(scope: Scope, send: Send, parts: Parts, fields: Fields) -> None:
    """A whole answer of status 200, in one write where the server offers that. Raises `Disconnected`."""
    size = sum(map(len, parts))
    if size > AT_ONCE:
        claim: Claim = scope[SCOPE_KEY]
        claim.need(size)
    connection: Connection | None = scope.get(CONNECTION_KEY)
    if connection is not None:
        if connection.gone:  # it counts as what it is: nobody was answered
            raise Disconnected
        named = [*fields, (b"x-request-id", scope["gradwire.id"])]
        callers = scope.get("gradwire.fields")
        if callers is not None:
            named += callers.items()
        if connection.answer(200, named, parts, size):
            scope["gradwire.status"] = 200
            scope["gradwire.sent"] = size
            return
    fields.append((b"content-length", b"%d" % size))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    last = parts.pop()
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": last})
