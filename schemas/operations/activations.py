"""What stands between a model's scores and a loss that wants probabilities or their logarithms."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from schemas.check import Checked
from schemas.dims import numel
from schemas.field import Floats
from schemas.operation import Operation, OperationAnswer
from schemas.problem import Fault
from schemas.request import ABSENT
from schemas.tensor import Tensor


class ActivationAnswer(OperationAnswer):
    """The activation's output, and the gradient in its input where that was asked for."""

    output: Tensor = Field(description="Of the input's shape.")
    gradients: dict[str, Tensor] = Field(description="With a cotangent: `input`, of the input's shape. Else empty.")


class Activation(Operation):
    """What all of them have."""

    family: ClassVar[str] = "activations"
    answer: ClassVar[type[BaseModel]] = ActivationAnswer
    unreduced: ClassVar[str] = "*D"
    workspace: ClassVar[int] = 7

    input: Annotated[Tensor, Floats("*D")] = Field(description="Scores (logits).")
    cotangent: Annotated[Tensor, Floats("*D")] = Field(
        ABSENT,
        description="The upstream gradient v, of the input's shape: the answer has the v-Jacobian product beside the "
        "output.",
    )
    temperature: float = Field(1.0, gt=0, description="What the scores are divided by first.")

    def numbers(self) -> int:
        """The output, and a gradient."""
        shape = self.checked.tensors["input"].shape
        return numel(shape) * (1 + ("cotangent" in self.checked.tensors))


class OverDim(Activation):
    """Those that normalise over a dim."""

    dim: int = Field(-1, description="The dim whose entries are weighed against each other; from the end if negative.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """The dim is there."""
        ndim = checked.tensors["input"].ndim
        if not -max(ndim, 1) <= self.dim < max(ndim, 1):
            faults.append(Fault("/dim", f"{self.dim} is no dim of a tensor that has {ndim}"))


_EXAMPLE: dict[str, Any] = {
    "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]],
    "cotangent": [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
}


class Softmax(OverDim):
    """Probabilities over a dim, from scores."""

    name: ClassVar[str] = "softmax"
    path: ClassVar[str] = "/v1/softmax"
    description: ClassVar[str] = "`exp(x / T) / sum(exp(x / T))` over the dim. For `nll_loss`, take `log_softmax`."
    example: ClassVar[dict[str, Any]] = {**_EXAMPLE, "dim": -1, "temperature": 1.0}


class LogSoftmax(OverDim):
    """Logarithms of probabilities over a dim, from scores: what `nll_loss` and `kl_div` expect."""

    name: ClassVar[str] = "log_softmax"
    path: ClassVar[str] = "/v1/log_softmax"
    description: ClassVar[str] = "`x / T - logsumexp(x / T)` over the dim."
    example: ClassVar[dict[str, Any]] = {**_EXAMPLE, "dim": -1}


class Sigmoid(Activation):
    """The probability of class 1, from a score: what `binary_cross_entropy` expects."""

    name: ClassVar[str] = "sigmoid"
    path: ClassVar[str] = "/v1/sigmoid"
    description: ClassVar[str] = "`1 / (1 + exp(-x / T))`. In front of a loss, take `binary_cross_entropy_with_logits`."
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class LogSigmoid(Activation):
    """The logarithm of the probability of class 1, from a score."""

    name: ClassVar[str] = "logsigmoid"
    path: ClassVar[str] = "/v1/logsigmoid"
    description: ClassVar[str] = "`-log(1 + exp(-x / T))`, stable for scores of any size."
    example: ClassVar[dict[str, Any]] = _EXAMPLE
