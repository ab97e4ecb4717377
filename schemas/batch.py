"""Many losses in one call, as JSON callers read and write them: `BatchRequest` and `BatchAnswer`, for OpenAPI alone.

A result is either an answer or a problem. It is described as one model whose members may all be left out, since client
generators make little of unions.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from schemas.dtype import FloatingName
from schemas.problem import ProblemError
from schemas.request import ABSENT
from schemas.result import TermAnswer
from schemas.tensor import Tensor

MAX_LOSSES: Final = 1024
"""Losses that one call may ask for."""
MAX_ID: Final = 128
"""Characters of an `id` that is a string."""

ID: Final = f"A string of 1 to {MAX_ID} characters, or a whole number of 64 bits"
Id = Annotated[Any, WithJsonSchema({"description": f"{ID}.", "examples": ["a-17", 17]})]


class BatchItem(BaseModel):
    """One request of a batch call: the members of `POST /v1/loss`, and an `id`."""

    model_config = ConfigDict(extra="allow")

    loss: str = Field(description="The loss: its name, or an alias. Its tensors and options stand beside it.")
    id: Id = Field(ABSENT, description=f"{ID}, which comes back with the result.")


class BatchRequest(BaseModel):
    """Losses to compute, each on its own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "requests": [
                    {"id": "a", "loss": "cross_entropy", "input": [[2.0, 0.5, -1.0]], "target": [0]},
                    {"loss": "mse_loss", "input": [0.5, 1.0], "target": [0.0, 1.5], "reduction": "sum"},
                    {"loss": "mse_loss", "input": [0.5, 1.0]},
                ]
            }
        },
    )

    requests: list[BatchItem] = Field(max_length=MAX_LOSSES, description="The requests, in any mix of losses.")


class BatchResult(BaseModel):
    """The answer to one request (`loss` and its neighbours), or the problem with it (`status` and its neighbours)."""

    id: Id = Field(ABSENT, description="The request's own `id`, if it had one.")

    loss: Tensor = Field(ABSENT, description="The loss: a number, or for `none` the unreduced tensor.")
    gradients: dict[str, Tensor] = Field(ABSENT, description="By tensor name.")
    reduction: str = Field(ABSENT, description="The reduction that was applied.")
    divisor: float | None = Field(ABSENT, description="What `mean` divides by; as in the answer to one loss.")
    count: int = Field(ABSENT, description="Elements of the unreduced loss that contribute.")
    ignored: int = Field(ABSENT, description="Elements of the unreduced loss that are ignored.")
    dtype: FloatingName = Field(ABSENT, description="The type of the loss and the gradients.")
    warnings: list[str] = Field(ABSENT, description="As in the answer to one loss.")
    output: Tensor = Field(ABSENT, description="adaptive_log_softmax_with_loss: each target's log-probability.")
    terms: list[TermAnswer] = Field(ABSENT, description="composite: what it is the sum of, in order.")

    type: str = Field(ABSENT, description="A problem's kind: `about:blank`.")
    title: str = Field(ABSENT, description="A problem's status in words.")
    status: int = Field(ABSENT, description="A problem's HTTP status, as the request alone would have had.")
    detail: str = Field(ABSENT, description="What happened this time.")
    instance: str = Field(ABSENT, description="The request, as a pointer into the call's body.")
    errors: list[ProblemError] = Field(ABSENT, description="Every fault; pointers lead from the request itself.")


class BatchAnswer(BaseModel):
    """A result for every request, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "results": [
                    {
                        "id": "a",
                        "loss": 0.24131133,
                        "gradients": {"input": [[-0.21440297, 0.17529039, 0.03911257]]},
                        "reduction": "mean",
                        "divisor": 1.0,
                        "count": 1,
                        "ignored": 0,
                        "dtype": "float32",
                        "warnings": [],
                    },
                    {
                        "loss": 0.5,
                        "gradients": {"input": [1.0, -1.0]},
                        "reduction": "sum",
                        "divisor": 2.0,
                        "count": 2,
                        "ignored": 0,
                        "dtype": "float32",
                        "warnings": [],
                    },
                    {
                        "type": "about:blank",
                        "title": "Unprocessable Content",
                        "status": 422,
                        "detail": "/target is wrong: required, but missing",
                        "instance": "/v1/loss/batch#/requests/2",
                        "errors": [{"pointer": "/target", "detail": "required, but missing"}],
                    },
                ]
            }
        }
    )

    results: list[BatchResult] = Field(description="Answers, and problems in the places of bad requests.")
