"""Contrastive losses.

All are computed in float64: a cosine's rounding in float32, multiplied by a scale of 64 or divided by a temperature of
0.07, would show in the fifth digit of a gradient, and all of it where a soft maximum is nearly hard.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses.contrastive import Contrastive, InfoNCE, MultiSimilarity, NTXent, SupCon
from service.losses.formula import Tensors, Terms, register


def unit(vectors: Tensor) -> Tensor:
    """Vectors brought to length 1, in float64."""
    return F.normalize(vectors.double(), dim=-1)


@register(InfoNCE, half=False, products=True)
def _(r: InfoNCE, t: Tensors) -> Terms:
    made = {name: unit(tensor) if r.normalize else tensor.double() for name, tensor in t.items()}
    query, positive, negative = made["query"], made["positive"], made.get("negative")
    if r.in_batch:
        similar = query @ positive.mT
        own = similar.diagonal()
        parts = [similar]
    else:
        own = (query * positive).sum(-1)
        parts = [own.unsqueeze(1)]
    if negative is not None:
        each = negative.dim() == 3
        parts.append((negative @ query.unsqueeze(2)).squeeze(2) if each else query @ negative.mT)
    values = torch.logsumexp(torch.cat(parts, 1) / r.temperature, 1) - own / r.temperature
    return Terms(values.to(t["query"].dtype))


def _pairs(t: Tensors) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines of all pairs N N, which of these are positives, and which are negatives."""
    vectors, labels = unit(t["embeddings"]), t["labels"]
    same = labels.unsqueeze(1) == labels
    return vectors @ vectors.mT, same.clone().fill_diagonal_(False), ~same


def _soft_maximum(scores: Tensor, among: Tensor) -> Tensor:
    """The logarithm of each row's sum of exponentials, among some; -inf where there are none, without a gradient."""
    some = among.any(1)
    # A row without any keeps its scores until the end: derivatives of a sum over nothing would be NaN.
    found = torch.logsumexp(scores.masked_fill(~among & some.unsqueeze(1), -math.inf), 1)
    return found.masked_fill(~some, -math.inf)


@register(NTXent, half=False, products=True)
def _(r: NTXent, t: Tensors) -> Terms:
    cosines, positives, negatives = _pairs(t)
    scores = cosines / r.temperature
    # -log(e^p / (e^p + sum e^n)) = softplus(log sum e^n - p)
    pairs = F.softplus(_soft_maximum(scores, negatives).unsqueeze(1) - scores)
    return Terms(pairs.masked_fill(~positives, 0).sum(1).to(t["embeddings"].dtype))


@register(SupCon, half=False, products=True)
def _(r: SupCon, t: Tensors) -> Terms:
    cosines, positives, negatives = _pairs(t)
    scores = cosines / r.temperature
    counts = positives.sum(1)
    mean = scores.masked_fill(~positives, 0).sum(1) / counts.clamp(min=1)
    # Of an embedding that is alone in its batch the soft maximum is -inf.
    values = (_soft_maximum(scores, positives | negatives) - mean).masked_fill(counts == 0, 0)
    return Terms(values.to(t["embeddings"].dtype))


@register(MultiSimilarity, half=False, products=True)
def _(r: MultiSimilarity, t: Tensors) -> Terms:
    cosines, positives, negatives = _pairs(t)
    beyond = cosines - r.base
    near = F.softplus(_soft_maximum(-r.alpha * beyond, positives)) / r.alpha
    far = F.softplus(_soft_maximum(r.beta * beyond, negatives)) / r.beta
    return Terms((near + far).to(t["embeddings"].dtype))


@register(Contrastive, half=False)
def _(r: Contrastive, t: Tensors) -> Terms:
    one, other = (unit(t[name]) if r.normalize else t[name].double() for name in ("input1", "input2"))
    distance = torch.linalg.vector_norm(one - other, dim=1)
    near, apart = F.relu(distance - r.pos_margin), F.relu(r.neg_margin - distance)
    if r.squared:
        near, apart = near.square() / 2, apart.square() / 2
    similar = t["target"]
    values = torch.where(similar, near, apart).to(t["input1"].dtype)
    if r.average == "pairs":
        return Terms(values)
    counts = values.detach() != 0
    sizes = torch.where(similar, (similar & counts).sum(), (~similar & counts).sum()).clamp(min=1)
    shares = torch.zeros_like(values, requires_grad=False)
    shares[0] = 1  # the two means are added up: they are divided by 1
    return Terms(values, shares=shares, sizes=sizes.to(values.dtype))
