"""Losses on boxes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from schemas.losses.detection import BoxLoss, CompleteBoxIoU, DistanceBoxIoU, GeneralizedBoxIoU, IoU
from service.losses.formula import Tensors, Terms, register
from service.losses.lanes import in_lanes, out_of_lanes


class Boxes(NamedTuple):
    """Lower and upper corners, [N, 2]; axes x and y."""

    low: Tensor
    high: Tensor

    def size(self) -> Tensor:
        """Widths and heights."""
        return self.high - self.low


def boxes(tensor: Tensor) -> Boxes:
    """Boxes of their coordinates."""
    return Boxes(tensor[:, :2], tensor[:, 2:])


def area(size: Tensor) -> Tensor:
    """Width times height."""
    return size[:, 0] * size[:, 1]


def overlap(a: Boxes, b: Boxes, eps: float) -> tuple[Tensor, Tensor]:
    """The intersection over the union, and the union."""
    size = torch.minimum(a.high, b.high) - torch.maximum(a.low, b.low)
    # Boxes that only touch do not meet, and have no gradient here: clamped sizes would have one.
    shared = torch.where((size > 0).all(1), area(size), 0.0)
    union = area(a.size()) + area(b.size()) - shared
    return shared / (union + eps), union


def around(a: Boxes, b: Boxes) -> Tensor:
    """The size of the smallest box around both."""
    return torch.maximum(a.high, b.high) - torch.minimum(a.low, b.low)


def remoteness(a: Boxes, b: Boxes, eps: float) -> Tensor:
    """The squared distance of the centres over the squared diagonal of the box around both."""
    apart = (a.low + a.high) / 2 - (b.low + b.high) / 2
    return (apart.square()[:, 0] + apart.square()[:, 1]) / (
        around(a, b).square()[:, 0] + around(a, b).square()[:, 1] + eps
    )


def pair(t: Tensors) -> tuple[Boxes, Boxes]:
    """The predicted and the true boxes."""
    return boxes(t["input"]), boxes(t["target"])


@register(IoU, half=False)
def _(r: BoxLoss, t: Tensors) -> Terms:
    return Terms(1 - overlap(*pair(t), r.eps)[0])


@register(GeneralizedBoxIoU, half=False)
def _(r: BoxLoss, t: Tensors) -> Terms:
    a, b = pair(t)
    iou, union = overlap(a, b, r.eps)
    whole = area(around(a, b))
    return Terms(1 - (iou - (whole - union) / (whole + r.eps)))


@register(DistanceBoxIoU, half=False)
def _(r: BoxLoss, t: Tensors) -> Terms:
    a, b = pair(t)
    return Terms(1 - overlap(a, b, r.eps)[0] + remoteness(a, b, r.eps))


def angle(box: Boxes) -> Tensor:
    """The arc tangent of width over height, with a gradient where there is no height too."""
    size = box.size()
    return out_of_lanes(torch.atan2(in_lanes(size[:, 0]), in_lanes(size[:, 1])), size[:, 0])


@register(CompleteBoxIoU, half=False)
def _(r: BoxLoss, t: Tensors) -> Terms:
    a, b = pair(t)
    iou, _ = overlap(a, b, r.eps)
    differing = 4 / math.pi**2 * (angle(b) - angle(a)).square()
    with torch.no_grad():
        alpha = differing / (1 - iou + differing + r.eps)
    return Terms(1 - iou + remoteness(a, b, r.eps) + alpha * differing)
