"""A head that comes again, byte for byte, on its connection: what the parser made of it is kept, not made anew.

Callers that send one request after another of the same size, as training does, change nothing in their heads.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

UNUSED: Final = 8
"""Heads that are kept in vain, one after the other, before a connection keeps no more."""


class Repeated(NamedTuple):
    """A request that came in one piece: its head, the bytes of it all, its target and its scope."""

    head: bytes
    size: int
    url: bytes
    scope: dict[str, Any]

    def heads(self, data: bytes) -> bool:
        """Whether these bytes are a whole request with this very head."""
        return len(data) == self.size and data.startswith(self.head)


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
    return Repeated(data[:end], len(data), url, scope)
