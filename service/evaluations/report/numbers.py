"""Figures in words: how reports write numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
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


def counted(number: int, one: str, many: str) -> str:
    """A count and what it counts, which differs for one."""
    return f"{count(number)} {one if number == 1 else many}"


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


def column(values: Iterable[Any]) -> list[str]:
    """Numbers below each other: in as many decimals as show four digits of the middle one.

    What would be zero in these, or is too large or small for plain decimals, is written on its own.
    """
    held = list(values)
    sizes = sorted(abs(made) for made in map(finite, held) if made)
    if not sizes or all(size.is_integer() and size < 1e4 for size in sizes) or not 1e-4 <= sizes[len(sizes) // 2] < 1e7:
        return [figure(value) for value in held]
    middle = sizes[len(sizes) // 2]
    decimals = 4 if sizes[-1] <= 1 else max(0, 3 - math.floor(math.log10(middle)))
    return [_plain(value, decimals) for value in held]


def changes(values: Iterable[Any]) -> list[str]:
    """Differences below each other, with their signs."""
    held = list(values)
    return [
        f"+{written}" if (number(value) or 0) > 0 else written
        for value, written in zip(held, column(held), strict=True)
    ]


def _plain(value: Any, decimals: int) -> str:
    made = finite(value)
    if made is None or (made and not 10.0**-decimals / 2 <= abs(made) < 1e7):
        return figure(value)
    return _signed(f"{made:,.{decimals}f}")


def bounded(
    rows: Iterable[tuple[Any, float | None, float | None]], *, signed: bool = False
) -> tuple[list[str], list[str]]:
    """Numbers below each other, and their intervals, in decimals that show two digits of the middle half width."""
    held = list(rows)
    found = [digits_for(low, high) for _, low, high in held if low is not None and high is not None]
    decimals = sorted(known for known in found if known is not None)
    if not decimals or None in found:
        write = changes if signed else column
        return write(value for value, _, _ in held), [interval(low, high, signed=signed) for _, low, high in held]
    most = decimals[len(decimals) // 2]

    def one(value: Any) -> str:
        written = _plain(value, most)
        return f"+{written}" if signed and (number(value) or 0) > 0 else written

    values = [one(value) for value, _, _ in held]
    return values, [NONE if low is None or high is None else f"{one(low)} to {one(high)}" for _, low, high in held]


def moment(value: Any) -> str:
    """A moment as ISO 8601 has it, to the second in UTC."""
    return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


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
