"""The fold of partials (a stand-in of the store's branch)."""

from __future__ import annotations

import json
from typing import Self

from schemas.evaluation.spec import RunSpec
from service.evaluations.exact import quotient, rounded
from service.evaluations.partial import Partial


class Tally:
    """Sums of all batches."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self._values = self._shares = 0
        self.samples = self.count = self.ignored = self.batches = 0

    def add(self, partial: Partial) -> None:
        """Add a batch."""
        self._values += partial.values.get(0, 0)
        self._shares += partial.shares.get(0, 0)
        self.samples += partial.samples
        self.count += partial.count
        self.ignored += partial.ignored
        self.batches += 1

    @property
    def loss(self) -> float:
        return quotient(self._values, self._shares)

    @property
    def divisor(self) -> float:
        return rounded(self._shares)

    @property
    def standard_error(self) -> float | None:
        return None

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps([self._values, self._shares, self.samples, self.count, self.ignored, self.batches]).encode()

    @classmethod
    def decode(cls, spec: RunSpec, data: bytes) -> Self:
        """What `encode` wrote."""
        made = cls(spec)
        made._values, made._shares, made.samples, made.count, made.ignored, made.batches = json.loads(data)
        return made

    def copy(self) -> Self:
        """Another."""
        return self.decode(self.spec, self.encode())
