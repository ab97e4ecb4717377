"""Sequence losses: label sequences against unaligned frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from schemas.check import Checked
from schemas.dims import Shape, numel, show
from schemas.field import Floats, Integers
from schemas.layout import Layout
from schemas.problem import TOO_LARGE, Fault
from schemas.request import About, LossRequest
from schemas.tensor import Tensor
from schemas.values import check_range, position

if TYPE_CHECKING:
    from schemas.vectors.drawing import Drawing


class CTC(LossRequest):
    """Connectionist temporal classification: the negative log likelihood of a label sequence over all alignments."""

    about = About(
        family="sequence",
        formula=r"\ell_n = -\log \sum_{\pi \,\to\, y_n} \prod_t p_t(\pi_t)",
        mean="each sequence by max(its target length, 1), then N; being no single quotient, divisor is null",
        example={
            "log_probs": [[[-0.5, -1.5, -1.7]], [[-1.2, -0.7, -1.6]], [[-0.9, -1.3, -1.1]]],
            "targets": [[1, 2]],
            "input_lengths": [3],
            "target_lengths": [2],
        },
        notes=(
            "The gradient is right only for logits behind a log_softmax, as in PyTorch: it already contains its "
            "backward step, and finite differences in log_probs do not reproduce it.",
            "An infeasible target (longer than its frames allow) has infinite loss and NaN gradients, unless "
            "zero_infinity.",
            "Labels outside [0, C), labels equal to blank, and lengths out of bounds are refused. Padding beyond a "
            "target's length may hold anything.",
            "Never stacked with other requests. float16 and bfloat16 are computed in float32 and rounded.",
        ),
        source="torch.nn.functional; Graves et al., ICML 2006",
    )
    unreduced: ClassVar[str] = "() | N"
    predictions: ClassVar[tuple[str, ...]] = ("log_probs",)
    twice_differentiable: ClassVar[bool] = False
    normalised: ClassVar[tuple[str, ...]] = ("log_probs",)

    loss: Literal["ctc_loss", "CTCLoss"] = "ctc_loss"
    log_probs: Annotated[Tensor, Floats("T C | T N C")] = Field(description="Log-probabilities of each frame.")
    targets: Annotated[Tensor, Integers("")] = Field(
        description="Labels: `S` unbatched, `N S` padded, or all of a batch concatenated."
    )
    input_lengths: Annotated[Tensor, Integers("")] = Field(description="Frames of each sequence, `N` (or `()`).")
    target_lengths: Annotated[Tensor, Integers("")] = Field(description="Labels of each sequence, `N` (or `()`).")
    blank: int = Field(0, ge=0, description="The class that stands for no label.")
    zero_infinity: bool = Field(False, description="Whether infeasible targets count as zero, with zero gradients.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Lengths go with the batch; T x N x (2S + 1) states are needed."""
        shapes = layout.shapes
        unbatched = layout.form == 0
        batch: Shape = layout.unreduced
        for name in ("input_lengths", "target_lengths"):
            if name in shapes and shapes[name] != batch and not (unbatched and shapes[name] == (1,)):
                layout.fault(name, f"shape {show(shapes[name])} is not {show(batch)}, a length for each sequence")
        targets = shapes.get("targets")
        if targets is None or layout.size("T") is None:
            return
        if unbatched and len(targets) != 1:
            layout.fault("targets", f"shape {show(targets)} does not fit [S]")
        elif len(targets) not in (1, 2) or (len(targets) == 2 and targets[:1] != batch):
            layout.fault("targets", f"shape {show(targets)} does not fit [N, S] with N = {numel(batch)}, or one dim")
        if 0 in layout.shapes["log_probs"]:
            layout.fault("log_probs", "there must be at least one frame, one sequence and one class")
        longest = targets[-1] if targets else 0
        if len(targets) == 1 and not unbatched:  # concatenated: at least the mean length; check sees the longest
            longest = -(-longest // max(numel(batch), 1))
        layout.elements += (layout.size("T") or 0) * numel(batch) * (2 * longest + 1)

    @classmethod
    def drawn(cls, drawing: Drawing, members: dict[str, Any]) -> None:
        """Targets of one or two labels that are not blank, and their lengths; log-probabilities are below 0."""
        if "targets" in members:
            return
        log_probs = members["log_probs"] = -np.abs(members["log_probs"])
        batch = log_probs.shape[1:-1]
        labels = drawing.whole((*batch, 2), 0, max(log_probs.shape[-1] - 1, 1))
        members["targets"] = labels + (labels >= members.get("blank", 0))
        members["input_lengths"] = np.full(batch, log_probs.shape[0])
        members["target_lengths"] = drawing.whole(batch, 1, 3) if batch else np.asarray(2)

    def mean_divides(self, checked: Checked) -> int | None:
        """Each sequence by its own length first: no quotient of a sum."""
        return None

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Labels, lengths and blank: torch reads and writes out of bounds where they are wrong."""
        layout, tensors = checked.layout, checked.tensors
        frames, classes = layout.size("T") or 0, layout.size("C") or 0
        if self.blank >= classes:
            faults.append(Fault("/blank", f"{self.blank} is outside [0, {classes})"))
        targets = tensors["targets"]
        lengths = tensors["target_lengths"]
        padded = targets.ndim == 2  # one dim: concatenated, also where there is one sequence only
        before = len(faults)
        check_range("input_lengths", tensors["input_lengths"], 0, frames, faults)
        check_range("target_lengths", lengths, 0, targets.shape[-1], faults)
        if len(faults) > before:
            return
        if not padded and int(lengths.sum()) != targets.size:
            faults.append(Fault("/target_lengths", f"sum to {int(lengths.sum())}, but there are {targets.size} labels"))
            return
        states = frames * checked.count * (2 * int(lengths.max()) + 1)
        if states > checked.max_elements:
            detail = f"the alignments have {states} states; the limit is {checked.max_elements} elements"
            faults.append(Fault("", detail, TOO_LARGE))
            return
        used = np.ones(targets.shape, np.bool_)
        if padded:
            used = np.arange(targets.shape[-1]) < lengths.reshape(-1, 1)
        outside = used & ((targets < 0) | (targets >= classes))
        if outside.any():
            where, value = position("targets", targets, outside)
            faults.append(Fault(where, f"label {value} is outside [0, {classes})"))
        blanks = used & (targets == self.blank)
        if blanks.any():
            where, _ = position("targets", targets, blanks)
            faults.append(Fault(where, f"label {self.blank} is the blank"))
        tensors["targets"] = np.where(used, targets, 0)
