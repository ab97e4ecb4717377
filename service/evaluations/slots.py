"""Where exact sums stand: slot 0 for the whole, one for each class, then one for each group."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.evaluation.spec import RunSpec
from schemas.evaluation.task import class_names

ODD_KINDS = 6
"""Values that are NaN, infinite, minus infinite; then shares."""


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of a run."""

    classes: int
    groups: int

    @classmethod
    def of(cls, spec: RunSpec) -> Slots:
        """Classes have slots where the run names them."""
        return cls(len(class_names(spec) or ()), len(spec.groups or ()))

    @property
    def first_class(self) -> int:
        return 1

    @property
    def first_group(self) -> int:
        return 1 + self.classes

    @property
    def size(self) -> int:
        return 1 + self.classes + self.groups
