"""Ranking losses."""

from __future__ import annotations

import torch.nn.functional as F

from schemas.losses.ranking import MarginRanking
from service.losses.formula import Tensors, Terms, register


@register(MarginRanking)
def _(r: MarginRanking, t: Tensors) -> Terms:
    return Terms(F.margin_ranking_loss(t["input1"], t["input2"], t["target"], margin=r.margin, reduction="none"))
