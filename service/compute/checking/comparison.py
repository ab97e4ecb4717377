"""How far apart two tensors are: absolutely, relatively, and in units in the last place (ULP)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.dtype import FLOATING, FloatingName, cast_floating

Array = NDArray[Any]
Verdict = Literal["equal", "close", "wrong"]

RTOL: Final[dict[FloatingName, float]] = {"float64": 1e-9, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Relative tolerance by type: what plain loops over thousands of terms lose in it."""
EPSILON: Final[dict[FloatingName, float]] = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
}
ROUNDINGS: Final = 8
"""Of the largest element, in epsilons: what terms of its size leave where they cancel."""
ERRORS: Final = 64
"""Times what the reference itself loses to rounding: another implementation may lose more."""
CODES: Final[dict[int, Any]] = {8: np.int64, 4: np.int32, 2: np.int16}


class Tolerance(NamedTuple):
    """An element is close where it is off by no more than `atol` and `rtol` times the reference's together."""

    rtol: float
    atol: float


class Spot(NamedTuple):
    """The largest difference of a kind, and the index of its element; infinite where only one is a number."""

    value: float
    at: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What there is between a tensor and its reference; `beyond`: elements outside the tolerance."""

    absolute: Spot
    relative: Spot
    ulps: Spot
    beyond: int
    elements: int
    tolerance: Tolerance
    verdict: Verdict


def tolerance(
    reference: Array, lost: float, terms: float, dtype: FloatingName, rtol: float | None, atol: float | None
) -> Tolerance:
    """What is asked for; by default, what goes with the type, the reference, and what that has lost to rounding.

    `lost`: the largest error of the reference in float32; it is scaled to the type. `terms`: about how large the terms
    are that the reference is the sum of.
    """
    relative = RTOL[dtype] if rtol is None else rtol
    if atol is None:
        scaled = lost * EPSILON[dtype] / EPSILON["float32"]
        size = largest(reference)
        if lost >= size:  # none of it is right in float32: all terms cancel, and it tells nothing of their size
            size = max(size, terms)
        atol = ROUNDINGS * EPSILON[dtype] * size + ERRORS * scaled
    return Tolerance(relative, atol)


def compare(theirs: Array, reference: Array, dtype: FloatingName, allowed: Tolerance) -> Difference:
    """Both of one shape, in float64, the reference rounded to `dtype`. Two NaN, or two like infinities, are equal."""
    off = differences(theirs, reference)
    magnitude = np.maximum(np.abs(theirs), np.abs(reference))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(off == 0, 0.0, np.where(np.isfinite(off), off / magnitude, np.inf))
    ulps = _ulps(theirs, reference, FLOATING[dtype])
    ulps = np.where(off == 0, 0.0, np.where(np.isfinite(off), ulps, np.inf))
    beyond = int(np.count_nonzero(beyond_of(off, reference, allowed)))
    worst = _spot(ulps)
    verdict: Verdict = "wrong" if beyond else "close" if worst.value else "equal"
    return Difference(_spot(off), _spot(relative), worst, beyond, reference.size, allowed, verdict)


def differences(theirs: Array, reference: Array) -> Array:
    """Absolute ones, element by element; infinite where only one is a number, or where infinities differ."""
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(theirs - reference)
    same = (theirs == reference) | (np.isnan(theirs) & np.isnan(reference))
    found: Array = np.where(same, 0.0, np.where(np.isnan(off), np.inf, off))
    return found


def beyond_of(off: Array, reference: Array, allowed: Tolerance) -> Array:
    """Which of these differences are beyond the tolerance."""
    with np.errstate(invalid="ignore", over="ignore"):
        bound = allowed.atol + allowed.rtol * np.abs(reference)
    found: Array = ~(off <= np.where(np.isfinite(bound), bound, 0.0))
    return found


def largest(array: Array) -> float:
    """The largest finite magnitude; 0 where there is none."""
    found = np.abs(array[np.isfinite(array)])
    return float(found.max()) if found.size else 0.0


def _ulps(theirs: Array, reference: Array, dtype: np.dtype) -> Array:
    """Numbers of the type from one to the other, each rounded to it first."""
    ours, others = _order(cast_floating(reference, dtype)), _order(cast_floating(theirs, dtype))
    far = np.abs(ours.astype(np.float64) - others.astype(np.float64))
    with np.errstate(over="ignore"):
        near = np.abs(ours - others).astype(np.float64)  # exact, but wrong where it takes more than 63 bits
    found: Array = np.where(far < 2.0**52, near, far)
    return found


def _order(array: Array) -> Array:
    """Numbers of a floating type by their place on the line of all of them, 0 at 0."""
    code = CODES[array.dtype.itemsize]
    places = np.ascontiguousarray(array).reshape(-1).view(code).reshape(array.shape).astype(np.int64)
    found: Array = np.where(places < 0, np.int64(np.iinfo(code).min) - places, places)
    return found


def _spot(values: Array) -> Spot:
    if not values.size:
        return Spot(0.0, None)
    flat = values.reshape(-1)
    position = int(flat.argmax())
    value = float(flat[position])
    at = tuple(int(index) for index in np.unravel_index(position, values.shape)) if values.ndim else ()
    return Spot(value if not math.isnan(value) else math.inf, at)
