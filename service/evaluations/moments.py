"""The loss of a set of samples and its standard error, from exact sums.

The share of most samples is 1. So what is kept of shares w is their excess over 1, u = w - 1: where all are 1, these
sums are 0 and take no room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.spec import RunSpec
from schemas.losses import LOSSES
from service.evaluations.exact import UNIT, Sums, products, quotient, root, rounded, sums_and_squares
from service.evaluations.slots import ODD_KINDS

NAMES: Final = ("value", "value_squared", "excess", "value_excess", "excess_squared")
"""The sums that `Moments` needs."""


def sums_of(slots: NDArray[np.intp], values: NDArray[np.float64], shares: NDArray[np.float64]) -> dict[str, Sums]:
    """All sums that `Moments` needs, by slot. All are (n,); what is not finite counts as 0 (a share: as 1)."""
    values = _finite_or(values, 0.0)
    value, value_squared = sums_and_squares(slots, values)
    found = {"value": value, "value_squared": value_squared}
    if (shares == 1).all():
        return found
    shares = _finite_or(shares, 1.0)
    counts = np.bincount(slots)
    used = np.flatnonzero(counts)
    crossed = products(slots, values, shares)
    plain, squared = sums_and_squares(slots, shares)
    excess, value_excess, excess_squared = {}, {}, {}
    for slot, n in zip(used.tolist(), counts[used].tolist(), strict=True):
        excess[slot] = plain[slot] - (n << UNIT)
        value_excess[slot] = crossed[slot] - (found["value"][slot] << UNIT)
        excess_squared[slot] = squared[slot] - (plain[slot] << UNIT + 1) + (n << 2 * UNIT)
    return found | {"excess": excess, "value_excess": value_excess, "excess_squared": excess_squared}


def odd_cells(
    slots: NDArray[np.intp], values: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.int64] | None:
    """The cells (slot and kind) of all values and shares that are not finite; `None` if all are."""
    if np.isfinite(values).all() and np.isfinite(shares).all():
        return None
    found = []
    for first, numbers in ((0, values), (3, shares)):
        for kind, which in enumerate((np.isnan(numbers), numbers == np.inf, numbers == -np.inf)):
            found.append(slots[which] * ODD_KINDS + first + kind)
    return np.concatenate(found)


def _finite_or(numbers: NDArray[np.float64], instead: float) -> NDArray[np.float64]:
    return np.where(np.isfinite(numbers), numbers, instead)


@dataclass(slots=True)
class Moments:
    """The sums of one slot: n units (samples, or a class's elements), with values v and shares w."""

    n: int
    value: int
    value_squared: int
    excess: int
    value_excess: int
    excess_squared: int
    odd: tuple[int, ...]
    """How many values are NaN, infinite, minus infinite; then shares."""

    @classmethod
    def of(cls, n: int, sums: Mapping[str, int], odd: Sequence[int]) -> Moments:
        """Of the sums that `sums_of` gives, those that are there."""
        value, squared, excess, crossed, excess_squared = [sums.get(name, 0) for name in NAMES]
        return cls(n, value, squared, excess, crossed, excess_squared, tuple(odd))

    @property
    def sum(self) -> float:
        """The sum of values, as IEEE arithmetic has it, rounded once."""
        return _total(self.value, self.odd[:3])

    @property
    def divisor(self) -> float:
        """The sum of shares."""
        return _total(self.share, self.odd[3:])

    @property
    def share(self) -> int:
        """The exact sum of the finite shares, and of 1 for each other."""
        return (self.n << UNIT) + self.excess

    def loss(self, reduction: str) -> float:
        """The sum, or the sum over the divisor: rounded once."""
        if reduction == "sum":
            return self.sum
        if any(self.odd):
            with np.errstate(all="ignore"):
                return float(np.float64(self.sum) / np.float64(self.divisor))
        return quotient(self.value, self.share)

    def standard_error(self, reduction: str) -> float | None:
        """How far the loss may be from that of all data that the units were drawn from; `None` below two units.

        `mean`: of the ratio estimator R = sum(v) / sum(w), by the delta method: its squared value is
        n / (n - 1) * sum((v - R w)^2) / sum(w)^2 (Cochran, Sampling Techniques, 3rd ed., 6.3, for a large population).
        `sum`: of the total of n draws, n / (n - 1) * sum((v - mean v)^2). The squares are summed exactly: nothing
        cancels.
        """
        n = self.n
        if n < 2:
            return None
        if any(self.odd):
            return math.nan
        if reduction == "sum":
            # n v2 - v^2, in squares of the unit, over n - 1
            return root(n * self.value_squared - self.value**2, (n - 1) << 2 * UNIT)
        v, w = self.value, self.share
        if not w:
            return math.nan
        if not (self.excess or self.value_excess or self.excess_squared):  # all are 1: the same, and shorter
            return root(n * (n * n * self.value_squared - n * v * v), (n - 1) * n**4 << 2 * UNIT)
        vw = self.value_excess + (v << UNIT)
        ww = self.excess_squared + (self.excess << UNIT + 1) + (n << 2 * UNIT)
        residuals = self.value_squared * w * w - 2 * v * vw * w + v * v * ww
        return root(n * residuals, (n - 1) * w**4)


NOTHING: Final = Moments(0, 0, 0, 0, 0, 0, (0,) * ODD_KINDS)


def is_void(spec: RunSpec, n: int, count: int) -> bool:
    """Whether n units of which so many elements contribute are as nothing: without any, as some losses' means are."""
    return bool(n and not count and LOSSES[spec.loss].void_without_elements(spec.options))


def _total(total: int, odd: tuple[int, ...]) -> float:
    nan, plus, minus = odd
    if nan or (plus and minus):
        return math.nan
    if plus or minus:
        return math.inf if plus else -math.inf
    return rounded(total)
