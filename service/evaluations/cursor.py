"""Cursors of pages: opaque to callers, the last row's sort key to the store."""

from __future__ import annotations

import base64
import binascii

import orjson

from service.evaluations.refusals import FaultyCursor

Key = list[int | str]


def written(listing: str, key: Key) -> str:
    """The cursor behind the row with this sort key, in this listing."""
    return base64.urlsafe_b64encode(orjson.dumps([listing, *key])).decode().rstrip("=")


def read(listing: str, cursor: str, kinds: tuple[type, ...]) -> Key:
    """The sort key in a cursor, of these types. Raises `FaultyCursor`."""
    try:
        # orjson takes no half of a surrogate pair, which no database can be asked for.
        found = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True))
    except (binascii.Error, ValueError):
        raise FaultyCursor(cursor) from None
    if not isinstance(found, list) or found[:1] != [listing] or [type(part) for part in found[1:]] != list(kinds):
        raise FaultyCursor(cursor)
    if any(abs(part) >= 1 << 63 if isinstance(part, int) else "\0" in part for part in found[1:]):
        raise FaultyCursor(cursor)
    return found[1:]
