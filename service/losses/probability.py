"""Losses between probabilities or their logarithms."""

from __future__ import annotations

import torch.nn.functional as F

from schemas.losses.probability import BinaryCrossEntropy, BinaryCrossEntropyWithLogits, KLDiv
from service.losses.formula import Tensors, Terms, register


# In float16 torch's 1e-12, which keeps the gradient at 0 and 1 finite, is 0: NaN even where input is target.
@register(BinaryCrossEntropy, half=False)
def _(_r: BinaryCrossEntropy, t: Tensors) -> Terms:
    return Terms(F.binary_cross_entropy(t["input"], t["target"], t.get("weight"), reduction="none"))


@register(BinaryCrossEntropyWithLogits)
def _(_r: BinaryCrossEntropyWithLogits, t: Tensors) -> Terms:
    values = F.binary_cross_entropy_with_logits(
        t["input"], t["target"], t.get("weight"), pos_weight=t.get("pos_weight"), reduction="none"
    )
    return Terms(values)


@register(KLDiv)
def _(r: KLDiv, t: Tensors) -> Terms:
    return Terms(F.kl_div(t["input"], t["target"], log_target=r.log_target, reduction="none"))
