"""The element types that tensors may have, by the names that requests use."""

from __future__ import annotations

import threading
from contextvars import Context
from typing import Any, Final, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

FloatingName = Literal["float64", "float32", "float16", "bfloat16"]

# Widest first: the type of a loss is the widest floating type among its typed tensors.
FLOATING: Final[dict[str, np.dtype]] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
INTEGER: Final[dict[str, np.dtype]] = {
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "int16": np.dtype("<i2"),
    "int8": np.dtype("i1"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}
DTYPES: Final[dict[str, np.dtype]] = {**FLOATING, **INTEGER}
LARGEST: Final[dict[str, float]] = {
    name: float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call] # ml_dtypes leaves it so
    for name, dtype in FLOATING.items()
}
"""The greatest number of each floating type."""
BFLOAT16: Final = FLOATING["bfloat16"]
NAMES: Final[dict[np.dtype, str]] = {dtype: name for name, dtype in DTYPES.items()}


def is_floating(dtype: np.dtype) -> bool:
    """Whether it is float64, float32, float16 or bfloat16 (whose NumPy kind is `V`)."""
    return dtype.kind == "f" or dtype == BFLOAT16


def widest(names: set[str]) -> str:
    """The widest floating type of these; float16 and bfloat16 together need float32, which holds both."""
    if {"float16", "bfloat16"} <= names and not names & {"float64", "float32"}:
        return "float32"
    return next((name for name in FLOATING if name in names), "float32")


def cast_floating(array: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """The array in that floating type; overflow becomes infinity, as in torch."""
    if array.dtype == dtype:
        return array
    if dtype == BFLOAT16 and array.dtype.kind == "b":
        array = array.astype(np.float32)
    cast: NDArray[Any] = _unwarned.run(array.astype, dtype)
    return cast


class _Unwarned(threading.local):
    """A context for each thread in which overflow gives no warning: `numpy.errstate` takes longer than a short cast."""

    def __init__(self) -> None:
        context = Context()
        context.run(np.seterr, over="ignore", invalid="ignore")
        self.run = context.run


_unwarned = _Unwarned()
