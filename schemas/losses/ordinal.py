"""Ordinal losses: ranks, told by as many yes-or-no questions as there are steps between them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats, Indices, TensorField
from schemas.problem import Fault
from schemas.request import ABSENT, About, LossRequest, Stacking
from schemas.tensor import Tensor
from schemas.values import check_range

RANKS = "There are K + 1 ranks, 0 to K; column k of input answers whether the rank is above k."


class Coral(LossRequest):
    """Whether the rank is above each threshold, as one binary cross entropy a threshold (CORAL)."""

    about = About(
        family="ordinal",
        formula=r"\ell_n = -\sum_{k} w_k \bigl(l_{n,k} \log \sigma(x_{n,k}) + "
        r"(1 - l_{n,k}) \log(1 - \sigma(x_{n,k}))\bigr), \quad l_{n,k} = [y_n > k]",
        mean="N, also with importance weights",
        example={"input": [[2.1, 1.8, -2.1], [1.9, -1.0, -1.5]], "target": [2, 0]},
        notes=(
            RANKS,
            "In CORAL all columns have one slope and biases of their own; that is the model's part.",
            "In the shape of input, target holds levels: 1 where the rank is above the threshold, else 0. Values in "
            "between are taken, as by coral-pytorch; others are refused.",
        ),
        source="Cao, Mirjalili and Raschka, Pattern Recognition Letters 2020 (arXiv:1901.07884); coral-pytorch",
    )
    unreduced: ClassVar[str] = "N"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 8

    loss: Literal["coral_loss", "CoralLoss"] = "coral_loss"
    input: Annotated[Tensor, Floats("N K")] = Field(description="A logit for each threshold.")
    target: Annotated[
        Tensor, TensorField("N", kind="index", domain="unit", differentiable="with probabilities", probabilities="N K")
    ] = Field(description="The true ranks, 0 to K, or their levels.")
    importance_weights: Annotated[Tensor, Floats("K")] = Field(ABSENT, description="A weight for each threshold.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Ranks are in [0, K]."""
        if not checked.layout.probabilities:
            check_range("target", checked.tensors["target"], 0, checked.layout.size("K") or 0, faults)


class Corn(LossRequest):
    """Whether the rank is above each threshold, given that it is above the one before (CORN)."""

    about = About(
        family="ordinal",
        formula=r"\ell_n = -\sum_{k \le y_n} \bigl([y_n > k] \log \sigma(x_{n,k}) + "
        r"[y_n = k] \log(1 - \sigma(x_{n,k}))\bigr)",
        mean="the number of questions asked: the sum over n of min(y_n + 1, K)",
        example={"input": [[2.1, 1.8, -2.1], [1.9, -1.0, -1.5]], "target": [2, 0]},
        notes=(
            RANKS,
            "Threshold k is asked of examples whose rank is at least k alone: the others have no gradient there.",
            "A rank's probability is the product of the sigmoids up to it.",
        ),
        source="Shi, Cao and Raschka, Pattern Analysis and Applications 2023 (arXiv:2111.08851); coral-pytorch 1.4",
    )
    unreduced: ClassVar[str] = "N"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 9

    loss: Literal["corn_loss", "CornLoss"] = "corn_loss"
    input: Annotated[Tensor, Floats("N K")] = Field(
        description="A logit for each threshold, of the probability given those before."
    )
    target: Annotated[Tensor, Indices("N")] = Field(description="The true ranks, 0 to K.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Ranks are in [0, K]."""
        check_range("target", checked.tensors["target"], 0, checked.layout.size("K") or 0, faults)

    def mean_divides(self, checked: Checked) -> int | None:
        """The questions asked."""
        return None
