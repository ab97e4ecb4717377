"""Classification losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from schemas.losses.classification import NLL, CrossEntropy, MultiMargin, SoftMargin
from service.losses.formula import Tensors, Terms, register


def class_shares(t: Tensors, ignore_index: int) -> torch.Tensor | None:
    """Each row's part in the divisor: the weight of its class, 0 where it is ignored; `None` where that is 1 or all."""
    if "weight" not in t or t["target"].is_floating_point():
        return None
    ignored = t["target"] == ignore_index
    weights: torch.Tensor = t["weight"].detach()[t["target"].masked_fill(ignored, 0)]
    return weights.masked_fill(ignored, 0)


@register(NLL)
def _(r: NLL, t: Tensors) -> Terms:
    values = F.nll_loss(t["input"], t["target"], t.get("weight"), ignore_index=r.ignore_index, reduction="none")
    return Terms(values, shares=class_shares(t, r.ignore_index))


@register(CrossEntropy)
def _(r: CrossEntropy, t: Tensors) -> Terms:
    values = F.cross_entropy(
        t["input"],
        t["target"],
        t.get("weight"),
        ignore_index=r.ignore_index,
        label_smoothing=r.label_smoothing,
        reduction="none",
    )
    return Terms(values, shares=class_shares(t, r.ignore_index))


# The CPU kernels know no half types.
@register(MultiMargin, half=False)
def _(r: MultiMargin, t: Tensors) -> Terms:
    values = F.multi_margin_loss(
        t["input"], t["target"], p=r.p, margin=r.margin, weight=t.get("weight"), reduction="none"
    )
    return Terms(values)


@register(SoftMargin)
def _(_r: SoftMargin, t: Tensors) -> Terms:
    return Terms(F.soft_margin_loss(t["input"], t["target"], reduction="none"))
