"""`POST /v1/loss` and `POST /v1/losses/{name}`: read, decode, compute, encode, answer.

`Computing` also holds the steps that the batch call and the Open Inference Protocol take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from schemas.request import LossRequest
from service.engine import Engine
from service.http.body import Disconnected, Headers, aside, combined, read_body
from service.http.connection import SCOPE_KEY, Buffer, Connection
from service.http.content_encoding import Coding, choose, encode
from service.http.negotiation import Parts, answer_form, form_of
from service.http.statistics import Counters
from service.http.watch import Watch
from service.settings import Settings

T = TypeVar("T")

Fields = list[tuple[bytes, bytes]]

CODING = 4
"""Compressing a byte of an answer takes this many times as long as reading one of JSON, about."""


class Computing:
    """The ASGI application behind the compute routes."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.max_elements = settings.max_elements
        self.counters = Counters()
        self._max_body = settings.max_body_bytes
        self._max_decompressed = settings.max_decompressed_bytes
        self._compress = settings.compress_bytes
        self._offload = settings.offload_bytes
        self._watch = Watch()

    async def serve(self, cls: type[LossRequest] | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for a loss: of class `cls`, or of the one that its body names."""
        if cls is not None:
            scope["gradwire.loss"] = cls.name
        headers = combined(scope["headers"])
        form = form_of(headers.get(b"content-type"))
        wanted = answer_form(headers.get(b"accept"), form)
        coding = choose(headers.get(b"accept-encoding"))
        body = await self.body(scope, receive, headers)

        began = time.perf_counter()
        if len(body) < self._offload:
            request = form.decode(body, cls, self.max_elements)
        else:
            request = await aside(form.decode, body, cls, self.max_elements)
        del body  # from here on the request's tensors hold what they need of it
        scope["gradwire.loss"] = request.name
        decoded = time.perf_counter()

        outcome = await self.outcome(self.engine.submit(request), receive)

        answered = time.perf_counter()
        result, encoding = outcome.result, request.encoding
        if request.checked.layout.elements * wanted.text_bytes < self._offload:
            parts = wanted.encode(result, encoding)
        else:
            parts = await aside(wanted.encode, result, encoding)
        ended = time.perf_counter()
        self.counters.answered(request.name, decoded - began, outcome, ended - answered, ended - began)
        if "gradwire.trace" in scope:
            scope["gradwire.trace"].steps((began, decoded), [(request.name, outcome, 1)], (answered, ended))
        timing = timed(scope, decoded - began, outcome.queued, outcome.computed, ended - answered, outcome.batch)
        del request, outcome, result  # what is sent is all that is still needed
        await self.answer(
            scope, send, parts, [(b"content-type", wanted.media_type), (b"server-timing", timing)], coding
        )

    async def body(self, scope: Scope, receive: Receive, headers: Headers) -> Buffer:
        """The whole body, within its bound."""
        body = await read_body(scope, receive, headers, self._max_body, self._max_decompressed)
        declared = headers.get(b"content-length")
        scope["gradwire.received"] = int(declared) if declared is not None and declared.isdigit() else len(body)
        return body

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

    async def at_size(self, size: int, work: Callable[[], T]) -> T:
        """Run what takes time in proportion to a size in bytes: here where it is small, else on a thread beside."""
        return work() if size < self._offload else await aside(work)

    async def answer(self, scope: Scope, send: Send, parts: Parts, headers: Fields, coding: Coding | None) -> None:
        """Send a whole answer of status 200: its parts as they are, or coded as the caller likes it."""
        if coding is not None:
            headers.append((b"vary", b"accept-encoding"))
            coded = await self.at_size(sum(map(len, parts)) * CODING, partial(encode, coding, parts, self._compress))
            if coded is not None:
                headers.append((b"content-encoding", coding.name.encode()))
                parts = coded
        await send_parts(scope, send, parts, headers)


def timed(scope: Scope, decoding: float, queued: float, computed: float, encoding: float, batch: int) -> bytes:
    """The Server-Timing of an answer: its steps in milliseconds, given seconds. The scope gets them for the logs."""
    scope["gradwire.steps"] = (decoding, queued, computed, encoding, batch)
    return b"decode;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f" % (
        decoding * 1e3,
        queued * 1e3,
        computed * 1e3,
        encoding * 1e3,
    )


async def send_parts(scope: Scope, send: Send, parts: Parts, headers: Fields) -> None:
    """A whole answer of status 200, in one write where the server offers that."""
    size = sum(map(len, parts))
    connection: Connection | None = scope.get(SCOPE_KEY)
    if connection is not None:
        named = (*headers, (b"x-request-id", scope["gradwire.id"]))
        if connection.answer(200, named, parts, size):
            scope["gradwire.status"] = 200
            scope["gradwire.sent"] = size
            return
    headers.append((b"content-length", b"%d" % size))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    last = parts.pop()
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": last})
