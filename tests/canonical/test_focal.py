"""Focal losses, poly-1 and the asymmetric loss are those of torchvision, optax, timm and their papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.needs import needs_package

CPU = open_device("cpu")
RNG = np.random.default_rng(20_265)
LOGITS = RNG.normal(0, 3, (60, 7)).astype(np.float32)
BITS = RNG.integers(0, 2, (60, 7)).astype(np.float32)
SOFT = RNG.random((60, 7)).astype(np.float32)
CLASSES = RNG.integers(0, 7, 60)


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


@pytest.mark.parametrize("targets", [BITS, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (-1.0, 2.0), (0.6, 0.0), (0.25, 3.5)])
def test_sigmoid_focal_loss_is_torchvisions(alpha: float, gamma: float, targets: Any) -> None:
    # torchvision/ops/focal_loss.py, sigmoid_focal_loss
    x, y = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True), torch.tensor(targets, dtype=torch.float64)
    p = torch.sigmoid(x)
    p_t = p * y + (1 - p) * (1 - y)
    expected = F.binary_cross_entropy_with_logits(x, y, reduction="none") * (1 - p_t) ** gamma
    if alpha >= 0:
        expected = (alpha * y + (1 - alpha) * (1 - y)) * expected
    found = answer("sigmoid_focal_loss", input=LOGITS, target=targets, alpha=alpha, gamma=gamma, reduction="none")
    np.testing.assert_allclose(found.loss, expected.detach(), rtol=1e-6, atol=1e-12)
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-5, atol=1e-7)


def test_sigmoid_focal_loss_is_optaxs() -> None:
    losses = needs_package("optax.losses")
    for alpha, gamma in ((0.25, 2.0), (None, 0.5)):
        expected = losses.sigmoid_focal_loss(LOGITS, BITS, alpha=alpha, gamma=gamma)
        given = {"alpha": -1.0 if alpha is None else alpha, "gamma": gamma}
        found = answer("sigmoid_focal_loss", input=LOGITS, target=BITS, **given, reduction="none")
        np.testing.assert_allclose(found.loss, expected, rtol=5e-6, atol=1e-9)  # optax's too is of float32


def test_focal_loss_is_its_papers() -> None:
    p = np.exp(LOGITS.astype(np.float64))
    p_t = (p / p.sum(1, keepdims=True))[np.arange(60), CLASSES]
    found = answer("focal_loss", input=LOGITS, target=CLASSES, reduction="none")
    np.testing.assert_allclose(found.loss, -((1 - p_t) ** 2) * np.log(p_t), rtol=5e-6, atol=1e-9)  # equation 4


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    members = {"input": LOGITS, "target": CLASSES, "weight": np.linspace(0.5, 2, 7, dtype=np.float32)}
    found, plain = answer("focal_loss", **members, gamma=0.0), answer("cross_entropy", **members)
    assert found.loss == pytest.approx(float(plain.loss), rel=1e-6)
    assert found.divisor == plain.divisor
    np.testing.assert_allclose(found.gradients["input"], plain.gradients["input"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("epsilon", [2.0, -1.0])
def test_poly1_cross_entropy_is_optaxs(epsilon: float) -> None:
    losses = needs_package("optax.losses")
    for target, labels in ((CLASSES, np.eye(7, dtype=np.float32)[CLASSES]), (SOFT, SOFT)):
        expected = losses.poly_loss_cross_entropy(LOGITS, labels, epsilon=epsilon)
        found = answer("poly1_cross_entropy", input=LOGITS, target=target, epsilon=epsilon, reduction="none")
        np.testing.assert_allclose(found.loss, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"gamma_neg": 2.0, "clip": 0.2}, {"clip": 0.0}, {"focal_gradient": False}], ids=str
)
@pytest.mark.parametrize("targets", [BITS, SOFT], ids=["hard", "soft"])
def test_asymmetric_loss_is_timms(options: dict[str, Any], targets: Any) -> None:
    # timm/loss/asymmetric_loss.py, AsymmetricLossMultiLabel, with reduction "sum"
    x, y = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True), torch.tensor(targets, dtype=torch.float64)
    positive = torch.sigmoid(x)
    negative = (1 - positive + options.get("clip", 0.05)).clamp(max=1)
    loss = y * torch.log(positive.clamp(min=1e-8)) + (1 - y) * torch.log(negative.clamp(min=1e-8))
    with torch.set_grad_enabled(options.get("focal_gradient", True)):
        weight = (1 - positive * y - negative * (1 - y)) ** (y + options.get("gamma_neg", 4.0) * (1 - y))
    expected = -(loss * weight).sum()
    found = answer("asymmetric_loss", input=LOGITS, target=targets, **options)
    assert found.reduction == "sum"
    assert found.loss == pytest.approx(expected.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(expected, x)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("name", ["sigmoid_focal_loss", "focal_loss", "asymmetric_loss", "poly1_cross_entropy"])
def test_huge_logits_have_finite_losses_and_gradients(name: str, gamma: float) -> None:
    options = {
        "sigmoid_focal_loss": {"gamma": gamma},
        "focal_loss": {"gamma": gamma},
        "asymmetric_loss": {"gamma_neg": gamma, "gamma_pos": gamma},
        "poly1_cross_entropy": {"epsilon": gamma},
    }[name]
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    for target in ([0, 1], [1, 0]) if name in ("focal_loss", "poly1_cross_entropy") else (np.eye(2), 1 - np.eye(2)):
        found = answer(name, input=logits, target=target, reduction="none", **options)
        assert np.isfinite(found.loss).all()
        assert np.isfinite(found.gradients["input"]).all()
    assert found.loss.max() > 1, "the last targets are wrong by far"
