"""Every JSON form of a tensor, read into a NumPy array.

A tensor is a number (0-d), nested lists of numbers, or `{"dtype", "shape", "data"}` with base64 or a flat list. What
is wrong with one is told as a `Fault` whose pointer is relative to the tensor.
"""

from __future__ import annotations

import binascii
import math
from typing import Any, Final, NamedTuple

import numpy as np
import pybase64
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from schemas.dtype import DTYPES, is_floating
from schemas.faults import Suggestions
from schemas.nested import MAX_DIMS, TensorFault, from_lists, from_numbers, from_short, in_words, path_of
from schemas.problem import TOO_LARGE, UNSUPPORTED

MAX_TENSORS: Final = 64
"""No loss takes more; the adaptive softmax, with 16 tail clusters, comes nearest."""
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


class Reading(NamedTuple):
    """What the reader of a body knows of it: a validation context.

    `plain` says that the body holds no `true` and no `false`, so that numbers need not be told from them one by one.
    `max_elements` bounds the elements that one request may need. `short` says that the body is so short that whatever
    NumPy makes of any list in it is small too. `suggestions` bounds the like names that are looked up for unknown ones,
    where several requests come in one call.
    """

    plain: bool = False
    max_elements: int = 1 << 24
    short: bool = False
    suggestions: Suggestions | None = None


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
    if context is None:
        return read(value)
    if context.short and context.plain and type(value) is list:
        array = from_short(value)
        if array is not None:
            return Tensor(array, typed=False, source=value)
    return read(value, plain=context.plain)


def read(value: Any, *, plain: bool = False) -> Tensor:
    """The tensor that a JSON value (or a NumPy array) stands for.

    Raises `TensorFault` where it is none.
    """
    kind = type(value)
    if kind is list:
        return Tensor(from_lists(value, plain), typed=False, source=value)
    if kind is float or kind is int or kind is str:
        return Tensor(from_numbers([value], plain, scalar=True).reshape(()), typed=False, source=value)
    if kind is dict:
        return Tensor(_from_object(value, plain), typed=True)
    if isinstance(value, np.ndarray):
        if value.dtype not in DTYPES.values():
            raise TensorFault(f"dtype {value.dtype} is not served", "dtype", status=UNSUPPORTED)
        return Tensor(value, typed=True)
    if isinstance(value, Tensor):
        return value
    raise TensorFault(f"{in_words(value)} is no tensor")


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
            f"dtype {in_words(value['dtype'])} is not served; these are: {known}", "dtype", status=UNSUPPORTED
        )
    shape = shape_of(value["shape"])
    count = math.prod(shape)
    data = value["data"]
    if isinstance(data, str):
        return _from_base64(data, dtype, count).reshape(shape)
    if isinstance(data, Tensor):  # a flat list that has been read already
        data = data.array
    if type(data) is not list and (type(data) is not np.ndarray or data.ndim != 1):
        raise TensorFault("data is base64 text or a flat list of numbers", "data")
    if len(data) != count:
        raise TensorFault(f"data has {len(data)} numbers, shape {list(shape)} needs {count}", "data")
    return from_flat_list(data, dtype, plain).reshape(shape)


def shape_of(sizes: Any) -> tuple[int, ...]:
    """A shape that a caller wrote. Raises `TensorFault` at `shape`."""
    if type(sizes) is not list:
        raise TensorFault("shape is a list of sizes", "shape")
    if len(sizes) > MAX_DIMS:
        raise TensorFault(f"a tensor has at most {MAX_DIMS} dims, this one has {len(sizes)}", "shape")
    for axis, size in enumerate(sizes):
        if type(size) is not int or size < 0:
            raise TensorFault(f"{in_words(size)} is no size", "shape", axis)
    if math.prod(max(size, 1) for size in sizes) >= 2**31:
        raise TensorFault("the shape is beyond every limit", "shape", status=TOO_LARGE)
    return tuple(sizes)


def _from_base64(data: str, dtype: np.dtype, count: int) -> NDArray[Any]:
    try:
        raw = pybase64.b64decode(data, validate=True)
    except ValueError:
        try:  # tells what is wrong
            raw = binascii.a2b_base64(data, strict_mode=True)
        except ValueError as error:
            raise TensorFault(f"data is no base64: {str(error).lower()}", "data") from None
    if len(raw) != count * dtype.itemsize:
        need = count * dtype.itemsize
        raise TensorFault(f"data has {len(raw)} bytes, the shape needs {need} ({count} of {dtype.itemsize})", "data")
    if dtype.kind == "b":
        # Any byte other than 0 and 1 is undefined behaviour as a C bool.
        flags: NDArray[Any] = np.frombuffer(raw, np.uint8) != 0
        return flags
    return np.frombuffer(raw, dtype)


def from_flat_list(data: list[Any] | NDArray[Any], dtype: np.dtype, plain: bool) -> NDArray[Any]:
    """A flat array of that type. Raises `TensorFault` at `data`, and the position in it."""
    if not len(data):
        return np.zeros(0, dtype)
    if isinstance(data, np.ndarray):
        found = data
    elif dtype.kind == "b" and all(type(item) is bool for item in data):
        return np.array(data, dtype)
    else:
        try:
            found = from_numbers(data, plain)
        except TensorFault as fault:
            raise TensorFault(fault.fault.detail, "data", *path_of(fault.fault)) from None
    if is_floating(dtype):
        with np.errstate(over="ignore"):
            return found.astype(dtype)
    if found.dtype.kind not in "iu":
        spot = next(at for at, item in enumerate(data) if type(item) is not int or not -(2**63) <= item < 2**63)
        raise TensorFault(f"{in_words(data[spot])} is no {dtype.name} number", "data", spot)
    if found.dtype == dtype:
        return found
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    outside = (found < low) | (found > high)
    if outside.any():
        spot = int(outside.argmax())
        raise TensorFault(f"{data[spot]} is outside {dtype.name}'s range [{low}, {high}]", "data", spot)
    return found.astype(dtype)
