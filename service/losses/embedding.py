"""Losses on embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses.embedding import CosineEmbedding, HingeEmbedding, TripletMargin, TripletMarginWithDistance
from service.losses.formula import Tensors, Terms, register


@register(HingeEmbedding)
def _(r: HingeEmbedding, t: Tensors) -> Terms:
    return Terms(F.hinge_embedding_loss(t["input"], t["target"], margin=r.margin, reduction="none"))


@register(CosineEmbedding)
def _(r: CosineEmbedding, t: Tensors) -> Terms:
    return Terms(F.cosine_embedding_loss(t["input1"], t["input2"], t["target"], margin=r.margin, reduction="none"))


@register(TripletMargin, pads=True)
def _(r: TripletMargin, t: Tensors) -> Terms:
    values = F.triplet_margin_loss(
        t["anchor"], t["positive"], t["negative"], margin=r.margin, p=r.p, eps=r.eps, swap=r.swap, reduction="none"
    )
    return Terms(values)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": torch.pairwise_distance,
    "squared_euclidean": lambda u, v: (u - v).square().sum(-1),
    "manhattan": lambda u, v: (u - v).abs().sum(-1),
    "chebyshev": lambda u, v: (u - v).abs().amax(-1),
    "cosine": lambda u, v: 1 - F.cosine_similarity(u, v, dim=-1),
}


@register(TripletMarginWithDistance, pads=True)
def _(r: TripletMarginWithDistance, t: Tensors) -> Terms:
    values = F.triplet_margin_with_distance_loss(
        t["anchor"],
        t["positive"],
        t["negative"],
        distance_function=DISTANCES[r.distance],
        margin=r.margin,
        swap=r.swap,
        reduction="none",
    )
    return Terms(values)
