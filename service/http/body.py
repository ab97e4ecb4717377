"""Reading a request's body, within bounds."""

from __future__ import annotations

from starlette.types import Receive, Scope

from service.http.connection import SCOPE_KEY, Buffer, Connection, Lost
from service.http.problems import HTTPProblem

Headers = dict[bytes, bytes]


class Disconnected(Exception):
    """The caller has gone."""


def combined(fields: list[tuple[bytes, bytes]]) -> Headers:
    """Header fields by name; of a repeated one, all values in one list (RFC 9110, section 5.3)."""
    headers = dict(fields)
    if len(headers) == len(fields):
        return headers
    headers = {}
    for name, value in fields:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


async def read_body(scope: Scope, receive: Receive, headers: Headers, limit: int) -> Buffer:
    """The whole body, of at most `limit` bytes; refused unread where its declared length is larger.

    Raises `HTTPProblem` 413, 415 (a Content-Encoding) and `Disconnected`.
    """
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() != b"identity":
        raise HTTPProblem(415, f"Content-Encoding {_text(coding)} is not served", {"accept-encoding": "identity"})
    declared = headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = await _whole(scope)
    if body is not None:
        return body
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _whole(scope: Scope) -> Buffer | None:
    """The body in one piece, where the server offers that."""
    connection: Connection | None = scope.get(SCOPE_KEY)
    if connection is None:
        return None
    try:
        return await connection.body()
    except Lost:
        raise Disconnected from None


def _too_large(limit: int) -> HTTPProblem:
    return HTTPProblem(413, f"the body is larger than {limit} bytes", {"connection": "close"})


def _text(value: bytes) -> str:
    return value.decode("latin-1")
