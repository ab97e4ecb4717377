"""Ranking losses over whole lists."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses.listwise import LambdaRank, ListNet, RankNet
from service.losses.formula import Tensors, Terms, register

LEAST_DCG = 1e-10
"""What the greatest DCG of a list without a relevant item is taken for (allRank's DEFAULT_EPS)."""


def _log_softmax(values: Tensor, mask: Tensor | None) -> Tensor:
    """Over the items that are there; those that are not have no share, and lists without any stay finite."""
    if mask is not None:
        values = values.masked_fill(~mask, torch.finfo(values.dtype).min)
    return torch.log_softmax(values, -1)


@register(ListNet, half=False, pads=True)
def _(_r: ListNet, t: Tensors) -> Terms:
    mask = t.get("mask")
    products = _log_softmax(t["target"], mask).exp() * _log_softmax(t["input"], mask)
    if mask is None:
        return Terms(-products.sum(-1))
    return Terms(-products.masked_fill(~mask, 0).sum(-1), shares=mask.any(-1).to(products.dtype))


def _differences(values: Tensor) -> Tensor:
    """Of every item of a list and every other: N L L."""
    return values.unsqueeze(2) - values.unsqueeze(1)


def _pairs(values: Tensor, chosen: Tensor) -> Terms:
    """The sum over each list's pairs, and how many they are."""
    return Terms(values.masked_fill(~chosen, 0).sum((1, 2)), shares=chosen.sum((1, 2)).to(values.dtype))


@register(RankNet, half=False)
def _(r: RankNet, t: Tensors) -> Terms:
    scores, target, mask = t["input"], t["target"], t.get("mask")
    if mask is not None:
        scores, target = scores.masked_fill(~mask, 0), target.masked_fill(~mask, -math.inf)
    chosen = target.unsqueeze(2) > target.unsqueeze(1)
    if mask is not None:
        target = target.masked_fill(~mask, 0)
        chosen = chosen & mask.unsqueeze(1)
    values = -F.logsigmoid(r.sigma * _differences(scores))
    if r.weighing != "none":
        weights = _differences(target if r.weighing == "difference" else target.square()).abs()
        values = values * weights
    return _pairs(values, chosen)


@register(LambdaRank, half=False)
def _(r: LambdaRank, t: Tensors) -> Terms:
    scores, target = t["input"], t["target"]
    mask = t["mask"] if "mask" in t else torch.ones_like(scores, dtype=torch.bool)
    items = scores.shape[1]
    k = items
    if r.k is not None:
        k = min(r.k, items)

    # From here on items are in the order of their scores, those that are not there last.
    order = scores.detach().masked_fill(~mask, -math.inf).sort(dim=1, descending=True, stable=True).indices
    scores = scores.masked_fill(~mask, 0).gather(1, order)
    target = target.masked_fill(~mask, 0).gather(1, order)
    there = mask.gather(1, order)
    there = there & (torch.arange(items, device=scores.device) < k)

    chosen = there.unsqueeze(2) & there.unsqueeze(1)
    if r.weighing != "ndcg_loss1":
        chosen = chosen & (target.unsqueeze(2) > target.unsqueeze(1))
    values = -F.logsigmoid(r.sigma * _differences(scores))
    if r.logarithm == "binary":
        values = values / math.log(2)
    if r.weighing != "none":
        values = values * _weights(r, target, k)
    return _pairs(values, chosen)


def _weights(r: LambdaRank, target: Tensor, k: int) -> Tensor:
    """What each pair counts, N L L, of relevances in the order of the scores."""
    items = target.shape[1]
    discounts = torch.log2(torch.arange(2, items + 2, device=target.device, dtype=target.dtype))
    gains = torch.exp2(target) - 1
    ideal = gains.sort(dim=1, descending=True).values
    gains = gains / (ideal / discounts)[:, :k].sum(1, keepdim=True).clamp(min=LEAST_DCG)
    if r.weighing == "ndcg_loss1":
        return (gains / discounts).unsqueeze(2).expand(-1, -1, items)
    by_rank = torch.zeros(items, items, device=target.device, dtype=target.dtype)
    if r.weighing in ("lambda_rank", "ndcg_loss2pp"):
        by_rank = (1 / discounts.unsqueeze(1) - 1 / discounts).abs()
    if r.weighing in ("ndcg_loss2", "ndcg_loss2pp"):
        steps = torch.arange(items, device=target.device)
        distance = (steps.unsqueeze(1) - steps).abs()
        # Of ranks d apart: between the discounts of ranks d and d + 1; a rank's distance from itself weighs nothing.
        inverse = torch.cat([discounts.new_zeros(1), 1 / discounts])
        of_distance = (inverse[distance] - inverse[distance + 1]).abs().masked_fill(distance == 0, 0)
        by_rank = by_rank + (r.mu if r.weighing == "ndcg_loss2pp" else 1.0) * of_distance
    return by_rank * _differences(gains).abs()
