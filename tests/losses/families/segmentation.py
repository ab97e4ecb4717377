"""Requests of the segmentation losses, and what they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors, every
from tests.losses.draw import Array, Draw, Shape
from tests.losses.families.plain import Request, indices

Score = Callable[[Tensor, Tensor, Tensor, Options], tuple[Tensor, Tensor]]
"""The numerator and the denominator, of I, FP, FN and the options."""

UNREDUCED: dict[str, Callable[[int, int], Shape]] = {
    "class": lambda _n, c: (c,),
    "image": lambda n, _c: (n,),
    "image_class": lambda n, c: (n, c),
    "all": lambda _n, _c: (),
}
BINARY: dict[str, Callable[[int, int], Shape]] = {
    "class": lambda _n, _c: (),
    "image": lambda n, _c: (n,),
    "image_class": lambda n, _c: (n,),
    "all": lambda _n, _c: (),
}


def images(d: Draw) -> tuple[int, int, Shape]:
    """How many, of how many classes, and the pixels of each."""
    inner = d.own(st.sampled_from(((3,), (2, 2), (), (5, 1), (0,), (7,))))
    return d.own(st.sampled_from((2, 1, 3, 0, 5))), d.width("C"), inner


def voids(d: Draw, target: Array, ignore: Options) -> Array:
    """Some of these targets are ignored."""
    gone = d.rng.random(target.shape) < d.own(st.sampled_from((0.3, 0.0, 1.0)))
    return np.where(gone, d.typed(ignore["ignore_index"]), target) if ignore else target


def overlap(d: Draw) -> Request:
    rows, classes, inner = images(d)
    mode = d.own(st.sampled_from(("multiclass", "multilabel", "binary")))
    shape = (rows, *inner) if mode == "binary" else (rows, classes, *inner)
    ignore = d.option("ignore_index", 255, 0, -1)
    if mode == "multiclass" and d.own(st.integers(0, 3)) == 0:
        target, ignore = d.unit(shape), {}
    elif mode == "multiclass":
        target = indices(d, (rows, *inner), classes, ignore or {"ignore_index": 0})
    else:
        target = voids(d, d.bits(shape) if d.flag() else d.unit(shape), ignore)
    from_logits = d.option("from_logits", False, True)
    per = d.option("per", "class", "image", "image_class", "all")
    shapes = BINARY if mode == "binary" else UNREDUCED
    return {
        "input": d.floats(shape) if from_logits.get("from_logits", True) else d.unit(shape),
        "target": target,
        "mode": mode,
        **per,
        **from_logits,
        **ignore,
        **d.option("absent", "zero", "skip", "score"),
        **d.option("log_loss", True, False),
        **d.option("smooth", 1.0, 0.125),
        **d.option("eps", 0.0625, 1e-7),
        "_": shapes[per.get("per", "class")](rows, classes),
    }


def tversky(d: Draw) -> Request:
    return {**overlap(d), **d.option("alpha", 0.25, 1.0, 0.0), **d.option("beta", 0.75, 2.0, 0.0)}


def focal(d: Draw) -> Request:
    return {**tversky(d), **d.option("gamma", 2.0, 1.0, 0.5)}


def whole(t: Tensors, options: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities, truth, and which elements count, all `N C P`."""
    x, y, mode = t["input"], t["target"], options["mode"]
    if mode == "binary":
        x, y = x.unsqueeze(1), y.unsqueeze(1)
    if not y.is_floating_point():
        counts = (y != options.get("ignore_index", None)) if "ignore_index" in options else torch.ones_like(y) > 0
        y = torch.stack([(y == c).double() for c in range(x.shape[1])], 1)
        counts = counts.unsqueeze(1).expand(x.shape)
    else:
        counts = (y != options["ignore_index"]) if "ignore_index" in options else torch.ones_like(y) > 0
    p = x
    if options.get("from_logits", True):
        p = torch.exp(x) / torch.exp(x).sum(1, keepdim=True) if mode == "multiclass" else 1 / (1 + torch.exp(-x))
    pixels = int(np.prod(x.shape[2:]))
    return (
        p.reshape(*x.shape[:2], pixels),
        y.reshape(*x.shape[:2], pixels),
        counts.reshape(*x.shape[:2], pixels),
    )


def groups(options: Options, shape: Shape) -> tuple[list[tuple[Any, Any]], Shape]:
    """The images and the classes of each value of the unreduced loss."""
    n, c = shape[:2]
    per = options.get("per", "class")
    if per == "all":
        return [(slice(None), slice(None))], ()
    if per == "image" or (options["mode"] == "binary" and per == "image_class"):
        return [(row, slice(None)) for row in range(n)], (n,)
    if per == "image_class":
        return list(itertools.product(range(n), range(c))), (n, c)
    return [(slice(None), at) for at in range(c)], () if options["mode"] == "binary" else (c,)


def of_score(score: Score) -> Reference:
    """segmentation_models_pytorch 0.5, losses/dice.py: each value from the pixels that belong to it and count."""

    def unreduced(t: Tensors, options: Options) -> Tensor:
        p, y, counts = whole(t, options)
        chosen, shape = groups(options, tuple(p.shape))
        found = [one(p[at][counts[at]], y[at][counts[at]], options) for at in chosen]
        return torch.stack(found).reshape(shape) if found else t["input"].sum() * torch.zeros(shape)

    def one(p: Tensor, y: Tensor, options: Options) -> Tensor:
        if options.get("absent", "zero") != "score" and not y.detach().sum() > 0:
            return p.sum() * 0
        above, below = score((p * y).sum(), (p - p * y).sum(), (y - p * y).sum(), options)
        eps = options.get("eps", 1e-7)
        value = above / below.clamp_min(eps)
        if options.get("log_loss"):
            loss = -torch.log(value) if value >= eps else p.sum() * 0 - np.log(eps)
        else:
            loss = 1 - value
        if score is not focal_score:
            return loss
        return loss ** options.get("gamma", 0.75) if loss > 0 else p.sum() * 0

    def divisor(t: Tensors, options: Options, values: Tensor) -> tuple[float, int]:
        if options.get("absent") != "skip":
            return every(t, options, values)
        _, y, counts = whole(t, options)
        chosen, _ = groups(options, tuple(y.shape))
        absent = sum(not (y[at][counts[at]].sum() > 0) for at in chosen)
        return float(values.numel() - absent), absent

    return Reference(unreduced, divisor, cancels=True)


def dice_score(i: Tensor, fp: Tensor, fn: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    smooth = options.get("smooth", 0.0)
    return 2 * i + smooth, (i + fp) + (i + fn) + smooth


def jaccard_score(i: Tensor, fp: Tensor, fn: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    smooth = options.get("smooth", 0.0)
    return i + smooth, i + fp + fn + smooth


def tversky_score(i: Tensor, fp: Tensor, fn: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    smooth = options.get("smooth", 0.0)
    return i + smooth, i + options.get("alpha", 0.5) * fp + options.get("beta", 0.5) * fn + smooth


def focal_score(i: Tensor, fp: Tensor, fn: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    return tversky_score(i, fp, fn, options)


BUILDERS = {"dice_loss": overlap, "jaccard_loss": overlap, "tversky_loss": tversky, "focal_tversky_loss": focal}
REFERENCES = {
    "dice_loss": of_score(dice_score),
    "jaccard_loss": of_score(jaccard_score),
    "tversky_loss": of_score(tversky_score),
    "focal_tversky_loss": of_score(focal_score),
}
