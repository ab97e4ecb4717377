"""Lists of numbers, as JSON has them, read into NumPy arrays: whole numbers as int64, all others as float64.

What is wrong with one is told as a `Fault` whose pointer is relative to the list.
"""

from __future__ import annotations

import math
from array import array as buffer
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.problem import INVALID, MALFORMED, Fault, pointer

MAX_DIMS: Final = 8
WHOLE: Final = np.dtype(np.int64)
REAL: Final = np.dtype(np.float64)
NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class TensorFault(ValueError):
    """Why a value is no tensor; `path` leads from the tensor to the spot."""

    def __init__(self, detail: str, *path: str | int, status: int = INVALID) -> None:
        super().__init__(detail)
        self.fault = Fault(pointer(*path), detail, status)


def from_short(value: list[Any]) -> NDArray[Any] | None:
    """The array that NumPy makes of a short list of numbers, or of lists of the same length; `None` for all else.

    Up to some tens of numbers that is quickest. Among texts numbers would become texts as long as the longest one, and
    NumPy takes booleans for numbers: only in a short and plain body.
    """
    try:
        array: NDArray[Any] = np.array(value)
    except ValueError:  # ragged
        return None
    numbers = array.dtype is WHOLE or array.dtype is REAL
    return array if numbers and array.size > 0 and array.ndim <= MAX_DIMS else None


def from_lists(value: list[Any], plain: bool) -> NDArray[Any]:
    """The array of a list of numbers, or of lists of lists of the same length.

    `plain`: there are no booleans among them. Raises `TensorFault` at the first row, or number, that does not fit.
    """
    if value and type(value[0]) is not list:
        return from_numbers(value, plain)
    shape: list[int] = []
    first: Any = value
    while type(first) is list:
        shape.append(len(first))
        if len(shape) > MAX_DIMS:
            raise TensorFault(f"a tensor has at most {MAX_DIMS} dims", status=_depth_status(first))
        first = first[0] if first else None
    rows = value
    for axis in range(1, len(shape)):
        size = shape[axis]
        for position, row in enumerate(rows):
            if type(row) is not list or len(row) != size:
                raise _ragged(row, size, _unravel(position, shape[:axis]))
        if axis + 1 < len(shape):
            rows = [item for row in rows for item in row]
    if 0 in shape:
        return np.zeros(shape, np.float64)
    try:
        return _from_rows(rows, plain, first).reshape(shape)
    except TensorFault as fault:
        raise _located(fault, shape) from None


def _from_rows(rows: list[list[Any]], plain: bool, first: Any) -> NDArray[Any]:
    """One flat array of many equally long rows: an integer array if every number is whole."""
    if plain:
        for code in "qd" if type(first) is int else "d":
            flat = buffer(code)
            try:
                for row in rows:
                    flat.fromlist(row)
            except (TypeError, OverflowError):
                continue
            return np.frombuffer(flat, np.int64 if code == "q" else np.float64)
    return from_numbers([number for row in rows for number in row], plain)


def from_numbers(numbers: list[Any], plain: bool, *, scalar: bool = False) -> NDArray[Any]:
    """A flat array of numbers: int64 if every one is whole and fits, else float64.

    Raises `TensorFault` at the first that is no number; a `scalar` has no position.
    """
    if plain:
        for code in "qd" if type(numbers[0]) is int else "d":
            try:
                return np.frombuffer(buffer(code, numbers), np.int64 if code == "q" else np.float64)
            except (TypeError, OverflowError):
                continue
    kinds = set(map(type, numbers))
    if kinds == {int} and all(-(2**63) <= number < 2**63 for number in numbers):
        return np.array(numbers, np.int64)
    if kinds <= {int, float, str}:
        try:
            return np.frombuffer(buffer("d", [NON_FINITE.get(number, number) for number in numbers]), np.float64)
        except (TypeError, OverflowError):
            pass  # another text, or a whole number beyond every float
    for position, number in enumerate(numbers):
        kind = type(number)
        if (kind is str and number not in NON_FINITE) or kind not in (int, float, str):
            raise TensorFault(f"{in_words(number)} is no number", *([] if scalar else [position]))
    return np.array([NON_FINITE[number] if type(number) is str else _finite(number) for number in numbers], np.float64)


def _finite(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def first_not_whole(value: Any) -> tuple[tuple[int, ...], Any] | None:
    """Where a nested list first holds something that is no 64-bit integer, and what: for messages."""
    if type(value) is list:
        for at, item in enumerate(value):
            found = first_not_whole(item)
            if found is not None:
                path, what = found
                return (at, *path), what
        return None
    return None if type(value) is int and -(2**63) <= value < 2**63 else ((), value)


def _ragged(row: Any, size: int, path: tuple[int, ...]) -> TensorFault:
    if type(row) is list:
        return TensorFault(f"ragged: {len(row)} elements here, {size} in the rows before", *path)
    return TensorFault(f"ragged: {in_words(row)} here, a list of {size} in the rows before", *path)


def _located(fault: TensorFault, shape: list[int]) -> TensorFault:
    """The fault of a flat position, told by its indices."""
    path = path_of(fault.fault)
    indices = _unravel(int(path[0]), shape) if path else ()
    return TensorFault(fault.fault.detail, *indices, status=fault.fault.status)


def path_of(fault: Fault) -> list[str]:
    """The parts of a fault's pointer."""
    return fault.pointer.split("/")[1:]


def _unravel(position: int, shape: list[int]) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(position, shape))


def _depth_status(value: Any) -> int:
    """Nesting beyond the contract's 32 levels is malformed, not merely invalid."""
    depth = MAX_DIMS
    while type(value) is list and value:
        value, depth = value[0], depth + 1
    return MALFORMED if depth > 32 else INVALID


def in_words(value: Any) -> str:
    """A JSON value in a message, in a few characters."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 40 else text[:37] + "..."
