"""Ranking losses over lists are allRank's (allrank/models/losses, 1.4)."""

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
RNG = np.random.default_rng(20_272)
SCORES = RNG.normal(size=(7, 9)).astype(np.float32)
RELEVANCE = RNG.integers(0, 5, (7, 9))
MASK = RNG.random((7, 9)) < 0.8
PADDED = -1
NATURAL = {"reduction": "sum", "logarithm": "natural"}


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


def padded() -> tuple[Tensor, Tensor]:
    """Scores and relevances as allRank takes them, -inf where the item is padding."""
    x = torch.tensor(SCORES, dtype=torch.float64, requires_grad=True)
    return x, torch.tensor(RELEVANCE, dtype=torch.float64)


def assert_same(found: LossResult, expected: Tensor, x: Tensor) -> None:
    (gradient,) = torch.autograd.grad(expected, x)
    np.testing.assert_allclose(found.loss, expected.item(), rtol=1e-6)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-5, atol=1e-7)


def test_list_net_loss_is_all_ranks() -> None:
    # listNet.py, listNet with its eps at 0
    x, y = padded()
    out = torch.tensor(~MASK)
    p, q = F.softmax(x.masked_fill(out, -torch.inf), 1), F.softmax(y.masked_fill(out, -torch.inf), 1)
    expected = -(q[~out] * p[~out].log()).sum() / len(x)
    assert_same(answer("list_net_loss", input=SCORES, target=RELEVANCE, mask=MASK), expected, x)


@pytest.mark.parametrize("weighing", ["none", "difference", "squared_difference"])
def test_rank_net_loss_is_all_ranks(weighing: str) -> None:
    # rankNet.py, rankNet with weight_by_diff or weight_by_diff_powed
    x, y = padded()
    y = y.masked_fill(torch.tensor(~MASK), -torch.inf)
    apart = y[:, :, None] - y[:, None, :]
    kept = (apart > 0) & ~torch.isinf(apart)
    weight = None
    if weighing != "none":
        power = 1 if weighing == "difference" else 2
        weight = (y[:, :, None] ** power - y[:, None, :] ** power).abs()[kept]
    scores = (x[:, :, None] - x[:, None, :])[kept]
    expected = F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores), weight)
    found = answer("rank_net_loss", input=SCORES, target=RELEVANCE, mask=MASK, weighing=weighing)
    assert found.divisor == int(kept.sum())
    assert_same(found, expected, x)


def lambda_loss(x: Tensor, y: Tensor, weighing: str, k: int | None, sigma: float, mu: float) -> Tensor:
    """lambdaLoss.py, lambdaLoss: the natural logarithm of each pair that counts; the clamps of eps are not hit."""
    out = torch.tensor(~MASK)
    x, y = x.masked_fill(out, -torch.inf), y.masked_fill(out, -torch.inf)
    predicted, order = x.sort(descending=True, dim=-1)
    best = y.sort(descending=True, dim=-1).values.clamp(min=0)
    y = y.gather(1, order)
    apart = y[:, :, None] - y[:, None, :]
    kept = torch.isfinite(apart)
    if weighing != "ndcg_loss1":
        kept &= apart > 0
    top = torch.zeros(y.shape[1], y.shape[1], dtype=torch.bool)
    top[:k, :k] = True
    y = y.clamp(min=0)
    d = torch.log2(1 + torch.arange(1, y.shape[1] + 1, dtype=y.dtype))
    ideal = ((2**best - 1) / d)[:, :k].sum(-1).clamp(min=1e-10)
    g = (2**y - 1) / ideal[:, None]
    gap = (g[:, :, None] - g[:, None, :]).abs()
    at = torch.arange(1, y.shape[1] + 1)
    steps = (at[:, None] - at[None, :]).abs()
    by_step = torch.abs(1 / d[steps - 1] - 1 / d[steps]).fill_diagonal_(0)
    swapped = torch.abs(1 / d[:, None] - 1 / d[None, :])
    weights = {
        "none": torch.ones_like(gap),
        "ndcg_loss1": (g / d)[:, :, None].expand_as(gap),
        "ndcg_loss2": by_step * gap,
        "lambda_rank": swapped * gap,
        "ndcg_loss2pp": mu * by_step * gap + swapped * gap,
    }[weighing]
    chosen = kept & top
    rows, i, j = chosen.nonzero(as_tuple=True)
    probabilities = torch.sigmoid(sigma * (predicted[rows, i] - predicted[rows, j])) ** weights[chosen]
    return -torch.log(probabilities)


@pytest.mark.parametrize("k", [None, 4])
@pytest.mark.parametrize("weighing", ["none", "lambda_rank", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2pp"])
def test_lambda_rank_loss_is_all_ranks(weighing: str, k: int | None) -> None:
    x, y = padded()
    each = lambda_loss(x, y, weighing, k, 1.5, 7.0)
    members: dict[str, Any] = {"weighing": weighing, "sigma": 1.5, "mu": 7.0, "mask": MASK}
    members |= {} if k is None else {"k": k}
    found = answer("lambda_rank_loss", input=SCORES, target=RELEVANCE, **members, **NATURAL)
    assert found.divisor == len(each)
    assert_same(found, each.sum(), x)
    binary = answer("lambda_rank_loss", input=SCORES, target=RELEVANCE, **members)
    np.testing.assert_allclose(binary.loss, each.mean().item() / np.log(2), rtol=1e-6)
