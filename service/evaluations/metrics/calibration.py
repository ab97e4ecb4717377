"""How far confidence is from accuracy, by bins of confidence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.evaluations.exact import UNIT, Sums, quotient


def error(counts: NDArray[np.int64], confidences: Sums, rows: int) -> dict[str, Any]:
    """The expected and the maximum calibration error (Guo et al., On Calibration of Modern Neural Networks, 2017).

    `counts` is (2, B): rows by bin, and right ones; `confidences` the sum of confidence by bin. The expected error is
    the sum over bins of |right - confidence| / rows: exact, rounded once.
    """
    bins = counts.shape[1]
    found: list[dict[str, Any]] = []
    total, most = 0, 0.0
    for at, (count, right) in enumerate(counts.T.tolist()):
        confidence = confidences.get(at, 0)
        gap = abs((right << UNIT) - confidence)
        total += gap
        if count:
            most = max(most, quotient(gap, count << UNIT))
        found.append(
            {
                "low": at / bins,
                "high": (at + 1) / bins,
                "count": count,
                "confidence": quotient(confidence, count << UNIT) if count else None,
                "accuracy": right / count if count else None,
            }
        )
    return {"expected": quotient(total, rows << UNIT), "maximum": most if rows else math.nan, "bins": found}
