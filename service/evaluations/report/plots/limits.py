"""How much a plot shows; known without matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LINES = 30  # lines of a plot of intervals: as many fit on a screen and can be told apart
CLASSES = 30  # of a confusion matrix: more are not told apart
NUMBERED = 12  # up to so many classes, its cells hold their counts


def axis_of(pieces: Sequence[tuple[int, float]]) -> tuple[float, float] | None:
    """The range of 98 of 100 samples' steps, each (samples, loss), where few samples go far beyond it; else none."""
    ordered = sorted((loss, samples) for samples, loss in pieces)
    total, running = sum(samples for samples, _ in pieces), 0
    inner = []
    for loss, samples in ordered:
        running += samples
        if running > 0.01 * total and running - samples < 0.99 * total:
            inner.append(loss)
    if not inner:
        return None
    low, high = inner[0], inner[-1]
    return (low, high) if ordered[-1][0] - ordered[0][0] > 1.5 * (high - low) > 0 else None


@dataclass(frozen=True)
class Line:
    """One figure: `low` and `high` are none where no interval is known."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
