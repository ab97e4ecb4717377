"""Preference losses, from log-probabilities of whole answers under the policy and a reference."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from schemas.check import Checked
from schemas.field import Flags, Floats
from schemas.problem import Fault
from schemas.request import ABSENT, About, LossRequest, Stacking
from schemas.tensor import Tensor
from schemas.values import position


class Pairs(LossRequest):
    """What losses on pairs of a chosen and a rejected answer have."""

    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    predictions: ClassVar[tuple[str, ...]] = ("policy_chosen", "policy_rejected")

    policy_chosen: Annotated[Tensor, Floats("*D")] = Field(
        description="The policy's log-probability of each chosen answer."
    )
    policy_rejected: Annotated[Tensor, Floats("*D")] = Field(
        description="The policy's log-probability of each rejected answer."
    )


class DPO(Pairs):
    """Direct preference optimisation: the policy prefers the chosen answer more than the reference does."""

    about = About(
        family="preference",
        formula=r"\ell = -(1 - \epsilon) \log \sigma(\beta \Delta) - \epsilon \log \sigma(-\beta \Delta), \quad "
        r"\Delta = \log \frac{\pi(y^+)}{\pi_r(y^+)} - \log \frac{\pi(y^-)}{\pi_r(y^-)}; \quad \text{hinge } "
        r"[1 - \beta \Delta]_+; \quad \text{ipo } \bigl(\Delta - \tfrac{1}{2\beta}\bigr)^2; \quad \text{robust } "
        r"\frac{-(1 - \epsilon) \log \sigma(\beta \Delta) + \epsilon \log \sigma(-\beta \Delta)}{1 - 2 \epsilon}",
        mean="the number of pairs",
        example={
            "policy_chosen": [-12.5, -8.25],
            "policy_rejected": [-13.0, -7.5],
            "reference_chosen": [-13.0, -8.0],
            "reference_rejected": [-12.0, -8.5],
        },
        notes=(
            "Log-probabilities are summed over an answer's tokens; for ipo send their means, as TRL takes them.",
            "The implicit rewards are beta (policy - reference), the margin beta times their difference.",
            "label_smoothing with sigmoid is conservative DPO. hinge and ipo take none.",
            "The gradient of hinge at its margin is 0.",
            "float16 and bfloat16 are computed in float32 and rounded.",
        ),
        source="TRL's DPOTrainer; Rafailov et al., NeurIPS 2023; hinge: Zhao et al., 2023; ipo: Azar et al., 2023; "
        "robust: Chowdhury, Kini and Natarajan, 2024",
    )
    workspace: ClassVar[int] = 4

    loss: Literal["dpo_loss", "DPOLoss"] = "dpo_loss"
    reference_chosen: Annotated[Tensor, Floats("*D")] = Field(
        description="The reference's log-probability of each chosen answer."
    )
    reference_rejected: Annotated[Tensor, Floats("*D")] = Field(
        description="The reference's log-probability of each rejected answer."
    )
    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to the reference.")
    loss_type: Literal["sigmoid", "hinge", "ipo", "robust"] = Field("sigmoid", description="The form of the loss.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="The share of pairs whose preference is taken to be the wrong way round."
    )

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """label_smoothing goes with the forms that have it."""
        if self.label_smoothing and self.loss_type in ("hinge", "ipo"):
            faults.append(Fault("/label_smoothing", f"goes with sigmoid and robust; the loss_type is {self.loss_type}"))


class KTO(LossRequest):
    """Kahneman-Tversky optimisation: single answers, each desirable or not."""

    about = About(
        family="preference",
        formula=r"\ell = \begin{cases} w^+\,\bigl(1 - \sigma(\beta (\log \tfrac{\pi}{\pi_r} - z))\bigr) & y = 1 \\ "
        r"w^-\,\bigl(1 - \sigma(\beta (z - \log \tfrac{\pi}{\pi_r}))\bigr) & y = 0 \end{cases}, \quad "
        r"z = \max(0, \mathrm{kl})",
        mean="the number of answers, desirable or not",
        example={
            "policy": [-12.5, -8.25, -9.0],
            "reference": [-13.0, -8.0, -9.5],
            "label": [1, 0, 0],
            "kl": 0.2,
        },
        notes=(
            "kl is the estimate of the policy's divergence from the reference: in TRL the mean of log-ratios of "
            "mismatched answers. It is clamped at 0, and no gradient goes through it.",
            "The implicit reward is beta (policy - reference).",
            "float16 and bfloat16 are computed in float32 and rounded.",
        ),
        source="TRL's KTOTrainer; Ethayarajh et al., ICML 2024",
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    workspace: ClassVar[int] = 4
    predictions: ClassVar[tuple[str, ...]] = ("policy",)

    loss: Literal["kto_loss", "KTOLoss"] = "kto_loss"
    policy: Annotated[Tensor, Floats("*D")] = Field(description="The policy's log-probability of each answer.")
    reference: Annotated[Tensor, Floats("*D")] = Field(description="The reference's log-probability of each answer.")
    label: Annotated[Tensor, Flags("*D")] = Field(description="1: the answer is desirable; 0: it is not.")
    kl: Annotated[Tensor, Floats("*D", differentiable="never", broadcast=True)] = Field(
        ABSENT, description="The reference point, mostly one number. Left out: 0."
    )
    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to the reference.")
    desirable_weight: float = Field(1.0, ge=0, description="A factor for desirable answers.")
    undesirable_weight: float = Field(1.0, ge=0, description="A factor for the others.")


class ORPO(Pairs):
    """Odds ratio preference optimisation: the odds of the chosen answer above those of the rejected one."""

    about = About(
        family="preference",
        formula=r"\ell = \mathrm{nll}(y^+) - \beta \log \sigma\Bigl(\log \frac{\mathrm{odds}(y^+)}{\mathrm{odds}(y^-)}"
        r"\Bigr), \quad \mathrm{odds}(y) = \frac{\pi(y)}{1 - \pi(y)}",
        mean="the number of pairs",
        example={
            "policy_chosen": [-0.5, -1.25],
            "policy_rejected": [-0.75, -1.0],
            "chosen_nll": [0.5, 1.25],
        },
        notes=(
            "Log-probabilities are means over an answer's tokens, and below 0: the odds of a probability of 1 are "
            "infinite.",
            "chosen_nll is the supervised part; one number, as TRL's mean over the batch's tokens, is added to each "
            "pair. With chosen_nll = -policy_chosen each answer counts the same.",
            "The reward is beta times the policy's log-probability.",
            "float16 and bfloat16 are computed in float32 and rounded.",
        ),
        source="TRL's ORPOTrainer; Hong, Lee and Thorne, EMNLP 2024",
    )
    workspace: ClassVar[int] = 7
    predictions: ClassVar[tuple[str, ...]] = ("policy_chosen", "policy_rejected", "chosen_nll")

    loss: Literal["orpo_loss", "ORPOLoss"] = "orpo_loss"
    chosen_nll: Annotated[Tensor, Floats("*D", broadcast=True)] = Field(
        ABSENT, description="The chosen answers' negative log-likelihood. Left out: the odds ratio's part alone."
    )
    beta: float = Field(0.1, ge=0, description="The weight of the odds ratio's part, the paper's λ.")

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Warn of log-probabilities that have no finite odds."""
        for name in ("policy_chosen", "policy_rejected"):
            array = checked.tensors[name]
            odd = array.astype(np.float64) >= 0
            if odd.any():
                where, _ = position(name, array, odd)
                checked.warnings.append(
                    f"{name}: {int(odd.sum())} values are not below 0, the first at {where}; their odds are not finite"
                )


class SimPO(Pairs):
    """Simple preference optimisation: length-normalised log-probabilities apart by a margin, without a reference."""

    about = About(
        family="preference",
        formula=r"\ell = -(1 - \epsilon) \log \sigma(m) - \epsilon \log \sigma(-m), \quad "
        r"m = \beta \bigl(\log \pi(y^+) - \log \pi(y^-)\bigr) - \gamma",
        mean="the number of pairs",
        example={"policy_chosen": [-0.5, -1.25], "policy_rejected": [-0.75, -1.0]},
        notes=(
            "Log-probabilities are means over an answer's tokens.",
            "gamma is the margin itself; the authors' code takes it over beta, as gamma_beta_ratio.",
            "The reward is beta times the policy's log-probability.",
            "TRL's trainer starts from beta 0.1; 2 is the authors'.",
            "float16 and bfloat16 are computed in float32 and rounded.",
        ),
        source="TRL's CPOTrainer with loss_type simpo; Meng, Xia and Chen, NeurIPS 2024",
    )
    workspace: ClassVar[int] = 5

    loss: Literal["simpo_loss", "SimPOLoss"] = "simpo_loss"
    beta: float = Field(2.0, gt=0, description="The scale of rewards.")
    gamma: float = Field(0.5, description="The margin that rewards should be apart.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="The share of pairs whose preference is taken to be the wrong way round."
    )
