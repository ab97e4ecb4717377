"""Losses of language models: the next token's cross entropy, and what keeps logits from drifting."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats, Indices, Mask
from schemas.layout import Layout
from schemas.problem import Fault
from schemas.request import ABSENT, About, Int64, LossRequest, Predicted, Stacking
from schemas.tensor import Tensor


class ZLoss(LossRequest):
    """The squared logarithm of the softmax's normaliser, times a small number: it keeps logits near normalised."""

    about = About(
        family="language",
        formula=r"\ell_n = \lambda \Bigl(\log \sum_c e^{x_{n,c}}\Bigr)^2",
        mean="the number of positions that the mask lets take part",
        example={"input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "mask": [1, 1], "coefficient": 1e-2},
        notes=(
            "Added to a cross entropy's mean over the same positions: mask is where its targets are not ignored.",
            "next_token_cross_entropy has it as an option; coefficient is T5X's z_loss and Liger's lse_square_scale, "
            "PaLM's 1e-4.",
            "Routers of mixtures of experts have the same loss, with 1e-3 (Zoph et al. 2022).",
        ),
        source="Chowdhery et al. 2022 (PaLM, section 5); t5x.losses.cross_entropy_with_logits",
    )
    unreduced: ClassVar[str] = "*B"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 7

    loss: Literal["z_loss"] = "z_loss"
    input: Annotated[Tensor, Floats("*B C")] = Field(description="Logits, unnormalised.")
    mask: Annotated[Tensor, Mask("*B")] = Field(ABSENT, description="The positions that take part; all, if left out.")
    coefficient: float = Field(1e-4, ge=0, description="What the square is multiplied by.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Over no classes there is no normaliser."""
        if layout.size("C") == 0:
            layout.fault("input", "there must be at least one class")


class NextTokenCrossEntropy(LossRequest):
    """Cross entropy of a causal language model: the logits at each position against the token that follows it."""

    about = About(
        family="language",
        formula=r"\ell_{n,t} = -\log \operatorname{softmax}(x_{n,t})_{y_{n,t+1}} "
        r"+ \lambda \Bigl(\log \sum_c e^{x_{n,t,c}}\Bigr)^2",
        mean="the number of following tokens that are not ignored",
        example={
            "input": [[[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [0.4, -0.6, 1.0]]],
            "target": [[1, 0, 2]],
        },
        notes=(
            "input and target are the model's logits and labels at the same positions; they are shifted here. The "
            "first label and the last logits have no part in it, and reduction none answers one position fewer.",
            "Mask prompts and padding with ignore_index. When every token is ignored, mean is NaN with zero gradients "
            "(on_empty chooses).",
            "To divide by the tokens of several batches (transformers' num_items_in_batch), ask for sum with its "
            "reciprocal as cotangent, or add up sums and divisors.",
            "z_loss weighs in the same tokens as the cross entropy. label_smoothing is cross_entropy's: its share is "
            "spread evenly over all tokens.",
            "float16 and bfloat16 are computed in float32 and rounded.",
        ),
        source="transformers' ForCausalLMLoss; Liger-Kernel's cross entropy (z_loss: its lse_square_scale)",
    )
    unreduced: ClassVar[str] = "T-1 | N T-1"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 13
    predicts: ClassVar[Predicted | None] = "logits"

    loss: Literal["next_token_cross_entropy", "ForCausalLMLoss"] = "next_token_cross_entropy"
    input: Annotated[Tensor, Floats("T C | N T C")] = Field(description="Logits of each position, unnormalised.")
    target: Annotated[Tensor, Indices("T | N T")] = Field(description="The token at each position.")
    ignore_index: Int64 = Field(-100, description="Tokens of this value are not to be predicted.")
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="The share of each target that is spread evenly over all tokens."
    )
    z_loss: float = Field(0.0, ge=0, description="The coefficient of the squared logarithm of the normaliser.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """One position fewer than tokens, of which there must be one."""
        positions = layout.bound.get("T")
        if positions is None or layout.size("C") is None:
            return
        if positions == (0,):
            layout.fault("input", "there must be at least one position")
        elif layout.size("C") == 0:
            layout.fault("input", "there must be at least one token to choose from")
        else:
            layout.unreduced = (*layout.bound.get("N", ()), positions[0] - 1)

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Of the tokens that follow one, those to ignore: the first is never predicted."""
        checked.ignored = int(np.count_nonzero(checked.tensors["target"][..., 1:] == self.ignore_index))

    def contributes(self) -> NDArray[np.bool_]:
        """The positions whose following token is not ignored."""
        return np.asarray(self.checked.tensors["target"][..., 1:] != self.ignore_index)

    def mean_divides(self, checked: Checked) -> int | None:
        """The formula tells: what is ignored in the first column does not count."""
        return None
