"""Means of errors and squares, from exact sums of rows: rounded once."""

from __future__ import annotations

import math
from typing import NamedTuple

from service.evaluations.exact import PRODUCT_UNIT, UNIT, quotient, root


class Totals(NamedTuple):
    """Sums over rows; those of squares in units of products."""

    error: int
    """Of |error|."""
    error_squared: int
    target: int
    target_squared: int


def mean_absolute(totals: Totals, rows: int) -> float:
    """The mean absolute error."""
    return quotient(totals.error, rows << UNIT)


def mean_squared(totals: Totals, rows: int) -> float:
    """The mean squared error."""
    return quotient(totals.error_squared, rows << PRODUCT_UNIT)


def root_mean_squared(totals: Totals, rows: int) -> float:
    """Its square root."""
    return root(totals.error_squared, rows << PRODUCT_UNIT)


def r2(totals: Totals, rows: int) -> float:
    """1 - sum(e^2) / sum((y - mean y)^2). Of equal targets 1 if every error is 0, else 0, as scikit-learn has it.

    NaN below two rows.
    """
    if rows < 2:
        return math.nan
    spread = rows * totals.target_squared - totals.target**2
    errors = rows * totals.error_squared
    if not spread:
        return 0.0 if errors else 1.0
    return quotient(spread - errors, spread)
