"""Segmentation losses that extend the Jaccard index to the errors of the pixels (Lovász)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.check import Checked
from schemas.dims import numel
from schemas.field import Floats, Indices
from schemas.layout import Layout, Shapes, layout_of
from schemas.losses.segmentation import refuse_outside_unit
from schemas.problem import Fault
from schemas.request import ABSENT, About, Int64, LossRequest
from schemas.tensor import Tensor
from schemas.values import position

EXTENSION = (
    "J is the Lovász extension of the Jaccard loss: the errors from the greatest down, each times how much the Jaccard "
    "loss grows as its pixel joins those that are wrong. Of equal errors the earlier pixel is first."
)


class LovaszHinge(LossRequest):
    """The Lovász extension of the Jaccard loss, over the hinge errors of one region."""

    about = About(
        family="segmentation",
        formula=r"\ell_n = J\bigl(\max(0,\, 1 - x_n (2 y_n - 1))\bigr)",
        mean="N, or with per_image false 1",
        example={"input": [[0.4, -1.2, 0.3]], "target": [[1, 0, 0]]},
        notes=(
            EXTENSION,
            "An image whose pixels are all ignored has the loss 0, and counts.",
            "segmentation_models_pytorch's LovaszLoss has per_image false by default.",
        ),
        source="Berman, Triki and Blaschko, arXiv:1705.08790; their lovasz_hinge",
    )
    unreduced: ClassVar[str] = "N"
    workspace: ClassVar[int] = 13

    loss: Literal["lovasz_hinge_loss", "LovaszHingeLoss"] = "lovasz_hinge_loss"
    input: Annotated[Tensor, Floats("N *D")] = Field(description="Logits: above 0 is inside.")
    target: Annotated[Tensor, Floats("N *D", differentiable="never")] = Field(description="1 inside, 0 outside.")
    per_image: bool = Field(True, description="Whether each image has a loss of its own, or the batch has one.")
    ignore_index: Int64 = Field(ABSENT, description="Targets of this value do not count.")

    def layout(self, shapes: Shapes) -> Layout:
        """A value an image, or one."""
        return layout_of(type(self), shapes, "N" if self.per_image else "()")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Targets are 0 or 1, or ignored."""
        target = checked.tensors["target"].astype(np.float64)
        odd = (target != 0) & (target != 1)
        if self.ignore_index is not None:
            odd &= target != self.ignore_index
        if odd.any():
            where, value = position("target", target, odd)
            faults.append(Fault(where, f"{value} is neither 0 nor 1"))


class LovaszSoftmax(LossRequest):
    """The Lovász extension of the Jaccard loss, over the errors of each class's probability."""

    about = About(
        family="segmentation",
        formula=r"\ell_c = J\bigl(|[y = c] - \operatorname{softmax}(x)_c|\bigr)",
        mean="the number of classes that are averaged; with per_image the number of images",
        example={"input": [[[2.0, -1.0, 0.5], [0.1, 1.2, -0.3]]], "target": [[0, 1, 0]]},
        notes=(
            EXTENSION,
            "Without per_image the unreduced loss has a value for each class over the whole batch; with it, one for "
            "each image, the mean over its classes.",
            "classes present leaves out those without a true pixel (in the image), all takes them: their loss is their "
            "greatest probability. What has no pixel at all that counts is left out either way.",
            "The original takes probabilities: from_logits false.",
        ),
        source="Berman, Triki and Blaschko, arXiv:1705.08790; their lovasz_softmax",
    )
    unreduced: ClassVar[str] = "C"
    workspace: ClassVar[int] = 14

    loss: Literal["lovasz_softmax_loss", "LovaszSoftmaxLoss"] = "lovasz_softmax_loss"
    input: Annotated[Tensor, Floats("N C *D")] = Field(description="Logits, or probabilities if from_logits is false.")
    target: Annotated[Tensor, Indices("N *D")] = Field(description="The true classes of the pixels.")
    classes: Literal["present", "all"] = Field("present", description="Which classes are averaged over.")
    per_image: bool = Field(False, description="Whether each image has a loss of its own, or the batch has one.")
    from_logits: bool = Field(True, description="Whether input holds logits or probabilities.")
    ignore_index: Int64 = Field(ABSENT, description="Targets of this value do not count.")

    def layout(self, shapes: Shapes) -> Layout:
        """A value an image, or one a class."""
        return layout_of(type(self), shapes, "N" if self.per_image else "C")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Class indices become a number for each class."""
        layout.elements += numel(layout.shapes.get("input", ()))

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Probabilities are some; classes or images that are left out are ignored."""
        target, layout = checked.tensors["target"], checked.layout
        counts = np.ones(target.shape, np.bool_)
        if self.ignore_index is not None:
            counts = target != self.ignore_index
        if not self.from_logits:
            refuse_outside_unit("input", checked.tensors["input"], ~np.expand_dims(counts, 1), faults)
        if not faults:
            checked.ignored = numel(layout.unreduced) - self._averaged(target, counts, layout)

    def _averaged(self, target: NDArray[Any], counts: NDArray[np.bool_], layout: Layout) -> int:
        """How many images or classes are averaged over."""
        if self.per_image:
            return int(counts.reshape(layout.unreduced[0], -1 if counts.size else 0).any(axis=1).sum())
        if self.classes == "present":
            return len(np.unique(target[counts]))
        return numel(layout.unreduced) if counts.any() else 0
