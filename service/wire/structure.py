"""What a large JSON text would become, told from a few of its characters before anything is made of it.

Readers hold Python's lock while they read, and what they make of a byte may take tens of bytes: an empty list, three
bytes with its comma, takes 64. Characters in strings count too, which base64 has none of. One character beyond ASCII
makes all of its string up to four times as long.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.problem import TOO_LARGE, Fault, InvalidRequest

Buffer = bytes | bytearray | memoryview

LEAST_BYTES: Final = 1 << 20
"""Texts below this are read whatever they hold: one of them takes tens of MiB at most, for some milliseconds."""

MAX_CONTAINERS: Final = 1 << 20
"""Lists and objects of one text: reading a million takes a third of a second."""

MAX_MEMBERS: Final = 1 << 17
"""Values of a text that are no elements: options, names, shapes."""

CHUNK: Final = 1 << 18
"""Bytes that are looked at in one go: what NumPy needs for it stays in the cache."""

COPIES: Final = 2
WIDE_COPIES: Final = 9
VALUE_BYTES: Final = 54
STRING_BYTES: Final = 160
CONTAINER_BYTES: Final = 256
"""Bytes that reading takes at most (tests/wire/test_structure.py): copies of the text, longer where it may be wide, and
each value, string, and list or object."""


class Structure(NamedTuple):
    """Bytes of a text; its commas, quotation marks, and opening brackets and braces.

    `wide`: it may hold characters beyond ASCII, as they are or as escapes.
    """

    size: int
    commas: int
    quotes: int
    containers: int
    wide: bool

    @property
    def bytes(self) -> int:
        """The memory that reading the text takes beside it, at most."""
        text = self.size * (WIDE_COPIES if self.wide else COPIES)
        values = (self.commas + self.containers) * VALUE_BYTES
        return text + values + self.quotes // 2 * STRING_BYTES + self.containers * CONTAINER_BYTES


def structure(text: Buffer) -> Structure:
    """What a text has of each."""
    view = np.frombuffer(text, np.uint8)
    commas = quotes = containers = 0
    wide = False
    for start in range(0, view.size, CHUNK):
        part = view[start : start + CHUNK]
        commas += int(np.count_nonzero(part == ord(",")))
        quotes += int(np.count_nonzero(part == ord('"')))
        containers += int(np.count_nonzero((part | 0x20) == ord("{")))  # "[" is "{" without that bit
        wide = wide or int(part.max()) > 0x7F or _escapes(view, start)
    return Structure(view.size, commas, quotes, containers, wide)


def _escapes(view: NDArray[np.uint8], start: int) -> bool:
    """Whether a chunk has a character by its number; there are other escapes, which some write in base64."""
    after = np.flatnonzero(view[start : start + CHUNK] == ord("\\")) + (start + 1)
    return bool((view[after[after < view.size]] == ord("u")).any())


def bounded(text: Buffer, max_elements: int) -> Structure:
    """The structure of a text. Raises `InvalidRequest` where it holds more than any request may."""
    found = structure(text)
    if found.containers > MAX_CONTAINERS:
        detail = f"the body has {found.containers} lists and objects; the limit is {MAX_CONTAINERS} (a tensor as an "
        raise InvalidRequest([Fault("", detail + "object with a flat list or base64 has few)", TOO_LARGE)])
    if found.commas > max_elements + MAX_MEMBERS:
        detail = f"the body has more than {found.commas} values; the limit is {max_elements} elements"
        raise InvalidRequest([Fault("", detail, TOO_LARGE)])
    return found
