"""Every JSON form of a tensor, read into a NumPy array.

A tensor is a number (0-d), nested lists of numbers, or `{"dtype", "shape", "data"}` with base64 or a flat list. What
is wrong with one is told as a `Fault` whose pointer is relative to the tensor.
"""

from __future__ import annotations

import binascii
import math
from array import array as buffer
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from schemas.dtype import DTYPES, is_floating
from schemas.problem import INVALID, MALFORMED, TOO_LARGE, UNSUPPORTED, Fault, pointer

MAX_DIMS: Final = 8
MAX_TENSORS: Final = 64
"""No loss takes more; the adaptive softmax, with 16 tail clusters, comes nearest."""
NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
DESCRIPTION: Final = (
    "A tensor: a number (0-d), or nested lists of numbers (row-major; NaN and infinities as the strings `NaN`, "
    "`Infinity`, `-Infinity`), or an object with `dtype` (float64, float32, float16, bfloat16, int64, int32, int16, "
    "int8, uint8 or bool), `shape` (a list of sizes) and `data` (base64 of the little-endian row-major bytes, or a "
    "flat list of numbers)."
)
EXAMPLES: Final[list[Any]] = [
    [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]],
    {"dtype": "float32", "shape": [2, 2], "data": "AACAPwAAAEAAAEBAAACAQA=="},
]


class TensorFault(ValueError):
    """Why a value is no tensor; `path` leads from the tensor to the spot."""

    def __init__(self, detail: str, *path: str | int, status: int = INVALID) -> None:
        super().__init__(detail)
        self.fault = Fault(pointer(*path), detail, status)


class Reading(NamedTuple):
    """What the reader of a body knows of it: a validation context.

    `plain` says that the body holds no `true` and no `false`, so that numbers need not be told from them one by one.
    `max_elements` bounds the elements that one request may need.
    """

    plain: bool = False
    max_elements: int = 1 << 24


class Tensor:
    """An array as a caller wrote it; `typed` when the caller named its element type.

    `source` is the JSON value that it was read from, kept until it is checked: the array no longer tells 1.0 from 1.
    """

    __slots__ = ("array", "source", "typed")

    def __init__(self, array: NDArray[Any], *, typed: bool, source: Any = None) -> None:
        self.array = array
        self.typed = typed
        self.source = source

    def __repr__(self) -> str:
        return f"Tensor(shape={list(self.array.shape)}, dtype={self.array.dtype}, typed={self.typed})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(_validate, ref="Tensor")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"title": "Tensor", "description": DESCRIPTION, "examples": EXAMPLES}


def _validate(value: Any, info: ValidationInfo) -> Tensor:
    context = info.context
    return read(value, plain=context is not None and context.plain)


def read(value: Any, *, plain: bool = False) -> Tensor:
    """The tensor that a JSON value (or a NumPy array) stands for.

    Raises `TensorFault` where it is none.
    """
    kind = type(value)
    if kind is list:
        return Tensor(_from_lists(value, plain), typed=False, source=value)
    if kind is float or kind is int or kind is str:
        return Tensor(_from_numbers([value], plain, scalar=True).reshape(()), typed=False, source=value)
    if kind is dict:
        return Tensor(_from_object(value, plain), typed=True)
    if isinstance(value, np.ndarray):
        if value.dtype not in DTYPES.values():
            raise TensorFault(f"dtype {value.dtype} is not served", "dtype", status=UNSUPPORTED)
        return Tensor(value, typed=True)
    if isinstance(value, Tensor):
        return value
    raise TensorFault(f"{_name(value)} is no tensor")


def _from_lists(value: list[Any], plain: bool) -> NDArray[Any]:
    if value and type(value[0]) is not list:
        return _from_numbers(value, plain)
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
    return _from_numbers([number for row in rows for number in row], plain)


def _from_numbers(numbers: list[Any], plain: bool, *, scalar: bool = False) -> NDArray[Any]:
    """A flat array of numbers: int64 if every one is whole and fits, else float64."""
    if plain:
        for code in "qd" if type(numbers[0]) is int else "d":
            try:
                return np.frombuffer(buffer(code, numbers), np.int64 if code == "q" else np.float64)
            except (TypeError, OverflowError):
                continue
    kinds = set(map(type, numbers))
    if kinds <= {int, float}:
        if kinds == {int} and all(-(2**63) <= number < 2**63 for number in numbers):
            return np.array(numbers, np.int64)
        return np.array([_finite(number) for number in numbers], np.float64)
    for position, number in enumerate(numbers):
        if type(number) is str:
            if number not in NON_FINITE:
                raise TensorFault(f"{_name(number)} is no number", *([] if scalar else [position]))
        elif type(number) is not int and type(number) is not float:
            raise TensorFault(f"{_name(number)} is no number", *([] if scalar else [position]))
    return np.array([NON_FINITE[number] if type(number) is str else _finite(number) for number in numbers], np.float64)


def _finite(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _from_object(value: dict[str, Any], plain: bool) -> NDArray[Any]:
    for name in value:
        if name not in ("dtype", "shape", "data"):
            raise TensorFault("a tensor object has dtype, shape and data, nothing else", name)
    for name in ("dtype", "shape", "data"):
        if name not in value:
            raise TensorFault(f"a tensor object needs {name}", name)
    dtype = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        known = ", ".join(DTYPES)
        raise TensorFault(
            f"dtype {_name(value['dtype'])} is not served; these are: {known}", "dtype", status=UNSUPPORTED
        )
    shape = _shape(value["shape"])
    count = math.prod(shape)
    data = value["data"]
    if isinstance(data, str):
        return _from_base64(data, dtype, count).reshape(shape)
    if type(data) is not list:
        raise TensorFault("data is base64 text or a flat list of numbers", "data")
    if len(data) != count:
        raise TensorFault(f"data has {len(data)} numbers, shape {list(shape)} needs {count}", "data")
    return _from_flat_list(data, dtype, plain).reshape(shape)


def _shape(sizes: Any) -> tuple[int, ...]:
    if type(sizes) is not list:
        raise TensorFault("shape is a list of sizes", "shape")
    if len(sizes) > MAX_DIMS:
        raise TensorFault(f"a tensor has at most {MAX_DIMS} dims, this one has {len(sizes)}", "shape")
    for axis, size in enumerate(sizes):
        if type(size) is not int or size < 0:
            raise TensorFault(f"{_name(size)} is no size", "shape", axis)
    if math.prod(max(size, 1) for size in sizes) >= 2**31:
        raise TensorFault("the shape is beyond every limit", "shape", status=TOO_LARGE)
    return tuple(sizes)


def _from_base64(data: str, dtype: np.dtype, count: int) -> NDArray[Any]:
    try:
        raw = binascii.a2b_base64(data, strict_mode=True) if data else b""
    except (binascii.Error, ValueError) as error:
        raise TensorFault(f"data is no base64: {str(error).lower()}", "data") from None
    if len(raw) != count * dtype.itemsize:
        need = count * dtype.itemsize
        raise TensorFault(f"data has {len(raw)} bytes, the shape needs {need} ({count} of {dtype.itemsize})", "data")
    if dtype.kind == "b":
        # Any byte other than 0 and 1 is undefined behaviour as a C bool.
        flags: NDArray[Any] = np.frombuffer(raw, np.uint8) != 0
        return flags
    return np.frombuffer(raw, dtype)


def _from_flat_list(data: list[Any], dtype: np.dtype, plain: bool) -> NDArray[Any]:
    if not data:
        return np.zeros(0, dtype)
    if dtype.kind == "b" and all(type(item) is bool for item in data):
        return np.array(data, dtype)
    try:
        found = _from_numbers(data, plain)
    except TensorFault as fault:
        raise TensorFault(fault.fault.detail, "data", *_path(fault.fault)) from None
    if is_floating(dtype):
        with np.errstate(over="ignore"):
            return found.astype(dtype)
    if found.dtype.kind not in "iu":
        spot = next(at for at, item in enumerate(data) if type(item) is not int or not -(2**63) <= item < 2**63)
        raise TensorFault(f"{_name(data[spot])} is no {dtype.name} number", "data", spot)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    outside = (found < low) | (found > high)
    if outside.any():
        spot = int(outside.argmax())
        raise TensorFault(f"{data[spot]} is outside {dtype.name}'s range [{low}, {high}]", "data", spot)
    return found.astype(dtype)


def first_not_whole(value: Any) -> tuple[tuple[int, ...], Any] | None:
    """Where a nested list first holds something that is no 64-bit integer, and what: for messages."""
    stack: list[tuple[tuple[int, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if type(item) is list:
            stack.extend(((*path, at), inner) for at, inner in reversed(list(enumerate(item))))
        elif type(item) is not int or not -(2**63) <= item < 2**63:
            return path, item
    return None


def _ragged(row: Any, size: int, path: tuple[int, ...]) -> TensorFault:
    if type(row) is list:
        return TensorFault(f"ragged: {len(row)} elements here, {size} in the rows before", *path)
    return TensorFault(f"ragged: {_name(row)} here, a list of {size} in the rows before", *path)


def _located(fault: TensorFault, shape: list[int]) -> TensorFault:
    """The fault of a flat position, told by its indices."""
    path = _path(fault.fault)
    indices = _unravel(int(path[0]), shape) if path else ()
    return TensorFault(fault.fault.detail, *indices, status=fault.fault.status)


def _path(fault: Fault) -> list[str]:
    return fault.pointer.split("/")[1:]


def _unravel(position: int, shape: list[int]) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(position, shape))


def _depth_status(value: Any) -> int:
    """Nesting beyond the contract's 32 levels is malformed, not merely invalid."""
    depth = MAX_DIMS
    while type(value) is list and value:
        value, depth = value[0], depth + 1
    return MALFORMED if depth > 32 else INVALID


def _name(value: Any) -> str:
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
