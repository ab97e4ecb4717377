"""Checking another implementation of a loss."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, Field

from schemas.check import Checked
from schemas.dims import Shape, numel, show
from schemas.loss_operation import LossOperation
from schemas.operation import OperationAnswer
from schemas.problem import TOO_LARGE, Fault, pointer
from schemas.request import ABSENT
from schemas.tensor import MAX_TENSORS, Tensor

TIMES = 4
"""Times the elements of a loss alone that checking it needs: answers are compared side by side."""

LEAST_WORK = 1 << 15
"""Elements that the smallest check counts for: dozens of losses are computed, which is no work for the event loop."""

Verdict = Literal["equal", "close", "wrong"]


class Largest(BaseModel):
    """The largest difference of a kind, and where it is."""

    value: float = Field(description="The difference; the string Infinity where only one of the two is a number.")
    at: list[int] | None = Field(description="The index of its element; null where there are no elements.")


class Comparison(BaseModel):
    """One tensor against its reference."""

    tensor: str = Field(description="`loss`, or `gradients.` and the tensor's name.", examples=["gradients.input"])
    verdict: Verdict = Field(description="equal: to the bit; close: within the tolerance; wrong: not.")
    absolute: Largest = Field(description="The largest absolute difference.")
    relative: Largest = Field(description="The largest difference relative to the larger of the two magnitudes.")
    ulps: Largest = Field(description="The largest difference in units in the last place of the request's type.")
    beyond: int = Field(description="Elements that are off by more than atol + rtol * |reference|.")
    elements: int = Field(description="All of its elements.")
    rtol: float = Field(description="The relative tolerance.")
    atol: float = Field(description="The absolute tolerance.")


class HintAnswer(BaseModel):
    """A known fault that explains what is wrong."""

    code: str = Field(description="Its stable name.", examples=["gradients_not_divided"])
    sentence: str = Field(description="What it is.")
    explains: list[str] = Field(description="The tensors that are as they would be with this fault.")
    difference: float = Field(description="The largest difference that is left in them.")


class SlopesAnswer(BaseModel):
    """One tensor's gradients against central differences."""

    tensor: str = Field(description="The tensor's name.")
    checked: int = Field(description="Its coordinates that were looked at.")
    reference: Largest = Field(description="The largest difference to the reference's gradient, in float64.")
    theirs: Largest | None = Field(description="The largest difference to the given gradient; null without one.")


class DifferencesAnswer(BaseModel):
    """Central differences of the loss in float64, against gradients."""

    coordinates: int = Field(description="Coordinates that were looked at.")
    of: int = Field(
        description="All coordinates of the tensors with gradients; of many, or of a large loss, some are chosen."
    )
    step: float | None = Field(description="The step, where one was given; else it goes by each coordinate.")
    tensors: list[SlopesAnswer] = Field(description="By tensor.")


class CheckAnswer(OperationAnswer):
    """A verdict, the reference, and what is wrong."""

    verdict: Verdict | None = Field(
        description="The worst of all tensors': equal, close or wrong; null where no tensor was given. Central "
        "differences have no part in it."
    )
    loss: Tensor = Field(description="The reference: as POST /v1/loss answers it.")
    gradients: dict[str, Tensor] = Field(description="The reference's gradients, also those that only you gave.")
    compared: list[Comparison] = Field(description="Each tensor that was given.")
    hints: list[HintAnswer] = Field(description="Where something is wrong: known faults that explain it, best first.")
    finite_differences: DifferencesAnswer = Field(ABSENT, description="Where it was asked for.")


class Check(LossOperation):
    """Another implementation's loss and gradients against the right ones, with hints at what is wrong."""

    name: ClassVar[str] = "check"
    path: ClassVar[str] = "/v1/check"
    family: ClassVar[str] = "checking"
    description: ClassVar[str] = (
        "Send a request for a loss and what your own code makes of it. The answer has the right loss and gradients, "
        "how far off yours are (absolutely, relatively and in units in the last place, and where), and hints: each "
        "known fault is tried, and those are told that explain your numbers. The default tolerances let a sound "
        "implementation in the same type pass. `finite_differences` compares gradients with central "
        "differences of the loss too. In safetensors the tensors are named `request.input`, `loss` and "
        "`gradients.input`."
    )
    example: ClassVar[dict[str, Any]] = {
        "request": {"loss": "mse_loss", "input": [1.0, 2.0, 4.0], "target": [0.5, 2.5, 3.0]},
        "loss": 0.5,
        "gradients": {"input": [1.0, -1.0, 2.0]},
    }
    answer: ClassVar[type[BaseModel]] = CheckAnswer
    maps: ClassVar[frozenset[str]] = frozenset(("gradients",))
    one_cotangent: ClassVar[str] = "one gradient a tensor is checked"
    in_turns: ClassVar[bool] = True

    loss: Tensor = Field(ABSENT, description="Your loss: 0-d, or for `none` the unreduced tensor.")
    gradients: dict[str, Tensor] = Field(
        ABSENT, max_length=MAX_TENSORS, description="Your gradients by tensor name, each of its tensor's shape."
    )
    rtol: float = Field(ABSENT, ge=0, description="The relative tolerance; left out, one that goes with the type.")
    atol: float = Field(
        ABSENT, ge=0, description="The absolute tolerance; left out, one that goes with the type and the reference."
    )
    finite_differences: bool = Field(False, description="Whether to compare with central differences of the loss.")
    step: float = Field(
        ABSENT,
        gt=0,
        le=1e3,
        description="Their step; left out, the cube root of float64's epsilon times a coordinate's magnitude.",
    )

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """What is given has the shapes of what it is compared with."""
        inner = self.request.checked
        own_loss: Tensor | None = self.__dict__["loss"]
        if own_loss is None and not self.gradients and not self.finite_differences:
            faults.append(Fault("", "there is nothing to check: give loss or gradients, or ask for finite_differences"))
        if self.__dict__["step"] is not None and not self.finite_differences:
            faults.append(Fault("/step", "goes with finite_differences"))
        if own_loss is not None:
            wanted = inner.layout.unreduced if inner.reduction == "none" else ()
            _expect("loss", own_loss, wanted, faults)
        for name, gradient in (self.gradients or {}).items():
            reason = self.without_gradient(name)
            if reason:
                faults.append(Fault(pointer("gradients", name), reason))
            else:
                _expect(f"gradients.{name}", gradient, inner.tensors[name].shape, faults)
        theirs = [one for one in (own_loss, *(self.gradients or {}).values()) if one is not None]
        elements = TIMES * inner.layout.elements + sum([tensor.array.size for tensor in theirs])
        if elements > checked.max_elements:
            detail = f"the check needs {elements} elements; the limit is {checked.max_elements}"
            faults.append(Fault("", detail, TOO_LARGE))
        # All is computed in float64 beside the request's type, by a formula with a work space of its own.
        checked.layout.elements = elements + self.request.workspace * inner.layout.elements + LEAST_WORK

    def numbers(self) -> int:
        """The loss, and all gradients."""
        tensors = self.request.checked.tensors
        others = [name for name in self.gradients or () if name not in self.request.checked.gradients]
        return self.request.numbers() + sum([numel(tensors[name].shape) for name in others])


def orders(shape: Shape) -> set[Shape]:
    """The shapes of a tensor whose dims stand in another order: all turned round, or the second first or last."""
    if len(shape) < 2:
        return set()
    return {shape[::-1], (shape[0], *shape[2:], shape[1]), (shape[0], shape[-1], *shape[1:-1])}


def _expect(name: str, given: Tensor, wanted: Shape, faults: list[Fault]) -> None:
    shape = given.array.shape
    where = pointer(*name.split(".", 1))
    if shape != wanted and shape not in orders(wanted):
        faults.append(Fault(where, f"shape {show(shape)} is not the reference's, which is {show(wanted)}"))
    elif given.array.dtype.kind == "b":
        faults.append(Fault(where, "numbers are needed here"))
    else:
        given.array = given.array.astype(np.float64)
