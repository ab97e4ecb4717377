"""Differences of two losses over pairs, from exact sums.

With v and w the parts of sum and divisor, R = sum(v) / sum(w) and i the pairs, the difference is R2 - R1. Its standard
error is the ratio estimator's, for two ratios of the same samples (Cochran, Sampling Techniques, 3rd ed., chapter 6):
sqrt(n / (n - 1) * sum(r_i^2)), r_i = (v2_i - R2 w2_i) / sum(w2) - (v1_i - R1 w1_i) / sum(w1).
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.evaluations.exact import Sums, merge, products, quotient, root, sums

COLUMNS: Final = 4
"""v1, w1, v2, w2."""


class Differences:
    """Exact sums of the columns and of their products, by slot: 0 for the whole, or a class's or group's position."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.sums: list[Sums] = [{} for _ in range(COLUMNS)]
        self.products: dict[tuple[int, int], Sums] = {
            pair: {} for pair in combinations_with_replacement(range(COLUMNS), 2)
        }

    def add(self, slots: NDArray[np.intp], columns: NDArray[np.float64]) -> None:
        """Take n pairs: their slots (n,) and finite columns (4, n)."""
        found, counts = np.unique(slots, return_counts=True)
        self.counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        for column, into in zip(columns, self.sums, strict=True):
            merge(into, sums(slots, column))
        for (left, right), into in self.products.items():
            merge(into, products(slots, columns[left], columns[right]))


def difference(held: Differences, slot: int, *, mean: bool, level: float) -> dict[str, Any]:
    """Both losses of a slot, the second less the first, and its normal interval; None where there is none.

    Without `mean` the second and fourth column are ones, and losses are sums of `pairs` samples.
    """
    pairs = held.counts[slot]
    v1, w1, v2, w2 = (by_slot.get(slot, 0) for by_slot in held.sums)
    scale = 1 if mean else pairs
    by = quotient(scale * (v2 * w1 - v1 * w2), w1 * w2)
    error = None
    # r_i times w1^2 w2^2: whole numbers, so that the sum of squares has no rounding and no cancellation.
    factors = (-w1 * w2 * w2, v1 * w2 * w2, w2 * w1 * w1, -v2 * w1 * w1)
    if pairs > 1 and w1 and w2:
        squares = sum(
            (1 if left == right else 2) * factors[left] * factors[right] * by_slot.get(slot, 0)
            for (left, right), by_slot in held.products.items()
        )
        error = root(pairs * scale * scale * squares, (pairs - 1) * (w1 * w2) ** 4)
    width = None if error is None else NormalDist().inv_cdf(0.5 + level / 2) * error
    return {
        "pairs": pairs,
        "first_loss": quotient(scale * v1, w1),
        "second_loss": quotient(scale * v2, w2),
        "difference": by,
        "standard_error": error,
        "interval": None
        if width is None
        else {"level": level, "low": by - width, "high": by + width, "method": "normal"},
    }
