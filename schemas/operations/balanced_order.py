"""An order of samples in which every class appears equally often."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field

from schemas.check import Checked
from schemas.field import Integers
from schemas.operation import Operation, OperationAnswer
from schemas.problem import TOO_LARGE, Fault
from schemas.request import ABSENT, Int64
from schemas.tensor import Tensor


class BalancedOrderAnswer(OperationAnswer):
    """The order, and how often samples come in it."""

    order: Tensor = Field(description="Shape `C*M`, int64: positions in `labels`, from 0.")
    classes: Tensor = Field(description="Shape `C`, int64: the labels that occur, rising.")
    repeats: Tensor = Field(
        description="Shape `C`: M divided by the class's count. Each of its samples comes that often, up to rounding."
    )


class BalancedOrder(Operation):
    """An order of samples in which every class appears equally often, and every sample at least once."""

    name: ClassVar[str] = "balanced_order"
    path: ClassVar[str] = "/v1/balanced-order"
    family: ClassVar[str] = "sampling"
    description: ClassVar[str] = (
        "With C the number of labels that occur and M the count of the most frequent one, the order has `C*M` entries. "
        "Each class has a circular buffer: the positions of its samples, rising. Entry r of a class is `buffer[r mod "
        "count]`, for r from 0 to M-1: small classes go round again until the largest is through.\n\n"
        "- `interleave`: round by round; in each, one of every class, by rising label. Else class after class.\n"
        "- `seed`: first, each buffer is sorted by the keys of its samples, equal keys by position. The key of sample "
        "i is output i (from 0) of SplitMix64 from that seed, in arithmetic modulo 2^64: `z = seed + (i + 1) * "
        "0x9E3779B97F4A7C15`; `z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9`; `z = (z ^ (z >> 27)) * 0x94D049BB133111EB`; "
        "`key = z ^ (z >> 31)`, unsigned. Every machine and language makes the same order of it.\n\n"
        "`C*M` counts towards the limit of elements."
    )
    example: ClassVar[dict[str, Any]] = {"labels": [0, 0, 0, 1, 0, 1], "seed": 7}
    answer: ClassVar[type[BaseModel]] = BalancedOrderAnswer
    workspace: ClassVar[int] = 14

    labels: Annotated[Tensor, Integers("N")] = Field(description="A class for each sample: any whole numbers.")
    seed: Int64 = Field(ABSENT, ge=0, description="What the buffers are shuffled by; left out, they are not.")
    interleave: bool = Field(True, description="Whether classes take turns. Else they come one after another.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """The order fits into the limit, before it is made."""
        labels, counts = np.unique(checked.tensors["labels"], return_counts=True)
        length = len(labels) * int(counts.max(initial=0))
        needed = checked.layout.elements + length
        if needed > checked.max_elements:
            detail = (
                f"{len(labels)} classes of up to {counts.max()} samples make {length} entries, {needed} elements in "
                f"all; the limit is {checked.max_elements}"
            )
            faults.append(Fault("/labels", detail, TOO_LARGE))
        checked.layout = replace(checked.layout, elements=needed, classes=len(labels), unreduced=(length,))

    def numbers(self) -> int:
        """The order, the classes and how often each repeats."""
        layout, dtype = self.checked.layout, self.checked.dtype
        classes = layout.classes or 0
        return self.whole(layout.unreduced[0] + classes, dtype) + classes
