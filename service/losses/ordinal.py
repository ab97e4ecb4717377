"""Ordinal losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from schemas.losses.ordinal import Coral, Corn
from service.losses.formula import Tensors, Terms, register


@register(Coral, half=False, pads=True)
def _(_r: Coral, t: Tensors) -> Terms:
    logits, target = t["input"], t["target"]
    levels = target
    if target.dim() < logits.dim():
        thresholds = torch.arange(logits.shape[1], device=logits.device)
        levels = (target.unsqueeze(1) > thresholds).to(logits.dtype)
    values = F.binary_cross_entropy_with_logits(logits, levels, reduction="none")
    if "importance_weights" in t:
        values = values * t["importance_weights"]
    return Terms(values.sum(1))


@register(Corn, half=False, pads=True)
def _(_r: Corn, t: Tensors) -> Terms:
    logits, ranks = t["input"], t["target"].unsqueeze(1)
    thresholds = torch.arange(logits.shape[1], device=logits.device)
    asked = ranks >= thresholds
    above = (ranks > thresholds).to(logits.dtype)
    # What is not asked is left out before the logarithm: no NaN comes from there.
    values = F.binary_cross_entropy_with_logits(logits.masked_fill(~asked, 0), above, reduction="none")
    return Terms(values.masked_fill(~asked, 0).sum(1), shares=asked.sum(1).to(logits.dtype))
