"""`POST /v1/loss` and `POST /v1/losses/{name}`: read, decode, compute, encode, answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from schemas.request import LossRequest
from service.engine import Engine
from service.http.body import Disconnected, check_accept, check_content_type, combined, read_body
from service.http.watch import Watch
from service.settings import Settings
from service.wire import json as wire

TEXT_BYTES = 12
"""Bytes of JSON text that an element of a float32 tensor becomes, about."""


class Computing:
    """The ASGI application behind the compute routes."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._max_body = settings.max_body_bytes
        self._max_elements = settings.max_elements
        self._offload = settings.offload_bytes
        self._watch = Watch()

    async def serve(self, cls: type[LossRequest] | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for a loss: of class `cls`, or of the one that its body names."""
        headers = combined(scope["headers"])
        check_content_type(headers.get(b"content-type"))
        check_accept(headers.get(b"accept"))
        body = await read_body(receive, headers, self._max_body)

        began = time.perf_counter()
        if len(body) < self._offload:
            request = wire.decode(body, cls, max_elements=self._max_elements)
        else:
            request = await _aside(lambda: wire.decode(body, cls, max_elements=self._max_elements))
        scope["gradwire.loss"] = request.name
        decoded = time.perf_counter()

        future = self._engine.submit(request)
        self._watch.follow(future, receive)
        try:
            outcome = await future
        except asyncio.CancelledError:
            if future.cancelled() and self._watch.left(future):
                raise Disconnected from None
            raise
        finally:
            self._watch.forget(future)

        answered = time.perf_counter()
        result = outcome.result
        if request.checked.layout.elements * TEXT_BYTES < self._offload:
            payload = wire.encode(result, request.encoding)
        else:
            payload = await _aside(lambda: wire.encode(result, request.encoding))
        timing = b"decode;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f" % (
            (decoded - began) * 1e3,
            outcome.queued * 1e3,
            outcome.computed * 1e3,
            (time.perf_counter() - answered) * 1e3,
        )
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(payload)),
                    (b"server-timing", timing),
                ],
            }
        )
        await send({"type": "http.response.body", "body": payload})


async def _aside(work: Callable[[], Any]) -> Any:
    """Run on a thread beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work)
