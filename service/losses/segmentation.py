"""Segmentation losses: how far a predicted region overlaps the true one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from schemas.losses.segmentation import Dice, FocalTversky, Jaccard, Overlap, Tversky
from service.losses.formula import Tensors, Terms, register

SUMMED = {"class": (0, 2), "image": (1, 2), "image_class": (2,), "all": (0, 1, 2)}
"""The dims of `N C P` that counts are summed over; P are the pixels of an image."""
SUMMED_OF_ONE_CLASS = {"class": (0, 1, 2), "image": (1, 2), "image_class": (1, 2), "all": (0, 1, 2)}


class Regions(NamedTuple):
    """Probabilities and truth, `N C P`, both 0 where pixels are ignored."""

    probabilities: Tensor
    truth: Tensor


def flat(tensor: Tensor, dims: int) -> Tensor:
    """All dims from this one on as one."""
    return tensor.reshape(*tensor.shape[:dims], math.prod(tensor.shape[dims:]))


def ignored(target: Tensor, ignore_index: int | None) -> Tensor | None:
    """Which targets do not count; `None`: all do."""
    return None if ignore_index is None else target == ignore_index


def one_hot(target: Tensor, void: Tensor | None, like: Tensor) -> Tensor:
    """Class indices as a number for each class: `N C P`."""
    known = target if void is None else target.masked_fill(void, 0)
    return torch.zeros_like(like).scatter_(1, known.unsqueeze(1), 1)


def regions(r: Overlap, t: Tensors) -> Regions:
    """What the losses count."""
    logits, target = t["input"], t["target"]
    void = ignored(target, r.ignore_index)
    if r.mode == "binary":
        logits, truth = flat(logits, 1).unsqueeze(1), flat(target, 1).unsqueeze(1)
        void = None if void is None else flat(void, 1).unsqueeze(1)
    elif target.is_floating_point():
        logits, truth = flat(logits, 2), flat(target, 2)
        void = None if void is None else flat(void, 2)
    else:
        logits, target = flat(logits, 2), flat(target, 1)
        void = None if void is None else flat(void, 1)
        truth = one_hot(target, void, logits)
        void = None if void is None else void.unsqueeze(1)
    if void is not None:  # before the softmax too: a NaN there would have a gradient
        logits = logits.masked_fill(void, 0)
    probabilities = logits
    if r.from_logits:
        probabilities = logits.softmax(1) if r.mode == "multiclass" else logits.sigmoid()
    if void is not None:
        probabilities, truth = probabilities.masked_fill(void, 0), truth.masked_fill(void, 0)
    return Regions(probabilities, truth)


def overlap(r: Overlap, t: Tensors, alpha: float, beta: float, intersections: float = 1.0) -> Tensor:
    """The Tversky loss of each value; `intersections`: how often the score counts the intersection."""
    p, y = regions(r, t)
    dims = (SUMMED_OF_ONE_CLASS if r.mode == "binary" else SUMMED)[r.per]
    hit = intersections * (p * y).sum(dims) + r.smooth
    missed = alpha * (p * (1 - y)).sum(dims) + beta * ((1 - p) * y).sum(dims)
    total = hit + missed
    divisor = total.clamp_min(r.eps)
    if r.log_loss:
        values = -torch.log((hit / divisor).clamp_min(r.eps))
    else:
        # 1 - hit/total without the difference, whose roundings would be all that is left of a small loss.
        values = torch.where(total >= r.eps, missed / divisor, 1 - hit / divisor)
    return values if r.absent == "score" else values.masked_fill(y.detach().sum(dims) <= 0, 0)


@register(Dice, half=False)
def _(r: Dice, t: Tensors) -> Terms:
    return Terms(overlap(r, t, 1, 1, intersections=2))


@register(Jaccard, half=False)
def _(r: Jaccard, t: Tensors) -> Terms:
    return Terms(overlap(r, t, 1, 1))


@register(Tversky, half=False)
def _(r: Tversky, t: Tensors) -> Terms:
    return Terms(overlap(r, t, r.alpha, r.beta))


@register(FocalTversky, half=False)
def _(r: FocalTversky, t: Tensors) -> Terms:
    values = overlap(r, t, r.alpha, r.beta)
    # The power's gradient at 0 may be infinite; nothing is left to learn there.
    none = values <= 0
    return Terms(values.masked_fill(none, 1).pow(r.gamma).masked_fill(none, 0))
