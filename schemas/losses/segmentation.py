"""Segmentation losses: how far a predicted region overlaps the true one."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.check import Checked
from schemas.dims import numel
from schemas.field import Floats, TensorField
from schemas.layout import Layout, Shapes, layout_of
from schemas.problem import Fault
from schemas.request import ABSENT, About, Int64, LossRequest
from schemas.tensor import Tensor
from schemas.values import position

VALUES = "the number of values of the unreduced loss: classes, images, both, or one; less what absent skips"
COUNTS = (
    "I, FP and FN are the sums of p t, p (1 - t) and (1 - p) t, with p the probability and t the target of each pixel "
    "and class. per says what they are summed over: the whole batch for each class (class), each image (image), each "
    "image and class (image_class), or everything (all). In mode binary there is one class: class is all, and "
    "image_class is image."
)
MODES = (
    "mode multiclass: softmax over C, target class indices N *D or, in the shape of input, class probabilities. "
    "multilabel: a sigmoid each, target in the shape of input. binary: the same without a class dim, input N *D."
)
ABSENTEES = (
    "What has no true pixel has no overlap to speak of: its loss is 0, and mean counts it, as in "
    "segmentation_models_pytorch. absent skip leaves it out of the mean; score takes it as it comes, which is 1 unless "
    "smooth is above 0."
)
EXAMPLE: Final[dict[str, Any]] = {
    "input": [[[2.0, -1.0, 0.5], [0.1, 1.2, -0.3]]],
    "target": [[0, 1, 0]],
    "mode": "multiclass",
}
UNREDUCED: Final = {"class": "C", "image": "N", "image_class": "N C", "all": "()"}
OF_ONE_CLASS: Final = {"class": "()", "image": "N", "image_class": "N", "all": "()"}


def refuse_outside_unit(
    name: str, array: NDArray[Any], void: NDArray[np.bool_] | np.bool_, faults: list[Fault]
) -> None:
    """Values are in [0, 1], NaN is not, except where they are void."""
    numbers = array.astype(np.float64)
    odd = ~((numbers >= 0) & (numbers <= 1)) & ~void
    if odd.any():
        where, value = position(name, numbers, odd)
        faults.append(Fault(where, f"{value} is not in [0, 1]"))


class Overlap(LossRequest):
    """What losses on the overlap of regions have."""

    unreduced: ClassVar[str] = "C"
    workspace: ClassVar[int] = 5

    input: Annotated[Tensor, Floats("N | N C *D")] = Field(
        description="Logits, or probabilities if from_logits is false. In mode binary any shape that starts with N."
    )
    target: Annotated[
        Tensor,
        TensorField("N | N *D", kind="index", differentiable="with probabilities", probabilities="N | N C *D"),
    ] = Field(description="The true classes of the pixels; or in the shape of input 1 where a class is, else 0.")
    mode: Literal["binary", "multiclass", "multilabel"] = Field(
        description="One region; one class a pixel; or any number of classes a pixel."
    )
    per: Literal["class", "image", "image_class", "all"] = Field(
        "class", description="What each value of the unreduced loss belongs to."
    )
    absent: Literal["zero", "skip", "score"] = Field(
        "zero",
        description="What values without a true pixel do: be 0, be left out of the mean, or stay as they are.",
    )
    from_logits: bool = Field(True, description="Whether input holds logits or probabilities.")
    log_loss: bool = Field(False, description="Whether the loss is -log(score) instead of 1 - score.")
    smooth: float = Field(0.0, ge=0, description="Added to numerator and denominator.")
    eps: float = Field(1e-7, gt=0, description="What denominators, and the score that log_loss takes, are at least.")
    ignore_index: Int64 = Field(ABSENT, description="Targets of this value do not count.")

    def layout(self, shapes: Shapes) -> Layout:
        """The unreduced loss is as per says."""
        return layout_of(type(self), shapes, (OF_ONE_CLASS if self.mode == "binary" else UNREDUCED)[self.per])

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Class indices become a number for each class."""
        layout.elements += numel(layout.shapes.get("input", ()))

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """The target goes with the mode, probabilities are some, and what is absent may be left out."""
        logits, target, layout = checked.tensors["input"], checked.tensors["target"], checked.layout
        checked.ignored = 0  # pixels that are ignored are no values of the loss
        if self.mode != "binary" and layout.form == 0:
            faults.append(Fault("/input", f"mode {self.mode} needs a dim of classes: shape [N, C, *D]"))
            return
        if self.mode != "multiclass" and not layout.probabilities:
            faults.append(Fault("/target", f"mode {self.mode} takes a target in the shape of input"))
            return
        void: NDArray[np.bool_] | np.bool_ = np.False_
        if self.ignore_index is not None:
            if self.mode == "multiclass" and layout.probabilities:
                faults.append(Fault("/ignore_index", "goes with class indices; the targets are probabilities"))
                return
            void = np.asarray(target == self.ignore_index)
        if layout.probabilities:
            refuse_outside_unit("target", target, void, faults)
        if not self.from_logits:
            of_input = void if layout.probabilities or not np.ndim(void) else np.expand_dims(void, 1)
            refuse_outside_unit("input", logits, of_input, faults)
        if self.absent == "skip" and not faults:
            checked.ignored = int((~self._present(target, void, layout)).sum())

    def _present(self, target: NDArray[Any], void: NDArray[np.bool_] | np.bool_, layout: Layout) -> NDArray[np.bool_]:
        """Which values of the unreduced loss have a true pixel."""
        images, classes = layout.size("N") or 0, layout.size("C") or 0
        if layout.probabilities:
            there = (target > 0) & ~void
            of_image = there.reshape(images, 1 if self.mode == "binary" else classes, -1 if there.size else 0)
            found = of_image.any(axis=2)
        else:
            found = np.zeros((images, classes), np.bool_)
            at = np.nonzero(np.broadcast_to(~void, target.shape))
            found[at[0], target[at]] = True
        over: dict[str, tuple[int, ...]] = {"class": (0,), "image": (1,), "image_class": (), "all": (0, 1)}
        present: NDArray[np.bool_] = np.logical_or.reduce(found, axis=over[self.per])
        return present.reshape(layout.unreduced)


class Dice(Overlap):
    """One minus the Dice score of probabilities and true regions."""

    about = About(
        family="segmentation",
        formula=r"\ell = 1 - \frac{2 I + s}{\max(2 I + FP + FN + s,\, \epsilon)}",
        mean=VALUES,
        example=EXAMPLE,
        notes=(
            COUNTS,
            MODES,
            ABSENTEES,
            "The Tversky loss with alpha = beta = 1/2 is this one, with a smooth of half the size.",
        ),
        source="Milletari et al., arXiv:1606.04797; segmentation_models_pytorch's DiceLoss",
    )
    loss: Literal["dice_loss", "DiceLoss"] = "dice_loss"


class Jaccard(Overlap):
    """One minus the Jaccard score, the intersection over the union."""

    about = About(
        family="segmentation",
        formula=r"\ell = 1 - \frac{I + s}{\max(I + FP + FN + s,\, \epsilon)}",
        mean=VALUES,
        example=EXAMPLE,
        notes=(COUNTS, MODES, ABSENTEES),
        source="Rahman and Wang, ISVC 2016; segmentation_models_pytorch's JaccardLoss",
    )
    loss: Literal["jaccard_loss", "JaccardLoss"] = "jaccard_loss"


class Tversky(Overlap):
    """One minus the Tversky index, which weighs false positives and false negatives apart."""

    about = About(
        family="segmentation",
        formula=r"\ell = 1 - \frac{I + s}{\max(I + \alpha FP + \beta FN + s,\, \epsilon)}",
        mean=VALUES,
        example=EXAMPLE,
        notes=(COUNTS, MODES, ABSENTEES),
        source="Salehi et al., arXiv:1706.05721; segmentation_models_pytorch's TverskyLoss",
    )
    loss: Literal["tversky_loss", "TverskyLoss"] = "tversky_loss"
    alpha: float = Field(0.5, ge=0, description="The weight of false positives.")
    beta: float = Field(0.5, ge=0, description="The weight of false negatives.")


class FocalTversky(Overlap):
    """A power of the Tversky loss of each class or image, so that hard ones weigh more or less."""

    about = About(
        family="segmentation",
        formula=r"\ell = \Bigl(1 - \frac{I + s}{\max(I + \alpha FP + \beta FN + s,\, \epsilon)}\Bigr)^{\gamma}",
        mean=VALUES,
        example=EXAMPLE,
        notes=(
            COUNTS,
            MODES,
            ABSENTEES,
            "gamma is the exponent itself, as in the authors' code, whose 0.75 is the paper's 1/gamma with 4/3.",
            "The power is taken of each value. segmentation_models_pytorch's TverskyLoss takes it of their mean: the "
            "same where there is one value (mode binary, or per all).",
            "Where a loss is 0 its gradient is 0, also for a gamma below 1.",
        ),
        source="Abraham and Khan, arXiv:1810.07842; segmentation_models_pytorch's TverskyLoss",
    )
    loss: Literal["focal_tversky_loss", "FocalTverskyLoss"] = "focal_tversky_loss"
    alpha: float = Field(0.5, ge=0, description="The weight of false positives.")
    beta: float = Field(0.5, ge=0, description="The weight of false negatives.")
    gamma: float = Field(0.75, gt=0, description="The exponent.")
