"""Preference losses are those of TRL 1.10 (trl/trainer and trl/experimental), of whose files the formulas are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.schemas.refusing import faults

CPU = open_device("cpu")
RNG = np.random.default_rng(20_273)
NAMES = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
SEQUENCES = {name: RNG.uniform(-80, -5, 40).astype(np.float32) for name in NAMES}
MEANS = {name: RNG.uniform(-4, -0.01, 40).astype(np.float32) for name in NAMES[:2]}


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate({"loss": name, **members})], CPU)[0]


def exact(given: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in given.items()}


def assert_mean(found: LossResult, losses: Tensor, tensors: dict[str, Tensor]) -> None:
    """The mean of losses and its gradients, of a computation in float64."""
    loss = losses.mean()
    gradients = torch.autograd.grad(loss, list(tensors.values()))
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)
    assert list(found.gradients) == list(tensors)
    for name, gradient in zip(tensors, gradients, strict=True):
        scale = float(gradient.abs().max())
        np.testing.assert_allclose(found.gradients[name], gradient.numpy(), rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge", "ipo", "robust"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_dpo_is_trls(loss_type: str, smoothing: float) -> None:
    # dpo_trainer.py, compute_loss; label_smoothing of sigmoid as in cpo_trainer.py.
    if smoothing and loss_type in ("hinge", "ipo"):
        members = {**SEQUENCES, "loss_type": loss_type, "label_smoothing": smoothing}
        assert list(faults("dpo_loss", **members)) == ["/label_smoothing"]
        return
    t, beta = exact(SEQUENCES), 0.1
    chosen_logratios = t["policy_chosen"] - t["reference_chosen"]
    rejected_logratios = t["policy_rejected"] - t["reference_rejected"]
    delta = chosen_logratios - rejected_logratios
    losses = {
        "sigmoid": -F.logsigmoid(beta * delta) * (1 - smoothing) - F.logsigmoid(-beta * delta) * smoothing,
        "hinge": torch.relu(1 - beta * delta),
        "ipo": (delta - 1 / (2 * beta)) ** 2,
        "robust": (-(1 - smoothing) * F.logsigmoid(beta * delta) + smoothing * F.logsigmoid(-beta * delta))
        / (1 - 2 * smoothing),
    }[loss_type]
    found = answer("dpo_loss", **SEQUENCES, loss_type=loss_type, label_smoothing=smoothing, gradients=list(NAMES))
    assert_mean(found, losses, t)


def test_dpo_of_a_policy_that_is_its_reference_is_log_2() -> None:
    # Where training starts: the first loss of every run in the paper's code.
    found = answer("dpo_loss", **dict(zip(NAMES, [[-3.0], [-7.0], [-3.0], [-7.0]], strict=True)))
    assert found.loss == pytest.approx(math.log(2))
    assert found.gradients["policy_chosen"].tolist() == pytest.approx([-0.05])  # -beta / 2


@pytest.mark.parametrize("kl", [0.7, -0.7, None])
def test_kto_is_trls(kl: float | None) -> None:
    # kto_trainer.py, _compute_loss: chosen and rejected answers apart, then one mean.
    label = RNG.random(40) < 0.4
    t = exact({"policy": SEQUENCES["policy_chosen"], "reference": SEQUENCES["reference_chosen"]})
    ratio, wanted = t["policy"] - t["reference"], torch.tensor(label)
    rest = max(kl or 0.0, 0.0)
    chosen = 1 - torch.sigmoid(0.1 * (ratio[wanted] - rest))
    rejected = 1 - torch.sigmoid(0.1 * (rest - ratio[~wanted]))
    losses = torch.cat([1.33 * chosen, 0.8 * rejected])
    found = answer(
        "kto_loss", policy=SEQUENCES["policy_chosen"], reference=SEQUENCES["reference_chosen"], label=label,
        desirable_weight=1.33, undesirable_weight=0.8, gradients=["policy", "reference"],
        **({} if kl is None else {"kl": kl}),
    )  # fmt: skip
    assert_mean(found, losses, t)
    assert (found.count, found.ignored) == (40, 0), "an undesirable answer counts like any other"


def test_no_gradient_goes_through_ktos_reference_point() -> None:
    members = {"policy": [-1.0], "reference": [-2.0], "label": [1], "kl": 0.5}
    assert list(faults("kto_loss", **members, gradients=["kl"])) == ["/gradients/0"]


def test_orpo_is_trls() -> None:
    # orpo_trainer.py, odds_ratio_loss, whose log1mexp has two branches; get_batch_loss_metrics adds the likelihood.
    t = exact(MEANS)

    def log1mexp(x: Tensor) -> Tensor:
        return torch.where(x > -math.log(2), torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))

    chosen, rejected = t["policy_chosen"], t["policy_rejected"]
    log_odds = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))
    losses = -0.1 * F.logsigmoid(log_odds)
    assert_mean(answer("orpo_loss", **MEANS), losses, t)
    whole = answer("orpo_loss", **MEANS, chosen_nll=1.75)
    np.testing.assert_allclose(whole.loss, 1.75 + losses.mean().item(), rtol=1e-6)


def test_a_likelihood_for_the_batch_has_the_whole_means_gradient() -> None:
    found = answer("orpo_loss", **MEANS, chosen_nll=1.75)
    assert found.gradients["chosen_nll"].shape == ()
    assert float(found.gradients["chosen_nll"]) == pytest.approx(1)


def test_orpo_warns_of_log_probabilities_without_odds() -> None:
    found = answer("orpo_loss", policy_chosen=[-0.5, 0.0], policy_rejected=[-1.0, -1.0], reduction="none")
    told = "policy_chosen: 1 values are not below 0, the first at /policy_chosen/1; their odds are not finite"
    assert found.warnings == [told]
    assert found.loss[1] == 0
    assert np.isfinite(found.loss[0])


def test_simpo_is_trls() -> None:
    # cpo_trainer.py, cpo_loss with loss_type simpo.
    t = exact(MEANS)
    beta, gamma, smoothing = 2.0, 0.5, 0.1
    logits = t["policy_chosen"] - t["policy_rejected"] - gamma / beta
    smooth = -F.logsigmoid(beta * logits) * (1 - smoothing) - F.logsigmoid(-beta * logits) * smoothing
    assert_mean(answer("simpo_loss", **MEANS), -F.logsigmoid(beta * logits), t)
    assert_mean(answer("simpo_loss", **MEANS, label_smoothing=smoothing), smooth, t)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_log_probabilities_of_every_size_have_finite_losses_and_gradients(dtype: str) -> None:
    low, high = [-1e4, -1e4, -1e-3, -1e-6], [-1e-3, -1e4, -1e4, -1e-3]
    pairs = {"policy_chosen": low, "policy_rejected": high, "dtype": dtype}
    reference = {"reference_chosen": high, "reference_rejected": low}
    answers = [
        *[answer("dpo_loss", **pairs, **reference, loss_type=kind) for kind in ("sigmoid", "hinge", "ipo", "robust")],
        answer("kto_loss", policy=low, reference=high, label=[1, 0, 1, 0], dtype=dtype),
        answer("orpo_loss", **pairs),
        answer("simpo_loss", **pairs),
    ]
    for found in answers:
        assert np.isfinite(found.loss)
        assert all(np.isfinite(gradient).all() for gradient in found.gradients.values())


@pytest.mark.parametrize("smoothing", [0.5, -0.1])
@pytest.mark.parametrize("name", ["dpo_loss", "simpo_loss"])
def test_smoothing_of_half_the_pairs_or_more_is_refused(name: str, smoothing: float) -> None:
    given = SEQUENCES if name == "dpo_loss" else MEANS
    assert list(faults(name, **given, label_smoothing=smoothing)) == ["/label_smoothing"]
