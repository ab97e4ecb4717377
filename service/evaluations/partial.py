"""What one batch adds to its run: exact sums, counts, and its hardest samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.spec import RunSpec
from service.evaluations import sketch
from service.evaluations.cells import counted
from service.evaluations.coding import Cells, packed, unpacked
from service.evaluations.exact import Sums
from service.evaluations.hardest import Hard, hardest
from service.evaluations.metrics.plan import plan_of
from service.evaluations.moments import Moments, odd_cells, sums_of
from service.evaluations.scored import Misfit, Scored
from service.evaluations.slots import ODD_KINDS, Slots


@dataclass(slots=True)
class Partial:
    """Everything whose merge is exact, and the same in any order."""

    batches: int = 0
    samples: int = 0
    count: int = 0
    ignored: int = 0
    low: float = math.inf
    high: float = -math.inf
    """The least and the largest loss of a sample, of those that are finite."""
    sums: dict[str, Sums] = field(default_factory=dict)
    cells: dict[str, Cells] = field(default_factory=dict)
    hardest: list[Hard] = field(default_factory=list)

    def moments(self) -> Moments:
        """The sums of all its samples together."""
        own = {name: sums.get(0, 0) for name, sums in self.sums.items()}
        return Moments.of(self._first("units", 1)[0], own, self._first("odd", ODD_KINDS))

    def _first(self, name: str, size: int) -> tuple[int, ...]:
        """The counts of the first cells of that name."""
        found = [0] * size
        if name in self.cells:
            keys, counts = self.cells[name]
            few = int(np.searchsorted(keys, size))
            for key, count in zip(keys[:few].tolist(), counts[:few].tolist(), strict=True):
                found[key] = count
        return tuple(found)

    def encode(self) -> bytes:
        """Equal partials are equal bytes."""
        figures = (self.batches, self.samples, self.count, self.ignored, self.low, self.high)
        return packed(figures, self.sums, self.cells, self.hardest)

    @classmethod
    def decode(cls, data: bytes) -> Partial:
        """Raises `ValueError` for bytes of another version."""
        figures, sums, cells, hard = unpacked(data)
        return cls(*figures, sums, cells, hard)


def partial_of(spec: RunSpec, scored: Scored) -> Partial:
    """What this batch adds to a run of this spec. Raises `Misfit` where it does not fit it."""
    slots = Slots.of(spec)
    there = np.flatnonzero((scored.counts > 0) | (scored.shares != 0))
    values, shares = scored.values[there], scored.shares[there]
    partial = Partial(
        batches=1,
        samples=len(scored.values),
        count=int(scored.counts.sum()),
        ignored=int(scored.ignored.sum()),
    )
    at, all_values, all_shares = _by_slot(slots, scored, there, values, shares)
    partial.sums = sums_of(at, all_values, all_shares)
    partial.cells = {"units": counted(at, slots.size)}
    if (odd := odd_cells(at, all_values, all_shares)) is not None:
        partial.cells["odd"] = counted(odd, slots.size * ODD_KINDS)
    if slots.groups and scored.groups is not None:
        _count_groups(slots, scored, partial)
    _add_losses(spec, scored, there, values, shares, partial)
    plan_of(spec).add(scored, partial.sums, partial.cells)
    return partial


def _by_slot(
    slots: Slots,
    scored: Scored,
    there: NDArray[np.intp],
    values: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Samples in the whole's slot, elements in those of their classes, samples in those of their groups; end to end."""
    at: list[NDArray[np.int64]] = [np.zeros(len(there), np.int64)]
    all_values, all_shares = [values], [shares]
    if slots.classes and scored.element_classes is not None:
        within(scored.element_classes, 0, slots.classes, "class")
        at.append(scored.element_classes + slots.first_class)
        all_values.append(scored.element_values)
        all_shares.append(scored.element_shares)
    if scored.groups is not None:
        within(scored.groups, -1, slots.groups, "group")
        groups = scored.groups[there]
        chosen = groups >= 0
        at.append(groups[chosen].astype(np.int64) + slots.first_group)
        all_values.append(values[chosen])
        all_shares.append(shares[chosen])
    return np.concatenate(at), np.concatenate(all_values), np.concatenate(all_shares)


def within(places: NDArray[np.integer], least: int, count: int, what: str) -> None:
    """Raises `Misfit` where a class or group is none of the run's."""
    if len(places) and (places.min() < least or places.max() >= count):
        worst = int(places.max() if places.max() >= count else places.min())
        raise Misfit(f"{what} {worst} is outside [0, {count})")


def _count_groups(slots: Slots, scored: Scored, partial: Partial) -> None:
    """Samples and contributing elements of each group; a group of -1 is none."""
    assert scored.groups is not None  # noqa: S101 - the caller looked
    chosen = scored.groups >= 0
    groups = scored.groups[chosen].astype(np.int64)
    partial.cells["members"] = counted(groups, slots.groups)
    elements = np.bincount(groups, scored.counts[chosen], slots.groups).astype(np.int64)
    used = np.flatnonzero(elements)
    partial.cells["elements"] = used, elements[used]


def _add_losses(
    spec: RunSpec,
    scored: Scored,
    there: NDArray[np.intp],
    values: NDArray[np.float64],
    shares: NDArray[np.float64],
    partial: Partial,
) -> None:
    """The samples' own losses: their least and largest, the sketch, and the hardest."""
    losses = values
    if spec.reduction == "mean" and not (shares == 1).all():
        weighty = (shares != 0) | (values != 0)  # without a share there is no loss of its own
        if not weighty.all():
            there, values, shares = there[weighty], values[weighty], shares[weighty]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            losses = values / shares
    finite = losses[np.isfinite(losses)] + 0.0  # no -0.0
    if len(finite):
        partial.low, partial.high = float(finite.min()), float(finite.max())
        partial.cells["losses"] = counted(sketch.cells(finite), sketch.CELLS)
    partial.hardest = hardest(scored, there, losses, spec.hardest)
