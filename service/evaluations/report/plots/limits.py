"""How much a plot shows; known without matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

LINES = 30  # lines of a plot of intervals: as many fit on a screen and can be told apart
CLASSES = 30  # of a confusion matrix: more are not told apart
NUMBERED = 12  # up to so many classes, its cells hold their counts


@dataclass(frozen=True)
class Line:
    """One figure: `low` and `high` are none where no interval is known."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
