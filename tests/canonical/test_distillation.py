"""Distillation losses are those of TRL, Liger and PyTorch's own kl_div."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device

CPU = open_device("cpu")
RNG = np.random.default_rng(20_271)
STUDENT = RNG.normal(0, 3, (6, 9, 11)).astype(np.float32)
TEACHER = RNG.normal(0, 3, (6, 9, 11)).astype(np.float32)
MASK = RNG.random((6, 9)) < 0.6


def answer(name: str, **members: Any) -> LossResult:
    return compute(
        [LOSSES[name].model_validate({"student_logits": STUDENT, "teacher_logits": TEACHER, **members})], CPU
    )[0]


def logarithms(temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """The student's logits and both models' log-probabilities, in float64."""
    logits = torch.tensor(STUDENT, dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor(TEACHER, dtype=torch.float64)
    return logits, F.log_softmax(logits / temperature, -1), F.log_softmax(teacher / temperature, -1)


def assert_same(found: LossResult, expected: Tensor, logits: Tensor) -> None:
    (gradient,) = torch.autograd.grad(expected, logits)
    np.testing.assert_allclose(found.loss, expected.item(), rtol=1e-6)
    np.testing.assert_allclose(found.gradients["student_logits"], gradient, rtol=1e-4, atol=1e-7)


def test_distillation_kl_loss_is_kl_divs_batchmean_over_rows_times_t_squared() -> None:
    logits, student, teacher = logarithms(2.5)
    expected = F.kl_div(student.flatten(0, 1), teacher.flatten(0, 1), log_target=True, reduction="batchmean") * 2.5**2
    assert_same(answer("distillation_kl_loss", temperature=2.5), expected, logits)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_generalized_jsd_loss_is_trls(beta: float) -> None:
    # trl/experimental/gkd/gkd_trainer.py, GKDTrainer.generalized_jsd_loss with labels; liger_kernel's JSD has the same.
    logits, student, teacher = logarithms(1.5)
    if beta == 0:
        each = F.kl_div(student, teacher, reduction="none", log_target=True)
    elif beta == 1:
        each = F.kl_div(teacher, student, reduction="none", log_target=True)
    else:
        mixture = torch.log(beta * teacher.exp() + (1 - beta) * student.exp())
        each = beta * F.kl_div(mixture, teacher, reduction="none", log_target=True)
        each = each + (1 - beta) * F.kl_div(mixture, student, reduction="none", log_target=True)
    mask = torch.tensor(MASK)
    found = answer("generalized_jsd_loss", temperature=1.5, beta=beta, mask=MASK)
    assert_same(found, each[mask].sum() / mask.sum(), logits)
    assert (found.count, found.ignored) == (MASK.sum(), MASK.size - MASK.sum())


def test_reverse_kl_loss_is_trls_with_beta_1() -> None:
    logits, student, teacher = logarithms(1.0)
    expected = F.kl_div(teacher, student, reduction="sum", log_target=True) / MASK.size
    assert_same(answer("reverse_kl_loss"), expected, logits)
    assert answer("reverse_kl_loss").loss == answer("generalized_jsd_loss", beta=1.0).loss
