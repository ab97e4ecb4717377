"""Second derivatives of a loss."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from schemas.check import Checked
from schemas.dims import numel, show
from schemas.dtype import FLOATING, cast_floating
from schemas.loss_operation import LossOperation
from schemas.operation import OperationAnswer
from schemas.problem import TOO_LARGE, Fault, pointer
from schemas.tensor import MAX_TENSORS, Tensor

PASSES = 3
"""Times the elements of a loss alone that its Hessian-vector product needs: the graph of the gradients is kept too."""
LEAST_WORK = 1 << 15
"""Elements that it counts as at least: what torch loads at a first second derivative is not for the event loop."""


class HvpAnswer(OperationAnswer):
    """A loss, its gradients, and the Hessian-vector product."""

    loss: Tensor = Field(description="As POST /v1/loss answers it.")
    gradients: dict[str, Tensor] = Field(description="As POST /v1/loss answers them.")
    hvp: dict[str, Tensor] = Field(description="By the names of `vectors`, each of its tensor's shape.")


class Hvp(LossOperation):
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
    one_cotangent: ClassVar[str] = "there is one product a call"

    vectors: dict[str, Tensor] = Field(
        min_length=1,
        max_length=MAX_TENSORS,
        description="By tensor name, a vector of its tensor's shape. Any tensors in which there are gradients.",
    )

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """The loss has second derivatives, and the vectors are of its tensors' shapes."""
        reason = self.request.once_only()
        if reason:
            faults.append(Fault("/request/loss", reason))
        for name, vector in self.vectors.items():
            detail = self._unfit(name, vector)
            if detail:
                faults.append(Fault(pointer("vectors", name), detail))
            else:
                vector.array = cast_floating(vector.array, FLOATING[checked.dtype])
                checked.tensors[f"vectors.{name}"] = vector.array
        elements = PASSES * self.request.checked.layout.elements
        elements += sum([vector.array.size for vector in self.vectors.values()])
        if elements > checked.max_elements:
            detail = f"second derivatives need {elements} elements; the limit is {checked.max_elements}"
            faults.append(Fault("", detail, TOO_LARGE))
        checked.layout.elements = max(elements, LEAST_WORK)

    def numbers(self) -> int:
        """The loss's own, and the products."""
        return self.request.numbers() + sum([numel(vector.array.shape) for vector in self.vectors.values()])

    def _unfit(self, name: str, vector: Tensor) -> str | None:
        """Why a vector does not go with the request, if it does not."""
        reason = self.without_gradient(name)
        if reason:
            return reason
        shape = self.request.checked.tensors[name].shape
        if vector.array.shape != shape:
            return f"shape {show(vector.array.shape)} is not the tensor's shape, which is {show(shape)}"
        return None
