"""Second derivatives of a loss."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from schemas.check import Checked, not_differentiable
from schemas.dims import numel, show
from schemas.dtype import FLOATING, cast_floating
from schemas.layout import Layout
from schemas.nested_request import NestedRequest
from schemas.operation import Operation, OperationAnswer
from schemas.problem import TOO_LARGE, Fault, pointer
from schemas.request import LossRequest
from schemas.tensor import MAX_TENSORS, Reading, Tensor

PASSES = 3
"""Times the elements of a loss alone that its Hessian-vector product needs: the graph of the gradients is kept too."""


LEAST_WORK = 1 << 15
"""Elements that it counts as at least: what torch loads at a first second derivative is not for the event loop."""


class HvpAnswer(OperationAnswer):
    """A loss, its gradients, and the Hessian-vector product."""

    loss: Tensor = Field(description="As POST /v1/loss answers it.")
    gradients: dict[str, Tensor] = Field(description="As POST /v1/loss answers them.")
    hvp: dict[str, Tensor] = Field(description="By the names of `vectors`, each of its tensor's shape.")


class Hvp(Operation):
    """The product of a loss's Hessian and a vector, beside the loss and its gradients."""

    name: ClassVar[str] = "hvp"
    path: ClassVar[str] = "/v1/hvp"
    family: ClassVar[str] = "derivatives"
    description: ClassVar[str] = (
        "`H v`, where `H` holds the second derivatives of the reduced loss (times its `cotangent`; under `none` of the "
        "unreduced loss's sum weighted by it) in all tensors that `vectors` names, taken together. Those that it does "
        "not name are constants. The catalogue tells which losses have second derivatives "
        "(`twice_differentiable`). float16 and bfloat16 are computed in float32. In safetensors the tensors are named "
        "`request.input` and `vectors.input`, and answered as `hvp.input`."
    )
    example: ClassVar[dict[str, Any]] = {
        "request": {"loss": "cross_entropy", "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2]},
        "vectors": {"input": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]},
    }
    answer: ClassVar[type[BaseModel]] = HvpAnswer
    maps: ClassVar[frozenset[str]] = frozenset(("vectors",))
    nested: ClassVar[frozenset[str]] = frozenset(("request",))

    request: NestedRequest = Field(description="The loss.")
    vectors: dict[str, Tensor] = Field(
        min_length=1,
        max_length=MAX_TENSORS,
        description="By tensor name, a vector of its tensor's shape. Any tensors in which there are gradients.",
    )

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """The loss has second derivatives, and the vectors are of its tensors' shapes."""
        if broken:
            return Checked({}, Layout({}))
        inner = self.request.checked
        tensors = {f"request.{name}": array for name, array in inner.tensors.items()}
        layout = Layout({name: array.shape for name, array in tensors.items()})
        checked = Checked(tensors, layout, inner.dtype, max_elements=reading.max_elements, warnings=inner.warnings)
        reason = self.request.once_only()
        if reason:
            faults.append(Fault("/request/loss", reason))
        if inner.cotangents is not None:
            faults.append(Fault("/request/cotangents", "there is one product a call: give one cotangent"))
        same_type(self, self.request, faults)
        for name, vector in self.vectors.items():
            detail = _unfit(self.request, name, vector)
            if detail:
                faults.append(Fault(pointer("vectors", name), detail))
            else:
                vector.array = cast_floating(vector.array, FLOATING[inner.dtype])
                tensors[f"vectors.{name}"] = vector.array
        layout.elements = PASSES * inner.layout.elements + sum([vector.array.size for vector in self.vectors.values()])
        if layout.elements > reading.max_elements:
            detail = f"second derivatives need {layout.elements} elements; the limit is {reading.max_elements}"
            faults.append(Fault("", detail, TOO_LARGE))
        layout.elements = max(layout.elements, LEAST_WORK)
        return checked

    def numbers(self) -> int:
        """The loss's own, and the products."""
        return self.request.numbers() + sum([numel(vector.array.shape) for vector in self.vectors.values()])


def same_type(operation: Operation, request: LossRequest, faults: list[Fault]) -> None:
    """Refuse another type for the operation than its request has."""
    if operation.__dict__["dtype"] not in (None, request.checked.dtype):
        faults.append(Fault("/dtype", f"the request is of type {request.checked.dtype}: tell the type there"))


def _unfit(request: LossRequest, name: str, vector: Tensor) -> str | None:
    """Why a vector does not go with the request, if it does not."""
    checked = request.checked
    given = request.arrays()
    if name not in given:
        return f"{request.name} has no such tensor here; there are {', '.join(given)}"
    reason = not_differentiable(request, name, request.fields_of(given)[name], checked.layout)
    if reason:
        return reason
    shape = checked.tensors[name].shape
    if vector.array.shape != shape:
        return f"shape {show(vector.array.shape)} is not the tensor's shape, which is {show(shape)}"
    return None
