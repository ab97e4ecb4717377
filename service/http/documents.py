"""The content codings of what FastAPI's own routes answer: catalogue, OpenAPI document, documentation page."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.body import aside
from service.http.content_encoding import choose, encode


class Documents:
    """A pure ASGI wrapper around the routes: answers of 200 that come whole are coded as their callers like it."""

    def __init__(self, app: ASGIApp, least: int) -> None:
        self._app = app
        self._least = least

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `HTTPProblem` 406 where no coding is acceptable."""
        # aiohttp offers codings which Triton's client, made with it, cannot unpack.
        if scope["type"] != "http" or scope["path"].startswith("/v2"):
            await self._app(scope, receive, send)
            return
        fields = [value for name, value in scope["headers"] if name == b"accept-encoding"]
        coding = choose(b", ".join(fields)) if fields else None
        held: list[Message] = []

        async def coded(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                held.append(message)
                return
            if held:
                start = held.pop()
                parts = None
                if coding is not None and not message.get("more_body", False):
                    parts = await aside(encode, coding, [message.get("body", b"")], self._least)
                headers = [*start["headers"], (b"vary", b"accept-encoding")]
                if coding is not None and parts is not None:
                    body = b"".join(parts)
                    headers = [(name, value) for name, value in headers if name != b"content-length"]
                    headers += [(b"content-length", b"%d" % len(body)), (b"content-encoding", coding.name.encode())]
                    message = {**message, "body": body}
                await send({**start, "headers": headers})
            await send(message)

        await self._app(scope, receive, coded)
