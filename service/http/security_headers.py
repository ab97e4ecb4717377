"""Fields for browsers, which take an answer for no more than it is, keep none, and show none inside another page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Fields = tuple[tuple[bytes, bytes], ...]

COMPUTED: Final[Fields] = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""For computed answers: constant, so that a head is made with them as with none."""
ALL: Final[Fields] = (
    *COMPUTED,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
"""For all other answers: what a browser may be led to."""
PAGE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of the documentation page: what this service serves, and pictures in its style sheet."""


def secured(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """These fields of an answer, and those for browsers that are not among them."""
    named = {name for name, _ in fields}
    return [*fields, *[field for field in ALL if field[0] not in named]]


def lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fields as they stand in the head of an answer."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])
