"""Segmentation losses that extend the Jaccard index to the errors of the pixels (Lovász)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses.lovasz import LovaszHinge, LovaszSoftmax
from service.losses.formula import Tensors, Terms, register
from service.losses.segmentation import flat, ignored, one_hot


def extension(errors: Tensor, truth: Tensor, counts: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss over the last dim; pixels that do not count have no error."""
    order = errors.detach().masked_fill(~counts, -math.inf).sort(dim=-1, descending=True, stable=True).indices
    truth = truth.masked_fill(~counts, 0).gather(-1, order)
    errors = errors.masked_fill(~counts, 0).gather(-1, order)
    region = truth.sum(-1, keepdim=True)
    intersection = region - truth.cumsum(-1)
    union = region + (1 - truth).cumsum(-1)
    # How much 1 - intersection/union grows at each pixel, without the difference of two numbers that are nearly one: a
    # true pixel takes 1 from the intersection, another adds 1 to the union. Without a region the first pixel takes all.
    slopes = torch.where(truth > 0, 1 / union, intersection / (union * (union - 1).clamp_min(1)))
    first = torch.zeros_like(slopes)
    first[..., :1] = 1
    return (errors * torch.where(region > 0, slopes, first)).sum(-1)


@register(LovaszHinge, half=False)
def _(r: LovaszHinge, t: Tensors) -> Terms:
    logits, target = flat(t["input"], int(r.per_image)), flat(t["target"], int(r.per_image))
    void = ignored(target, r.ignore_index)
    if void is None:
        void = torch.zeros_like(target, dtype=torch.bool)
    target, logits = target.masked_fill(void, 0), logits.masked_fill(void, 0)
    return Terms(extension(F.relu(1 - logits * (2 * target - 1)), target, ~void))


@register(LovaszSoftmax, half=False)
def _(r: LovaszSoftmax, t: Tensors) -> Terms:
    logits, target = flat(t["input"], 2), flat(t["target"], 1)
    void = ignored(target, r.ignore_index)
    if void is None:
        void = torch.zeros_like(target, dtype=torch.bool)
    truth = one_hot(target, void, logits).masked_fill(void.unsqueeze(1), 0)
    logits = logits.masked_fill(void.unsqueeze(1), 0)
    errors = (truth - (logits.softmax(1) if r.from_logits else logits)).abs()
    counts = ~void.unsqueeze(1).expand_as(errors)
    if not r.per_image:  # N C P as C NP
        errors, truth, counts = (flat(tensor.transpose(0, 1), 1) for tensor in (errors, truth, counts))
    values = extension(errors, truth, counts)
    averaged = truth.any(-1) if r.classes == "present" else counts.any(-1)
    values = values.masked_fill(~averaged, 0)
    if r.per_image:
        values = values.sum(1) / averaged.sum(1).clamp_min(1)
    return Terms(values)
