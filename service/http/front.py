"""The outermost layer: every request gets its id and its line in the log, every exception becomes a problem."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.problem import InvalidRequest
from service.access_log import AccessLog
from service.http.access import Access
from service.http.admission import SCOPE_KEY as CLAIM_KEY
from service.http.admission import Claim
from service.http.body import Disconnected
from service.http.cors import CORS
from service.http.edge.connection import SCOPE_KEY, Connection
from service.http.metrics.traffic import Traffic
from service.http.problems import reference, render, stopping
from service.http.request_ids import request_id
from service.http.security_headers import secured

if TYPE_CHECKING:
    from service.http.tracing import Tracing

log = logging.getLogger("gradwire.http")


class Front:
    """A pure ASGI wrapper: who may come in, ids, access log, HEAD, and problem documents for all that is raised.

    In the scope, `gradwire.id` is the request's id, `gradwire.began` when its head came (`time.perf_counter`),
    `gradwire.status` the status of an answer that has begun, `gradwire.loss` the name of the loss that is computed,
    `gradwire.caller` that of the API key, `gradwire.fields` the fields that every answer to this request bears,
    `gradwire.received` and `gradwire.sent` the bytes of the bodies, and `gradwire.steps` the seconds of decode, queue,
    compute and encode with the requests of the batch.
    """

    ended = False
    """Whether the time for answers is over: the server cancels what it still waits for."""

    def __init__(
        self,
        app: ASGIApp,
        access_log: AccessLog | None,
        traffic: Traffic,
        tracing: Tracing | None = None,
        access: Access | None = None,
        cors: CORS | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._cors = cors
        self._serve = app if access is None and cors is None else self._guard
        self._access_log = access_log
        self._traffic = traffic
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP goes through as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = scope["gradwire.began"] = time.perf_counter()
        method: str = scope["method"]
        own = scope["gradwire.id"] = request_id(scope["headers"])
        if self._tracing is not None:
            self._tracing.begin(scope, method)
        if method == "HEAD":  # the server itself leaves the body out
            scope.pop(SCOPE_KEY, None)
            scope = {**scope, "method": "GET"}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = scope["gradwire.status"] = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", own)]
                if status != 200 or "gradwire.loss" not in scope:  # what is computed tells its steps itself
                    headers.append((b"server-timing", b"total;dur=%.3f" % ((time.perf_counter() - began) * 1e3)))
                headers += scope.get("gradwire.fields", {}).items()
                message["headers"] = secured(headers)
            else:
                scope["gradwire.sent"] = scope.get("gradwire.sent", 0) + len(message.get("body", b""))
            await send(message)

        try:
            await self._serve(scope, receive, answer)
        except Disconnected:
            scope["gradwire.status"] = scope.get("gradwire.refused", 499)  # for the log: nobody waits for an answer
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised again where there is no answer to it
            await self._end(error, scope, answer)
        finally:
            _leave(scope)
            self._ended(scope, method, time.perf_counter() - began)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer a browser that only asks what it may ask. Raises `HTTPProblem` for all others."""
        if self._cors is not None:
            self._cors.note(scope)
            allowed = self._cors.preflight(scope)
            if allowed is not None:
                await send({"type": "http.response.start", "status": 204, "headers": allowed})
                await send({"type": "http.response.body"})
                return
        if self._access is not None:
            self._access.admit(scope)
        await self._app(scope, receive, send)

    async def _end(self, error: BaseException, scope: Scope, answer: Send) -> None:
        """Answer a request that ended in this exception, or break off an answer that has begun."""
        over = self.ended and isinstance(error, asyncio.CancelledError)
        if "gradwire.status" in scope:
            connection: Connection | None = scope.get(SCOPE_KEY)
            if not over or connection is None:
                raise error
            connection.break_off()
        elif over or not isinstance(error, asyncio.CancelledError):
            await self._refuse(stopping() if over else error, scope, answer)
        else:
            raise error

    def _ended(self, scope: Scope, method: str, seconds: float) -> None:
        """Count a request and note it, whatever came of it."""
        status = scope.get("gradwire.status", 499)
        if method == "HEAD":
            scope["gradwire.sent"] = 0
        self._traffic.count(scope, method, status, seconds)
        if self._access_log is not None:
            self._access_log.write(scope, method, status, seconds)
        if self._tracing is not None:
            self._tracing.end(scope, method, self._traffic.route(scope), status)

    async def _refuse(self, error: BaseException, scope: Scope, answer: Send) -> None:
        instance, own = _reference(scope), scope["gradwire.id"]
        if isinstance(error, InvalidRequest) and error.loss is not None:
            scope["gradwire.loss"] = error.loss
        status, headers, body = render(error, instance)
        if status == 500:
            log.error("request failed", exc_info=error, extra={"request_id": own.decode(), "path": instance})
        fields: list[Any] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        fields.append((b"content-length", str(len(body)).encode()))
        await answer({"type": "http.response.start", "status": status, "headers": fields})
        await answer({"type": "http.response.body", "body": body})


def _reference(scope: Scope) -> str:
    """The path as a URI reference, whatever the caller sent."""
    return reference(scope.get("raw_path") or scope["path"].encode())


def _leave(scope: Scope) -> None:
    """Give back what the request held, once its answer has left."""
    # The connection knows the scope: a circle that only the garbage collector would find.
    connection: Connection | None = scope.pop(SCOPE_KEY, None)
    claim: Claim | None = scope.pop(CLAIM_KEY, None)
    if claim is None:
        return
    if connection is None:
        claim.release()
    else:
        connection.keep(claim)
