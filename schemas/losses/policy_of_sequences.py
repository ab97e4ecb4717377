"""Policy gradient losses that know of sequences: GRPO and its kin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.check import Checked
from schemas.field import Floats, Mask
from schemas.losses.policy import CONSTANTS, ENDS, HALF, MASKED, SAMPLED, TAKES_PART, Clipping
from schemas.problem import Fault
from schemas.request import ABSENT, About, LossRequest
from schemas.tensor import Tensor


class SequencePolicy(Clipping, LossRequest):
    """What losses have that know of sequences: a ratio clipped, and the divergence from a reference."""

    workspace: ClassVar[int] = 10
    predictions: ClassVar[tuple[str, ...]] = ("log_probs",)

    advantages: Annotated[Tensor, Floats("N | N T")] = Field(
        description="The advantage of each sequence, or of each token."
    )
    log_probs: Annotated[Tensor, Floats("N T")] = Field(description="The policy's log-probability of each token.")
    old_log_probs: Annotated[Tensor, Floats("N T")] = Field(ABSENT, description=SAMPLED)
    ref_log_probs: Annotated[Tensor, Floats("N T")] = Field(
        ABSENT, description="The reference's log-probability of each token. Left out: no divergence is added."
    )
    mask: Annotated[Tensor, Mask("N T")] = Field(ABSENT, description=TAKES_PART)
    epsilon: float = Field(0.2, ge=0, le=1, description="How far below 1 a ratio may go before it is clipped.")
    epsilon_high: float = Field(ABSENT, ge=0, description="How far above 1 it may go. Left out: epsilon.")
    beta: float = Field(0.04, ge=0, description="The weight of the divergence from the reference, where there is one.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """A weight that is given has something to weigh."""
        if "beta" in self.model_fields_set and self.beta and self.ref_log_probs is None:
            faults.append(Fault("/beta", "weighs the divergence from ref_log_probs, which are not there"))


K3 = "k3 is the estimate e^d - d - 1 of the divergence, d = ref_log_probs - log_probs."


class GRPO(SequencePolicy):
    """Group relative policy optimisation: PPO's clipped ratio, and the divergence from a reference."""

    about = About(
        family="policy",
        formula=r"\ell_t = -\min\bigl(r_t A,\, \operatorname{clip}(r_t, 1 - \epsilon, 1 + \epsilon_h)\, A\bigr) + "
        r"\beta\, k_3(t), \quad r_t = e^{\log \pi(t) - \log \pi_{old}(t)}",
        mean="normalization grpo: each sequence by its tokens that take part, then N; being no quotient, divisor is "
        "null. bnpo: the tokens that take part; dr_grpo: N times max_completion_length; dapo: num_items_in_batch",
        example={
            "log_probs": [[-1.2, -0.3, -2.0], [-0.7, -1.1, -0.2]],
            "old_log_probs": [[-1.0, -0.8, -2.1], [-0.9, -1.0, -0.25]],
            "ref_log_probs": [[-1.1, -0.5, -1.9], [-0.8, -1.2, -0.3]],
            "advantages": [1.0, -0.5],
            "mask": [[1, 1, 1], [1, 1, 0]],
        },
        notes=(
            K3,
            "TRL's trainer starts from dapo with beta 0; the paper has grpo with beta 0.04.",
            "The advantages come ready: rewards less their group's mean, over its standard deviation or not.",
            "A sequence without tokens that take part counts in N, with a loss of 0. Where no token of a request takes "
            "part, the means of grpo and bnpo are what on_empty says; TRL's are 0.",
            ENDS,
            "A ratio too large for the type costs nothing where it is clipped.",
            MASKED,
            CONSTANTS,
            HALF,
            "Never stacked with other requests.",
        ),
        source="TRL's GRPOTrainer; Shao et al. (DeepSeekMath), 2024; dr_grpo: Liu et al., 2025; dapo: Yu et al., 2025",
    )
    unreduced: ClassVar[str] = "N T"

    loss: Literal["grpo_loss", "GRPOLoss"] = "grpo_loss"
    delta: float = Field(
        ABSENT, gt=1, description="Ratios count up to this where the advantage is negative (two-sided clipping)."
    )
    normalization: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = Field("grpo", description="What mean divides by.")
    max_completion_length: int = Field(
        ABSENT, ge=1, le=2**31 - 1, description="The constant length that dr_grpo divides by."
    )
    num_items_in_batch: int = Field(
        ABSENT,
        ge=1,
        le=2**31 - 1,
        description="The tokens that take part in the whole batch, of which this may be a part: what dapo divides by. "
        "Left out: those of this request.",
    )

    @property
    def most(self) -> float:
        """What ratios count up to where the advantage is negative."""
        delta = self.__dict__["delta"]
        return math.inf if delta is None else float(delta)

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Lengths go with the normalisation that divides by them; two-sided clipping leaves room for the one side."""
        super().check(checked, faults)
        own = self.__dict__
        if self.normalization == "dr_grpo" and own["max_completion_length"] is None:
            faults.append(Fault("/max_completion_length", "is what dr_grpo divides by, and is missing"))
        for name, goes_with in (("max_completion_length", "dr_grpo"), ("num_items_in_batch", "dapo")):
            if own[name] is not None and self.normalization != goes_with:
                faults.append(Fault(f"/{name}", f"goes with {goes_with}; the normalization is {self.normalization}"))
        if self.most < 1 + self.high:
            faults.append(Fault("/delta", f"{self.delta} is below the clip range's end, which is {1 + self.high}"))

    @classmethod
    def run_faults(cls, options: Mapping[str, Any]) -> list[Fault]:
        """The tokens of a whole batch would be added up once for each part that it is sent in."""
        if options.get("num_items_in_batch") is None:
            return []
        detail = (
            "would be added to the divisor once for each batch: leave it out, and the run's mean is over the tokens of "
            "all its batches that take part"
        )
        return [Fault("/num_items_in_batch", detail)]

    @classmethod
    def void_without_elements(cls, options: Mapping[str, Any]) -> bool:
        """N counts sequences without tokens, but only beside others."""
        return bool(options.get("normalization", "grpo") == "grpo")

    def mean_divides(self, checked: Checked) -> int | None:
        """A count of tokens, real or assumed; a mean of sequences' means is no quotient."""
        if self.normalization == "grpo":
            return None
        if self.normalization == "dr_grpo":
            return checked.layout.unreduced[0] * self.max_completion_length
        if self.normalization == "dapo" and self.__dict__["num_items_in_batch"] is not None:
            return self.num_items_in_batch
        return checked.count

    def shares(self) -> NDArray[np.float64] | None:
        """A sequence's, whatever its mask: 1 for grpo, also where no token of the request takes part."""
        if self.normalization == "grpo":
            own = 1.0
        elif self.normalization == "dr_grpo":
            own = float(self.max_completion_length)
        else:
            return None
        found = np.zeros(self.checked.layout.unreduced)
        found[:, :1] = own
        return found


class GSPO(SequencePolicy):
    """Group sequence policy optimisation: one ratio a sequence, the geometric mean of its tokens', is clipped."""

    about = About(
        family="policy",
        formula=r"\ell_n = -\min\bigl(s_n A_n,\, \operatorname{clip}(s_n, 1 - \epsilon, 1 + \epsilon_h)\, A_n\bigr) + "
        r"\frac{\beta}{|T_n|} \sum_{t \in T_n} k_3(t), \quad "
        r"s_n = \exp\Bigl(\frac{1}{|T_n|} \sum_{t \in T_n} \log \pi(t) - \log \pi_{old}(t)\Bigr)",
        mean="N",
        example={
            "log_probs": [[-1.2, -0.3, -2.0], [-0.7, -1.1, -0.2]],
            "old_log_probs": [[-1.0, -0.4, -2.1], [-0.9, -1.0, -0.25]],
            "advantages": [1.0, -0.5],
            "mask": [[1, 1, 1], [1, 1, 0]],
            "epsilon": 0.2,
            "epsilon_high": 0.28,
        },
        notes=(
            K3,
            "The unreduced loss is one a sequence. One without tokens that take part counts, with a loss of 0, as in "
            "TRL.",
            "The clip range is that of the paper: [1 - 0.0003, 1 + 0.0004].",
            ENDS,
            MASKED,
            CONSTANTS,
            HALF,
            "Never stacked with other requests.",
        ),
        source="Zheng et al., 2025; TRL's GRPOTrainer with importance_sampling_level sequence and loss_type grpo",
    )
    unreduced: ClassVar[str] = "N"

    loss: Literal["gspo_loss", "GSPOLoss"] = "gspo_loss"
    advantages: Annotated[Tensor, Floats("N")] = Field(description="The advantage of each sequence.")
    epsilon: float = Field(3e-4, ge=0, le=1, description="How far below 1 a ratio may go before it is clipped.")
    epsilon_high: float = Field(4e-4, ge=0, description="How far above 1 it may go.")
