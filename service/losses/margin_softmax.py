"""Margin softmax losses, in float64 as the contrastive ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from schemas.losses.margin_softmax import ArcFace, CosFace
from service.losses.contrastive import unit
from service.losses.formula import Tensors, Terms, register


def _cross_entropy(cosines: Tensor, target: Tensor, own: Tensor, scale: float) -> Tensor:
    """Of scaled cosines N C, with `own` in the place of each target's."""
    scores = cosines.scatter(1, target.unsqueeze(1), own.unsqueeze(1))
    return torch.logsumexp(scale * scores, 1) - scale * own


@register(ArcFace, half=False, products=True)
def _(r: ArcFace, t: Tensors) -> Terms:
    vectors, centres, target = unit(t["embeddings"]), unit(t["weight"]), t["target"]
    cosines = vectors @ centres.mT
    margin = math.radians(r.margin)
    cosine = cosines.gather(1, target.unsqueeze(1)).squeeze(1)
    # The sine as the length of what is left without the centre's part: exact near 0, where acos has no gradient.
    sine = torch.linalg.vector_norm(vectors - cosine.unsqueeze(1) * centres[target], dim=1)
    turned = cosine * math.cos(margin) - sine * math.sin(margin)
    own = torch.where(cosine >= -math.cos(margin), turned, cosine - margin * math.sin(margin))
    return Terms(_cross_entropy(cosines, target, own, r.scale).to(t["embeddings"].dtype))


@register(CosFace, half=False, products=True)
def _(r: CosFace, t: Tensors) -> Terms:
    vectors, centres, target = unit(t["embeddings"]), unit(t["weight"]), t["target"]
    cosines = vectors @ centres.mT
    own = cosines.gather(1, target.unsqueeze(1)).squeeze(1) - r.margin
    return Terms(_cross_entropy(cosines, target, own, r.scale).to(t["embeddings"].dtype))
