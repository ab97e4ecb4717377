"""What a head must say to be served: the demands of RFC 9110 and RFC 9112 that neither parser nor uvicorn makes."""

from __future__ import annotations

import re
from typing import Final

import httptools

from service.http.edge.refusals import Refusal, version_not_served

# RFC 3986's host, with an optional port. Empty is allowed (RFC 9112, section 3.2).
HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")

SERVED: Final = ("1.1", "1.0")
MOST_DIGITS: Final = 20
FRAMING: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))

Fields = list[tuple[bytes, bytes]]


class Head:
    """What the fields of one head say of its framing."""

    __slots__ = ("chunked", "expect", "host", "length")

    def __init__(self, fields: Fields, method: bytes, version: str) -> None:
        """Raises `Refusal` for what cannot be served, whatever it asks for."""
        self.length: int | None = None
        self.chunked = False
        self.expect: bytes | None = None
        self.host: bytes | None = None
        if version not in SERVED:
            raise version_not_served()
        for name, value in fields:
            if name in FRAMING:
                self._take(name, value)
        if self.host is None:
            if version == "1.1":
                raise Refusal("malformed", 400, "an HTTP/1.1 request has a Host")
        elif HOST.fullmatch(self.host) is None:
            raise Refusal("malformed", 400, "Host names no host")
        if self.expect is not None and self.expect != b"100-continue" and version == "1.1":
            raise Refusal("expectation", 417, "of expectations, 100-continue alone is served")
        if method == b"CONNECT":
            raise Refusal("method", 501, "CONNECT is for proxies; this is none")

    def _take(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            if self.host is not None:
                raise Refusal("malformed", 400, "a request has one Host")
            self.host = value
        elif name == b"content-length":  # one number below 2**64: the parser sees to it, but allows any number of zeros
            if len(value) > MOST_DIGITS:
                raise Refusal("malformed", 400, "Content-Length has more digits than any length")
            self.length = int(value)
        elif name == b"expect":
            value = value.lower()
            self.expect = value if self.expect is None else self.expect + b", " + value
        elif value.lower() != b"chunked":
            raise Refusal("coding", 501, "of transfer codings, chunked alone is served")
        else:
            self.chunked = True


def rooted(url: bytes) -> bytes:
    """The target in origin form, of one in absolute form that may have no path; others as they are.

    Raises httptools.HttpParserInvalidURLError.
    """
    parsed = httptools.parse_url(url)
    if parsed.path is not None:
        return url
    return b"/" if parsed.query is None else b"/?" + parsed.query
