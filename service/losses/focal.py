"""Losses that weigh what is hard."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses.focal import Asymmetric, Focal, Poly1CrossEntropy, SigmoidFocal
from service.losses.classification import class_shares
from service.losses.formula import Tensors, Terms, register
from service.losses.lanes import in_lanes, out_of_lanes


def focused(missing: Tensor, gamma: float | Tensor) -> Tensor:
    """(1 - p)^gamma of what is missing, 1 - p: where that underflows, powers below 1 have no slope that is a number."""
    return missing.clamp(min=torch.finfo(missing.dtype).tiny).pow(gamma)


def exponential(missing: Tensor, gamma: Tensor) -> Tensor:
    """The same for powers that may be 0: there the slope of pow's own slope in the power is lost in torch."""
    return (gamma * missing.clamp(min=torch.finfo(missing.dtype).tiny).log()).exp()


@register(SigmoidFocal, half=False)
def _(r: SigmoidFocal, t: Tensors) -> Terms:
    x, y = t["input"], t["target"]
    # 1 - p_t as a sum of what is small, not as a difference.
    missing = torch.sigmoid(x) * (1 - y) + torch.sigmoid(-x) * y
    # torch's own binary cross entropy and log-sigmoid take log(1 + z), which loses small losses.
    entropy = y * F.softplus(-x) + (1 - y) * F.softplus(x)
    values = entropy * focused(missing, r.gamma)
    if r.alpha >= 0:
        values = (r.alpha * y + (1 - r.alpha) * (1 - y)) * values
    return Terms(values)


def log_probability(t: Tensors, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The logarithm of each target's probability, and which of them are ignored."""
    ignored = t["target"] == ignore_index
    index = t["target"].masked_fill(ignored, 0).unsqueeze(1)
    return F.log_softmax(t["input"], 1).gather(1, index).squeeze(1), ignored


@register(Focal, half=False)
def _(r: Focal, t: Tensors) -> Terms:
    logs, ignored = log_probability(t, r.ignore_index)
    flat = in_lanes(logs)
    values = out_of_lanes(focused(-torch.expm1(flat), r.gamma) * -flat, logs).masked_fill(ignored, 0)
    shares = class_shares(t, r.ignore_index)
    return Terms(values) if shares is None else Terms(values * shares, shares)


@register(Poly1CrossEntropy, half=False, pads=True)
def _(r: Poly1CrossEntropy, t: Tensors) -> Terms:
    if t["target"].is_floating_point():
        logs = F.log_softmax(t["input"], 1)
        missing = -torch.expm1(logs)
        return Terms((t["target"] * (r.epsilon * missing - logs)).sum(1))
    logs, ignored = log_probability(t, r.ignore_index)
    flat = in_lanes(logs)
    return Terms(out_of_lanes(-r.epsilon * torch.expm1(flat) - flat, logs).masked_fill(ignored, 0))


@register(Asymmetric, half=False)
def _(r: Asymmetric, t: Tensors) -> Terms:
    x, y = t["input"], t["target"]
    below = math.log(r.eps) if r.eps else -math.inf
    positive, negative = -F.softplus(-x), -F.softplus(x)
    favour, against = torch.sigmoid(x), torch.sigmoid(-x)
    missing = favour
    if r.clip:
        # p - m by way of whichever of p and 1 - p is small: the slope of a sigmoid near 1 is a difference.
        missing = torch.where(x > 0, 1 - r.clip - against, favour - r.clip).clamp(min=0)
        negative = torch.log1p(-missing)
    values = y * positive.clamp(min=below) + (1 - y) * negative.clamp(min=below)
    if r.gamma_neg or r.gamma_pos:
        powers = r.gamma_pos * y + r.gamma_neg * (1 - y)
        absent = y * against + (1 - y) * missing
        weights = focused(absent, powers) if r.gamma_neg and r.gamma_pos else exponential(absent, powers)
        values = values * (weights if r.focal_gradient else weights.detach())
    return Terms(-values)
