"""Weights of classes from how often they occur: what losses take as `weight` where some classes are rare."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from schemas.check import Checked
from schemas.field import Integers
from schemas.operation import Operation, OperationAnswer
from schemas.problem import TOO_LARGE, Fault
from schemas.request import ABSENT, Int64
from schemas.tensor import Tensor
from schemas.values import check_indices, check_not_negative, position


class ClassWeightsAnswer(OperationAnswer):
    """The weights, and the counts that they are made from."""

    weight: Tensor = Field(description="Shape `C`: what losses take as `weight`.")
    counts: Tensor = Field(description="Shape `C`, int64: how often each class occurs; 0 for the ignored one.")


class ClassWeights(Operation):
    """Weights of classes, from their counts or from labels."""

    name: ClassVar[str] = "class_weights"
    path: ClassVar[str] = "/v1/class-weights"
    family: ClassVar[str] = "sampling"
    description: ClassVar[str] = (
        "Of `counts`, or of `labels`, with n_c the count of class c, n their sum, and C the number of classes that "
        "occur:\n\n"
        "- `inverse`: `1 / n_c`.\n"
        '- `balanced`: `n / (C * n_c)`, scikit-learn\'s `class_weight="balanced"`. The mean over all samples is 1.\n'
        "- `effective_number`: `(1 - beta) / (1 - beta**n_c)` (Cui et al. 2019, arXiv:1901.05555).\n\n"
        "A class that never occurs has weight 0 and does not count in `C` or in a mean; `warnings` names it. "
        "Computed in float64, then rounded to `dtype`."
    )
    example: ClassVar[dict[str, Any]] = {"counts": [900, 90, 10], "method": "balanced"}
    answer: ClassVar[type[BaseModel]] = ClassWeightsAnswer
    workspace: ClassVar[int] = 10

    counts: Annotated[Tensor, Integers("C")] = Field(ABSENT, description="How often each class occurs.")
    labels: Annotated[Tensor, Integers("*D")] = Field(ABSENT, description="Instead of counts: a class for each sample.")
    classes: Int64 = Field(
        ABSENT, ge=0, description="With `labels`: the number of classes. Left out, the largest label's and those below."
    )
    method: Literal["inverse", "balanced", "effective_number"] = Field("balanced", description="The formula.")
    beta: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Of `effective_number`: the nearer to 1, the nearer to `inverse`; 0 makes all equal.",
    )
    normalize: Literal["sum", "mean", "none"] = Field(
        "none",
        description="`sum`: divided by their sum, so that they add up to 1. `mean`: divided by their mean over the "
        "classes that occur, which is then 1. `none`: as the formula has them.",
    )
    ignore_index: Int64 = Field(-100, description="Labels of this value do not count, nor does this class's count.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Either counts or labels; none negative; and as many classes as there is room for."""
        counts, labels = checked.tensors.get("counts"), checked.tensors.get("labels")
        if counts is not None and labels is not None:
            faults.append(Fault("", "counts and labels are both there; either is needed"))
        elif counts is not None:
            check_not_negative("counts", counts, faults)
            if self.classes is not None:
                faults.append(Fault("/classes", "goes with labels"))
        elif labels is not None:
            classes = self._classes(checked, labels, faults)
            needed = checked.layout.elements + classes
            if needed > checked.max_elements:
                detail = f"{classes} classes make {needed} elements; the limit is {checked.max_elements}"
                faults.append(Fault("/labels", detail, TOO_LARGE))
            checked.layout = replace(checked.layout, elements=needed, classes=classes)
        else:
            faults.append(Fault("", "counts or labels are needed"))

    def _classes(self, checked: Checked, labels: NDArray[Any], faults: list[Fault]) -> int:
        """The number of classes, once all labels are seen to be some."""
        if self.classes is not None:
            checked.ignored = check_indices("labels", labels, self.classes, self.ignore_index, faults)
            return self.classes
        counted = labels != self.ignore_index
        below = (labels < 0) & counted
        if below.any():
            where, value = position("labels", labels, below)
            faults.append(Fault(where, f"{value} is negative, and not ignore_index"))
            return 0
        return int(np.max(labels, initial=-1, where=counted)) + 1

    def numbers(self) -> int:
        """A weight and a count for each class."""
        classes = self.checked.layout.classes or 0
        return classes + self.whole(classes, self.checked.dtype)
