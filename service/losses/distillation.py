"""Distillation losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from schemas.losses.distillation import Distillation, DistillationKL, GeneralizedJSD, ReverseKL
from service.losses.formula import Tensors, Terms, register


def _log_probabilities(r: Distillation, t: Tensors) -> tuple[Tensor, Tensor]:
    """The student's and the teacher's, softened; rows that are masked out are uniform, whatever they hold."""
    found = []
    for name in ("student_logits", "teacher_logits"):
        logits = t[name]
        if "mask" in t:
            logits = logits.masked_fill(~t["mask"].unsqueeze(-1), 0)
        found.append(torch.log_softmax(logits / r.temperature, -1))
    return found[0], found[1]


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of log-probabilities over the last dim; a class without probability in p adds 0, with gradient 0."""
    none = p == -math.inf
    return (p.exp() * (p.masked_fill(none, 0) - q.masked_fill(none, 0))).sum(-1)


def _terms(values: Tensor, t: Tensors, scale: float = 1.0) -> Terms:
    values = values * scale if scale != 1 else values
    return Terms(values.masked_fill(~t["mask"], 0) if "mask" in t else values)


@register(DistillationKL, half=False, pads=True)
def _(r: DistillationKL, t: Tensors) -> Terms:
    student, teacher = _log_probabilities(r, t)
    return _terms(_divergence(teacher, student), t, r.temperature**2 if r.scale_by_temperature else 1.0)


@register(ReverseKL, half=False, pads=True)
def _(r: ReverseKL, t: Tensors) -> Terms:
    student, teacher = _log_probabilities(r, t)
    return _terms(_divergence(student, teacher), t, r.temperature**2 if r.scale_by_temperature else 1.0)


@register(GeneralizedJSD, half=False, pads=True)
def _(r: GeneralizedJSD, t: Tensors) -> Terms:
    student, teacher = _log_probabilities(r, t)
    if r.beta == 0:
        return _terms(_divergence(teacher, student), t)
    if r.beta == 1:
        return _terms(_divergence(student, teacher), t)
    # logaddexp has no gradient where both are -inf; what stands there instead is left out of both divergences.
    none = (student == -math.inf) & (teacher == -math.inf)
    mixture = torch.logaddexp(
        student.masked_fill(none, 0) + math.log1p(-r.beta), teacher.masked_fill(none, 0) + math.log(r.beta)
    )
    return _terms(r.beta * _divergence(teacher, mixture) + (1 - r.beta) * _divergence(student, mixture), t)
