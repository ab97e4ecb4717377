"""Figures in words: how reports write numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

NONE = "\u2013"
"""What stands where there is no number: an en dash."""
MINUS = "\u2212"
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def number(value: Any) -> float | None:
    """The number that a member of `results` stands for: itself, one of the strings for what is not finite, or none."""
    if value is None:
        return None
    return SPECIAL[value] if isinstance(value, str) else float(value)


def finite(value: Any) -> float | None:
    """The number, where it is a finite one."""
    made = number(value)
    return made if made is not None and math.isfinite(made) else None


def plottable(values: Iterable[float]) -> bool:
    """Whether a plot can show the values: matplotlib's own sums of them must not overflow."""
    return all(abs(value) < 1e100 for value in values)


def count(value: Any) -> str:
    """A count, by thousands."""
    return NONE if value is None else f"{int(value):,}"


def figure(value: Any, digits: int = 4) -> str:
    """A number in `digits` significant digits; a dash where there is none."""
    made = number(value)
    if made is None:
        return NONE
    if math.isnan(made):
        return "not a number"
    if math.isinf(made):
        return "∞" if made > 0 else f"{MINUS}∞"
    if made == 0:
        return "0"
    if made.is_integer() and abs(made) < 10**digits:
        return _signed(f"{int(made):,}")
    if not 1e-4 <= abs(made) < 1e7:
        return _signed(f"{made:.{digits - 1}e}")
    return _signed(f"{made:,.{max(0, digits - 1 - math.floor(math.log10(abs(made))))}f}")


def change(value: Any) -> str:
    """A difference, with its sign."""
    made = number(value)
    written = figure(value)
    return f"+{written}" if made is not None and made > 0 else written


def percent(value: Any) -> str:
    """A share of 1, as a percentage."""
    made = finite(value)
    return NONE if made is None else _signed(f"{100 * made:.1f} %")


def level(value: Any) -> str:
    """A level of confidence, as a percentage."""
    made = finite(value)
    return NONE if made is None else f"{100 * made:g} %"


def interval(low: Any, high: Any, *, signed: bool = False) -> str:
    """An interval, in as many digits as its width makes worth reading; a dash where an end is missing."""
    ends = finite(low), finite(high)
    if ends[0] is None or ends[1] is None:
        return NONE
    write = change if signed else figure
    digits = digits_for(ends[0], ends[1])
    if digits is None:
        return f"{write(low)} to {write(high)}"
    return " to ".join(_signed(f"{end:{'+' if signed and end > 0 else ''},.{digits}f}") for end in (ends[0], ends[1]))


def within(value: Any, low: Any, high: Any) -> str:
    """A number, in as many digits as its interval makes worth reading."""
    made, ends = finite(value), (finite(low), finite(high))
    if made is None or ends[0] is None or ends[1] is None:
        return figure(value)
    digits = digits_for(ends[0], ends[1])
    return figure(value) if digits is None else _signed(f"{made:,.{digits}f}")


def digits_for(low: float, high: float) -> int | None:
    """Decimals that show two digits of an interval's half width; none where plain decimals do not suit."""
    half = (high - low) / 2
    if not 1e-7 < half < 1e6 or max(abs(low), abs(high)) >= 1e9:
        return None
    return max(0, 1 - math.floor(math.log10(half)))


def _signed(written: str) -> str:
    """With a real minus."""
    return written.replace("-", MINUS) if written.startswith("-") else written
