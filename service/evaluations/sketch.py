"""Quantiles and a histogram of losses, from counts in buckets of bounded relative width (DDSketch).

Masson, Rim, Lee: DDSketch, PVLDB 12 (2019). The library's mapping that interpolates the logarithm cubically is taken:
it adds and multiplies only, so that a loss falls into the same bucket on every machine. No bucket is ever collapsed, as
which ones are would depend on the order; float64's range bounds their number.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from ddsketch import CubicallyInterpolatedMapping
from ddsketch.ddsketch import BaseDDSketch
from ddsketch.store import DenseStore
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
    fractions, exponents = np.frexp(np.clip(sizes, _LEAST, _MOST))
    s = 2 * fractions - 1
    logarithms = ((_MAPPING.A * s + _MAPPING.B) * s + _MAPPING.C) * s + (exponents - 1)
    steps = np.ceil(logarithms * _MULTIPLIER).astype(np.int64) - (_FIRST - 1)
    return _ZERO + np.where(sizes > _LEAST, np.where(losses < 0, -steps, steps), 0)


def quantiles(counts: NDArray[np.int64], low: float, high: float) -> list[dict[str, float]]:
    """The losses below which parts of the samples lie; `counts` is (CELLS,), `low` and `high` bound all losses."""
    sketch = _rebuilt(counts)
    last = int(counts.sum()) - 1
    found = []
    for q in QUANTILES:
        value = sketch.get_quantile_value(q)
        if value is None:
            continue
        rank = q * last  # the library takes the loss at the whole rank below: the first and the last are known exactly
        exact = low if rank < 1 else high if rank >= last else float(value)
        found.append({"q": q, "value": min(max(exact, low), high)})
    return found


def _rebuilt(counts: NDArray[np.int64]) -> Any:
    """The library's sketch of these counts."""
    used = np.flatnonzero(counts)
    stores: list[DenseStore] = []
    for side in (used[used > _ZERO] - _ZERO, _ZERO - used[used < _ZERO][::-1]):
        store = DenseStore()
        sign = 1 if not stores else -1
        order = side.tolist()
        # The ends first: the store then has its final size before the rest.
        for step in (*order[:1], *order[-1:][: len(order) - 1], *order[1:-1]):
            store.add(step + _FIRST - 1, float(counts[_ZERO + sign * step]))
        stores.append(store)
    return BaseDDSketch(_MAPPING, stores[0], stores[1], float(counts[_ZERO]))


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
