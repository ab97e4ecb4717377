"""A light HTTP client: bytes prepared once, sent over asyncio streams, of the answer only what is judged."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

PATIENCE = 120.0
"""Seconds after which an answer is held to be lost."""


@dataclass(frozen=True)
class Answer:
    """A status, whether Retry-After was there, and the seconds it took; status 0: the connection broke."""

    status: int
    retry_after: bool
    seconds: float
    body: bytes = b""


@dataclass
class Client:
    """One connection that is kept, and made anew where the server ends it."""

    origin: str
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Close at once, whatever is under way."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            parts = urlsplit(self.origin)
            self._reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port)
        return self._reader, self._writer

    async def ask(self, request: bytes) -> Answer:
        """Send and wait; what fails is an answer of status 0. Raises `TimeoutError` where nothing comes at all."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await self.connected()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                fields = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
                body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        except (OSError, asyncio.IncompleteReadError):
            self.leave()
            return Answer(0, retry_after=False, seconds=time.perf_counter() - began)
        if fields.get(b"connection") == b"close":
            self.leave()
        status = int(lines[0].split(b" ")[1])
        return Answer(status, b"retry-after" in fields, time.perf_counter() - began, body)


def post(body: bytes, media_type: str = "application/json", path: str = "/v1/loss", *fields: str) -> bytes:
    """A request as it goes over the wire."""
    head = [f"POST {path} HTTP/1.1", "Host: gradwire", f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *fields, "", ""]).encode() + body


def get(path: str) -> bytes:
    """A request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: gradwire\r\n\r\n".encode()
