"""Reading a request's body, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from starlette.types import Receive, Scope

from service.http.admission import Claim
from service.http.content_decoding import open_decoder
from service.http.edge.connection import SCOPE_KEY, Buffer, Connection, Lost
from service.http.problems import HTTPProblem

T = TypeVar("T")

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


def declared(headers: Headers) -> int | None:
    """The length of the body, where it is told."""
    length = headers.get(b"content-length")
    return int(length) if length is not None and length.isdigit() else None


async def read_body(
    scope: Scope,
    receive: Receive,
    coding: bytes | None,
    length: int | None,
    limit: int,
    decompressed: int,
    admit: Callable[[], Claim],
) -> Buffer:
    """The whole body, of at most `limit` bytes, and of at most `decompressed` ones once its coding is undone.

    `coding` is its Content-Encoding, `length` its declared length. Refused unread where that is larger, and where
    `admit` refuses it; the claim grows as it comes. Raises `HTTPProblem` 400 (broken coding), 413, 415 (a coding that
    is not served), 429, 503 and `Disconnected`.
    """
    decoder = None if coding is None else open_decoder(coding, decompressed)
    if length is not None and length > limit:
        raise _too_large(limit)
    claim = admit()
    if decoder is not None:
        async for part in _parts(scope, receive, limit):
            made = decoder.feed(part)
            while await aside(next, made, None) is not None:  # a few bytes may become as many as the limit
                claim.reach(decoder.held)
            claim.reach(decoder.held)
        return decoder.finish()
    connection: Connection | None = scope.get(SCOPE_KEY)
    body = None
    if connection is not None:
        body = connection.arrived()
        if body is None:
            body = await _rest(connection, claim)
    if body is not None:
        if len(body) > limit:  # one whose length was not declared
            raise _too_large(limit)
        return body
    gathered = bytearray()  # a list of them would cost the tiniest parts tens of bytes each
    async for part in _parts(scope, receive, limit):
        gathered += part
        claim.reach(len(gathered))
    return gathered


async def _parts(scope: Scope, receive: Receive, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes."""
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        size += len(part)
        scope["gradwire.received"] = size
        if size > limit:
            raise _too_large(limit)
        yield part
        more = message.get("more_body", False)


async def _rest(connection: Connection, claim: Claim) -> Buffer | None:
    """The body in one piece, once it is there, where the server offers that."""
    try:
        return await connection.body(claim)
    except Lost:
        raise Disconnected from None


def _too_large(limit: int) -> HTTPProblem:
    return HTTPProblem(413, f"the body is larger than {limit} bytes", {"connection": "close"})


async def aside(work: Callable[..., T], *arguments: object) -> T:
    """Run on a thread beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)
