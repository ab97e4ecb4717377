"""Quantiles, estimated from a histogram as Prometheus's `histogram_quantile` does."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(share: float, bounds: Sequence[float], counts: Sequence[float], *, whole: bool = False) -> float | None:
    """The value below which that share of what was counted lies; `None` where nothing was.

    `counts` has one entry more than `bounds`: what lies above them all, for which the last bound is answered. Within a
    bucket, values are taken to be spread evenly. `whole`: they are whole numbers from 1 on.
    """
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    below = 0.0
    for at, bound in enumerate(bounds):
        if below + counts[at] >= rank and counts[at]:
            start = bounds[at - 1] if at else 0.0
            start = min(start + whole, bound)
            return start + (bound - start) * max(rank - below, 0.0) / counts[at]
        below += counts[at]
    return bounds[-1]
