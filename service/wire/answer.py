"""What all forms of an answer share: everything but its tensors."""

from __future__ import annotations

import math
from typing import Any

from schemas.result import LossResult


def facts(result: LossResult) -> dict[str, Any]:
    """All of an answer but its tensors, as JSON has it."""
    told: dict[str, Any] = {
        "reduction": result.reduction,
        "divisor": number(result.divisor),
        "count": result.count,
        "ignored": result.ignored,
        "dtype": result.dtype,
        "warnings": result.warnings,
    }
    if result.terms is not None:
        told["terms"] = [
            {"name": name, "value": number(value), "factor": factor, "divisor": number(divisor)}
            for name, value, factor, divisor in result.terms
        ]
    return told


def number(value: float | None) -> float | str | None:
    """A number, as JSON has it; what is not finite, as a string."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
