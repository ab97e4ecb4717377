"""Checks of values, one function each: they append what is wrong, and name the first bad position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.dtype import BFLOAT16
from schemas.field import DOMAINS, Domain
from schemas.nested import first_not_whole
from schemas.problem import Fault, place
from schemas.tensor import Tensor


def position(name: str, array: NDArray[Any], flags: NDArray[np.bool_]) -> tuple[str, Any]:
    """The JSON pointer of the first flagged element of a tensor, and that element."""
    flat = int(flags.reshape(-1).argmax())
    indices = [int(index) for index in np.unravel_index(flat, array.shape)] if array.ndim else []
    return place(name, *indices), array.reshape(-1)[flat].item()


def comparable(array: NDArray[Any]) -> NDArray[Any]:
    """The array in a type that NumPy compares without a word, NaN too."""
    return array.astype(np.float32) if array.dtype == BFLOAT16 else array


def check_domain(domain: Domain, name: str, array: NDArray[Any], faults: list[Fault], warnings: list[str]) -> None:
    """Floating values: refuse what torch refuses, warn of what it computes against its own documents."""
    if domain == "any" or not array.size:
        return
    numbers = comparable(array)
    if domain == "usually_sign":
        odd = (numbers != 1) & (numbers != -1)
    elif domain == "usually_binary":
        odd = (numbers != 0) & (numbers != 1)
    else:
        odd = ~((numbers >= 0) & (numbers <= 1))
    if not odd.any():
        return
    where, value = position(name, array, odd)
    if domain == "unit":
        faults.append(Fault(where, f"{value} is not in [0, 1]"))
    else:
        warnings.append(
            f"{name}: {int(odd.sum())} values are not {DOMAINS[domain].removeprefix('usually ')}, "
            f"the first at {where}; computed as PyTorch does"
        )


def not_whole(name: str, tensor: Tensor) -> Fault:
    """Numbers where whole ones of at most 64 bits are needed."""
    array = tensor.array
    found = None if tensor.source is None else first_not_whole(tensor.source)
    if found is not None:
        path, value = found
        return Fault(place(name, *path), f"{value} is no whole number of 64 bits, written without a point")
    if array.dtype.kind == "f":
        fractional = array != np.floor(array)
        if fractional.any():
            where, value = position(name, array, fractional)
            return Fault(where, f"{value} is no whole number")
    return Fault(place(name), "whole numbers of 64 bits, written without a point, are needed here")


def check_indices(name: str, array: NDArray[Any], classes: int, ignore: int | None, faults: list[Fault]) -> int:
    """Class indices in [0, classes) or equal to `ignore`; answers how many are ignored."""
    if not array.size:
        return 0
    if array.size == 1:
        low = high = array.item()
    else:
        low, high = int(array.min()), int(array.max())
    ignored = None
    if ignore is not None and low <= ignore <= high:
        ignored = array == ignore
    if low < 0 or high >= classes:
        outside = (array < 0) | (array >= classes)
        if ignored is not None:
            outside &= ~ignored
        bad = int(outside.sum())
        if bad:
            where, value = position(name, array, outside)
            more = f" ({bad} of {array.size} are outside; this is the first)" if bad > 1 else ""
            faults.append(Fault(where, f"class index {value} is outside [0, {classes}){more}"))
    return int(ignored.sum()) if ignored is not None else 0


def to_mask(name: str, array: NDArray[Any], faults: list[Fault]) -> NDArray[np.bool_]:
    """Booleans, of booleans or of whole numbers 0 and 1."""
    found: NDArray[np.bool_] = array != 0
    odd = found & (array != 1)
    if odd.any():
        where, value = position(name, array, odd)
        faults.append(Fault(where, f"{value} is neither 0 nor 1"))
    return found


def check_not_negative(name: str, array: NDArray[Any], faults: list[Fault]) -> None:
    """No element is below 0; NaN passes, as in torch."""
    below = comparable(array) < 0
    if below.any():
        where, value = position(name, array, below)
        faults.append(Fault(where, f"{value} is negative"))


def check_positive(name: str, array: NDArray[Any], faults: list[Fault]) -> None:
    """Every element is above 0; NaN passes."""
    rest = comparable(array) <= 0
    if rest.any():
        where, value = position(name, array, rest)
        faults.append(Fault(where, f"{value} is not positive"))


def check_range(name: str, array: NDArray[Any], low: int, high: int, faults: list[Fault]) -> None:
    """Whole numbers in [low, high]."""
    outside = (array < low) | (array > high)
    if outside.any():
        where, value = position(name, array, outside)
        faults.append(Fault(where, f"{value} is outside [{low}, {high}]"))


def check_labels(name: str, array: NDArray[Any], faults: list[Fault]) -> NDArray[Any]:
    """Rows of labels in [0, C), each ended by -1 or the row's end; answers them with -1 in all that follows."""
    used = np.logical_and.accumulate(array != -1, axis=-1) if array.size else array != -1
    classes = array.shape[-1]
    outside = used & ((array < 0) | (array >= classes))
    if outside.any():
        where, value = position(name, array, outside)
        faults.append(Fault(where, f"label {value} is outside [0, {classes})"))
    return np.where(used, array, -1)
