"""One tensor of many requests at once: the values that they give for it, read into one array.

What comes out is bit for bit what `schemas.tensor.read` makes of each value. What is not alike, or needs a look at each
number, is left to it.
"""

from __future__ import annotations

from array import array as buffer
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.nested import MAX_DIMS, TensorFault
from schemas.tensor import Tensor, read

EXACT: Final = 2.0**24
"""Whole numbers up to this one are the same in every step from int64 to any floating type, whichever way it goes."""


class Unlike(Exception):
    """These requests are not alike, or not all of them are sound."""


class Column(NamedTuple):
    """A tensor of several requests: `array` has their number in front of its shape; `typed` as in `Tensor`."""

    array: NDArray[Any]
    typed: bool


def column(values: list[Any], *, plain: bool) -> Column:
    """The values of one tensor in several requests; `plain` as in `schemas.tensor.Reading`. Raises `Unlike`."""
    kind = type(values[0])
    if kind is list or kind is float or kind is int:
        return Column(_from_lists(values, plain), typed=False)
    if kind is not dict and kind is not Tensor:
        raise Unlike
    try:
        tensors = [read(value, plain=plain) for value in values]
    except TensorFault:
        raise Unlike from None
    first = tensors[0]
    shape, dtype = first.array.shape, first.array.dtype
    for tensor in tensors:
        if tensor.array.shape != shape or tensor.array.dtype != dtype or tensor.typed is not first.typed:
            raise Unlike
    if not first.array.size:
        raise Unlike
    memory = b"".join([tensor.array.tobytes() for tensor in tensors])
    return Column(np.frombuffer(memory, dtype).reshape(len(values), *shape), first.typed)


def _from_lists(values: list[Any], plain: bool) -> NDArray[Any]:
    """Numbers, or nested lists of the same sizes."""
    shape = [len(values)]
    while type(values[0]) is list:
        size = len(values[0])
        if not size or len(shape) > MAX_DIMS or set(map(type, values)) != {list} or set(map(len, values)) != {size}:
            raise Unlike
        shape.append(size)
        values = list(chain.from_iterable(values))
    return _from_numbers(values, plain).reshape(shape)


def _from_numbers(numbers: list[Any], plain: bool) -> NDArray[Any]:
    if not plain and not set(map(type, numbers)) <= {int, float}:
        raise Unlike
    if type(numbers[0]) is int:
        try:
            return np.frombuffer(buffer("q", numbers), np.int64)
        except (TypeError, OverflowError):
            pass  # a number with a point among whole ones, or one beyond 64 bits
    try:
        found = np.frombuffer(buffer("d", numbers), np.float64)
    except (TypeError, OverflowError):
        raise Unlike from None
    # Where one request's numbers are all whole, it goes by way of int64: beyond this, that may round otherwise.
    if np.abs(found).max() > EXACT and set(map(type, numbers)) != {float}:
        raise Unlike
    return found
