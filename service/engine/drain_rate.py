"""How fast a worker computes, as measured lately."""

from __future__ import annotations

import math
from typing import Final

REMEMBERED: Final = 5.0
"""Seconds of computing after which what was measured counts for a third."""
FIRST_GUESS: Final = 1e8
"""Elements a second, until something is measured: about what one core makes of a 64x32000 cross entropy."""
GUESS_SECONDS: Final = 0.05
"""Seconds of computing that the guess counts for."""


class DrainRate:
    """Elements that are computed a second: a mean over the time spent, in which the past fades."""

    def __init__(self) -> None:
        self._elements = FIRST_GUESS * GUESS_SECONDS
        self._seconds = GUESS_SECONDS

    def measured(self, elements: int, seconds: float) -> None:
        """A batch of so many elements took so long."""
        fading = math.exp(-seconds / REMEMBERED)
        self._elements = self._elements * fading + elements
        self._seconds = self._seconds * fading + seconds

    @property
    def elements_per_second(self) -> float:
        """The rate."""
        return self._elements / self._seconds
