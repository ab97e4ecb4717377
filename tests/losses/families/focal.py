"""Requests of the losses that weigh what is hard, and what they are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Draw
from tests.losses.families.plain import Request, class_inputs, indices, pair


def soft_or_hard(d: Draw) -> Request:
    request = pair(d)
    shape = request["_"]
    return {**request, "target": d.bits(shape) if d.flag() else d.unit(shape)}


def sigmoid_focal(d: Draw) -> Request:
    return {**soft_or_hard(d), **d.option("alpha", -1.0, 0.75, 0.0), **d.option("gamma", 0.0, 0.5, 3.0)}


def focal(d: Draw) -> Request:
    logits, unreduced, classes = class_inputs(d)
    ignore = d.option("ignore_index", 0, -1)
    return {
        "input": d.floats(logits),
        "target": indices(d, unreduced, classes, ignore),
        **d.maybe("weight", d.shared("weight", (classes,), 0.25, 2)),
        **ignore,
        **d.option("gamma", 0.0, 0.5, 1.0, 3.5),
        "_": unreduced,
    }


def poly1(d: Draw) -> Request:
    logits, unreduced, classes = class_inputs(d)
    request = {"input": d.floats(logits), **d.option("epsilon", -1.0, 0.0, 0.5), "_": unreduced}
    if d.flag("probabilities"):
        return {**request, "target": d.unit(logits)}
    ignore = d.option("ignore_index", 0, -1)
    return {**request, "target": indices(d, unreduced, classes, ignore), **ignore}


def asymmetric(d: Draw) -> Request:
    return {
        **soft_or_hard(d),
        **d.option("gamma_neg", 0.0, 2.5),
        **d.option("gamma_pos", 0.0, 2.0),
        **d.option("clip", 0.0, 0.3),
        **d.option("eps", 0.0, 0.25),
        **d.option("focal_gradient", False, True),
    }


def focal_of_sigmoid(t: Tensors, options: Options) -> Tensor:
    """Torchvision's sigmoid_focal_loss (0.20, torchvision/ops/focal_loss.py), with explicit probabilities."""
    y, p = t["target"], torch.sigmoid(t["input"])
    alpha, gamma = options.get("alpha", 0.25), options.get("gamma", 2.0)
    found: Tensor = -(y * torch.log(p) + (1 - y) * torch.log(1 - p)) * (1 - (p * y + (1 - p) * (1 - y))) ** gamma
    return found * (alpha * y + (1 - alpha) * (1 - y)) if alpha >= 0 else found


def by_class(t: Tensors) -> Tensor:
    """Probabilities, the classes in the last dim."""
    x = t["input"]
    odds = torch.exp(x).movedim(min(1, x.dim() - 1), -1)
    return odds / odds.sum(-1, keepdim=True)


def each_target(t: Tensors, options: Options, one: Any) -> Tensor:
    """A function of each target's probability and class, one by one; 0 where it is ignored."""
    p, y = by_class(t), t["target"]
    values = [
        one(row[int(at)], int(at)) if int(at) != options.get("ignore_index", -100) else row.new_zeros(())
        for row, at in zip(p.reshape(-1, p.shape[-1]), y.reshape(-1), strict=True)
    ]
    return torch.stack(values).reshape(y.shape) if values else p.sum(-1)


def focal_of_softmax(t: Tensors, options: Options) -> Tensor:
    """Lin et al. (1708.02002), equation 5 with alpha by class, target by target."""
    gamma = options.get("gamma", 2.0)
    weight = t.get("weight")

    def one(p: Tensor, at: int) -> Tensor:
        missing = (1 - p).clamp(min=1e-300)  # of one class there is none, and powers below 1 have no slope at 0
        found: Tensor = -(missing**gamma) * torch.log(p) * (1.0 if weight is None else weight[at])
        return found

    return each_target(t, options, one)


def kept_weights(t: Tensors, options: Options, unreduced: Tensor) -> tuple[float, int]:
    """The weights of the classes of targets that are not ignored."""
    y = t["target"]
    if y.is_floating_point():
        return float(unreduced.numel()), 0
    kept = y[y != options.get("ignore_index", -100)]
    total = t["weight"][kept].sum() if "weight" in t else kept.numel()
    return float(total), y.numel() - kept.numel()


def poly(t: Tensors, options: Options) -> Tensor:
    """optax.losses.poly_loss_cross_entropy (0.2.5), of one-hot labels or others."""
    epsilon = options.get("epsilon", 2.0)
    if t["target"].is_floating_point():
        p = by_class(t)
        y = t["target"].movedim(min(1, t["target"].dim() - 1), -1)
        found: Tensor = -(y * torch.log(p)).sum(-1) + epsilon * (y * (1 - p)).sum(-1)
        return found
    return each_target(t, options, lambda p, _: -torch.log(p) + epsilon * (1 - p))


def asymmetric_loss(t: Tensors, options: Options) -> Tensor:
    """AsymmetricLossMultiLabel of timm (1.0, timm/loss/asymmetric_loss.py), with explicit probabilities."""
    y, p = t["target"], torch.sigmoid(t["input"])
    eps = options.get("eps", 1e-8)
    q = torch.clamp(1 - p + options.get("clip", 0.05), max=1)
    pt = p * y + q * (1 - y)
    gamma = options.get("gamma_pos", 1.0) * y + options.get("gamma_neg", 4.0) * (1 - y)
    if options.get("gamma_pos", 1.0) or options.get("gamma_neg", 4.0):
        missing = 1 - pt
        # 0 to the power of what is asked the target's gradient in is 0, and so is its slope.
        # By way of the logarithm: torch takes pow's second derivatives for 0 where the power is.
        power = torch.exp(gamma * torch.log(missing.clamp(min=1e-300)))
        w = torch.where(missing > 1e-12, power, torch.zeros_like(gamma) ** gamma.detach())
    else:
        w = torch.ones_like(p)
    if not options.get("focal_gradient", True):
        w = w.detach()
    low = math.log(eps) if eps else -math.inf
    found: Tensor = -w * (y * torch.log(p).clamp(min=low) + (1 - y) * torch.log(q).clamp(min=low))
    return found


BUILDERS = {
    "sigmoid_focal_loss": sigmoid_focal,
    "focal_loss": focal,
    "poly1_cross_entropy": poly1,
    "asymmetric_loss": asymmetric,
}
REFERENCES = {
    "sigmoid_focal_loss": Reference(focal_of_sigmoid),
    "focal_loss": Reference(focal_of_softmax, kept_weights),
    "poly1_cross_entropy": Reference(poly, kept_weights),
    "asymmetric_loss": Reference(asymmetric_loss),
}
