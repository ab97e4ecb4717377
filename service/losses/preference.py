"""Preference losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses.preference import DPO, KTO, ORPO, SimPO
from service.losses.formula import Tensors, Terms, register


def _smoothed(margin: Tensor, smoothing: float) -> Tensor:
    """-log sigmoid of a margin that is right so often, and the wrong way round for the rest."""
    right = F.softplus(-margin)
    return (1 - smoothing) * right + smoothing * F.softplus(margin) if smoothing else right


@register(DPO, half=False)
def _(r: DPO, t: Tensors) -> Terms:
    chosen = t["policy_chosen"] - t["reference_chosen"]
    rejected = t["policy_rejected"] - t["reference_rejected"]
    delta = chosen - rejected
    if r.loss_type == "hinge":
        return Terms(F.relu(1 - r.beta * delta))
    if r.loss_type == "ipo":
        return Terms((delta - 1 / (2 * r.beta)).square())
    if r.loss_type == "sigmoid" or not r.label_smoothing:
        return Terms(_smoothed(r.beta * delta, r.label_smoothing))
    e, margin = r.label_smoothing, r.beta * delta
    return Terms(((1 - e) * F.softplus(-margin) - e * F.softplus(margin)) / (1 - 2 * e))


@register(KTO, half=False)
def _(r: KTO, t: Tensors) -> Terms:
    reward = t["policy"] - t["reference"]
    if "kl" in t:
        reward = reward - t["kl"].clamp(min=0)
    gain = r.beta * reward
    desirable = r.desirable_weight * torch.sigmoid(-gain)
    undesirable = r.undesirable_weight * torch.sigmoid(gain)
    return Terms(torch.where(t["label"], desirable, undesirable))


def _log_odds(log_probs: Tensor) -> Tensor:
    """log(p / (1 - p)); one form for all p, since the other branch of a `where` would spoil the gradient near 1."""
    return log_probs - torch.log(-torch.expm1(log_probs))


@register(ORPO, half=False)
def _(r: ORPO, t: Tensors) -> Terms:
    values = r.beta * F.softplus(_log_odds(t["policy_rejected"]) - _log_odds(t["policy_chosen"]))
    return Terms(values + t["chosen_nll"] if "chosen_nll" in t else values)


@register(SimPO, half=False)
def _(r: SimPO, t: Tensors) -> Terms:
    margin = r.beta * (t["policy_chosen"] - t["policy_rejected"]) - r.gamma
    return Terms(_smoothed(margin, r.label_smoothing))
