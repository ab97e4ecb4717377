"""Pages of other origins: which of them a browser lets read the answers (the Fetch standard's CORS protocol).

No cookies are involved, so nothing is allowed with credentials; an API key is a field that a page sends itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from service.http.problems import HTTPProblem

ANY: Final = "*"
METHODS: Final = b"DELETE, GET, HEAD, PATCH, POST"
SENT: Final = (
    b"Accept, Authorization, Content-Encoding, Content-Type, Idempotency-Key, Inference-Header-Content-Length, "
    b"Traceparent, Tracestate, X-Request-ID, X-Request-Timeout-Ms"
)
READ: Final = (
    b"Content-Encoding, Inference-Header-Content-Length, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, "
    b"WWW-Authenticate, X-Request-ID"
)
MAX_AGE: Final = b"7200"
"""Seconds for which a browser need not ask again; the most that Chromium heeds."""


class CORS:
    """The origins that may read answers."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = {origin.encode() for origin in origins}
        self._any = ANY.encode() in self._origins

    def note(self, scope: Scope) -> None:
        """Have every answer to this request, problems too, say whether the page that asks may read it."""
        fields = scope["gradwire.fields"] = {} if self._any else {b"vary": b"origin"}
        origin = _field(scope, b"origin")
        if origin is None:
            return
        if self._any:
            fields[b"access-control-allow-origin"] = b"*"
        elif origin in self._origins:
            fields[b"access-control-allow-origin"] = origin
        else:
            return
        fields[b"access-control-expose-headers"] = READ

    def preflight(self, scope: Scope) -> list[tuple[bytes, bytes]] | None:
        """The answer to a browser that asks whether it may ask; `None` where this is another request.

        Raises `HTTPProblem` 403 for an origin that may not.
        """
        if scope["method"] != "OPTIONS" or _field(scope, b"access-control-request-method") is None:
            return None
        if b"access-control-allow-origin" not in scope["gradwire.fields"]:
            raise HTTPProblem(403, "pages of this origin may not read answers here")
        return [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", SENT),
            (b"access-control-max-age", MAX_AGE),
        ]


def _field(scope: Scope, sought: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == sought), None)
