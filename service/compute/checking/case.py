"""The request that is checked, in float64: its right answer, and those under changed requests and formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.tensor import Reading
from schemas.tensor import Tensor as Member
from service.compute import batch
from service.compute.backward_pass import backward_pass
from service.compute.objective import leaves, reduced
from service.compute.transfer import Device
from service.losses import Tensors, Terms

Array = NDArray[Any]


class Answer(NamedTuple):
    """A loss and its gradients by tensor name, in float64."""

    loss: Array
    gradients: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Case:
    """A request in float64 with the gradients that are looked at, and its right answer.

    `divisor`: what its mean divides by, where that is one number.
    """

    request: LossRequest
    answer: Answer
    divisor: float | None
    device: Device

    def again(self, leave_out: tuple[str, ...] = (), **members: Any) -> Answer | None:
        """The answer to the same request with other members; `None` where such a request is not sound."""
        try:
            other = variant(self.request, leave_out, **members)
        except InvalidRequest:
            return None
        found, _ = answer_of(other, self.device)
        return found

    def by(self, terms: Callable[[Tensors], Terms]) -> Answer:
        """The answer if the formula were another: what it makes of the request's tensors, as they are.

        Cotangents and the reduction remain.
        """
        checked = self.request.checked
        wanted = checked.gradients
        tensors = leaves(self.request, self.device, "float64", wanted)
        made = terms(tensors)
        values = made.values.reshape(checked.layout.unreduced)
        loss = values if checked.reduction == "none" else reduced(self.request, made)
        gradients = [torch.zeros_like(tensors[name]) for name in wanted]
        if loss.requires_grad:
            given = np.ones(loss.shape) if checked.cotangent is None else checked.cotangent
            start = torch.tensor(np.asarray(given, np.float64).reshape(tuple(loss.shape)), device=loss.device)
            inputs = [tensors[name] for name in wanted]
            found = backward_pass([loss], inputs, [start])
            gradients = [gradient.clone() for gradient in found]
        down = self.device.download([loss, *gradients])
        return Answer(np.array(down[0]), dict(zip(wanted, down[1:], strict=True)))

    def scaled(self, loss: float = 1.0, gradients: float = 1.0) -> Answer:
        """The right answer, its loss and its gradients times these."""
        return Answer(
            self.answer.loss * loss, {name: found * gradients for name, found in self.answer.gradients.items()}
        )


def case_of(request: LossRequest, gradients: tuple[str, ...], device: Device) -> Case:
    """A checked request as a case. Raises whatever torch raises."""
    wide = variant(request, ("size_average", "reduce"), reduction=request.checked.reduction, gradients=list(gradients))
    answer, divisor = answer_of(wide, device)
    return Case(wide, answer, divisor, device)


def answer_of(request: LossRequest, device: Device) -> tuple[Answer, float | None]:
    """The answer to a request, and its divisor."""
    (result,) = batch.compute([request], device)
    return (
        Answer(
            np.asarray(result.loss, np.float64),
            {name: np.asarray(gradient, np.float64) for name, gradient in result.gradients.items()},
        ),
        result.divisor,
    )


def variant(request: LossRequest, leave_out: tuple[str, ...] = (), **members: Any) -> LossRequest:
    """The same request in float64 with other members. Raises `InvalidRequest`."""
    own = {
        name: _copied(request.__dict__[name])
        for name in request.model_fields_set
        if name not in leave_out and name not in ("loss", "encoding")
    }
    reading = Reading(max_elements=request.checked.max_elements)
    changed = {name: _copied(value) for name, value in members.items()}
    return type(request).model_validate({**own, "dtype": "float64", **changed, "loss": request.name}, context=reading)


def _copied(value: Any) -> Any:
    """The value without what the check of another request would change in its place."""
    if isinstance(value, Member):
        return Member(value.array, typed=True)
    if isinstance(value, BaseModel):
        return {name: _copied(value.__dict__[name]) for name in value.model_fields_set}
    if isinstance(value, list):
        return [_copied(one) for one in value]
    if isinstance(value, dict):
        return {name: _copied(one) for name, one in value.items()}
    return value


def orders(array: Array) -> Iterator[Array]:
    """The same numbers with their dims in another order: as a caller might lay them out."""
    if array.ndim < 2:
        return
    yield array.T
    if array.ndim > 2:
        yield np.moveaxis(array, 1, -1)
        yield np.moveaxis(array, -1, 1)
