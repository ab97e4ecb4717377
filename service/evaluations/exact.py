"""Exact sums of float64 numbers and of their products, as integers; rounded once, when a figure is asked for.

A finite float64 is a whole multiple of 2^-1074, and a product of two one of 2^-2148: sums in these units are integers,
without any rounding, and do not depend on the order (Kulisch's long accumulator, kept as Python's integers). They have
no bounds of their own: a sum of n numbers takes at most 2098 + log2(n) bits, of n products twice as many.
"""

from __future__ import annotations

import math
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNIT: Final = 1074
"""Sums of numbers are in units of 2^-1074."""
PRODUCT_UNIT: Final = 2 * UNIT
"""Sums of products are in units of 2^-2148."""
MAX_TERMS: Final = 1 << 24
"""Terms of one call: what is added up in float64 on the way stays far below 2^53, and so is exact."""

Sums = dict[int, int]
"""An exact sum for each slot; a slot without one has 0."""
ENTRY_BYTES: Final = 100
"""About what a slot takes in a dictionary beside its sum."""

_BITS = 53
_HALF = 27
_LOW = (1 << _HALF) - 1
_FEW = 192
"""Terms up to which Python adds them one by one in less time than NumPy's calls take."""

_Parts = tuple[NDArray[np.int64], NDArray[np.int64]]


def sums(slots: NDArray[np.intp], numbers: NDArray[np.float64]) -> Sums:
    """The sum of the numbers of each slot, in units of 2^-1074. Both are (n,); the numbers must be finite."""
    return _sums(slots, *_parted(numbers))


def products(slots: NDArray[np.intp], left: NDArray[np.float64], right: NDArray[np.float64]) -> Sums:
    """The sum of each slot's products, in units of 2^-2148. All are (n,); the numbers must be finite."""
    first = _parted(left)
    return _products(slots, first, first if right is left else _parted(right))


def sums_and_squares(slots: NDArray[np.intp], numbers: NDArray[np.float64]) -> tuple[Sums, Sums]:
    """`sums`, and `products` of the numbers with themselves."""
    parts = _parted(numbers)
    return _sums(slots, *parts), _products(slots, parts, parts)


def _sums(slots: NDArray[np.intp], mantissas: NDArray[np.int64], exponents: NDArray[np.int64]) -> Sums:
    if len(slots) <= _FEW:
        return _one_by_one(slots, exponents, mantissas.tolist(), UNIT - _BITS)
    return _added(slots, exponents, (mantissas & _LOW, mantissas >> _HALF), UNIT - _BITS)


def _products(slots: NDArray[np.intp], left: _Parts, right: _Parts) -> Sums:
    first, second = left[0], right[0]
    exponents = left[1] + right[1]
    if len(slots) <= _FEW:
        terms = [a * b for a, b in zip(first.tolist(), second.tolist(), strict=True)]
        return _one_by_one(slots, exponents, terms, PRODUCT_UNIT - 2 * _BITS)
    low, high = first & _LOW, first >> _HALF
    low2, high2 = (low, high) if right is left else (second & _LOW, second >> _HALF)
    lowest, middle, highest = low * low2, high * low2 + low * high2, high * high2  # below 2^55 each
    limbs = (
        lowest & _LOW,
        (lowest >> _HALF) + (middle & _LOW),
        (middle >> _HALF) + (highest & _LOW),
        highest >> _HALF,
    )
    return _added(slots, exponents, limbs, PRODUCT_UNIT - 2 * _BITS)


def _parted(numbers: NDArray[np.float64]) -> _Parts:
    """Integers below 2^53 and the exponents e, so that each number is its integer times 2^(e - 53)."""
    if len(numbers) > MAX_TERMS:
        raise ValueError(f"{len(numbers)} terms; at most {MAX_TERMS} are added at once")
    fractions, exponents = np.frexp(numbers)
    return (fractions * 2.0**_BITS).astype(np.int64), exponents.astype(np.int64)


def _one_by_one(slots: NDArray[np.intp], exponents: NDArray[np.int64], terms: list[int], shift: int) -> Sums:
    """Sum(term * 2^(exponent + shift)) of each slot."""
    found: Sums = {}
    if not terms:
        return found
    powers = exponents.tolist()
    least = min(powers)
    for slot, power, term in zip(slots.tolist(), powers, terms, strict=True):
        found[slot] = found.get(slot, 0) + (term << power - least)
    return {slot: _shifted(total, least + shift) for slot, total in found.items()}


def _added(
    slots: NDArray[np.intp], exponents: NDArray[np.int64], limbs: tuple[NDArray[np.int64], ...], shift: int
) -> Sums:
    """Sum(limb_i * 2^(27 i) * 2^(exponent + shift)) of each slot: first by slot and exponent, then in integers."""
    if not len(slots):
        return {}
    least = int(exponents.min())
    span = int(exponents.max()) - least + 1
    cells = slots * span + (exponents - least)
    if (int(slots.max()) + 1) * span <= 8 * len(slots) + 4096:
        used = np.flatnonzero(np.bincount(cells))
        columns = [np.bincount(cells, limb)[used] for limb in limbs]
    else:  # wide exponents in many slots: no room for every cell
        used, cells = np.unique(cells, return_inverse=True)
        columns = [np.bincount(cells, limb, len(used)) for limb in limbs]
    of_slots, of_exponents = np.divmod(used, span)
    rows = [column.astype(np.int64).tolist() for column in columns]
    found: Sums = {}
    for slot, exponent, *parts in zip(of_slots.tolist(), of_exponents.tolist(), *rows, strict=True):
        total = parts[-1]
        for part in parts[-2::-1]:
            total = (total << _HALF) + part
        found[slot] = found.get(slot, 0) + (total << exponent)
    return {slot: _shifted(total, least + shift) for slot, total in found.items()}


def _shifted(total: int, by: int) -> int:
    # Below the least normal number mantissas end in as many zeros: nothing is lost to the right.
    return total << by if by >= 0 else total >> -by


def merge(into: Sums, more: Sums) -> None:
    """Add the sums of `more` to those of `into`."""
    for slot, total in more.items():
        into[slot] = into.get(slot, 0) + total


def held(sums: Sums) -> int:
    """Bytes that sums take in memory."""
    return sum(map(sys.getsizeof, sums.values())) + ENTRY_BYTES * len(sums)


def rounded(total: int, unit: int = UNIT) -> float:
    """The float64 nearest to a sum in units of 2^-unit; an infinity where that is beyond them."""
    return quotient(total, 1 << unit)


def quotient(numerator: int, denominator: int) -> float:
    """The float64 nearest to the quotient; what IEEE 754 makes of a division by zero."""
    if not denominator:
        return math.nan if not numerator else math.inf if numerator > 0 else -math.inf
    try:
        return numerator / denominator  # Python rounds the quotient of two integers correctly, whatever their size
    except OverflowError:
        return math.inf if (numerator < 0) == (denominator < 0) else -math.inf


def root(numerator: int, denominator: int) -> float:
    """The square root of a quotient that is not negative, within a unit in the last place.

    In integers, so that squares beyond the range of float64 do no harm.
    """
    if not denominator:
        return math.inf if numerator else math.nan
    shift = 128 - numerator.bit_length() + denominator.bit_length()
    shift += shift & 1
    scaled = (numerator << shift) // denominator if shift >= 0 else numerator // (denominator << -shift)
    whole = math.isqrt(scaled)
    half = shift // 2
    return quotient(whole, 1 << half) if half >= 0 else quotient(whole << -half, 1)
