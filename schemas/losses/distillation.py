"""Distillation losses: a student's logits against a teacher's."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.field import Floats, Mask
from schemas.request import ABSENT, About, LossRequest, Stacking
from schemas.tensor import Tensor

ROWS = "Each row's divergence is summed over its C classes: mean is what batchmean is to kl_div, over all rows."
MASKED_CLASSES = (
    "Classes that both mask with -Infinity logits add nothing. Where the one that the divergence is taken from has "
    "probability and the other has none, it is infinite."
)
EXAMPLE = {
    "student_logits": [[1.0, 0.5, -0.5], [0.2, 0.1, 0.4]],
    "teacher_logits": [[2.0, 0.1, -1.0], [0.0, 0.3, 0.9]],
}


class Distillation(LossRequest):
    """What distillation losses have: logits of two models, a temperature, and a mask of rows."""

    unreduced: ClassVar[str] = "*B"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 9
    predictions: ClassVar[tuple[str, ...]] = ("student_logits",)

    student_logits: Annotated[Tensor, Floats("*B C")] = Field(description="The student's logits, unnormalised.")
    teacher_logits: Annotated[Tensor, Floats("*B C")] = Field(description="The teacher's logits, unnormalised.")
    mask: Annotated[Tensor, Mask("*B")] = Field(ABSENT, description="Which rows take part: 0 leaves a row out.")
    temperature: float = Field(1.0, gt=0, description="T, which both logits are divided by.")


class DistillationKL(Distillation):
    """Kullback-Leibler divergence of the student from the teacher, both softened by a temperature."""

    about = About(
        family="distillation",
        formula=r"\ell_b = T^2 \sum_c p_{b,c} \log \frac{p_{b,c}}{q_{b,c}}, \quad "
        r"p = \operatorname{softmax}(t / T),\ q = \operatorname{softmax}(s / T)",
        mean="the number of rows that the mask leaves",
        example={**EXAMPLE, "temperature": 2.0},
        notes=(
            ROWS,
            "T squared keeps the gradient's size independent of the temperature; scale_by_temperature turns it off.",
            MASKED_CLASSES,
        ),
        source="Hinton, Vinyals and Dean, arXiv:1503.02531",
    )
    loss: Literal["distillation_kl_loss", "DistillationKLLoss"] = "distillation_kl_loss"
    scale_by_temperature: bool = Field(True, description="Whether the divergence is multiplied by T squared.")


class ReverseKL(Distillation):
    """Kullback-Leibler divergence of the teacher from the student, which seeks one of its modes."""

    about = About(
        family="distillation",
        formula=r"\ell_b = \sum_c q_{b,c} \log \frac{q_{b,c}}{p_{b,c}}, \quad "
        r"p = \operatorname{softmax}(t / T),\ q = \operatorname{softmax}(s / T)",
        mean="the number of rows that the mask leaves",
        example=EXAMPLE,
        notes=(
            ROWS,
            "Not multiplied by T squared unless scale_by_temperature says so; then it is distillation_kl_loss with the "
            "two models exchanged.",
            MASKED_CLASSES,
        ),
        source="Gu et al., MiniLLM, arXiv:2306.08543; TRL's GKDTrainer with beta 1",
    )
    loss: Literal["reverse_kl_loss", "ReverseKLLoss"] = "reverse_kl_loss"
    scale_by_temperature: bool = Field(False, description="Whether the divergence is multiplied by T squared.")


class GeneralizedJSD(Distillation):
    """Generalised Jensen-Shannon divergence: both models' divergence from their mixture."""

    about = About(
        family="distillation",
        formula=r"\ell_b = \beta\, \mathrm{KL}(p \,\|\, m) + (1 - \beta)\, \mathrm{KL}(q \,\|\, m), \quad "
        r"m = \beta p + (1 - \beta) q,\ p = \operatorname{softmax}(t / T),\ q = \operatorname{softmax}(s / T)",
        mean="the number of rows that the mask leaves",
        example=EXAMPLE,
        notes=(
            ROWS,
            "beta 0 is KL(p || q) and beta 1 is KL(q || p), as in TRL and Liger: the formula itself goes to 0 at both "
            "ends.",
            "TRL too divides by the number of rows that count where labels are given; without labels by the size of "
            "the first dim alone.",
            "Not multiplied by T squared.",
            MASKED_CLASSES,
        ),
        source="Agarwal et al., arXiv:2306.13649; TRL's GKDTrainer.generalized_jsd_loss; Liger's JSD",
    )
    workspace: ClassVar[int] = 15

    loss: Literal["generalized_jsd_loss", "GeneralizedJSDLoss"] = "generalized_jsd_loss"
    beta: float = Field(0.5, ge=0, le=1, description="The teacher's part in the mixture.")
