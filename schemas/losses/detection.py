"""Losses on boxes: how far a predicted box is from overlapping with the true one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats
from schemas.layout import Layout
from schemas.problem import Fault
from schemas.request import About, LossRequest, Stacking
from schemas.tensor import Tensor
from schemas.values import comparable, position

if TYPE_CHECKING:
    from schemas.vectors.drawing import Drawing

EXAMPLE: dict[str, Any] = {
    "input": [[0.0, 0.0, 2.0, 1.0], [3.0, 1.0, 5.0, 4.0]],
    "target": [[0.5, 0.2, 2.5, 1.5], [6.0, 2.0, 7.0, 6.0]],
}
ORDERED = (
    "Boxes with x2 < x1 or y2 < y1 are refused; torchvision asserts so in some of its losses, and is silent in others."
)
SHARED = "Where edges of both boxes coincide, each has half of the gradient."


class BoxLoss(LossRequest):
    """What losses on boxes have: predicted and true ones, `(x1, y1, x2, y2)`."""

    unreduced: ClassVar[str] = "() | N"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 8

    input: Annotated[Tensor, Floats("4 | N 4")] = Field(description="Predicted boxes, x1 y1 x2 y2.")
    target: Annotated[Tensor, Floats("4 | N 4")] = Field(description="True boxes, x1 y1 x2 y2.")
    eps: float = Field(1e-7, ge=0, description="Added to what is divided by.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """A box has four coordinates."""
        if layout.size("4") not in (4, None):
            layout.fault("input", f"a box has 4 coordinates, x1 y1 x2 y2; here are {layout.size('4')}")

    @classmethod
    def drawn(cls, drawing: Drawing, members: dict[str, Any]) -> None:
        """Each box from its lower corner to its upper one."""
        for name in ("input", "target"):
            corners = np.asarray(members[name], np.float64).reshape(-1, 2, 2)
            members[name] = np.sort(corners, axis=1).reshape(np.shape(members[name]))

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """No box ends before it starts; NaN passes."""
        for name in ("input", "target"):
            boxes = comparable(checked.tensors[name])
            inverted = boxes[..., 2:] < boxes[..., :2]
            if inverted.any():
                where, _ = position(name, boxes[..., 2:], inverted)
                *path, axis = where.split("/")
                side = "xy"[int(axis)]
                faults.append(Fault("/".join((*path, str(int(axis) + 2))), f"{side}2 is less than {side}1"))


class IoU(BoxLoss):
    """One minus the intersection over the union of two boxes."""

    about = About(
        family="detection",
        formula=r"\ell_n = 1 - \frac{|A \cap B|}{|A \cup B| + \epsilon}",
        mean="the number of boxes",
        example=EXAMPLE,
        notes=(
            "Boxes that do not overlap have the loss 1 and no gradient; in the other forms they have one.",
            "UnitBox, and other libraries by default, take -log of the quotient instead.",
            ORDERED,
            SHARED,
        ),
        source="torchvision.ops.generalized_box_iou_loss, without its penalty",
    )
    loss: Literal["iou_loss"] = "iou_loss"


class GeneralizedBoxIoU(BoxLoss):
    """The IoU loss, and the share of the smallest enclosing box that neither box covers."""

    about = About(
        family="detection",
        formula=r"\ell_n = 1 - \frac{|A \cap B|}{|A \cup B| + \epsilon} + \frac{|C| - |A \cup B|}{|C| + \epsilon}, "
        r"\quad C \text{ the smallest box around both}",
        mean="the number of boxes",
        example=EXAMPLE,
        notes=(ORDERED, SHARED),
        source="Rezatofighi et al., CVPR 2019; torchvision.ops.generalized_box_iou_loss",
    )
    loss: Literal["generalized_box_iou_loss", "GIoULoss"] = "generalized_box_iou_loss"


class DistanceBoxIoU(BoxLoss):
    """The IoU loss, and the squared distance of the centres over the enclosing box's squared diagonal."""

    about = About(
        family="detection",
        formula=r"\ell_n = 1 - \frac{|A \cap B|}{|A \cup B| + \epsilon} + \frac{\lVert a - b \rVert^2}{d^2 + \epsilon}"
        r", \quad a, b \text{ the centres, } d \text{ the diagonal of the smallest box around both}",
        mean="the number of boxes",
        example=EXAMPLE,
        notes=(ORDERED, SHARED),
        source="Zheng et al., AAAI 2020; torchvision.ops.distance_box_iou_loss",
    )
    loss: Literal["distance_box_iou_loss", "DIoULoss"] = "distance_box_iou_loss"


class CompleteBoxIoU(BoxLoss):
    """The distance IoU loss, and how the boxes' proportions differ."""

    about = About(
        family="detection",
        formula=r"\ell_n = \ell_n^{\text{DIoU}} + \alpha v, \quad "
        r"v = \frac{4}{\pi^2} \left(\arctan\frac{w_B}{h_B} - \arctan\frac{w_A}{h_A}\right)^2, \quad "
        r"\alpha = \frac{v}{1 - \text{IoU} + v + \epsilon}",
        mean="the number of boxes",
        example=EXAMPLE,
        notes=(
            "alpha is a constant for the gradient, as in torchvision and the paper: the gradient is not the slope of "
            "the loss.",
            "A box without height has the angle of its width, one without either the angle 0; torchvision's loss or "
            "gradient is NaN there.",
            ORDERED,
            SHARED,
        ),
        source="Zheng et al., AAAI 2020; torchvision.ops.complete_box_iou_loss",
    )
    workspace: ClassVar[int] = 10

    loss: Literal["complete_box_iou_loss", "CIoULoss"] = "complete_box_iou_loss"
