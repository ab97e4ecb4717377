"""The outermost layer: every request gets its id and its line in the log, every exception becomes a problem."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.body import Disconnected
from service.http.connection import SCOPE_KEY
from service.http.problems import reference, render
from service.telemetry import AccessLog

log = logging.getLogger("gradwire.http")

ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Front:
    """A pure ASGI wrapper: `X-Request-ID`, access log, HEAD, and problem documents for all that is raised.

    In the scope, `gradwire.id` is the request's id, `gradwire.status` that of an answer that has begun, and
    `gradwire.loss` the name of the loss that is computed.
    """

    def __init__(self, app: ASGIApp, access_log: AccessLog | None) -> None:
        self._app = app
        self._access_log = access_log
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP goes through as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        method: str = scope["method"]
        request_id = scope["gradwire.id"] = self._request_id(scope["headers"])
        if method == "HEAD":  # the server itself leaves the body out
            scope.pop(SCOPE_KEY, None)
            scope = {**scope, "method": "GET"}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = scope["gradwire.status"] = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id)]
                if status != 200 or "gradwire.loss" not in scope:  # what is computed tells its steps itself
                    headers.append((b"server-timing", b"total;dur=%.3f" % ((time.perf_counter() - began) * 1e3)))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Disconnected:
            scope["gradwire.status"] = scope.get("gradwire.refused", 499)  # for the log: nobody waits for an answer
        except Exception as error:
            if "gradwire.status" in scope:  # the answer has begun: it can only be broken off
                raise
            await self._refuse(error, _reference(scope), request_id, answer)
        finally:
            scope.pop(SCOPE_KEY, None)  # it knows the scope: a circle that only the garbage collector would find
            if self._access_log is not None:
                seconds = time.perf_counter() - began
                status, loss = scope.get("gradwire.status", 0), scope.get("gradwire.loss")
                self._access_log.write(request_id.decode(), method, scope["path"], status, seconds, loss)

    async def _refuse(self, error: Exception, instance: str, request_id: bytes, answer: Send) -> None:
        status, headers, body = render(error, instance)
        if status == 500:
            log.error("request failed", exc_info=error, extra={"request_id": request_id.decode(), "path": instance})
        fields: list[Any] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        fields.append((b"content-length", str(len(body)).encode()))
        await answer({"type": "http.response.start", "status": status, "headers": fields})
        await answer({"type": "http.response.body", "body": body})

    def _request_id(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        for name, value in headers:
            if name == b"x-request-id" and ACCEPTED_ID.fullmatch(value):
                return value
        return self._prefix + b"-%x" % next(self._numbers)


def _reference(scope: Scope) -> str:
    """The path as a URI reference, whatever the caller sent."""
    return reference(scope.get("raw_path") or scope["path"].encode())
