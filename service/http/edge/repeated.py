"""A head that comes again on its connection, but for the length that it tells: what was made of it is kept.

Callers that send one request after another change nothing else in their heads.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

UNUSED: Final = 8
"""Heads that are kept in vain, one after the other, before a connection keeps no more."""
MOST_DIGITS: Final = 8
LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(?=\d{1,8}\r\n)", re.IGNORECASE)


class Repeated(NamedTuple):
    """A request that came in one piece: its head before and behind the digits of its length; its target and its scope.

    `field`: which of the header fields tells the length.
    """

    before: bytes
    behind: bytes
    url: bytes
    scope: dict[str, Any]
    field: int

    def begins(self, data: bytes) -> int:
        """Where the body begins, if these bytes are a whole request with this very head; else 0."""
        at = len(self.before)
        if not data.startswith(self.before):
            return 0
        end = data.find(b"\r", at, at + MOST_DIGITS + 1)
        digits = data[at:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self.behind, end):
            return 0
        body = end + len(self.behind)
        return body if body + int(digits) == len(data) else 0

    def fields(self, size: int) -> list[tuple[bytes, bytes]]:
        """The header fields of a request with a body of that many bytes."""
        found: list[tuple[bytes, bytes]] = self.scope["headers"].copy()
        found[self.field] = (b"content-length", b"%d" % size)
        return found


def whole(data: bytes, url: bytes, scope: dict[str, Any], cycle: Any) -> Repeated | None:
    """What to keep of the one request that the parser found in these bytes.

    `None` unless they surely are its head, its body and nothing else, and the connection is kept.
    """
    body = cycle.body
    end = data.find(b"\r\n\r\n") + 4
    if type(body) is not bytes or end + len(body) != len(data) or not data.endswith(body) or data[0] in b"\r\n":
        return None
    if cycle.more_body or not cycle.keep_alive or cycle.waiting_for_100_continue:
        return None
    length = LENGTH.search(data, 0, end)
    field = next((at for at, (name, _) in enumerate(scope["headers"]) if name == b"content-length"), None)
    if length is None or field is None:
        return None
    digits = length.end()
    return Repeated(data[:digits], data[data.find(b"\r", digits) : end], url, scope, field)
