"""Losses of language models are those of transformers, T5X and Liger-Kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.schemas.refusing import faults

CPU = open_device("cpu")
RNG = np.random.default_rng(20_267)
LOGITS = RNG.normal(0, 3, (4, 9, 13)).astype(np.float32)
LABELS = np.where(RNG.random((4, 9)) < 0.3, -100, RNG.integers(0, 13, (4, 9)))


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


def test_next_token_cross_entropy_is_transformers() -> None:
    # transformers/loss/loss_utils.py, ForCausalLMLoss: labels padded by one, shifted, and all of it flat.
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    labels = F.pad(torch.tensor(LABELS), (0, 1), value=-100)[..., 1:]
    expected = F.cross_entropy(logits.reshape(-1, 13), labels.reshape(-1), ignore_index=-100)
    (gradient,) = torch.autograd.grad(expected, logits)
    found = answer("next_token_cross_entropy", input=LOGITS, target=LABELS)
    assert found.loss == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-5, atol=1e-8)
    kept = int((LABELS[:, 1:] != -100).sum())
    assert (found.divisor, found.count, found.ignored) == (kept, kept, 32 - kept)


def test_next_token_cross_entropy_with_z_loss_is_ligers() -> None:
    # Liger-Kernel, ops/cross_entropy.py: loss * (1 - e) + smooth, and lse_square_scale * lse^2, over what is kept.
    smoothing, scale = 0.1, 1e-2
    x, y = LOGITS[:, :-1].astype(np.float64).reshape(-1, 13), LABELS[:, 1:].reshape(-1)
    x, y = x[y != -100], y[y != -100]
    lse = np.log(np.exp(x).sum(1))
    smooth = -(smoothing / 13) * x.sum(1) + smoothing * lse
    expected = ((lse - x[np.arange(len(y)), y]) * (1 - smoothing) + smooth + scale * lse**2).mean()
    found = answer("next_token_cross_entropy", input=LOGITS, target=LABELS, label_smoothing=smoothing, z_loss=scale)
    assert found.loss == pytest.approx(expected, rel=1e-6)


def test_z_loss_is_t5xs() -> None:
    # t5x/losses.py, cross_entropy_with_logits: z_loss * square(log_z), whose derivative is 2 z_loss log_z softmax.
    x = LOGITS.astype(np.float64)
    log_z = np.log(np.exp(x).sum(-1))
    found = answer("z_loss", input=LOGITS, reduction="none")
    np.testing.assert_allclose(found.loss, 1e-4 * log_z**2, rtol=2e-6)
    softmax = np.exp(x - log_z[..., None])
    np.testing.assert_allclose(found.gradients["input"], 2e-4 * log_z[..., None] * softmax, rtol=1e-5, atol=1e-10)


def test_z_loss_and_cross_entropy_are_the_next_tokens_loss() -> None:
    following, kept = LABELS[:, 1:], LABELS[:, 1:] != -100
    plain = answer("cross_entropy", input=LOGITS[:, :-1].transpose(0, 2, 1), target=following)
    penalty = answer("z_loss", input=LOGITS[:, :-1], mask=kept, coefficient=1e-3)
    both = answer("next_token_cross_entropy", input=LOGITS, target=LABELS, z_loss=1e-3)
    assert both.divisor == penalty.divisor == plain.divisor
    assert both.loss == pytest.approx(float(plain.loss) + float(penalty.loss), rel=1e-6)


def test_a_first_label_to_ignore_is_not_counted() -> None:
    members = {"input": LOGITS[0, :3], "reduction": "none"}
    found = answer("next_token_cross_entropy", **members, target=[-100, 1, 2])
    assert (found.count, found.ignored, found.loss.shape) == (2, 0, (2,))
    assert found.loss.tolist() == answer("next_token_cross_entropy", **members, target=[5, 1, 2]).loss.tolist()


def test_one_position_predicts_nothing() -> None:
    members = {"input": LOGITS[:, :1], "target": LABELS[:, :1]}
    found = answer("next_token_cross_entropy", **members)
    assert math.isnan(found.loss)
    assert (found.divisor, found.count) == (0, 0)
    assert not found.gradients["input"].any()
    assert answer("next_token_cross_entropy", **members, reduction="none").loss.shape == (4, 0)


def test_when_every_token_is_ignored_mean_is_nan_with_zero_gradients() -> None:
    members = {"input": LOGITS, "target": np.full((4, 9), -100), "z_loss": 1.0}
    found = answer("next_token_cross_entropy", **members)
    assert math.isnan(found.loss)
    assert not found.gradients["input"].any()
    assert answer("next_token_cross_entropy", **members, on_empty="zero").loss == 0
    assert list(faults("next_token_cross_entropy", **members, on_empty="error")) == ["/on_empty"]


@pytest.mark.parametrize("name", ["z_loss", "next_token_cross_entropy"])
def test_a_masked_nan_stays_in_its_place(name: str) -> None:
    logits = LOGITS[:1].copy()
    logits[0, 2, 5] = np.nan
    masked = {"target": [[0, 1, 2, -100, 3, 4, 5, 6, 7]], "z_loss": 1.0}
    if name == "z_loss":
        masked = {"mask": [[1, 1, 0, 1, 1, 1, 1, 1, 1]]}
    found = answer(name, input=logits, **masked)
    assert math.isfinite(found.loss)
    assert np.isfinite(np.delete(found.gradients["input"], 2, axis=1)).all()


@pytest.mark.parametrize("name", ["z_loss", "next_token_cross_entropy"])
def test_huge_logits_have_finite_losses_and_gradients(name: str) -> None:
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4]], np.float32)
    more: dict[str, Any] = {"target": [0, 0], "z_loss": 1.0} if name != "z_loss" else {}
    found = answer(name, input=logits, **more, reduction="none")
    assert np.isfinite(found.loss).all()
    assert np.isfinite(found.gradients["input"]).all()


def test_labels_that_are_no_tokens_are_refused() -> None:
    assert list(faults("next_token_cross_entropy", input=LOGITS[0, :3], target=[0, 13, 2])) == ["/target/1"]
    assert list(faults("next_token_cross_entropy", input=np.zeros((2, 0, 5)), target=np.zeros((2, 0), int))) == [
        "/input"
    ]
    assert list(faults("next_token_cross_entropy", input=np.zeros((2, 3, 0)), target=np.full((2, 3), -100))) == [
        "/input"
    ]
    assert list(faults("z_loss", input=np.zeros((2, 0)))) == ["/input"]
