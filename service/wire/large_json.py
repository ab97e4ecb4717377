"""Large JSON bodies: their numbers straight into arrays, without a Python object for each.

What is anything but plain (ragged or empty rows, strings or booleans among numbers, tensors as objects, a member named
twice, broken JSON) is left to the general reader, which tells what is wrong with it, and where.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Final

import numpy as np
import simdjson
from numpy.typing import NDArray

from schemas.tensor import MAX_DIMS, Tensor

LEAST_BYTES: Final = 8192
"""Bodies from this size on are read here (benchmarks/results.md, "Reading JSON")."""

SHORT: Final = 64
"""Elements below which a flat list is handed on as it is."""

KEPT_BYTES: Final = 4 << 20
"""A parser keeps memory in proportion to its largest body; beyond this one, it is not used again."""

_thread = threading.local()


def read(body: bytes) -> dict[str, Any] | None:
    """The members of a JSON object, long arrays of numbers as tensors; `None` to leave it to the general reader."""
    parser = getattr(_thread, "parser", None)
    if parser is None or len(body) > KEPT_BYTES:
        parser = simdjson.Parser()
        if len(body) <= KEPT_BYTES:
            _thread.parser = parser
    try:
        return _members(body, parser.parse(body))
    except (ValueError, TypeError, RuntimeError, IndexError):
        _thread.parser = None  # what it still holds must not be in the way of the next body
        return None


def _members(body: bytes, document: Any) -> dict[str, Any] | None:
    if type(document) is not simdjson.Object:
        return None
    names = list(document.keys())
    if len(set(names)) != len(names):
        return None
    members: dict[str, Any] = {}
    lists = 0
    for name in names:
        value: Any = document[name]
        if type(value) is simdjson.Object:
            return None
        if type(value) is simdjson.Array:
            if len(value) < SHORT and not (len(value) and type(value[0]) is simdjson.Array):
                value = value.as_list()  # names, cutoffs, clusters: not every list is a tensor
                lists += 1
            else:
                array = _numbers(value)
                if array is None:
                    return None
                value = Tensor(array, typed=False)
                lists += sum(math.prod(array.shape[:axis]) for axis in range(array.ndim))
        members[name] = value
    # simdjson flattens whatever is nested. Were there a list among the numbers, the body would hold more brackets.
    return members if body.count(b"[") == lists else None


def _numbers(array: Any) -> NDArray[Any] | None:
    """The array of a list of numbers, or of lists of lists of the same length."""
    shape = [len(array)]
    rows = [array]
    first = array[0]
    while type(first) is simdjson.Array:
        if len(shape) == MAX_DIMS or not len(first):
            return None
        rows = [row for inner in rows for row in inner]
        size = len(first)
        if any(type(row) is not simdjson.Array or len(row) != size for row in rows):
            return None
        shape.append(size)
        first = first[0]
    if type(first) is int:
        try:
            return _flat(array, "i", np.int64, shape)
        except (TypeError, ValueError):
            pass  # a number with a point among whole ones
    return _flat(array, "d", np.float64, shape)


def _flat(array: Any, kind: str, dtype: Any, shape: list[int]) -> NDArray[Any] | None:
    """All numbers below an array, in its shape."""
    flat = np.frombuffer(array.as_buffer(of_type=kind), dtype)
    return flat.reshape(shape) if flat.size == math.prod(shape) else None
