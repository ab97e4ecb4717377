"""The limit of the HTTP server: bare ASGI that reads the body and answers as many bytes as its path says."""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

Message = MutableMapping[str, Any]


@cache
def blank(length: int) -> bytes:
    return b" " * length


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer `POST /<bytes>`; served without lifespan events, so that every scope is a request."""
    while (await receive()).get("more_body", False):
        pass
    answer_bytes = int(scope["path"].removeprefix("/"))
    length = (b"content-length", b"%d" % answer_bytes)
    headers = [(b"content-type", b"application/octet-stream"), length]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": blank(answer_bytes)})
