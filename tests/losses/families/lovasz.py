"""Requests of the Lovász losses, and what they are.

The extension's slopes depend on the order of the errors: no two that are drawn are alike, nor at a hinge's corner.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors, every
from tests.losses.draw import Array, Draw, Shape
from tests.losses.families.plain import Request, indices
from tests.losses.families.segmentation import images, voids


def distinct(d: Draw, shape: Shape) -> Array:
    """Numbers of either sign, no two of one magnitude, none of them 0 or 1."""
    count = int(np.prod(shape))
    magnitudes = np.setdiff1d(np.arange(1, count + 2), [16])[:count] / 16
    return np.asarray(d.rng.permutation(magnitudes) * d.rng.choice([-1.0, 1.0], count)).reshape(shape)


def hinge(d: Draw) -> Request:
    rows, _, inner = images(d)
    shape = (rows, *inner)
    ignore = d.option("ignore_index", 255, 0, -1)
    per_image = d.option("per_image", False, True)
    return {
        "input": d.typed(distinct(d, shape)),
        "target": voids(d, d.bits(shape), ignore),
        **ignore,
        **per_image,
        "_": (rows,) if per_image.get("per_image", True) else (),
    }


def softmax(d: Draw) -> Request:
    rows, classes, inner = images(d)
    pixels = (rows, *inner)
    from_logits = d.option("from_logits", False, True)
    if from_logits.get("from_logits", True):
        peak, height = d.rng.integers(0, classes, pixels), distinct(d, pixels)
        values = np.stack([np.where(peak == c, height, 0) for c in range(classes)], 1)
    else:  # below 1/2, so that no p is another's 1 - p
        values = np.stack([np.abs(distinct(d, pixels)) / 8 for _ in range(classes)], 1)
    ignore = d.option("ignore_index", 255, 0, -1)
    per_image = d.option("per_image", True, False)
    return {
        "input": d.typed(values),
        "target": indices(d, pixels, classes, ignore or {"ignore_index": 0}),
        **ignore,
        **per_image,
        **from_logits,
        **d.option("classes", "all", "present"),
        "_": (rows,) if per_image.get("per_image") else (classes,),
    }


def extension(errors: Tensor, truth: Tensor) -> Tensor:
    """Algorithm 1 of arXiv:1705.08790: the Jaccard loss of ever more wrong pixels, step by step."""
    total = errors.sum() * 0
    if not errors.numel():
        return total
    region = float(truth.sum())
    before, right, grown = 0.0, region, region
    for at in torch.argsort(errors.detach(), descending=True, stable=True).tolist():
        right, grown = (right - 1, grown) if truth[at] else (right, grown + 1)
        after = 1 - right / grown
        total = total + errors[at] * (after - before)
        before = after
    return total


def counted(t: Tensors, options: Options) -> Tensor:
    return t["target"] != options["ignore_index"] if "ignore_index" in options else torch.ones_like(t["target"]) > 0


def hinges(t: Tensors, options: Options) -> Tensor:
    counts = counted(t, options)

    def one(x: Tensor, y: Tensor, kept: Tensor) -> Tensor:
        x, y = x[kept], y[kept]
        return extension(torch.relu(torch.where(y == 1, 1 - x, 1 + x)), y == 1)

    if not options.get("per_image", True):
        return one(t["input"], t["target"], counts)
    found = [one(t["input"][row], t["target"][row], counts[row]) for row in range(len(counts))]
    return torch.stack(found) if found else t["input"].sum() * torch.zeros(0)


def of_classes(p: Tensor, y: Tensor, options: Options) -> tuple[Tensor, list[int]]:
    """Each class's loss over these pixels, `P C`, and the classes that are averaged."""
    values = [extension(torch.where(y == c, 1 - p[:, c], p[:, c]), y == c) for c in range(p.shape[1])]
    among = [c for c in range(p.shape[1]) if len(y) and (options.get("classes") == "all" or bool((y == c).any()))]
    return torch.stack([value if c in among else value * 0 for c, value in enumerate(values)]), among


def pixels(t: Tensors, options: Options, row: int | None) -> tuple[Tensor, Tensor]:
    """Probabilities `P C` and classes of the pixels that count, of an image or of all."""
    p = t["input"]
    if options.get("from_logits", True):
        p = torch.exp(p) / torch.exp(p).sum(1, keepdim=True)
    p, y, counts = p.movedim(1, -1), t["target"], counted(t, options)
    return (p[counts], y[counts]) if row is None else (p[row][counts[row]], y[row][counts[row]])


def softmaxes(t: Tensors, options: Options) -> Tensor:
    if not options.get("per_image"):
        return of_classes(*pixels(t, options, None), options)[0]
    found = []
    for row in range(len(t["input"])):
        values, among = of_classes(*pixels(t, options, row), options)
        found.append(values.sum() / max(len(among), 1))
    return torch.stack(found) if found else t["input"].sum() * torch.zeros(0)


def averaged(t: Tensors, options: Options, values: Tensor) -> tuple[float, int]:
    if options.get("per_image"):
        count = sum(len(pixels(t, options, row)[1]) > 0 for row in range(len(values)))
    else:
        count = len(of_classes(*pixels(t, options, None), options)[1])
    return float(count), values.numel() - count


BUILDERS = {"lovasz_hinge_loss": hinge, "lovasz_softmax_loss": softmax}
REFERENCES = {"lovasz_hinge_loss": Reference(hinges, every), "lovasz_softmax_loss": Reference(softmaxes, averaged)}
