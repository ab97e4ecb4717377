"""What a request is answered with: `LossResult` inside the service, `LossAnswer` as JSON callers read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from schemas.dtype import FloatingName
from schemas.request import ABSENT
from schemas.tensor import Tensor


class TermResult(NamedTuple):
    """One term of a composite: its value before its factor, and what its mean divides by, if that is a quotient."""

    name: str
    value: float
    factor: float
    divisor: float | None


@dataclass(slots=True)
class LossResult:
    """A loss and its gradients, as arrays of the request's type.

    `extras` holds what a loss answers beside them, by name; `terms` what a composite is the sum of.
    """

    loss: NDArray[Any]
    gradients: dict[str, NDArray[Any]]
    reduction: str
    divisor: float | None
    count: int
    ignored: int
    dtype: FloatingName
    warnings: list[str]
    extras: dict[str, NDArray[Any]] = field(default_factory=dict)
    terms: list[TermResult] | None = None


class TermAnswer(BaseModel):
    """One term of a composite."""

    name: str = Field(description="Its own name, or else its loss's.")
    value: float | None = Field(description="Its loss, before its factor; a string where it is not finite.")
    factor: float = Field(description="What it is multiplied by.")
    divisor: float | None = Field(
        description="What its `mean` divides by; null where that is no quotient, a string where it is not finite."
    )


class LossAnswer(BaseModel):
    """A loss and its gradients."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "loss": 0.49485517,
                "gradients": {"input": [[-0.14293532, 0.11686026, 0.026075048], [0.1002032, 0.11074166, -0.21094488]]},
                "reduction": "mean",
                "divisor": 1.5,
                "count": 2,
                "ignored": 0,
                "dtype": "float32",
                "warnings": [],
            }
        }
    )

    loss: Tensor = Field(description="The loss: a number for `mean` and `sum`, the unreduced tensor for `none`.")
    gradients: dict[str, Tensor] = Field(description="By tensor name, each of its tensor's shape and the loss's type.")
    reduction: str = Field(description="The reduction that was applied.")
    divisor: float | None = Field(
        description="What `mean` divides by, also told for `sum` and `none`: a data set's mean is the sum of sums over "
        "the sum of divisors. null where mean is no such quotient, a string where it is not finite."
    )
    count: int = Field(description="Elements of the unreduced loss that contribute.")
    ignored: int = Field(description="Elements of the unreduced loss that are ignored.")
    dtype: FloatingName = Field(description="The type of the loss and the gradients.")
    warnings: list[str] = Field(description="Deprecated members, and values that PyTorch's documents do not allow.")
    output: Tensor = Field(ABSENT, description="adaptive_log_softmax_with_loss: each target's log-probability.")
    terms: list[TermAnswer] = Field(ABSENT, description="composite: what it is the sum of, in order.")
