"""What all forms of an answer share: everything but its tensors."""

from __future__ import annotations

import math
from typing import Any

from schemas.result import LossResult


def facts(result: LossResult) -> dict[str, Any]:
    """All of an answer but its tensors, as JSON has it."""
    return {
        "reduction": result.reduction,
        "divisor": number(result.divisor),
        "count": result.count,
        "ignored": result.ignored,
        "dtype": result.dtype,
        "warnings": result.warnings,
    }


def number(value: float | None) -> float | str | None:
    """A number, as JSON has it; what is not finite, as a string."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
