"""Requests of the losses on boxes, and what they are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Array, Draw, Shape

Request = dict[str, object]
Function = Callable[[Tensors, Options], Tensor]
STEPS = 16
"""Predicted edges lie on every other of 32 steps, true ones between them: no two coincide."""


def drawn(d: Draw, batch: Shape, offset: float) -> Array:
    """Boxes in [-2, 2] of at least a step, which half types hold as they are."""
    corners = d.rng.integers(-2 * STEPS, 2 * STEPS - 1, (*batch, 2))
    sizes = np.minimum(d.rng.integers(1, 2 * STEPS, (*batch, 2)), 2 * STEPS - 1 - corners)
    edges = np.concatenate([corners, corners + sizes], -1) / STEPS
    return d.typed(edges + offset / (2 * STEPS))


def boxes(d: Draw) -> Request:
    batch: Shape = () if d.flag() and d.flag() else (d.size(),)
    return {"input": drawn(d, batch, 0), "target": drawn(d, batch, 1), **d.option("eps", 1e-2, 0.0), "_": batch}


def box_by_box(one: Callable[[Tensor, Tensor, float], Tensor]) -> Function:
    """The loss of each pair of boxes by itself."""

    def unreduced(t: Tensors, options: Options) -> Tensor:
        a, b = t["input"], t["target"]
        eps = options.get("eps", 1e-7)
        if a.dim() == 1:
            return one(a, b, eps)
        rows = [one(*both, eps) for both in zip(a, b, strict=True)]
        return torch.stack(rows) if rows else a.sum(-1)

    return unreduced


def extent(a: Tensor, b: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """On one axis: how far two boxes overlap, and how far they reach together."""
    start, end = (a[axis], b[axis]), (a[axis + 2], b[axis + 2])
    inner, outer = min(end) - max(start), max(end) - min(start)
    return (inner if inner > 0 else inner.new_zeros(())), outer


def measures(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Intersection, union, and the width and height around both."""
    (w, around_w), (h, around_h) = extent(a, b, 0), extent(a, b, 1)
    meeting = w * h
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - meeting
    return meeting, union, around_w, around_h


# As torchvision 0.20 has them, in torchvision/ops/{giou,diou,ciou}_loss.py.


def iou(a: Tensor, b: Tensor, eps: float) -> Tensor:
    meeting, union, _, _ = measures(a, b)
    return 1 - meeting / (union + eps)


def giou(a: Tensor, b: Tensor, eps: float) -> Tensor:
    _, union, w, h = measures(a, b)
    return iou(a, b, eps) + (w * h - union) / (w * h + eps)


def diou(a: Tensor, b: Tensor, eps: float) -> Tensor:
    _, _, w, h = measures(a, b)
    x, y = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    return iou(a, b, eps) + (x**2 + y**2) / (w**2 + h**2 + eps)


def ciou(a: Tensor, b: Tensor, eps: float) -> Tensor:
    v = 4 / math.pi**2 * (torch.atan((b[2] - b[0]) / (b[3] - b[1])) - torch.atan((a[2] - a[0]) / (a[3] - a[1]))) ** 2
    alpha = (v / (iou(a, b, eps) + v + eps)).detach()
    return diou(a, b, eps) + alpha * v


FUNCTIONS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "iou_loss": iou,
    "generalized_box_iou_loss": giou,
    "distance_box_iou_loss": diou,
    "complete_box_iou_loss": ciou,
}
BUILDERS = dict.fromkeys(FUNCTIONS, boxes)
REFERENCES = {name: Reference(box_by_box(function)) for name, function in FUNCTIONS.items()}
