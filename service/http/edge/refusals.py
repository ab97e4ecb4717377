"""What the protocol refuses by itself, before or instead of the application: counted, and told as problem documents."""

from __future__ import annotations

from collections import Counter
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http.problems import HTTPProblem, render
from service.http.security_headers import ALL, lines

refused: Final[Counter[str]] = Counter()
"""Connections and requests that never reached the application, or were taken from it, by reason."""

_FIXED: Final = lines(ALL) + b"\r\n"
NO_HTTP: Final = "this is no HTTP/1.1 request"

_BOTH: Final = "a request has Content-Length or Transfer-Encoding, not both"
# What the parser says where a caller can be told more than that it is no HTTP.
_TOLD: Final = {
    "Transfer-Encoding can't be present with Content-Length": _BOTH,
    "Content-Length can't be present with Transfer-Encoding": _BOTH,
    "Duplicate Content-Length": "a request has one Content-Length",
    "Invalid character in Content-Length": "Content-Length is a number of bytes",
    "Empty Content-Length": "Content-Length is a number of bytes",
    "Content-Length overflow": "Content-Length is beyond all measure",
    "Invalid character in chunk size": "the size of a chunk is a hexadecimal number",
    "Chunk size overflow": "the size of a chunk is beyond all measure",
    "Expected LF after chunk data": "a chunk is longer than it says",
    "Invalid `Transfer-Encoding` header value": "chunked comes once in Transfer-Encoding, and last",
    "Empty Transfer-Encoding": "Transfer-Encoding names no coding",
}
_NO_SUCH_VERSION: Final = ("Invalid HTTP version", "Pause on PRI/Upgrade")


class Refusal(Exception):
    """Why a request is not served; the parser's callbacks raise it. The connection ends with its answer."""

    def __init__(self, reason: str, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.problem = HTTPProblem(status, detail, headers)

    def answer(self, path: str, own: bytes, common: list[tuple[bytes, bytes]]) -> tuple[bytes, int]:
        """The whole answer to the request with this path and id, and the bytes of its body.

        `common`: what the server puts into every head, such as the date.
        """
        status, headers, body = render(self.problem, path)
        fields = {
            **headers,
            "content-length": str(len(body)),
            "connection": "close",
            "x-request-id": own.decode(),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return b"".join((STATUS_LINE[status], lines(common), head.encode("latin-1"), _FIXED, body)), len(body)


def misread(error: httptools.HttpParserError) -> Refusal:
    """The refusal of what the parser cannot read."""
    said = str(error)
    if said in _NO_SUCH_VERSION:
        return version_not_served()
    return Refusal("malformed", 400, _TOLD.get(said, NO_HTTP))


def version_not_served() -> Refusal:
    """Some other version of HTTP: 0.9, 2 by prior knowledge, or none that there is."""
    return Refusal("version", 505, "HTTP/1.1 and HTTP/1.0 are served here")


def head_too_large(limit: int) -> Refusal:
    """More head than is read."""
    return Refusal("head_too_large", 431, f"the head of the request is larger than {limit} bytes")


def target_too_long(limit: int) -> Refusal:
    """No path of this service is nearly so long."""
    return Refusal("target_too_long", 414, f"the request's target is longer than {limit} bytes")


def too_many_connections() -> Refusal:
    """The process has as many callers as it may have."""
    return Refusal("connections", 503, "too many connections are open here", {"retry-after": "1"})


def head_late(seconds: float) -> Refusal:
    """A head that was begun and does not end."""
    return Refusal("head_timeout", 408, f"the head of the request was not complete within {seconds:g} seconds")


def body_late(seconds: float, rate: int) -> Refusal:
    """A body that stands still, or drips."""
    slow = f", or came with less than {rate} bytes a second" if rate else ""
    return Refusal("body_timeout", 408, f"of the body, nothing came for {seconds:g} seconds{slow}")
