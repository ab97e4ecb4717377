"""Large JSON bodies: their numbers straight into arrays, without a Python object for each.

A body is read once, whatever it holds: requests, lists of requests, tensors as objects with base64 or a flat list.
Long lists of plain numbers, wherever they stand, become tensors; all else is what the general reader makes of it.
Broken JSON, a member named twice, too many members or levels are left to the general reader, which tells what is wrong
with it, and where.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Final

import numpy as np
import simdjson
from numpy.typing import NDArray

from schemas.nested import MAX_DIMS
from schemas.tensor import Tensor

LEAST_BYTES: Final = 8192
"""Bodies from this size on are read here (benchmarks/results.md, "Reading JSON")."""

SHORT: Final = 64
"""Elements below which a flat list is handed on as it is: names, cutoffs, clusters are no tensors."""

MAX_MEMBERS: Final = 64
"""Members of one object: each is looked up among all others, so that many would take their number squared."""

MAX_LEVELS: Final = 16
"""Levels that are read here; those of a tensor count once."""

MAX_VISITS: Final = 65_536
"""Objects and lists that are read here: each costs a microsecond, where the general reader takes a tenth of it."""

KEPT_BYTES: Final = 4 << 20
"""A parser keeps memory in proportion to its largest body; beyond this one, it is not used again."""

CHUNK: Final = 1 << 18
"""Bytes that brackets are counted in at a time: what NumPy needs for it stays in the cache."""

_thread = threading.local()


class _NotHereError(Exception):
    """The body is one for the general reader."""


def read(body: bytes) -> Any | None:
    """The document in a body, long lists of plain numbers as tensors; `None` to leave it to the general reader."""
    if body.startswith(b"\xef\xbb\xbf"):  # simdjson passes over a byte order mark
        return None
    parser = getattr(_thread, "parser", None)
    if parser is None or len(body) > KEPT_BYTES:
        parser = simdjson.Parser()
        if len(body) <= KEPT_BYTES:
            _thread.parser = parser
    try:
        document = _Document()
        found = document.value(parser.parse(body), MAX_LEVELS)
    except (_NotHereError, ValueError, TypeError, RuntimeError, IndexError):
        _thread.parser = None  # what it still holds must not be in the way of the next body
        return None
    # simdjson flattens whatever is nested. Were there a list among the numbers of another, or a bracket in a text, the
    # body would hold more brackets than lists were seen.
    return found if _brackets(body) == document.lists else None


class _Document:
    """One document on its way into Python; `lists` are those seen so far, the rows of tensors among them."""

    __slots__ = ("lists", "visits")

    def __init__(self) -> None:
        self.lists = 0
        self.visits = 0

    def value(self, value: Any, levels: int) -> Any:
        """A value and all below it, at most so many levels."""
        kind = type(value)
        if kind is not simdjson.Object and kind is not simdjson.Array:
            return value
        self.visits += 1
        if not levels or self.visits > MAX_VISITS:
            raise _NotHereError
        return self._members(value, levels - 1) if kind is simdjson.Object else self._elements(value, levels - 1)

    def _members(self, members: Any, levels: int) -> dict[str, Any]:
        if len(members) > MAX_MEMBERS:
            raise _NotHereError
        names = list(members)
        if len(set(names)) != len(names) or "\0" in "".join(names):  # a name is looked up to its first zero byte
            raise _NotHereError
        return {name: self.value(members[name], levels) for name in names}

    def _elements(self, elements: Any, levels: int) -> Any:
        size = len(elements)
        kind = type(elements[0]) if size else None
        if kind is simdjson.Array:
            shape = _shape(elements)
            if not _even(elements, shape, 1):
                return self._each(elements, levels)  # lists of tensors, or what the general reader will refuse
        elif kind is simdjson.Object:
            return self._each(elements, levels)
        else:
            shape = [size]
        if size >= SHORT or kind is simdjson.Array:
            array = _numbers(elements, shape)
            if array is not None:
                self.lists += sum([math.prod(shape[:axis]) for axis in range(len(shape))])
                return Tensor(array, typed=False)
        found = elements.as_list()
        self.lists += _count(found)
        return found

    def _each(self, elements: Any, levels: int) -> list[Any]:
        self.lists += 1
        return [self.value(element, levels) for element in elements]


def _shape(elements: Any) -> list[int]:
    """The sizes of a list, of the first list in it, and so on."""
    shape: list[int] = []
    while type(elements) is simdjson.Array:
        shape.append(len(elements))
        if len(shape) > MAX_DIMS or not shape[-1]:
            raise _NotHereError
        elements = elements[0]
    return shape


def _even(rows: Any, shape: list[int], axis: int) -> bool:
    """Whether all rows below a list are lists of the shape's length. One at a time: all would take much memory."""
    size = shape[axis]
    deeper = axis + 1 < len(shape)
    for row in rows:
        if type(row) is not simdjson.Array or len(row) != size:
            return False
        if deeper and not _even(row, shape, axis + 1):
            return False
    return True


def _numbers(elements: Any, shape: list[int]) -> NDArray[Any] | None:
    """The array of a list of numbers, or of even lists of lists of them; `None` where there is anything else."""
    first = elements
    while type(first) is simdjson.Array:
        first = first[0]
    if type(first) is int:
        array = _flat(elements, "i", np.int64, shape)
        if array is not None:
            return array  # else a number with a point, or of more than 64 bits, among whole ones
    return _flat(elements, "d", np.float64, shape)


def _flat(elements: Any, kind: str, dtype: Any, shape: list[int]) -> NDArray[Any] | None:
    """All numbers below a list, in its shape; `None` where one is not of that kind, or not a number."""
    try:
        flat = np.frombuffer(elements.as_buffer(of_type=kind), dtype)
    except (TypeError, ValueError):
        return None
    return flat.reshape(shape) if flat.size == math.prod(shape) else None


def _count(value: Any) -> int:
    """The lists in a value, itself included."""
    if type(value) is dict:
        return sum([_count(item) for item in value.values()])
    if type(value) is not list:
        return 0
    return 1 + sum([_count(item) for item in value if type(item) is list or type(item) is dict])


def _brackets(body: bytes) -> int:
    """The opening brackets in a body: several times as fast as `bytes.count`."""
    view = np.frombuffer(body, np.uint8)
    return sum(int(np.count_nonzero(view[at : at + CHUNK] == ord("["))) for at in range(0, len(body), CHUNK))
