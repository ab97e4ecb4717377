"""CORAL and CORN are coral-pytorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.needs import needs_package

CPU = open_device("cpu")
RNG = np.random.default_rng(20_270)
LOGITS = RNG.normal(0, 2, (40, 6)).astype(np.float32)
RANKS = RNG.integers(0, 7, 40)
WEIGHTS = RNG.uniform(0.5, 2, 6).astype(np.float32)


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("form", ["ranks", "levels"])
def test_coral_loss_is_coral_pytorchs(form: str, weights: Any) -> None:
    losses, dataset = needs_package("coral_pytorch.losses"), needs_package("coral_pytorch.dataset")
    levels = dataset.levels_from_labelbatch(RANKS.tolist(), 7)
    members = {} if weights is None else {"importance_weights": weights}
    importance = None if weights is None else torch.tensor(weights)
    for ours, theirs in (("none", None), ("mean", "mean"), ("sum", "sum")):
        x = torch.tensor(LOGITS, requires_grad=True)
        expected = losses.coral_loss(x, levels, importance, reduction=theirs)
        expected.sum().backward()
        target = RANKS if form == "ranks" else levels.numpy()
        found = answer("coral_loss", input=LOGITS, target=target, reduction=ours, **members)
        assert x.grad is not None
        np.testing.assert_allclose(found.loss, expected.detach(), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.gradients["input"], x.grad, rtol=1e-5, atol=1e-7)


def test_coral_loss_has_the_figures_that_coral_pytorch_publishes() -> None:
    # coral_pytorch/losses.py, the example of coral_loss; tests/test_losses.py, test_coral_basic
    logits = [[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]]
    found = answer("coral_loss", input=logits, target=[2, 1, 4], reduction="none")
    np.testing.assert_allclose(found.loss, [0.5370, 0.8951, 0.6441], atol=5e-5)
    assert answer("coral_loss", input=logits, target=[2, 1, 4]).loss == pytest.approx(0.6920, abs=5e-5)


def test_corn_loss_is_coral_pytorchs() -> None:
    losses = needs_package("coral_pytorch.losses")
    x = torch.tensor(LOGITS, requires_grad=True)
    expected = losses.corn_loss(x, torch.tensor(RANKS), 7)
    expected.backward()
    found = answer("corn_loss", input=LOGITS, target=RANKS)
    assert x.grad is not None
    assert found.loss == pytest.approx(expected.item(), rel=1e-6)
    assert found.divisor == np.minimum(RANKS + 1, 6).sum()
    np.testing.assert_allclose(found.gradients["input"], x.grad, rtol=1e-5, atol=1e-8)
