"""A run's state: the fold of its partials, the same to the bit in whatever order they come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.spec import RunSpec
from service.evaluations import sketch
from service.evaluations.cells import sparse
from service.evaluations.exact import Sums, held, merge
from service.evaluations.hardest import HARD_BYTES, Hard, merged
from service.evaluations.metrics.plan import plan_of
from service.evaluations.moments import NOTHING, Moments, is_void
from service.evaluations.partial import Partial
from service.evaluations.results import results_of
from service.evaluations.slots import ODD_KINDS, Slots


class Tally:
    """What a run has counted up to now."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.slots = Slots.of(spec)
        self.plan = plan_of(spec)
        self.batches = self.samples = self.count = self.ignored = 0
        self.low, self.high = math.inf, -math.inf
        self.sums: dict[str, Sums] = {}
        self._reckoned = (0, 0, 0)
        self.hardest: list[Hard] = []
        self._sizes: Mapping[str, int] = {
            "units": self.slots.size,
            "odd": self.slots.size * ODD_KINDS,
            "members": self.slots.groups,
            "elements": self.slots.groups,
            "losses": sketch.CELLS,
            **self.plan.sizes,
        }
        self._cells: dict[str, NDArray[np.int64]] = {}

    def add(self, partial: Partial) -> None:
        """Add what a batch, or several, gave; the partial is left as it is."""
        self.batches += partial.batches
        self.samples += partial.samples
        self.count += partial.count
        self.ignored += partial.ignored
        self.low, self.high = min(self.low, partial.low), max(self.high, partial.high)
        for name, sums in partial.sums.items():
            merge(self.sums.setdefault(name, {}), sums)
        for name, (keys, counts) in partial.cells.items():
            if name not in self._cells:
                self._cells[name] = np.zeros(self._sizes[name], np.int64)
            self._cells[name][keys] += counts  # keys are there once
        self.hardest = merged(self.hardest, partial.hardest, self.spec.hardest)

    def partial(self) -> Partial:
        """Everything as one partial."""
        cells = {name: sparse(counts) for name, counts in self._cells.items()}
        sums = {name: dict(sums) for name, sums in self.sums.items()}
        own = (self.batches, self.samples, self.count, self.ignored, self.low, self.high)
        return Partial(*own, sums, cells, list(self.hardest))

    def encode(self) -> bytes:
        """Equal tallies are equal bytes."""
        return self.partial().encode()

    @classmethod
    def decode(cls, spec: RunSpec, data: bytes) -> Tally:
        """Raises `ValueError` for bytes of another version."""
        tally = cls(spec)
        tally.add(Partial.decode(data))
        return tally

    def copy(self) -> Tally:
        """One that goes on by itself."""
        other = Tally(self.spec)
        other.batches, other.samples, other.count, other.ignored = self.batches, self.samples, self.count, self.ignored
        other.low, other.high = self.low, self.high
        other.sums = {name: dict(sums) for name, sums in self.sums.items()}
        other._cells = {name: counts.copy() for name, counts in self._cells.items()}
        other.hardest = list(self.hardest)
        return other

    @property
    def nbytes(self) -> int:
        """About what it takes in memory: dense counts, sums, and the hardest samples without their texts.

        A sum grows by a bit when its terms double: sums are measured only then, and when there are more of them.
        """
        slots, doublings = sum(map(len, self.sums.values())), self.batches.bit_length()
        if self._reckoned[:2] != (slots, doublings):
            self._reckoned = slots, doublings, sum(map(held, self.sums.values()))
        counts = sum(counts.nbytes for counts in self._cells.values())
        return counts + self._reckoned[2] + HARD_BYTES * len(self.hardest)

    def cells(self, name: str) -> NDArray[np.int64]:
        """Counts by cell, dense; not to be written to."""
        found = self._cells.get(name)
        return np.zeros(self._sizes[name], np.int64) if found is None else found

    def moments(self, slot: int = 0) -> Moments:
        """The sums of one slot."""
        odd = self._cells.get("odd")
        first = slot * ODD_KINDS
        group = slot - self.slots.first_group
        n = int(self._cells["units"][slot]) if "units" in self._cells else 0
        if is_void(self.spec, n, int(self.cells("elements")[group]) if group >= 0 else self.count):
            return NOTHING
        return Moments.of(
            n,
            {name: own.get(slot, 0) for name, own in self.sums.items()},
            (0,) * ODD_KINDS if odd is None else odd[first : first + ODD_KINDS].tolist(),
        )

    @property
    def loss(self) -> float:
        """The loss of all samples up to now; NaN of a mean without any."""
        return self.moments().loss(self.spec.reduction)

    @property
    def divisor(self) -> float:
        """What the mean divides by."""
        return self.moments().divisor

    @property
    def standard_error(self) -> float | None:
        """Of the loss, over samples; `None` below two."""
        return self.moments().standard_error(self.spec.reduction)

    def results(self) -> dict[str, Any]:
        """All figures, as the report has them."""
        return results_of(self)
