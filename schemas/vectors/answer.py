"""Test vectors as JSON callers read them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from schemas.result import LossAnswer

Kind = Literal["example", "shape", "tensor", "option", "reduction", "gradient", "cotangent", "ignored", "edge"]
KINDS: tuple[Kind, ...] = (
    "example", "shape", "tensor", "option", "reduction", "gradient", "cotangent", "ignored", "edge"
)  # fmt: skip


class Tolerance(BaseModel):
    """How near an answer must be: |found - expected| <= atol + rtol * |expected|, for every number of it."""

    rtol: float = Field(description="The part of the expected number.")
    atol: float = Field(description="What is added to it.")


class Vector(BaseModel):
    """One request and its answer."""

    name: str = Field(description="Unique in its loss: `option/beta/1/float64`.", examples=["option/beta/1/float64"])
    kind: Kind = Field(description="What it tries.")
    description: str = Field(description="What it tries, in words.")
    request: dict[str, Any] = Field(description="The request, as one may POST it to `/v1/loss`.")
    expected: LossAnswer = Field(description="The answer.")
    tolerance: Tolerance = Field(description="How near another implementation should come.")


class LeftOut(BaseModel):
    """A case that there is no vector of."""

    name: str = Field(description="What it would be called.", examples=["edge/no-rows/float64"])
    reason: str = Field(description="Why.")


class Vectors(BaseModel):
    """All vectors of one loss."""

    loss: str = Field(description="The loss's name.", examples=["smooth_l1_loss"])
    format: int = Field(description="The version of this form.", examples=[1])
    gradwire: str = Field(description="The version of Gradwire that made them.")
    torch: str = Field(description="The version of torch that computed them.")
    seed: str = Field(description="What the draws start from.")
    left_out: list[LeftOut] = Field(description="Cases without a vector, with the reason.")
    cases: list[Vector] = Field(description="The vectors.")
