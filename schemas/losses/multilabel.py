"""Multi-label losses: scores of classes, several of which may apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats, Integers, TensorField
from schemas.layout import Layout
from schemas.problem import Fault
from schemas.request import ABSENT, About, LossRequest, Predicted, Stacking
from schemas.tensor import Tensor
from schemas.values import check_labels

if TYPE_CHECKING:
    from schemas.vectors.drawing import Drawing


class MultiLabelMargin(LossRequest):
    """Multi-label hinge loss: every label's score must lie 1 above those of all other classes."""

    about = About(
        family="classification",
        formula=r"\ell_n = \frac1C \sum_{j \in Y_n} \sum_{c \notin Y_n} \max(0,\, 1 - (x_{n,j} - x_{n,c}))",
        mean="N (each row is already divided by C)",
        example={"input": [[0.1, 0.2, 0.4, 0.8]], "target": [[3, 0, -1, 1]]},
        notes=(
            "A row of target lists the row's labels, ended by -1; what follows the first -1 is not looked at.",
            "float16 and bfloat16 are computed in float32 and rounded.",
            "Over no rows, mean is what on_empty says; PyTorch's is uninitialised memory.",
        ),
    )
    unreduced: ClassVar[str] = "() | N"
    stacking: ClassVar[Stacking] = "rows"
    twice_differentiable: ClassVar[bool] = False

    loss: Literal["multilabel_margin_loss", "MultiLabelMarginLoss"] = "multilabel_margin_loss"
    input: Annotated[Tensor, Floats("C | N C")] = Field(description="Scores.")
    target: Annotated[Tensor, Integers("C | N C")] = Field(description="The labels of each row, ended by -1.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Torch refuses rows without classes."""
        if layout.size("C") == 0:
            layout.fault("input", "there must be at least one class")

    @classmethod
    def drawn(cls, drawing: Drawing, members: dict[str, Any]) -> None:
        """Rows of one or two different labels, ended by -1."""
        target = members["target"]
        if target.shape[-1] >= 3:
            target[..., 1] = (target[..., 0] + 1) % target.shape[-1]
            target[..., 2:] = -1
            target[..., 1] = np.where(drawing.whole(target.shape[:-1], 0, 2) > 0, target[..., 1], -1)

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Labels lie in [0, C) up to the first -1; nothing beyond it reaches torch."""
        checked.tensors["target"] = check_labels("target", checked.tensors["target"], faults)


class MultiLabelSoftMargin(LossRequest):
    """Multi-label cross entropy: one logistic loss a class, averaged over the classes."""

    about = About(
        family="classification",
        formula=r"\ell_n = -\frac1C \sum_c w_c \bigl("
        r"y_{n,c} \log \sigma(x_{n,c}) + (1-y_{n,c}) \log \sigma(-x_{n,c})\bigr)",
        mean="N (each row is already divided by C)",
        example={"input": [[0.1, -1.2, 0.4]], "target": [[1, 0, 1]]},
    )
    unreduced: ClassVar[str] = "*B"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 10
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["multilabel_soft_margin_loss", "MultiLabelSoftMarginLoss"] = "multilabel_soft_margin_loss"
    input: Annotated[Tensor, Floats("*B C")] = Field(description="Logits.")
    target: Annotated[Tensor, TensorField("*B C", domain="usually_binary")] = Field(
        description="1 for each class that applies, else 0."
    )
    weight: Annotated[Tensor, Floats("C")] = Field(ABSENT, description="A weight for each class.")
