"""Quantiles, estimated from a histogram as Prometheus's `histogram_quantile` does."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(share: float, bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """The value below which that share of what was counted lies; `None` where nothing was.

    `counts` has one entry more than `bounds`: what lies above them all, for which the last bound is answered. Within a
    bucket, values are taken to be spread evenly.
    """
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    below = 0.0
    for at, bound in enumerate(bounds):
        if below + counts[at] >= rank and counts[at]:
            start = bounds[at - 1] if at else 0.0
            return start + (bound - start) * max(rank - below, 0.0) / counts[at]
        below += counts[at]
    return bounds[-1]
