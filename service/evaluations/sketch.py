"""Quantiles and a histogram of losses, from counts in buckets of bounded relative width (DDSketch).

Masson, Rim, Lee: DDSketch, PVLDB 12 (2019). The library's mapping that interpolates the logarithm cubically is taken:
it adds and multiplies only, so that a loss falls into the same bucket on every machine. No bucket is ever collapsed, as
which ones are would depend on the order; float64's range bounds their number.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final

import numpy as np
from ddsketch import CubicallyInterpolatedMapping
from numpy.typing import NDArray

ACCURACY: Final = 0.005
"""Relative accuracy of quantiles."""
QUANTILES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
MAX_BARS: Final = 40

_MAPPING: Final = CubicallyInterpolatedMapping(ACCURACY)
_MULTIPLIER: Final = 1 / math.log1p(2 * ACCURACY / (1 - ACCURACY)) / _MAPPING.C
_LEAST: Final = _MAPPING.min_possible
_MOST: Final = _MAPPING.max_possible
_FIRST: Final = _MAPPING.key(_LEAST)
_ZERO: Final = _MAPPING.key(_MOST) - _FIRST + 1
CELLS: Final = 2 * _ZERO + 1
"""Buckets from the least negative loss to the largest positive one, that of zero in the middle."""


def cells(losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of each finite loss, in the order of losses: the library's keys, those of negative losses mirrored."""
    sizes = np.abs(losses)
    fractions, exponents = np.frexp(np.minimum(np.maximum(sizes, _LEAST), _MOST))
    s = 2 * fractions - 1
    logarithms = ((_MAPPING.A * s + _MAPPING.B) * s + _MAPPING.C) * s + (exponents - 1)
    steps = np.ceil(logarithms * _MULTIPLIER).astype(np.int64) - (_FIRST - 1)
    return _ZERO + np.where(sizes > _LEAST, np.where(losses < 0, -steps, steps), 0)


def quantiles(counts: NDArray[np.int64], low: float, high: float) -> list[dict[str, float]]:
    """The smallest loss that at least a part q of the samples is at or below (nearest rank: the ceil(q n)-th of n).

    `counts` is (CELLS,); `low` is the least loss, `high` the largest, and they are exact where they are meant.
    """
    used = np.flatnonzero(counts)
    if not len(used):
        return []
    running = np.cumsum(counts[used])
    samples = int(running[-1])
    found = []
    for q in QUANTILES:
        rank = math.ceil(Fraction(str(q)) * samples)
        value = _middle(int(used[np.searchsorted(running, rank)]))
        value = low if rank == 1 else high if rank == samples else min(max(value, low), high)
        found.append({"q": q, "value": value})
    return found


def _middle(cell: int) -> float:
    """A loss that is as near to all of a bucket as `ACCURACY` tells."""
    if cell == _ZERO:
        return 0.0
    step = abs(cell - _ZERO)
    return math.copysign(float(_MAPPING.value(step + _FIRST - 1)), cell - _ZERO)


def _border(cell: int) -> float:
    """The upper border of a bucket: the largest loss in it, but for zero's and the rounding of the border itself."""
    if cell == _ZERO:
        return 0.0
    if cell > _ZERO:
        return _upper(cell - _ZERO)
    return -_upper(_ZERO - cell - 1) if cell < _ZERO - 1 else 0.0


def _upper(step: int) -> float:
    try:
        return float(_MAPPING.value(step + _FIRST - 1) * ((1 + _MAPPING.gamma) / 2))
    except OverflowError:
        return math.inf


def histogram(counts: NDArray[np.int64], low: float, high: float) -> dict[str, list[Any]]:
    """Up to 40 bars between the least loss and the largest, with their counts, which add up to all.

    Edges are borders of buckets, so that counts are exact: the bars' widths differ a little. Bars are about equally
    wide up to where 99 of 100 losses lie, if the largest is far beyond that: the last bar then holds the long tail.
    """
    used = np.flatnonzero(counts)
    if not len(used):
        return {"edges": [], "counts": []}
    there = counts[used]
    running = np.cumsum(there)
    borders = np.array([_border(cell) for cell in used.tolist()])
    borders = np.clip(borders, low, high)
    most = float(borders[np.searchsorted(running, 0.99 * running[-1])])
    if most <= low or high - low <= 1.5 * (most - low):
        most = high
    wanted = low + (most / MAX_BARS - low / MAX_BARS) * np.arange(1, MAX_BARS + 1)
    wanted[-1] = most
    # Each bar ends at the first border that is not before the wanted one.
    ends = np.unique(np.append(np.minimum(np.searchsorted(borders, wanted), len(used) - 1), len(used) - 1))
    edges = [low, *borders[ends].tolist()]
    edges[-1] = high
    return {"edges": edges, "counts": np.diff(running[ends], prepend=0).tolist()}
