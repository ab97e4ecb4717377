"""Ranking losses: which of two scores should be higher."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.field import Floats, Signs
from schemas.request import About, LossRequest, Stacking
from schemas.tensor import Tensor


class MarginRanking(LossRequest):
    """Hinge loss on the difference of two scores: target 1 wants input1 higher, -1 wants input2 higher."""

    about = About(
        family="ranking",
        formula=r"\ell = \max(0,\, -y\,(x_1 - x_2) + m)",
        mean="the number of elements",
        example={"input1": [0.5, 1.2], "input2": [0.7, 0.1], "target": [1, 1], "margin": 0.1},
        notes=("All three tensors have one shape. The gradient exactly at the margin is -1 times the slope.",),
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    predictions: ClassVar[tuple[str, ...]] = ("input1", "input2")

    loss: Literal["margin_ranking_loss", "MarginRankingLoss"] = "margin_ranking_loss"
    input1: Annotated[Tensor, Floats("*D")] = Field(description="First scores.")
    input2: Annotated[Tensor, Floats("*D")] = Field(description="Second scores.")
    target: Annotated[Tensor, Signs("*D", differentiable="always")] = Field(description="Which should be higher.")
    margin: float = Field(0.0, description="How much higher.")
