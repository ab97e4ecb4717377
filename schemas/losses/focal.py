"""Losses that weigh what is hard: focal losses, poly-1 and the asymmetric loss."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats, Indices, TensorField
from schemas.losses.classification import IGNORED, CrossEntropyTargets
from schemas.request import ABSENT, About, Int64, LossRequest, Predicted, Reduction, Stacking
from schemas.tensor import Tensor


class SigmoidFocal(LossRequest):
    """Two-class cross entropy of logits, in which what is predicted well already counts little."""

    about = About(
        family="classification",
        formula=r"\ell = -\alpha_t\,(1 - p_t)^\gamma \bigl(y \log \sigma(x) + (1-y) \log \sigma(-x)\bigr), \quad "
        r"p_t = y\,\sigma(x) + (1-y)\,\sigma(-x), \quad \alpha_t = \alpha\,y + (1-\alpha)(1-y)",
        mean="the number of elements",
        example={"input": [2.0, -1.0, 0.5], "target": [1.0, 0.0, 1.0]},
        notes=(
            "torchvision's default reduction is none; here it is mean, as everywhere. Detectors divide by the number "
            "of positives: ask for sum, or send its reciprocal as cotangent.",
            "A negative alpha: no weights (torchvision's -1). gamma = 0 without alpha is "
            "binary_cross_entropy_with_logits.",
        ),
        source="Lin et al., ICCV 2017; torchvision.ops.sigmoid_focal_loss",
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    workspace: ClassVar[int] = 12
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["sigmoid_focal_loss", "SigmoidFocalLoss"] = "sigmoid_focal_loss"
    input: Annotated[Tensor, Floats("*D")] = Field(description="Logits of class 1.")
    target: Annotated[Tensor, TensorField("*D", domain="usually_unit")] = Field(
        description="True probabilities of class 1."
    )
    alpha: float = Field(
        0.25, le=1, description="The weight of class 1, 1 - alpha that of class 0; below 0: no weights."
    )
    gamma: float = Field(2.0, ge=0, description="How much less what is predicted well counts; 0: no less.")


class Focal(LossRequest):
    """Cross entropy of softmaxed logits, in which what is predicted well already counts little."""

    about = About(
        family="classification",
        formula=r"\ell_n = -w_{y_n} (1 - p_n)^\gamma \log p_n, \quad p_n = \operatorname{softmax}(x_n)_{y_n}",
        mean="the sum of w[y] over targets that are not ignored",
        example={"input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2], "gamma": 2.0},
        notes=(
            "gamma = 0 is cross_entropy, with class weights too. Other libraries' means divide by the number of "
            "targets even with weights: ask for sum, and divide by count.",
            *IGNORED,
            "A NaN logit in an ignored row: the loss stays finite, and only that row's gradient is NaN.",
        ),
        source="Lin et al., ICCV 2017",
    )
    unreduced: ClassVar[str] = "() | N *D"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 9
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["focal_loss", "FocalLoss"] = "focal_loss"
    input: Annotated[Tensor, Floats("C | N C *D")] = Field(description="Logits, unnormalised.")
    target: Annotated[Tensor, Indices("() | N *D")] = Field(description="The true classes.")
    weight: Annotated[Tensor, Floats("C", differentiable="never")] = Field(
        ABSENT, description="A weight for each class: alpha, for some."
    )
    gamma: float = Field(2.0, ge=0, description="How much less what is predicted well counts; 0: no less.")
    ignore_index: Int64 = Field(-100, description="Targets of this value do not contribute.")

    def mean_divides(self, checked: Checked) -> int | None:
        """The count, or with weights their sum."""
        return None if "weight" in checked.tensors else checked.count


class Poly1CrossEntropy(CrossEntropyTargets):
    """Cross entropy with another first term of its series in the probability that is missing from the truth."""

    about = About(
        family="classification",
        formula=r"\ell_n = -\sum_c y_{n,c} \log p_{n,c} + \epsilon \sum_c y_{n,c}\,(1 - p_{n,c}), \quad "
        r"p_n = \operatorname{softmax}(x_n); \quad \text{with a class index } y_n: -\log p_{n,y_n} "
        r"+ \epsilon\,(1 - p_{n,y_n})",
        mean="class indices: the number of targets that are not ignored; probabilities: N times further dims",
        example={"input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2], "epsilon": 2.0},
        notes=(
            "epsilon = 0 is cross_entropy. The paper has 2 for image classification, -1 for detection.",
            "When every target is ignored, mean is NaN with zero gradients (on_empty chooses).",
            "Whole numbers in the shape of input are probabilities; these need not add up to 1.",
        ),
        source="Leng et al., ICLR 2022; optax.losses.poly_loss_cross_entropy",
    )
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 9

    loss: Literal["poly1_cross_entropy", "Poly1CrossEntropyLoss", "poly_loss_cross_entropy"] = "poly1_cross_entropy"
    input: Annotated[Tensor, Floats("C | N C *D")] = Field(description="Logits, unnormalised.")
    target: Annotated[Tensor, Indices("() | N *D", probabilities="C | N C *D")] = Field(
        description="The true classes, or their probabilities."
    )
    epsilon: float = Field(2.0, description="What is added to the first term's coefficient, 1.")
    ignore_index: Int64 = Field(-100, description="Class indices of this value do not contribute.")


class Asymmetric(LossRequest):
    """Multi-label cross entropy that weighs down easy negatives more than easy positives, and drops the easiest."""

    about = About(
        family="multilabel",
        formula=r"\ell = -w\,\bigl(y \log p + (1-y) \log q\bigr), \quad p = \sigma(x), \quad "
        r"q = \min(\sigma(-x) + m, 1), \quad w = \bigl(y\,(1-p) + (1-y)(1-q)\bigr)^{\gamma_+ y + \gamma_- (1-y)}",
        mean="the number of elements",
        example={"input": [[0.1, -1.2, 0.4]], "target": [[1, 0, 1]]},
        notes=(
            "The default reduction is sum, as in the authors' code. timm's batchmean is the sum with 1 / N as "
            "cotangent.",
            "A negative whose probability is below clip has no loss and no gradient.",
            "Logarithms are clamped at log(eps), where they have no gradient, as in timm; eps = 0 leaves them be.",
            "timm's disable_torch_grad_focal_loss is focal_gradient = false.",
            "float16 and bfloat16 are computed in float32 and rounded.",
        ),
        source="Ridnik et al., ICCV 2021; timm.loss.AsymmetricLossMultiLabel",
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    workspace: ClassVar[int] = 16
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["asymmetric_loss", "AsymmetricLossMultiLabel"] = "asymmetric_loss"
    input: Annotated[Tensor, Floats("*D")] = Field(description="Logits of each class.")
    target: Annotated[Tensor, TensorField("*D", domain="usually_unit")] = Field(
        description="1 for each class that applies, else 0; or probabilities."
    )
    reduction: Reduction = Field(
        "sum", description="`none` answers the unreduced loss; `mean` divides by the number of elements."
    )
    gamma_neg: float = Field(4.0, ge=0, description="How much less easy negatives count.")
    gamma_pos: float = Field(1.0, ge=0, description="How much less easy positives count.")
    clip: float = Field(0.05, ge=0, lt=1, description="The margin m by which negatives' probabilities are lowered.")
    eps: float = Field(1e-8, ge=0, lt=1, description="The least probability that a logarithm is taken of.")
    focal_gradient: bool = Field(True, description="Whether the gradient goes through the weights w too.")
