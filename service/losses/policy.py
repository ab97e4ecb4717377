"""Policy gradient losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from schemas.losses.policy import CISPO, ImportanceSampling, PPOClip
from schemas.losses.policy_of_sequences import GRPO, GSPO
from service.losses.formula import Tensors, Terms, register


def _unmasked(t: Tensors) -> Tensors:
    """The tensors with zeros where a token takes no part: nothing that stands there reaches a loss or a gradient."""
    mask = t.get("mask")
    if mask is None:
        return t
    return {
        name: tensor if tensor.shape != mask.shape or name == "mask" else torch.where(mask, tensor, 0)
        for name, tensor in t.items()
    }


def _kept(values: Tensor, t: Tensors) -> Tensor:
    """The values, 0 where a token takes no part."""
    return torch.where(t["mask"], values, 0) if "mask" in t else values


def _log_ratio(t: Tensors) -> Tensor:
    """Of the policy to what the tokens were sampled with."""
    log_probs = t["log_probs"]
    return log_probs - t.get("old_log_probs", log_probs.detach())


def _clipped(log_ratio: Tensor, advantages: Tensor, low: float, high: float, most: float = math.inf) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A), and for negative A no r beyond `most`.

    By the sign of A it is a bound on r from above or from below. The logarithm is bounded, before exp overflows: beyond
    the bound the gradient is 0 and not 0 times infinity.
    """
    above = log_ratio.clamp(max=math.log1p(high))
    below = log_ratio.clamp(-math.inf if low >= 1 else math.log1p(-low), math.log(most))
    return -torch.where(advantages >= 0, above, below).exp() * advantages


def _k3(t: Tensors) -> Tensor:
    """e^d - d - 1, d = log(reference / policy): an estimate of the divergence that is never negative."""
    d = t["ref_log_probs"] - t["log_probs"]
    return torch.expm1(d) - d


@register(ImportanceSampling, half=False)
def _(_r: ImportanceSampling, t: Tensors) -> Terms:
    t = _unmasked(t)
    return Terms(_kept(-_log_ratio(t).exp() * t["advantages"], t))


@register(PPOClip, half=False)
def _(r: PPOClip, t: Tensors) -> Terms:
    t = _unmasked(t)
    return Terms(_kept(_clipped(_log_ratio(t), t["advantages"], r.epsilon, r.high), t))


@register(CISPO, half=False)
def _(r: CISPO, t: Tensors) -> Terms:
    t = _unmasked(t)
    ratio = _log_ratio(t).detach().exp().clamp(r.ratio_low, r.ratio_high)
    return Terms(_kept(-ratio * t["advantages"] * t["log_probs"], t))


@register(GRPO, half=False)
def _(r: GRPO, t: Tensors) -> Terms:
    t = _unmasked(t)
    advantages = t["advantages"]
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1)
    values = _clipped(_log_ratio(t), advantages, r.epsilon, r.high, r.most)
    if "ref_log_probs" in t and r.beta:
        values = values + r.beta * _k3(t)
    values = _kept(values, t)
    if r.normalization != "grpo":
        return Terms(values)
    mask = t["mask"] if "mask" in t else torch.ones_like(values, dtype=torch.bool)
    sizes = mask.sum(1, keepdim=True).clamp(min=1).to(values.dtype).expand_as(values)
    shares = torch.zeros_like(values, requires_grad=False)
    shares[:, 0] = mask.any()  # each sequence's is 1, wherever it lies; 0 where nothing at all takes part
    return Terms(values, shares=shares, sizes=sizes)


@register(GSPO, half=False)
def _(r: GSPO, t: Tensors) -> Terms:
    t = _unmasked(t)
    log_ratio = _log_ratio(t)
    counts = (
        t["mask"].sum(1)
        if "mask" in t
        else torch.full(log_ratio.shape[:1], log_ratio.shape[1], device=log_ratio.device)
    )
    tokens = counts.clamp(min=1)
    values = _clipped(log_ratio.sum(1) / tokens, t["advantages"], r.epsilon, r.high)
    if "ref_log_probs" in t and r.beta:
        values = values + r.beta * _k3(t).sum(1) / tokens
    return Terms(torch.where(counts > 0, values, 0))
