"""Losses between probabilities or their logarithms."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats, Probabilities, TensorField
from schemas.request import ABSENT, About, LossRequest, Predicted, Stacking
from schemas.tensor import Tensor


class BinaryCrossEntropy(LossRequest):
    """Cross entropy of two-class probabilities."""

    about = About(
        family="probability",
        formula=r"\ell = -w\,\bigl(y \log x + (1-y) \log(1-x)\bigr)",
        mean="the number of elements, not the sum of weights",
        example={"input": [0.9, 0.2, 0.6], "target": [1.0, 0.0, 1.0]},
        notes=(
            "Logarithms are clamped at -100, and the gradient at input 0 or 1 reaches 1e12: "
            "binary_cross_entropy_with_logits is the stable form.",
            "A value outside [0, 1], NaN included, is refused in input and target.",
            "PyTorch has no gradient in weight.",
            "float16 and bfloat16 are computed in float32 and rounded: PyTorch's float16 gradient at 0 and 1 is NaN or "
            "infinite.",
        ),
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    predicts: ClassVar[Predicted | None] = "probabilities"

    loss: Literal["binary_cross_entropy", "BCELoss"] = "binary_cross_entropy"
    input: Annotated[Tensor, Probabilities("*D")] = Field(description="Probabilities of class 1.")
    target: Annotated[Tensor, Probabilities("*D")] = Field(description="True probabilities of class 1.")
    weight: Annotated[Tensor, Floats("*D", differentiable="never", broadcast=True)] = Field(
        ABSENT, description="A factor for each element."
    )


class BinaryCrossEntropyWithLogits(LossRequest):
    """Cross entropy of two-class logits: a sigmoid and binary cross entropy in one stable step."""

    about = About(
        family="probability",
        formula=r"\ell = -w\,\bigl(p\,y \log \sigma(x) + (1-y) \log(1-\sigma(x))\bigr)",
        mean="the number of elements",
        example={"input": [2.0, -1.0, 0.5], "target": [1.0, 0.0, 1.0], "pos_weight": [2.0, 1.0, 1.0]},
        notes=("Weights broadcast to the input's shape, and never enlarge it. PyTorch has no gradient in them.",),
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["binary_cross_entropy_with_logits", "BCEWithLogitsLoss"] = "binary_cross_entropy_with_logits"
    input: Annotated[Tensor, Floats("*D")] = Field(description="Logits of class 1.")
    target: Annotated[Tensor, TensorField("*D", domain="usually_unit")] = Field(
        description="True probabilities of class 1."
    )
    weight: Annotated[Tensor, Floats("*D", differentiable="never", broadcast=True)] = Field(
        ABSENT, description="A factor for each element."
    )
    pos_weight: Annotated[Tensor, Floats("*D", differentiable="never", broadcast=True)] = Field(
        ABSENT, description="A factor p for the positive part, usually one for each class."
    )


class KLDiv(LossRequest):
    """Kullback-Leibler divergence of the target from log-probabilities."""

    about = About(
        family="probability",
        formula=r"\ell = y\,(\log y - x) \quad\text{or, with log\_target, } e^{y}\,(y - x)",
        mean="the number of elements; batchmean: the size of the first dim, which is the divergence's own definition",
        example={"input": [[-0.5, -0.93]], "target": [[0.7, 0.3]], "reduction": "batchmean"},
        notes=(
            "input holds log-probabilities.",
            "The gradient in target is NaN where target is 0, as in PyTorch; the loss and input's gradient are not.",
        ),
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"

    loss: Literal["kl_div", "KLDivLoss"] = "kl_div"
    input: Annotated[Tensor, Floats("*D")] = Field(description="Log-probabilities.")
    target: Annotated[Tensor, Floats("*D")] = Field(description="Probabilities, or with log_target their logarithms.")
    reduction: Literal["none", "mean", "batchmean", "sum"] = Field(  # type: ignore[assignment] # one more than all have
        "mean", description="As for all losses, and batchmean: the sum divided by the size of the first dim."
    )
    log_target: bool = Field(False, description="Whether target holds log-probabilities too.")

    def mean_divides(self, checked: Checked) -> int | None:
        """The number of elements; under batchmean the size of dim 0, 1 where there is none."""
        if checked.reduction != "batchmean":
            return checked.count
        shape = checked.layout.unreduced
        return shape[0] if shape else 1
