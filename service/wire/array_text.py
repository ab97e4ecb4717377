"""Arrays as JSON text, where orjson does not write them as an answer needs them."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from schemas.dtype import BFLOAT16

OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
PIECES: Final = 4096
"""Words that are put in at a time."""


def known(array: NDArray[Any]) -> NDArray[Any]:
    """The array, in a type that orjson knows."""
    return array.astype(np.float32) if array.dtype == BFLOAT16 else array


def base64(array: NDArray[Any]) -> bytes:
    """The bytes of an array, in base64."""
    data: Any = array.view(np.uint16) if array.dtype == BFLOAT16 else array  # NumPy exports no bfloat16
    return pybase64.b64encode(data)


def with_strings(array: NDArray[Any], finite: NDArray[np.bool_]) -> list[bytes | memoryview]:
    """Nested lists in the fewest digits, as pieces of one text: strings where a number is not `finite`.

    orjson writes null there, and no other word: only what lies between the first and the last one is written again.
    """
    text = orjson.dumps(array, option=OPTIONS)
    first, last = text.find(b"n"), text.rfind(b"n") + len(b"null")
    view = memoryview(text)
    return [view[:first], _in_words(text[first:last], array[~finite]), view[last:]]


def _in_words(text: bytes, numbers: NDArray[Any]) -> bytes:
    """A text with these numbers in words where it has null, in order."""
    if np.isnan(numbers).all():
        return text.replace(b"null", b'"NaN"')
    starts = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("n"))
    parts = []
    begin = 0
    # Some at a time: the pieces between them take tens of bytes each.
    for at in range(0, len(starts), PIECES):
        end = int(starts[at + PIECES]) if at + PIECES < len(starts) else len(text)
        parts.append(_some_in_words(text[begin:end], numbers[at : at + PIECES]))
        begin = end
    return b"".join(parts)


def _some_in_words(text: bytes, numbers: NDArray[Any]) -> bytes:
    between = text.split(b"null")
    parts = [b""] * (2 * len(between) - 1)
    parts[::2] = between
    parts[1::2] = [b'"NaN"' if math.isnan(x) else b'"Infinity"' if x > 0 else b'"-Infinity"' for x in numbers.tolist()]
    return b"".join(parts)
