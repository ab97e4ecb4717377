"""Counts by cell: sparse in what one batch adds, dense in what a run has counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.evaluations.coding import Cells


def counted(keys: NDArray[np.int64], size: int) -> Cells:
    """How often each key below `size` is there; keys may repeat, in any order."""
    if size <= 8 * len(keys) + 4096:
        counts = np.bincount(keys, minlength=0)
        used = np.flatnonzero(counts)
        return used, counts[used]
    return np.unique(keys, return_counts=True)


def sparse(counts: NDArray[np.int64]) -> Cells:
    """The cells that are not 0."""
    used = np.flatnonzero(counts)
    return used, counts[used]
