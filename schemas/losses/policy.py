"""Policy gradient losses, from the log-probabilities of sampled tokens and their advantages."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.check import Checked
from schemas.dims import Shape
from schemas.field import Floats, Mask
from schemas.problem import Fault
from schemas.request import ABSENT, About, LossRequest, Stacking
from schemas.tensor import Tensor

SAMPLED = "What the tokens were sampled with. Left out: log_probs, as constants (on policy, all ratios are 1)."
TAKES_PART = "Which tokens take part: 1 for those of an answer, 0 for prompts and padding. Left out: all."
HALF = "float16 and bfloat16 are computed in float32 and rounded."
MASKED = "A masked token may hold anything, NaN too: its loss and gradients are 0."
ENDS = (
    "At the ends of the clip range the gradient is that of the ratio. The gradient in an advantage of 0 is that of "
    "positive ones."
)
CONSTANTS = "Gradients are answered in log_probs alone, unless others are named."


class Clipping:
    """What losses have that clip a ratio to [1 - epsilon, 1 + high]."""

    @property
    def high(self) -> float:
        """How far above 1 a ratio may go: `epsilon_high`, or else `epsilon`."""
        own = self.__dict__
        found: float = own["epsilon"] if own["epsilon_high"] is None else own["epsilon_high"]
        return found


class TokenPolicy(LossRequest):
    """What losses have whose tokens do not depend on each other."""

    unreduced: ClassVar[str] = "T | N T"
    stacking: ClassVar[Stacking] = "elements"
    workspace: ClassVar[int] = 6
    predictions: ClassVar[tuple[str, ...]] = ("log_probs",)

    log_probs: Annotated[Tensor, Floats("T | N T")] = Field(description="The policy's log-probability of each token.")
    old_log_probs: Annotated[Tensor, Floats("T | N T")] = Field(ABSENT, description=SAMPLED)
    advantages: Annotated[Tensor, Floats("T | N T", broadcast=True)] = Field(
        description="The advantage of each token; or, in one dim fewer, of each sequence, that all its tokens share."
    )
    mask: Annotated[Tensor, Mask("T | N T")] = Field(ABSENT, description=TAKES_PART)

    @classmethod
    def spread(cls, name: str, shape: Shape, to: Shape) -> Shape | None:
        """One advantage a token, or one a sequence: N goes along N T by its rows, not as broadcasting would have it."""
        each = (*to[:-1], 1)
        if shape == to[:-1]:
            return each
        return shape if shape in (to, each) else None


class ImportanceSampling(TokenPolicy):
    """Policy gradient with importance sampling: advantages times the ratio of policy and sampler."""

    about = About(
        family="policy",
        formula=r"\ell_t = -r_t A_t, \quad r_t = e^{\log \pi(t) - \log \pi_{old}(t)}",
        mean="the number of tokens that take part",
        example={
            "log_probs": [[-1.2, -0.3, -2.0], [-0.7, -1.1, -0.2]],
            "old_log_probs": [[-1.0, -0.4, -2.1], [-0.9, -1.1, -0.25]],
            "advantages": [1.0, -0.5],
            "mask": [[1, 1, 1], [1, 1, 0]],
        },
        notes=("Tinker adds tokens up: reduction sum.", MASKED, CONSTANTS, HALF),
        source="Tinker's importance_sampling",
    )

    loss: Literal["importance_sampling_loss"] = "importance_sampling_loss"


class PPOClip(Clipping, TokenPolicy):
    """Proximal policy optimisation: the ratio of policy and sampler gains nothing beyond its clip range."""

    about = About(
        family="policy",
        formula=r"\ell_t = -\min\bigl(r_t A_t,\, \operatorname{clip}(r_t, 1 - \epsilon, 1 + \epsilon_h)\, A_t\bigr), "
        r"\quad r_t = e^{\log \pi(t) - \log \pi_{old}(t)}",
        mean="the number of tokens that take part",
        example={
            "log_probs": [[-1.2, -0.3, -2.0], [-0.7, -1.1, -0.2]],
            "old_log_probs": [[-1.0, -0.8, -2.1], [-0.9, -1.0, -0.25]],
            "advantages": [[1.0, 0.5, -0.5], [-0.5, 2.0, 1.0]],
            "mask": [[1, 1, 1], [1, 1, 0]],
        },
        notes=(
            "Tinker's clip_low_threshold and clip_high_threshold are 1 - epsilon and 1 + epsilon_high; it adds tokens "
            "up: reduction sum.",
            ENDS,
            "A ratio too large for the type costs nothing where it is clipped.",
            MASKED,
            CONSTANTS,
            HALF,
        ),
        source="Schulman et al., 2017; Tinker's ppo",
    )

    loss: Literal["ppo_clip_loss", "PPOLoss"] = "ppo_clip_loss"
    epsilon: float = Field(0.2, ge=0, le=1, description="How far below 1 a ratio may go before it is clipped.")
    epsilon_high: float = Field(ABSENT, ge=0, description="How far above 1 it may go. Left out: epsilon.")


class CISPO(TokenPolicy):
    """Clipped importance sampling policy optimisation: a clipped ratio weighs the log-probability's gradient."""

    about = About(
        family="policy",
        formula=r"\ell_t = -\operatorname{sg}\bigl(\operatorname{clip}(r_t, l, h)\bigr)\, A_t \log \pi(t), \quad "
        r"r_t = e^{\log \pi(t) - \log \pi_{old}(t)}",
        mean="the number of tokens that take part",
        example={
            "log_probs": [[-1.2, -0.3, -2.0], [-0.7, -1.1, -0.2]],
            "old_log_probs": [[-1.0, -0.4, -2.1], [-0.9, -1.1, -0.25]],
            "advantages": [1.0, -0.5],
            "mask": [[1, 1, 1], [1, 1, 0]],
        },
        notes=(
            "sg: the gradient stops there. Finite differences of the loss do not reproduce it, and old_log_probs have "
            "none.",
            "ratio_high is TRL's epsilon_high, the clipped ratio's bound and not its distance from 1; 5 is what TRL "
            "recommends. Tinker's clip thresholds are ratio_low and ratio_high.",
            "TRL divides by the tokens of the whole batch: reduction sum, divided by those.",
            MASKED,
            CONSTANTS,
            HALF,
        ),
        source="TRL's GRPOTrainer with loss_type cispo; Tinker's cispo; MiniMax-M1, 2025",
    )

    loss: Literal["cispo_loss", "CISPOLoss"] = "cispo_loss"
    ratio_low: float = Field(0.0, ge=0, description="The least that a ratio weighs.")
    ratio_high: float = Field(5.0, gt=0, description="The most that a ratio weighs.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """The bounds are in order."""
        if self.ratio_low > self.ratio_high:
            faults.append(Fault("/ratio_low", f"{self.ratio_low} is above ratio_high, which is {self.ratio_high}"))
