"""Means of errors and squares, from exact sums of rows: rounded once."""

from __future__ import annotations

import math

from service.evaluations.exact import PRODUCT_UNIT, UNIT, quotient, root


def mean_square(total: int, rows: int) -> float:
    """A sum of squares over the number of rows."""
    return quotient(total, rows << PRODUCT_UNIT)


def mean_absolute(sums: dict[str, int], rows: int) -> float:
    """mae."""
    return quotient(sums["error"], rows << UNIT)


def mean_squared(sums: dict[str, int], rows: int) -> float:
    """mse."""
    return mean_square(sums["error_squared"], rows)


def root_mean_squared(sums: dict[str, int], rows: int) -> float:
    """rmse."""
    return root(sums["error_squared"], rows << PRODUCT_UNIT)


def r2(sums: dict[str, int], rows: int) -> float:
    """1 - sum(e^2) / sum((y - mean y)^2). Of equal targets 1 if every error is 0, else 0, as scikit-learn has it.

    NaN below two rows.
    """
    if rows < 2:
        return math.nan
    spread = rows * sums["target_squared"] - sums["target"] ** 2
    errors = rows * sums["error_squared"]
    if not spread:
        return 0.0 if errors else 1.0
    return quotient(spread - errors, spread)
