"""The interval that a report tells first, and whether there are samples enough to believe one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from service.evaluations.report.numbers import finite

ENOUGH: Final = 20
"""Samples below which an interval is too narrow too often: resampling two gives nothing but what lies between them."""


class Best(NamedTuple):
    """An interval, and how it was made: `bootstrap` or `normal`."""

    kind: str
    level: float
    low: float
    high: float


def best(held: Mapping[str, Any]) -> Best | None:
    """The bootstrap interval of results or of a comparison, as it assumes no shape; else the normal one, if any."""
    for kind, member in (("bootstrap", "bootstrap"), ("normal", "interval")):
        ends = held.get(member) or {}
        low, high = finite(ends.get("low")), finite(ends.get("high"))
        if low is not None and high is not None:
            return Best(kind, float(ends["level"]), low, high)
    return None


def few(held: Mapping[str, Any], samples: int) -> bool:
    """Whether the samples, or the units that the bootstrap draws, are too few for an interval worth believing."""
    units = (held.get("bootstrap") or {}).get("units")
    return min(samples, samples if units is None else int(units)) < ENOUGH
