"""The bootstrap: what a figure might have been, had the samples been drawn anew.

Up to `UNITS` samples are resampled as they are (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6
and 13). More are first summed into as many units by a hash of their identities, and whole units are resampled. A hash
parts a data set at random, so that the sums of its units vary as samples do, and memory and time do not grow with the
data set (Chamandy et al., Estimating Uncertainty for Massive Data Streams, Google 2012).

Sums are exact, units are in a fixed order, and draws come from a generator of constant seed: equal samples give equal
bits, whatever their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.evaluations.exact import Sums, merge, rounded, sums

UNITS: Final = 4096
REPLICATES: Final = 1000
PENDING: Final = 1 << 18
"""Samples that wait to be summed: what a sum costs is by unit, so that many at once are cheap."""
SEED: Final = 0x67726164

Floats = NDArray[np.float64]


class Units:
    """The sums of some columns by unit. Memory: `PENDING` samples, and `UNITS` exact sums a column."""

    def __init__(self, columns: int) -> None:
        self._pending: list[tuple[NDArray[np.uint64], Floats]] = []
        self._waiting = 0
        self._sums: list[Sums] = [{} for _ in range(columns)]
        self._folded = False
        self.samples = 0

    def add(self, keys: NDArray[np.uint64], columns: Floats) -> None:
        """Take n samples: their identities' hashes (n,), and their finite columns (columns, n)."""
        self._pending.append((keys, columns))
        self.samples += len(keys)
        self._waiting += len(keys)
        if self._waiting > PENDING:
            self._fold()

    def totals(self) -> Floats:
        """(columns, units): the columns of each unit; with few samples, of each sample, ordered by its key."""
        if not self._folded and self.samples <= UNITS:
            keys, columns = self._taken()
            return columns[:, np.lexsort((*columns, keys))]
        self._fold()
        return np.array([[rounded(by_unit.get(unit, 0)) for unit in range(UNITS)] for by_unit in self._sums])

    def _fold(self) -> None:
        keys, columns = self._taken()
        slots = (keys & np.uint64(UNITS - 1)).astype(np.intp)
        for by_unit, column in zip(self._sums, columns, strict=True):
            merge(by_unit, sums(slots, column))
        self._pending, self._waiting, self._folded = [], 0, True

    def _taken(self) -> tuple[NDArray[np.uint64], Floats]:
        if not self._pending:
            return np.empty(0, np.uint64), np.empty((len(self._sums), 0))
        return np.concatenate([keys for keys, _ in self._pending]), np.concatenate(
            [columns for _, columns in self._pending], axis=1
        )


def replicates(totals: Floats, figure: Callable[[Floats], float]) -> Floats:
    """(REPLICATES,): the figure of each resampled data set; `figure` takes the sums of the columns (columns,)."""
    units = totals.shape[1]
    draws = np.random.Generator(np.random.PCG64(SEED))
    found = np.empty(REPLICATES)
    for place in range(REPLICATES):
        times = np.bincount(draws.integers(0, units, units), minlength=units)
        found[place] = figure((totals * times).sum(axis=1))
    return found


def interval(found: Floats, level: float) -> tuple[float, float] | None:
    """The percentile interval of the replicates; none where some are no finite numbers."""
    if not np.isfinite(found).all():
        return None
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
