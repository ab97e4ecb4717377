"""Formulas in small requests: a short text may take long to read, if it is an expression."""

from __future__ import annotations

import re
from typing import Final

from service.http.edge.connection import Buffer

READING: Final = 4096
"""Reading a character of a formula takes as long as so many bytes of a large request: 5 to 20 microseconds."""
FORMULA: Final = re.compile(rb'expression"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)', re.DOTALL)


def is_long(text: Buffer, offload: int) -> bool:
    """Whether a request's formulas take as long to read as `offload` bytes; the request itself is smaller.

    Where names or the formulas' quotes may be escaped, as in a JSON text within JSON, all of it is taken for a formula.
    """
    if len(text) * READING < offload:
        return False
    text = bytes(text)
    # Single bytes are looked for first: that takes 30 picoseconds a byte, twenty times less than the name.
    if b"\\" in text and (b"\\u" in text or b'expression\\"' in text):
        return True
    if b"x" not in text or b"expression" not in text:
        return False
    return sum([len(found) for found in FORMULA.findall(text)]) * READING >= offload
