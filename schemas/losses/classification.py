"""Classification losses: logits or log-probabilities against classes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats, Indices, Signs
from schemas.problem import Fault
from schemas.request import ABSENT, About, Int64, LossRequest, Predicted, Stacking
from schemas.tensor import Tensor

IGNORED = (
    "When every target is ignored, mean is NaN with zero gradients (on_empty chooses). A zero class weight on every "
    "class present gives NaN and NaN gradients, as in PyTorch.",
)


class NLL(LossRequest):
    """Negative log likelihood of the target class, from log-probabilities."""

    about = About(
        family="classification",
        formula=r"\ell_n = -w_{y_n}\, x_{n, y_n}",
        mean="the sum of w[y] over targets that are not ignored",
        example={"input": [[-0.22, -1.72, -3.22], [-1.2, -1.1, -1.0]], "target": [0, 2]},
        notes=IGNORED,
    )
    unreduced: ClassVar[str] = "() | N *D"
    stacking: ClassVar[Stacking] = "rows"
    predicts: ClassVar[Predicted | None] = "log_probabilities"

    loss: Literal["nll_loss", "NLLLoss"] = "nll_loss"
    input: Annotated[Tensor, Floats("C | N C *D")] = Field(description="Log-probabilities.")
    target: Annotated[Tensor, Indices("() | N *D")] = Field(description="The true classes.")
    weight: Annotated[Tensor, Floats("C", differentiable="with probabilities")] = Field(
        ABSENT, description="A weight for each class."
    )
    ignore_index: Int64 = Field(-100, description="Targets of this value do not contribute.")

    def mean_divides(self, checked: Checked) -> int | None:
        """The count, or with weights their sum."""
        return None if "weight" in checked.tensors else checked.count


class CrossEntropyTargets(LossRequest):
    """What cross entropy says of its targets, whichever way the logits come about."""

    unreduced: ClassVar[str] = "() | N *D"
    workspace: ClassVar[int] = 7

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """ignore_index goes with class indices alone."""
        if checked.layout.probabilities and "ignore_index" in self.model_fields_set and self.refuses_ignore_index():
            faults.append(Fault("/ignore_index", "goes with class indices; the targets are probabilities"))

    def mean_divides(self, checked: Checked) -> int | None:
        """The count; with class indices and weights, the sum of the targets' weights."""
        weighted = "weight" in checked.tensors and not checked.layout.probabilities
        return None if weighted else checked.count

    def refuses_ignore_index(self) -> bool:
        """Whether this ignore_index is refused beside probability targets."""
        return bool(self.__dict__["ignore_index"] >= 0)


SMOOTHING = (
    "With class weights, smoothing and ignored rows together, mean is "
    "((1-e) sum w[y] nll + (e/C) sum_n sum_c w_c (-log p)) / sum w[y], over the rows that are not ignored."
)


class CrossEntropy(CrossEntropyTargets):
    """Cross entropy of softmaxed logits against class indices or class probabilities."""

    about = About(
        family="classification",
        formula=r"\ell_n = -w_{y_n} \log \frac{e^{x_{n, y_n}}}{\sum_c e^{x_{n,c}}} \quad\text{or}\quad "
        r"-\sum_c w_c\, y_{n,c} \log \operatorname{softmax}(x_n)_c",
        mean="class indices: the sum of w[y] over targets that are not ignored; probabilities: N times further dims",
        example={
            "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]],
            "target": [0, 2],
            "weight": [1.0, 2.0, 0.5],
            "ignore_index": -100,
            "label_smoothing": 0.0,
            "reduction": "mean",
        },
        notes=(
            *IGNORED,
            SMOOTHING,
            "A NaN logit in an ignored row: the loss stays finite, and only that row's gradient is NaN.",
            "Classes masked by -Infinity logits are fine with class indices; where a probability target is 0 there, "
            "the loss is NaN, as in PyTorch, and warnings says so.",
            "Whole numbers in the shape of input are probabilities.",
        ),
    )
    stacking: ClassVar[Stacking] = "rows"
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["cross_entropy", "CrossEntropyLoss"] = "cross_entropy"
    input: Annotated[Tensor, Floats("C | N C *D")] = Field(description="Logits, unnormalised.")
    target: Annotated[Tensor, Indices("() | N *D", probabilities="C | N C *D")] = Field(
        description="The true classes, or their probabilities."
    )
    weight: Annotated[Tensor, Floats("C", differentiable="with probabilities")] = Field(
        ABSENT, description="A weight for each class."
    )
    ignore_index: Int64 = Field(-100, description="Class indices of this value do not contribute.")
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="The share of each target that is spread evenly over all classes."
    )

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Also warn of masked logits that a probability target of 0 turns into NaN."""
        super().check(checked, faults)
        if checked.layout.probabilities:
            masked = np.isneginf(checked.tensors["input"])
            if masked.any() and (checked.tensors["target"][masked] == 0).any():
                checked.warnings.append(
                    "target: 0 probability where input is -Infinity makes the loss NaN, as in PyTorch"
                )


class MultiMargin(LossRequest):
    """Multi-class hinge loss: every other class must stay a margin below the true one."""

    about = About(
        family="classification",
        formula=r"\ell_n = \frac1C \sum_{c \ne y_n} w_{y_n} \max(0,\, m - x_{n,y_n} + x_{n,c})^p",
        mean="N (each row is already divided by C)",
        example={"input": [[0.1, 0.2, 0.4], [0.5, -0.3, 0.2]], "target": [2, 0]},
        notes=(
            "The gradient exactly at the margin is 0.",
            "float16 and bfloat16 are computed in float32 and rounded.",
            "Over no rows, mean is what on_empty says; PyTorch's is 0.",
        ),
    )
    unreduced: ClassVar[str] = "() | N"
    stacking: ClassVar[Stacking] = "rows"
    twice_differentiable: ClassVar[bool] = False
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["multi_margin_loss", "MultiMarginLoss"] = "multi_margin_loss"
    input: Annotated[Tensor, Floats("C | N C")] = Field(description="Scores.")
    target: Annotated[Tensor, Indices("() | N")] = Field(description="The true classes.")
    weight: Annotated[Tensor, Floats("C", differentiable="never")] = Field(
        ABSENT, description="A weight for each class."
    )
    p: int = Field(1, ge=1, le=2, description="The power of the hinge, 1 or 2.")
    margin: float = Field(1.0, description="How far the other scores must stay below.")


class SoftMargin(LossRequest):
    """Two-class logistic loss with targets 1 and -1."""

    about = About(
        family="classification",
        formula=r"\ell = \log(1 + e^{-y x})",
        mean="the number of elements",
        example={"input": [0.4, -1.2, 0.3], "target": [1, -1, -1]},
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["soft_margin_loss", "SoftMarginLoss"] = "soft_margin_loss"
    input: Annotated[Tensor, Floats("*D")] = Field(description="Scores.")
    target: Annotated[Tensor, Signs("*D")] = Field(description="The true signs.")
