"""`X-Request-ID`: the caller's own where it may stand in a log, else one of ours."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable
from typing import Final

ACCEPTED: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")

_PREFIX: Final = secrets.token_hex(6).encode()
"""This process's."""
_NUMBERS: Final = itertools.count(1)


def request_id(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id of a request with these header fields."""
    for name, value in fields:
        if name == b"x-request-id" and ACCEPTED.fullmatch(value):
            return value
    return _PREFIX + b"-%x" % next(_NUMBERS)
