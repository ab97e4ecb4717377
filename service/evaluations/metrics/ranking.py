"""Areas under curves, one class against the rest, from counts by bin of the score.

Rows in one bin count as tied: figures are exactly those of the binned scores. How far those of the scores themselves
may be is worked out from the counts: `error_bound` holds for each class and each average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rank = Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[float, float]]
"""Of the negatives and positives by bin, scores rising: the area and its bound."""


def auroc(negatives: NDArray[np.int64], positives: NDArray[np.int64]) -> tuple[float, float]:
    """The part of pairs of a positive and a negative in which the positive's score is higher; a tie is half a pair.

    Pairs within a bin count as half, and are at most 1 or 0.
    """
    pairs = int(positives.sum()) * int(negatives.sum())
    if pairs >= 1 << 61:  # beyond int64: Python's integers
        negatives, positives = negatives.astype(object), positives.astype(object)
    below = np.cumsum(negatives) - negatives
    higher = int((positives * (2 * below + negatives)).sum())
    tied = int((positives * negatives).sum())
    return higher / (2 * pairs), tied / (2 * pairs)


def average_precision(negatives: NDArray[np.int64], positives: NDArray[np.int64]) -> tuple[float, float]:
    """Sum of (R_n - R_(n-1)) P_n over falling thresholds, as scikit-learn has it.

    With t positives and f negatives above a bin of p and q, the bin adds p (t + p) / (t + p + f + q). At best all its
    positives come tied before its negatives, at worst one by one after them: sum_i (t + i) / (t + i + f + q), which is
    p - g sum_i 1 / (t + g + i) with g = f + q, and at least p - g log(1 + p / (t + g)).
    """
    p, q = positives[::-1], negatives[::-1]
    through, passed = np.cumsum(p), np.cumsum(q)  # t + p and f + q
    used = p > 0
    return _precision(*[each[used].astype(np.float64) for each in (p, q, through, passed)])


def _precision(
    p: NDArray[np.float64], q: NDArray[np.float64], through: NDArray[np.float64], passed: NDArray[np.float64]
) -> tuple[float, float]:
    t = through - p
    values = p * through / (through + passed)
    best = p * through / (through + passed - q)
    base = t + passed
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = np.where(passed > 0, p - passed * np.log1p(p / base), p)
    worst = np.maximum(smooth, p * (t + 1) / (t + 1 + passed))
    alone = p == 1  # a positive by itself comes last at worst, as the bin has it
    worst = np.where(alone, values, worst)
    total = float(through[-1])
    bound = max(float((best - values).sum()), float((values - worst).sum())) / total
    return float(values.sum()) / total, max(bound, 0.0)


def averaged(counts: NDArray[np.int64], rank: Rank) -> dict[str, Any]:
    """All classes and their averages; `counts` are (C, 2, B): negatives, positives.

    A class without positives or without negatives has no figure (null), and is in no average.
    """
    values: list[float | None] = []
    bounds = [0.0]
    support = counts[:, 1].sum(axis=1).tolist()
    for negatives, positives in counts:
        used = (negatives + positives) > 0
        if not positives.any() or not negatives.any():
            values.append(None)
            continue
        value, bound = rank(negatives[used], positives[used])
        values.append(value)
        bounds.append(bound)
    there = [(value, weight) for value, weight in zip(values, support, strict=True) if value is not None]
    if not there:
        return {"macro": math.nan, "weighted": math.nan, "per_class": values, "error_bound": math.nan}
    return {
        "macro": math.fsum(value for value, _ in there) / len(there),
        "weighted": math.fsum(value * weight for value, weight in there) / sum(weight for _, weight in there),
        "per_class": values,
        "error_bound": max(bounds),
    }
